"""Which indexes PostgreSQL still searches under a row policy: only those whose operators are leakproof."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import CITEXT
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import CollationClause, Grouping, UnaryExpression

from ringfence.schema.models.object_names import keys
from ringfence.schema.sql.dialects import unconnected

_DIALECT = "postgresql"
# Of pg_operator's functions those of these types are not pg_proc.proleakproof, in the operator classes of btree, hash,
# gin and gist alike (PostgreSQL 15 and 18): `=` of integers, texts, booleans, moments, uuid, bytea, inet and bits is.
# https://www.postgresql.org/docs/current/ddl-rowsecurity.html and rules-privileges.html
_LEAKY = re.compile(
    r"(?P<numeric>NUMERIC|DECIMAL)\b|(?P<array>.*\[\])|(?P<citext>CITEXT)\b|(?P<json>JSONB)\b"
    r"|(?P<search>TSVECTOR|TSQUERY)\b|(?P<range>\w*(?:RANGE))\b|(?P<shape>POINT|BOX|POLYGON|CIRCLE|PATH|LSEG)\b"
    r"|(?P<other>HSTORE|LTREE|XML)\b",
    re.IGNORECASE,
)
_LIKE = re.compile(r"(?:text|varchar|bpchar)_pattern_ops\Z")
_TRIGRAM = re.compile(r"gi(?:n|st)_trgm_ops\Z")
_ENUM, _EXPRESSION, _PREFIX = "enum", "expression", "prefix"
_SUFFIXES = frozenset(
    {operators.asc_op, operators.desc_op, operators.nulls_first_op, operators.nulls_last_op}
)
_WAYS = {
    "numeric": "a BIGINT of the smallest unit keeps its index",
    _ENUM: "a text with a CHECK, sa.Enum(…, native_enum=False), keeps its index",
    "citext": "a text that services write in lower case keeps its index",
    "json": "a column of its own for what is searched keeps its index",
    _EXPRESSION: "a stored computed column of a plain type keeps its index",
    _PREFIX: 'a range of texts (>= and <) on an index of COLLATE "C" keeps it',
}


@dataclass(frozen=True)
class Lost:
    """An index that a scoped account's conditions do not search."""

    index: str
    what: str
    """Its first column with the type, or the expression."""
    why: str
    """What searching it takes."""
    way_out: str
    """What would keep the index; empty where nothing like it would."""


def lost(table: sa.Table, scoped: Sequence[str]) -> Iterator[Lost]:
    """The indexes of a table that are of no use for conditions of an account that a row policy keeps to its rows.

    A policy's own condition goes before the program's, unless that cannot leak what it sees: so an index on
    another condition than the policy's is searched only by leakproof operators.

    Args:
        table: of the models.
        scoped: the columns of the account's rows, whose own conditions do search an index.
    """
    for name, parts, options in _indexes(table):
        if not parts:
            continue
        first = _bare(parts[0])
        column = first if isinstance(first, sa.Column) else None
        if column is not None and column.name in scoped:
            continue  # the policy's own condition searches it
        classes = options.get("ops") or {}
        operator_class = str(classes.get(column.name, "")) if column is not None else ""
        kind = _kind(column, operator_class)
        if kind is not None:
            what = _told(first, column)
            yield Lost(name, what, _why(kind, operator_class), _WAYS.get(kind, ""))


def _indexes(table: sa.Table) -> Iterator[tuple[str, list[Any], Any]]:
    """Name, columns or expressions, and the options for PostgreSQL of each."""
    for index in sorted(table.indexes, key=lambda one: str(one.name)):
        yield f"index {index.name}", list(index.expressions), index.dialect_options[_DIALECT]
    for constraint in keys(table):
        kind = "primary key" if isinstance(constraint, sa.PrimaryKeyConstraint) else "unique constraint"
        yield f"{kind} {constraint.name or ''}".rstrip(), list(constraint.columns), {}


def _bare(part: Any) -> Any:
    """A column or an expression without its direction and collation, which change nothing here."""
    while True:
        if (isinstance(part, UnaryExpression) and part.modifier in _SUFFIXES) or isinstance(part, Grouping):
            part = part.element
        elif isinstance(part, sa.BinaryExpression) and isinstance(part.right, CollationClause):
            part = part.left
        else:
            return part


def _kind(column: sa.Column[Any] | None, operator_class: str) -> str | None:
    """What of an index's first part is not leakproof; None where it is."""
    if column is None:
        return _EXPRESSION
    if _LIKE.search(operator_class) or _TRIGRAM.search(operator_class):
        return _PREFIX
    dialect = unconnected(_DIALECT)
    kind = column.type.dialect_impl(dialect)
    while isinstance(kind, sa.TypeDecorator):
        kind = kind.impl_instance.dialect_impl(dialect)
    if isinstance(kind, sa.Enum):
        return _ENUM if kind.native_enum else None
    if isinstance(kind, CITEXT):
        return "citext"
    found = _LEAKY.match(_written(column.type))
    return found.lastgroup if found else None


def _written(kind: Any) -> str:
    try:
        return str(kind.compile(dialect=unconnected(_DIALECT)))
    except sa.exc.CompileError:  # a type that this engine does not have
        return repr(kind)


def _told(part: Any, column: sa.Column[Any] | None) -> str:
    if column is not None:
        return f"{column.name} ({_written(column.type)})"
    try:
        return str(part.compile(dialect=unconnected(_DIALECT), compile_kwargs={"literal_binds": True}))
    except sa.exc.CompileError:
        return str(part)


def _why(kind: str, operator_class: str) -> str:
    if kind == _PREFIX:
        return f"LIKE, for which it has {operator_class}, is not leakproof"
    if kind == _EXPRESSION:
        return "functions and operators of an expression are not leakproof"
    return "comparing this type is not leakproof"
