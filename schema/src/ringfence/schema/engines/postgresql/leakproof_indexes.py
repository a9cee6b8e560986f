"""Which indexes PostgreSQL cannot use under a row policy, because their operators are not leakproof."""

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
# Types whose operator functions are not leakproof (pg_proc.proleakproof), in the operator classes of btree, hash, gin
# and gist alike (PostgreSQL 15 and 18). `=` of integers, texts, booleans, dates, times, uuid, bytea, inet and bits is.
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
_RESOLUTIONS = {
    "numeric": "a BIGINT of the smallest unit keeps its index",
    _ENUM: "a text with a CHECK, sa.Enum(…, native_enum=False), keeps its index",
    "citext": "a text that services write in lower case keeps its index",
    "json": "a column of its own for what is searched keeps its index",
    _EXPRESSION: "a stored computed column of a plain type keeps its index",
    _PREFIX: 'a range of texts (>= and <) on an index of COLLATE "C" keeps it',
}


@dataclass(frozen=True)
class UnusableIndex:
    """An index that the queries of an account with a row scope cannot use."""

    index: str
    what: str
    """Its first column with the type, or its first expression."""
    why: str
    """Which operation is not leakproof."""
    resolution: str
    """How to keep the index usable; empty where no way is known."""


def unusable_indexes(table: sa.Table, scoped: Sequence[str]) -> Iterator[UnusableIndex]:
    """Yield the indexes of a table that the conditions of an account with a row scope cannot use.

    PostgreSQL evaluates a policy's condition before the query's, unless the latter is leakproof. So only leakproof
    operators can search an index on another column than the policy's.

    Args:
        table: the table of the models.
        scoped: the columns of the account's scope; the policy's own condition can use an index on these.
    """
    for name, parts, options in _indexes(table):
        if not parts:
            continue
        first = _bare(parts[0])
        column = first if isinstance(first, sa.Column) else None
        if column is not None and column.name in scoped:
            continue  # the policy's own condition can use it
        classes = options.get("ops") or {}
        operator_class = str(classes.get(column.name, "")) if column is not None else ""
        kind = _kind(column, operator_class)
        if kind is not None:
            what = _described(first, column)
            yield UnusableIndex(name, what, _why(kind, operator_class), _RESOLUTIONS.get(kind, ""))


def _indexes(table: sa.Table) -> Iterator[tuple[str, list[Any], Any]]:
    """Yield the name, the columns or expressions, and the PostgreSQL options of each index and key."""
    for index in sorted(table.indexes, key=lambda one: str(one.name)):
        yield f"index {index.name}", list(index.expressions), index.dialect_options[_DIALECT]
    for constraint in keys(table):
        kind = "primary key" if isinstance(constraint, sa.PrimaryKeyConstraint) else "unique constraint"
        yield f"{kind} {constraint.name or ''}".rstrip(), list(constraint.columns), {}


def _bare(part: Any) -> Any:
    """Return an index element without sort direction and collation, which do not matter here."""
    while True:
        if (isinstance(part, UnaryExpression) and part.modifier in _SUFFIXES) or isinstance(part, Grouping):
            part = part.element
        elif isinstance(part, sa.BinaryExpression) and isinstance(part.right, CollationClause):
            part = part.left
        else:
            return part


def _kind(column: sa.Column[Any] | None, operator_class: str) -> str | None:
    """Return why an index's first element is not leakproof; None if it is."""
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
    except sa.exc.CompileError:  # the dialect has no such type
        return repr(kind)


def _described(part: Any, column: sa.Column[Any] | None) -> str:
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
