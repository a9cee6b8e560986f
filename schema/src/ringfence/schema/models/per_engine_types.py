"""The portable type of a column that has different types and limits on the engines.

`combine` gives the type whose values fit into all of them. The functions below it give the limits of one engine, as
parameters of the mirror by which the runtime refuses values that the engine would change; no parameters mean no limit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from ringfence.runtime.mirror import TYPES
from ringfence.runtime.values import INTEGER_BITS

_LEAST = ("length", "precision", "scale", "digits")
_UTF8_BYTES = 4
_HEX_DIGITS = 32
_OCTETS = 16


@dataclass(frozen=True)
class Form:
    """The portable type of a column on one engine.

    `zoned` says whether the engine distinguishes datetimes with a zone from those without, and `any_integer` whether
    every integer column stores 64 bits there, whatever its declared type.
    """

    engine: str
    type: str
    params: Mapping[str, Any] = field(default_factory=dict)
    zoned: bool = False
    any_integer: bool = False


def combine(forms: Sequence[Form]) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Combine the types that a column has on the engines.

    Args:
        forms: at least one, one for each engine.

    Returns:
        The name of the portable type; its parameters, the narrowest of all engines; and engine -> message where the
        engine's type cannot be combined with it.
    """
    name = forms[0].type
    if all(form.type in INTEGER_BITS for form in forms):
        declared = [form.type for form in forms if not form.any_integer] or [form.type for form in forms]
        name = min(declared, key=INTEGER_BITS.__getitem__)
    elif {form.type for form in forms} == {"string", "text"}:
        return _texts(forms)
    problems = {
        form.engine: f"is {form.type}, and {name} on another engine: use one type for all, or set in `types` of"
        " ringfence.toml the type that services see"
        for form in forms
        if form.type != name and form.type not in INTEGER_BITS
    }
    params: dict[str, Any] = {}
    for form in forms:
        if form.type == name:
            _merge(params, form.params)
        elif form.params.get("unsigned") and form.type in INTEGER_BITS:
            params["unsigned"] = True
    if name == "datetime":
        params = {"timezone": _timezone(forms)} | {k: v for k, v in params.items() if k != "timezone"}
    return name, params, problems


def _merge(params: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add parameters in place; of two limits the narrower is kept, as a value must fit on every engine."""
    for name, value in more.items():
        params[name] = min(params[name], value) if name in _LEAST and name in params else value


def _timezone(forms: Sequence[Form]) -> bool:
    """Whether a datetime has a zone: where at least one engine's form says so, and none denies it."""
    zones = [form.params["timezone"] for form in forms if "timezone" in form.params]
    return bool(zones) and all(zones)


def _texts(forms: Sequence[Form]) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Combine `string` and `text`: a string where a length is known; a text's length in bytes is divided by four."""
    params: dict[str, Any] = {}
    for form in forms:
        length = form.params.get("length")
        if length is not None and form.type == "text":
            length //= _UTF8_BYTES
        _merge(params, dict(form.params) | ({} if length is None else {"length": length}))
    return ("string" if "length" in params else "text"), params, {}


def mapped(physical: Form, target: Form) -> tuple[Form, str | None]:
    """Apply a mapping of ringfence.toml to a column.

    Args:
        physical: the column's own form.
        target: the form as which services shall see it.

    Returns:
        The target form with the limits of the column's own; and a message where the column cannot store its values,
        else None.
    """
    limits = {
        name: value
        for name, value in physical.params.items()
        if name in TYPES[target.type]
        and (name not in ("fixed", "length") or target.type in ("string", "text"))
    }
    params = dict(target.params) | ({"binary": True} if _is_octets_of_uuid(physical, target) else {})
    if physical.type == "datetime" and not physical.zoned:
        limits.pop("timezone", None)
    _merge(params, limits)
    form = Form(physical.engine, target.type, params, physical.zoned, physical.any_integer)
    problem = f"is {physical.type}, which `types` of ringfence.toml maps to {target.type}"
    if not _holds(physical, target):
        return form, f"{problem}: values of that type cannot be kept in it; map it to what it is"
    if "timezone" in physical.params and physical.params["timezone"] != target.params.get("timezone"):
        zone = "with" if physical.params["timezone"] else "without"
        return (
            form,
            f"{problem}: it is {zone} a zone, so map it to {'Timestamp' if zone == 'with' else 'DateTime'}",
        )
    return form, None


def _holds(physical: Form, target: Form) -> bool:
    """Whether a column can store the values of another type in the form that the runtime writes."""
    one, other = physical.type, target.type
    if one == other or {one, other} <= {"string", "text"} or {one, other} <= set(INTEGER_BITS):
        return True
    if physical.zoned:  # PostgreSQL, which does not convert between its types implicitly
        return False
    return (
        (other == "json" and one in ("string", "text"))
        or (other == "uuid" and one == "string" and physical.params.get("length") == _HEX_DIGITS)
        or _is_octets_of_uuid(physical, target)
        or (other == "interval" and one == "bigint")
        or (other == "boolean" and one in INTEGER_BITS)
    )


def _is_octets_of_uuid(physical: Form, target: Form) -> bool:
    """Whether a UUID is to be stored as its 16 bytes, as some TypeDecorators do."""
    octets = physical.type == "bytes" and physical.params.get("length") == _OCTETS
    return target.type == "uuid" and octets and bool(physical.params.get("fixed"))


Params = dict[str, Any]

_MICROSECONDS = 6
_SINGLE_BITS = 24
"""The mantissa bits of a single-precision float; FLOAT(p) with a larger p is a double."""
_SINGLE = {"digits": 6}
_DOUBLE_DIGITS = 15


def postgresql_fraction(type_: Any) -> Params:
    """The fractional digits of seconds that PostgreSQL stores: six, unless the type says fewer."""
    digits = getattr(type_, "precision", None)
    return {} if digits in (None, _MICROSECONDS) else {"precision": digits}


def mysql_fraction(type_: Any) -> Params:
    """The fractional digits of seconds that MySQL and MariaDB store: none, unless the type says how many."""
    digits = getattr(type_, "fsp", None) or 0
    return {} if digits == _MICROSECONDS else {"precision": digits}


def single_on_postgresql(type_: Any) -> Params:
    """The digits of a single-precision float, which REAL and FLOAT(p) with p up to 24 are on PostgreSQL."""
    single = isinstance(type_, sa.REAL) or 0 < (type_.precision or 0) <= _SINGLE_BITS
    return dict(_SINGLE) if single else {}


def single_on_mysql(type_: Any) -> Params:
    """The digits of FLOAT, on MySQL single precision shown with six digits; REAL is a synonym of DOUBLE there."""
    if isinstance(type_, sa.REAL) or (type_.precision or 0) > _SINGLE_BITS:
        return {}
    return _SINGLE | {"single": True}


def sqlite_decimal(type_: Any) -> Params:
    """The precision of a decimal on SQLite, which stores it as a REAL with 15 exact digits."""
    if type_.precision is None or type_.precision <= _DOUBLE_DIGITS:
        return {}
    return {"precision": _DOUBLE_DIGITS, "scale": min(type_.scale or 0, _DOUBLE_DIGITS)}
