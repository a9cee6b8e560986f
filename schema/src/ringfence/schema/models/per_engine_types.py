"""One portable type for a column that is of another type on each engine: what fits into all of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ringfence.runtime.mirror import TYPES
from ringfence.runtime.values import INTEGER_BITS

_LEAST = ("length", "precision", "scale", "digits")
_UTF8_BYTES = 4
_HEX_DIGITS = 32
_OCTETS = 16


@dataclass(frozen=True)
class Form:
    """The portable type of a column on one engine.

    `zoned` says whether the engine keeps a zone with its moments, and `any_integer` whether it keeps whole numbers of
    64 bits whatever the column's type.
    """

    engine: str
    type: str
    params: Mapping[str, Any] = field(default_factory=dict)
    zoned: bool = False
    any_integer: bool = False


def combine(forms: Sequence[Form]) -> tuple[str, dict[str, Any], dict[str, str]]:
    """The type of all of them.

    Returns:
        Its name; its parameters, by which a value fits on every engine; and by engine why it is no one type there.
    """
    name = forms[0].type
    if all(form.type in INTEGER_BITS for form in forms):
        declared = [form.type for form in forms if not form.any_integer] or [form.type for form in forms]
        name = min(declared, key=INTEGER_BITS.__getitem__)
    elif {form.type for form in forms} == {"string", "text"}:
        return _texts(forms)
    problems = {
        form.engine: f"is {form.type}, and {name} on another engine: use one type for all, or say in `types` of"
        " ringfence.toml what services see"
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
    """Take over parameters; of two limits the narrower counts, for a value must fit on every engine."""
    for name, value in more.items():
        params[name] = min(params[name], value) if name in _LEAST and name in params else value


def _timezone(forms: Sequence[Form]) -> bool:
    """Whether values are moments: as the type says itself, else as the engines have it that keep zones."""
    said = [form.params["timezone"] for form in forms if "timezone" in form.params]
    return bool(said) and all(said)


def _texts(forms: Sequence[Form]) -> tuple[str, dict[str, Any], dict[str, str]]:
    """A string here and a text there: a string, unless its characters might not fit into the bytes of the text."""
    params: dict[str, Any] = {}
    for form in forms:
        length = form.params.get("length")
        if length is not None and form.type == "text":
            length //= _UTF8_BYTES
        _merge(params, dict(form.params) | ({} if length is None else {"length": length}))
    return ("string" if "length" in params else "text"), params, {}


def mapped(physical: Form, wanted: Form) -> tuple[Form, str | None]:
    """A column as ringfence.toml says that services see it.

    Args:
        physical: what the column is.
        wanted: what it is to be seen as.

    Returns:
        The form, within the limits of what the column is; and what stands in its way, if something does.
    """
    limits = {
        name: value
        for name, value in physical.params.items()
        if name in TYPES[wanted.type]
        and (name not in ("fixed", "length") or wanted.type in ("string", "text"))
    }
    params = dict(wanted.params) | ({"binary": True} if _is_octets_of_uuid(physical, wanted) else {})
    if physical.type == "datetime" and not physical.zoned:
        limits.pop("timezone", None)
    _merge(params, limits)
    form = Form(physical.engine, wanted.type, params, physical.zoned, physical.any_integer)
    problem = f"is {physical.type}, which `types` of ringfence.toml maps to {wanted.type}"
    if not _holds(physical, wanted):
        return form, f"{problem}: values of that type cannot be kept in it; map it to what it is"
    if "timezone" in physical.params and physical.params["timezone"] != wanted.params.get("timezone"):
        zone = "with" if physical.params["timezone"] else "without"
        return (
            form,
            f"{problem}: it is {zone} a zone, so map it to {'Timestamp' if zone == 'with' else 'DateTime'}",
        )
    return form, None


def _holds(physical: Form, wanted: Form) -> bool:
    """Whether the stored values of a column are those of another type."""
    one, other = physical.type, wanted.type
    if one == other or {one, other} <= {"string", "text"} or {one, other} <= set(INTEGER_BITS):
        return True
    if physical.zoned:  # the engine that tells its types apart
        return False
    return (
        (other == "json" and one in ("string", "text"))
        or (other == "uuid" and one == "string" and physical.params.get("length") == _HEX_DIGITS)
        or _is_octets_of_uuid(physical, wanted)
        or (other == "interval" and one == "bigint")
        or (other == "boolean" and one in INTEGER_BITS)
    )


def _is_octets_of_uuid(physical: Form, wanted: Form) -> bool:
    """A UUID as its 16 bytes, where a decorator keeps it so."""
    octets = physical.type == "bytes" and physical.params.get("length") == _OCTETS
    return wanted.type == "uuid" and octets and bool(physical.params.get("fixed"))
