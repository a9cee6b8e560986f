"""How a column's value arises when a program gives none: told in the words of the mirror, or refused."""

import enum
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.functions import next_value
from sqlalchemy.sql.schema import DefaultGenerator

from ringfence.runtime import generators
from ringfence.runtime.mirror import Default
from ringfence.schema.types import Portable

_SERVER = Default("server")
_COMPUTED = Default("computed")
WITH_SEQUENCES = frozenset({"postgresql", "mariadb", "galera"})
"""The engines that have sequences; on the others SQLAlchemy ignores them, and an automatic key counts by itself."""
_WAYS = "use one of ringfence.runtime.generators, or server_default"


class Refused(Exception):
    """A default that the runtime could never bring about; the message says what to write instead."""


def default(column: sa.Column[Any], portable: Portable, engines: Iterable[str] = ()) -> Default | None:
    """How the value of a new row arises.

    Args:
        column: of the models.
        portable: its type.
        engines: those of the deployment.

    Raises:
        Refused: for a Python default that the runtime cannot bring about, and for a sequence on an engine without.
    """
    if column.computed is not None:
        return _COMPUTED
    sequence = drawn(column)
    if sequence is not None:
        if column.table.autoincrement_column is not column:
            _refuse_without_sequences(sequence, engines)
        named = {"name": str(sequence.name)}
        return Default("sequence", named | ({"schema": str(sequence.schema)} if sequence.schema else {}))
    if column.default is not None and not isinstance(column.default, sa.Sequence):
        return _from_python(column.default, portable, "default")
    counted = column.table.autoincrement_column is column
    if column.server_default is not None or column.identity is not None or counted:
        return _SERVER
    return None


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


def _refuse_without_sequences(sequence: sa.Sequence, engines: Iterable[str]) -> None:
    if lacking := [engine for engine in engines if engine not in WITH_SEQUENCES]:
        raise Refused(
            f"the sequence {str(sequence.name)!r} cannot number it on {', '.join(lacking)}, which has no sequences and"
            " counts up a single integer key alone: use a default that every engine has, or take the engine out of"
            " ringfence.toml"
        )


def on_update(column: sa.Column[Any], portable: Portable) -> Default | None:
    """How the value of a changed row arises. Raises Refused."""
    if column.computed is not None:
        return _COMPUTED
    if column.onupdate is not None:
        return _from_python(column.onupdate, portable, "onupdate")
    return _SERVER if column.server_onupdate is not None else None


def _from_python(given: DefaultGenerator, portable: Portable, word: str) -> Default:
    if isinstance(given, sa.ColumnDefault) and given.is_scalar:
        return Default("literal", _literal(given.arg, portable, word))
    if isinstance(given, sa.ColumnDefault) and given.is_callable:
        function = _unwrapped(given.arg)
        if name := generators.name_of(function):
            return Default("generator", name)
        label = getattr(function, "__qualname__", repr(function))
        raise Refused(f"{word}={label} is a function that services never call: {_WAYS}")
    raise Refused(f"{word}= is an SQL expression, which services never send: {_WAYS}")


def _unwrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as the models name it: SQLAlchemy wraps it to take a context, and keeps the original."""
    return getattr(function, "__wrapped__", function)


def _literal(value: Any, portable: Portable, word: str) -> Any:
    """The literal as JSON holds it; a value that JSON cannot hold as it is, is refused."""
    if isinstance(value, enum.Enum) and portable.type == "enum":
        return _label(value, portable)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Decimal):
        return str(value)
    if portable.type == "json" and isinstance(value, dict | list):
        return value
    raise Refused(f"{word}={value!r} is a {type(value).__name__}, which a mirror cannot hold: {_WAYS}")


def _label(value: enum.Enum, portable: Portable) -> str:
    """The label that is stored for a member: its name, unless the type's `values_callable` says another."""
    labels = portable.params.get("values", ())
    names = portable.params.get("members", {})
    for label in labels:
        if names.get(label, label) == value.name:
            return str(label)
    raise Refused(f"default={value!r} is not among the labels of its type")
