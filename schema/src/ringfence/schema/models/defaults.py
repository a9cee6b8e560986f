"""Translates the defaults of the models' columns to those of the mirror."""

import datetime as dt
import enum
import inspect
import uuid
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.schema import DefaultGenerator

from ringfence.runtime.errors import DataError
from ringfence.runtime.mirror import Default
from ringfence.runtime.values import generators, values
from ringfence.schema.models.callables import GeneratorResult, Value, meaning
from ringfence.schema.models.engine_types import effective, mapped_to, to_stored
from ringfence.schema.models.sequences import insert_sequence
from ringfence.schema.models.types import DIALECTS, Portable, needs_integer_key
from ringfence.schema.models.value_checks import CHECKS

_SERVER = Default("server")
_COMPUTED = Default("computed")
SERVICE = "service"
"""The kind of default whose value the service must give itself."""


class _UnknownError(Exception):
    """A default that services cannot evaluate; the message names it."""


def default(column: sa.Column[Any], portable: Portable, engines: Iterable[str] = ()) -> Default | None:
    """Translate the default that a column has on INSERT.

    Args:
        column: of the models.
        portable: the column's type in the mirror.
        engines: the names of the deployment's engines.

    Returns:
        The default; None where there is none. One that services cannot evaluate has the kind `service` and the reason
        as its value: an insert must give the value.
    """
    if column.computed is not None:
        return _COMPUTED
    sequence = insert_sequence(column)
    if sequence is not None:
        named = {"name": str(sequence.name)}
        return Default("sequence", named | ({"schema": str(sequence.schema)} if sequence.schema else {}))
    if column.default is not None and not isinstance(column.default, sa.Sequence):
        return _from_python(column, column.default, portable, engines)
    counted = column.table.autoincrement_column is column
    if column.server_default is not None or column.identity is not None:
        return _SERVER
    if counted and needs_integer_key(column, engines):
        return Default(SERVICE, "SQLite counts up INTEGER keys alone, unless the model uses models.BigKey")
    return _SERVER if counted else None


def on_update(column: sa.Column[Any], portable: Portable, engines: Iterable[str] = ()) -> Default | None:
    """Translate the value that a column gets on UPDATE; arguments and result are those of `default`."""
    if column.computed is not None:
        return _COMPUTED
    if column.onupdate is not None:
        return _from_python(column, column.onupdate, portable, engines)
    return _SERVER if column.server_onupdate is not None else None


def _from_python(
    column: sa.Column[Any], given: DefaultGenerator, portable: Portable, engines: Iterable[str]
) -> Default:
    try:
        if isinstance(given, sa.ColumnDefault) and given.is_scalar:
            return Default("literal", _literal(column, given.arg, portable, engines))
        if isinstance(given, sa.ColumnDefault) and given.is_callable:
            return _from_function(column, _unwrapped(given.arg), portable, engines)
        return _from_expression(given, portable)
    except _UnknownError as error:
        return Default(SERVICE, f"the models fill it in with {error}, which services do not run")


def _from_function(
    column: sa.Column[Any], function: Callable[..., Any], portable: Portable, engines: Iterable[str]
) -> Default:
    found = meaning(function)
    if isinstance(found, GeneratorResult):
        return Default(
            "generator", _generator(column, found.generator, portable, engines, function_name(function))
        )
    if isinstance(found, Value):
        return Default("literal", _literal(column, found.value, portable, engines))
    raise _UnknownError(function_name(function))


def function_name(function: Callable[..., Any]) -> str:
    """Name a function for a message: `module.name()`, or for a partial the function that it calls."""
    inner = getattr(function, "func", None)
    if inner is not None:
        return f"a partial of {function_name(inner)}"
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    module = getattr(function, "__module__", None) or getattr(
        getattr(function, "__self__", None), "__module__", None
    )
    return f"{module}.{name}()" if module else f"{name}()"


def _unwrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function that the models give, which SQLAlchemy wraps to take a context.

    The wrapper has the original as `__wrapped__`, but a partial or another callable object only in its closure.
    """
    inner = getattr(function, "__wrapped__", None)
    if inner is None and getattr(function, "__qualname__", "").startswith("CallableColumnDefault."):
        inner = inspect.getclosurevars(function).nonlocals.get("fn")
    return function if inner is None else inner


# The generator that is equivalent to another in a column of this type, because the database converts its values.
_TURNED: Mapping[tuple[str, str], str] = {
    ("now", "date"): "today",
    ("now_naive", "date"): "today",
    ("now_local", "date"): "today_local",
    ("epoch_seconds", "float"): "epoch",
}
_MOMENTS = frozenset({"now", "now_naive"})


def _generator(
    column: sa.Column[Any], name: str, portable: Portable, engines: Iterable[str], function: str
) -> str:
    """The generator that gives what the models' own programs store in the column; raises _UnknownError for none."""
    sample = generators.GENERATORS[name]()
    kept = _stored(column, sample, engines) if mapped_to(column.type) is None else sample
    if isinstance(sample, uuid.UUID):
        if isinstance(kept, uuid.UUID) and portable.type == "string":
            kept = kept.hex  # SQLAlchemy stores a UUID like this where the engine has no such type
        forms = ((form, make(sample)) for form, make in _FORMS.items())
        name = next((form for form, made in forms if made == kept and _fits(made, portable)), "")
    elif not _same(sample, kept):
        name = ""
    else:
        name = _TURNED.get((name, portable.type), name)
        if name in _MOMENTS and portable.type == "datetime":
            name = "now" if portable.params.get("timezone") else "now_naive"
    if not name or not _fits(generators.GENERATORS[name](), portable):
        raise _UnknownError(function)
    return name


_FORMS: Mapping[str, Callable[[uuid.UUID], object]] = {
    "uuid4": lambda u: u,
    "uuid4_hex": lambda u: u.hex,
    "uuid4_text": str,
}


def _same(one: object, other: object) -> bool:
    """Whether two values are equal; datetimes are compared as points in time, those without a zone as UTC."""
    if isinstance(one, dt.datetime) and isinstance(other, dt.datetime):
        one, other = (each if each.tzinfo else each.replace(tzinfo=dt.UTC) for each in (one, other))
    return one == other


def _stored(column: sa.Column[Any], value: Any, engines: Iterable[str]) -> Any:
    """Convert a value by the column's type to what is stored; raises _UnknownError where engines differ or it fails."""
    found: list[Any] = []
    for engine in tuple(engines) or ("sqlite",):
        try:
            kept = to_stored(column.type, value, DIALECTS[engine])
        except Exception as error:
            raise _UnknownError(f"{value!r}, of which its type makes {type(error).__name__}") from error
        if not any(_same(kept, known) and type(kept) is type(known) for known in found):
            found.append(kept)
    if len(found) != 1:
        raise _UnknownError(f"{value!r}, which is stored in another form on each engine")
    return found[0]


_EXPRESSIONS = frozenset({"now()", "current_timestamp", "current_timestamp()", "localtimestamp"})


def _from_expression(given: Any, portable: Portable) -> Default:
    """Translate an SQL expression to the equivalent generator; the sessions of services are in UTC."""
    written = str(given.arg)
    if written.lower() in _EXPRESSIONS and portable.type == "datetime":
        return Default("generator", "now" if portable.params.get("timezone") else "now_naive")
    if (written.lower() in _EXPRESSIONS or written.lower() == "current_date") and portable.type == "date":
        return Default("generator", "today")
    raise _UnknownError(f"the SQL expression {written}")


def _literal(column: sa.Column[Any], value: Any, portable: Portable, engines: Iterable[str]) -> Any:
    """Convert a constant default to a JSON value in the form that is stored."""
    if isinstance(value, enum.Enum) and portable.type == "enum":
        return _label(value, portable)
    if mapped_to(column.type) is None and _converts(column, engines):
        value = _stored(column, value, engines)
    if value is None or (
        portable.type == "json" and isinstance(value, dict | list | bool | int | float | str)
    ):
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(value, bool) and portable.type in values.INTEGER_BITS:
        value = int(value)
    elif isinstance(value, Decimal | uuid.UUID) or (number and portable.type in ("string", "text")):
        value = str(value)
    elif isinstance(value, dt.date | dt.time):
        value = value.isoformat()
    elif isinstance(value, enum.Enum) and isinstance(value, str | int):
        value = value.value
    if not isinstance(value, bool | int | float | str) or not _fits(value, portable):
        raise _UnknownError(f"{value!r}, which is no {portable.type}")
    return value


def _converts(column: sa.Column[Any], engines: Iterable[str]) -> bool:
    dialects = [DIALECTS[engine] for engine in engines] or ["sqlite"]
    return any(effective(column.type, dialect).converting for dialect in dialects)


def _label(value: enum.Enum, portable: Portable) -> str:
    """The label that is stored for an enum member: its name, unless the type's `values_callable` gives another."""
    labels = portable.params.get("values", ())
    names = portable.params.get("members", {})
    for text in labels:
        if names.get(text, text) == value.name:
            return str(text)
    raise _UnknownError(f"{value!r}, which is not among the labels of its type")


def _fits(value: Any, portable: Portable) -> bool:
    """Whether the runtime accepts a value for a type; True for types that are not checked here."""
    if portable.type == "enum":
        return value in portable.params.get("values", ())
    try:
        if (check := CHECKS.get(portable.type)) is not None:
            check(portable.params)(value)
    except DataError:
        return False
    return True
