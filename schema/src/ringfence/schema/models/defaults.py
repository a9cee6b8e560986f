"""How a column's value arises when a program gives none, in the words of the mirror."""

import datetime as dt
import enum
import inspect
import uuid
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.functions import next_value
from sqlalchemy.sql.schema import DefaultGenerator

from ringfence.runtime.errors import BadValue
from ringfence.runtime.mirror import Default
from ringfence.runtime.values import generators, values
from ringfence.schema.models.callables import Known, Value, meaning
from ringfence.schema.models.engine_types import effective, mapped_to, stored
from ringfence.schema.models.types import DIALECTS, Portable, needs_integer_key

_SERVER = Default("server")
_COMPUTED = Default("computed")
WITH_SEQUENCES = frozenset({"postgresql", "mariadb", "galera"})
"""The engines that have sequences; on the others SQLAlchemy ignores them, and an automatic key counts by itself."""
SERVICE = "service"
"""The kind of default that the service must give itself."""


class _UnknownError(Exception):
    """A default that no service can bring about; the message says why."""


def default(column: sa.Column[Any], portable: Portable, engines: Iterable[str] = ()) -> Default | None:
    """How the value of a new row arises.

    What the models fill in with code that services do not run has the kind `service`, and says why: there an insert
    must give the value.
    """
    if column.computed is not None:
        return _COMPUTED
    sequence = drawn(column)
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


def drawn(column: sa.Column[Any]) -> sa.Sequence | None:
    """The sequence that an INSERT draws the column's value from, on engines that have sequences; None where none is.

    An optional sequence is none on any engine here, as SQLAlchemy has it. Where the server's default of a key draws,
    the program does it in its place: MariaDB tells no key that a default drew.
    """
    given = column.default
    if isinstance(given, sa.Sequence):
        return None if given.optional else given
    said = getattr(column.server_default, "arg", None)
    return said.sequence if column.primary_key and isinstance(said, next_value) else None


def unnumbered(column: sa.Column[Any], engines: Iterable[str]) -> str | None:
    """Why the sequence of a column numbers no new row on some engine, with the way out; None where one does."""
    sequence = drawn(column)
    lacking = [engine for engine in engines if engine not in WITH_SEQUENCES]
    if sequence is None or column.table.autoincrement_column is column or not lacking:
        return None
    return (
        f"the sequence {str(sequence.name)!r} cannot number it on {', '.join(lacking)}, which has no sequences and"
        " counts up a single integer key alone: use a default that every engine has, or take the engine out of"
        " ringfence.toml"
    )


def on_update(column: sa.Column[Any], portable: Portable, engines: Iterable[str] = ()) -> Default | None:
    """How the value of a changed row arises; see `default`."""
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
    if isinstance(found, Known):
        return Default("generator", _generator(column, found.generator, portable, engines, label(function)))
    if isinstance(found, Value):
        return Default("literal", _literal(column, found.value, portable, engines))
    raise _UnknownError(label(function))


def label(function: Callable[..., Any]) -> str:
    """A function as a message names it: with its module, or a partial by what it calls."""
    inner = getattr(function, "func", None)
    if inner is not None:
        return f"a partial of {label(inner)}"
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    module = getattr(function, "__module__", None) or getattr(
        getattr(function, "__self__", None), "__module__", None
    )
    return f"{module}.{name}()" if module else f"{name}()"


def _unwrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as the models name it: SQLAlchemy wraps it to take a context, and keeps the original.

    It keeps a partial, or an object that can be called, only in the wrapper's closure.
    """
    inner = getattr(function, "__wrapped__", None)
    if inner is None and getattr(function, "__qualname__", "").startswith("CallableColumnDefault."):
        inner = inspect.getclosurevars(function).nonlocals.get("fn")
    return function if inner is None else inner


# What a generator's values become in a column of another type, where the database turns them into it.
_TURNED: Mapping[tuple[str, str], str] = {
    ("now", "date"): "today",
    ("now_naive", "date"): "today",
    ("now_local", "date"): "today_local",
    ("epoch_seconds", "float"): "epoch",
}
_MOMENTS = frozenset({"now", "now_naive"})


def _generator(
    column: sa.Column[Any], name: str, portable: Portable, engines: Iterable[str], told: str
) -> str:
    """The generator that gives what the models' own programs store."""
    sample = generators.GENERATORS[name]()
    kept = _stored(column, sample, engines) if mapped_to(column.type) is None else sample
    if isinstance(sample, uuid.UUID):
        if isinstance(kept, uuid.UUID) and portable.type == "string":
            kept = kept.hex  # SQLAlchemy keeps a UUID so where there is no such type
        forms = ((form, make(sample)) for form, make in _FORMS.items())
        name = next((form for form, made in forms if made == kept and _fits(made, portable)), "")
    elif not _same(sample, kept):
        name = ""
    else:
        name = _TURNED.get((name, portable.type), name)
        if name in _MOMENTS and portable.type == "datetime":
            name = "now" if portable.params.get("timezone") else "now_naive"
    if not name or not _fits(generators.GENERATORS[name](), portable):
        raise _UnknownError(told)
    return name


_FORMS: Mapping[str, Callable[[uuid.UUID], object]] = {
    "uuid4": lambda u: u,
    "uuid4_hex": lambda u: u.hex,
    "uuid4_text": str,
}


def _same(one: object, other: object) -> bool:
    """Whether a value is stored as it is; of moments, whether it is the same one, in UTC where it has no zone."""
    if isinstance(one, dt.datetime) and isinstance(other, dt.datetime):
        one, other = (each if each.tzinfo else each.replace(tzinfo=dt.UTC) for each in (one, other))
    return one == other


def _stored(column: sa.Column[Any], value: Any, engines: Iterable[str]) -> Any:
    """What the type of the models makes of a value before it is stored, where that is the same on every engine."""
    found: list[Any] = []
    for engine in tuple(engines) or ("sqlite",):
        try:
            kept = stored(column.type, value, DIALECTS[engine])
        except Exception as error:
            raise _UnknownError(f"{value!r}, of which its type makes {type(error).__name__}") from error
        if not any(_same(kept, known) and type(kept) is type(known) for known in found):
            found.append(kept)
    if len(found) != 1:
        raise _UnknownError(f"{value!r}, which is stored in another form on each engine")
    return found[0]


_EXPRESSIONS = frozenset({"now()", "current_timestamp", "current_timestamp()", "localtimestamp"})


def _from_expression(given: Any, portable: Portable) -> Default:
    """An SQL expression that a generator stands for: the sessions of services are in UTC."""
    written = str(given.arg)
    if written.lower() in _EXPRESSIONS and portable.type == "datetime":
        return Default("generator", "now" if portable.params.get("timezone") else "now_naive")
    if (written.lower() in _EXPRESSIONS or written.lower() == "current_date") and portable.type == "date":
        return Default("generator", "today")
    raise _UnknownError(f"the SQL expression {written}")


def _literal(column: sa.Column[Any], value: Any, portable: Portable, engines: Iterable[str]) -> Any:
    """The literal as JSON holds it, in the form that is stored."""
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
    """The label that is stored for a member: its name, unless the type's `values_callable` says another."""
    labels = portable.params.get("values", ())
    names = portable.params.get("members", {})
    for text in labels:
        if names.get(text, text) == value.name:
            return str(text)
    raise _UnknownError(f"{value!r}, which is not among the labels of its type")


def _fits(value: Any, portable: Portable) -> bool:
    """Whether the runtime takes a value for a type; one it has no check for is left to the runtime."""
    params = portable.params
    fits: Mapping[str, values.Fit] = {
        "boolean": values.boolean,
        "float": values.floating,
        "decimal": values.bounded_decimal(params.get("precision"), params.get("scale")),
        "string": values.bounded_text(params.get("length")),
        "text": values.bounded_text(params.get("length"), octets_count=True),
        "citext": values.text,
        "date": values.date,
        "time": values.time,
        "datetime": values.aware_datetime if params.get("timezone") else values.naive_datetime,
        "uuid": values.identifier,
        "bytes": values.octets,
        "interval": values.interval,
    } | {name: values.bounded_integer(bits) for name, bits in values.INTEGER_BITS.items()}
    if portable.type == "enum":
        return value in params.get("values", ())
    try:
        fits.get(portable.type, lambda given: given)(value)
    except BadValue:
        return False
    return True
