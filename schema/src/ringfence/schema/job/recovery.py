"""Find out from the database whether a statement took effect that was started and whose outcome was not recorded.

This is the case when the connection was lost, or the job was killed, in the middle of a revision (see
`ringfence.schema.job` for the whole course). `journal` asks in this order: `repeatable` statements are sent again; for
others `happened` reads the catalog; where it cannot tell (raw SQL, for example), the operator decides.

`kind` and `writes_rows` classify statements: which of them the journal records, and which may change rows.
"""

import re
from enum import Enum
from typing import Any

import sqlalchemy as sa
from alembic.ddl import base, mysql
from sqlalchemy.sql.ddl import ExecutableDDLElement

_COMMENTS = re.compile(r"\s*(--[^\n]*\n|#[^\n]*\n|/\*(?!!).*?\*/)", re.DOTALL)
_QUERIES = frozenset(
    {"SELECT", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "VALUES", "SET", "USE", "PRAGMA", "TABLE"}
)
_WRITES = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE"})
_WRITES_IN_WITH = re.compile(r"\b(insert|update|delete)\b", re.IGNORECASE)
# Statements that can be run again with the same result. Indexes are not among them: on some engines an index whose
# build was interrupted exists by name.
_REPEATABLE = re.compile(
    r"(create\s+or\s+replace|drop\s+(?!index)\w+(\s+\w+)?\s+if\s+exists|analyze|optimize|vacuum|refresh"
    r"|create\s+(table|schema|view|trigger|function|procedure|event|extension|sequence)\s+if\s+not\s+exists"
    r"|alter\s+type\s+\S+\s+add\s+value\s+if\s+not\s+exists)\b",
    re.IGNORECASE,
)

_SCHEMA_WORDS = re.compile(
    r"(alter|create|drop|comment|grant|revoke|analyze|reindex|vacuum|optimize|lock|rename|cluster|refresh)\b"
    r"(?!.*(\b(select|insert|update|delete|merge|call|rename)\b|;\s*\S))"
    r"(?!.*\busing\b(?!\s+(index|btree|hash|gin|gist|spgist|brin)\b))",
    re.IGNORECASE | re.DOTALL,
)
"""Statements that leave rows unchanged: no CREATE TABLE AS, no ALTER with USING or RENAME, no second statement."""


class Kind(Enum):
    """What a statement may change."""

    QUERY = "query"
    """Nothing that outlives the session."""
    WRITE = "write"
    """Rows, inside a transaction."""
    CHANGE = "change"
    """The schema; also any SQL text that is neither a known query nor a known write."""


def kind(statement: str, element: Any) -> Kind:
    """Classify a statement by what it may change.

    Args:
        statement: the SQL text.
        element: SQLAlchemy's construct for it; None for raw SQL.
    """
    if isinstance(element, ExecutableDDLElement):
        return Kind.CHANGE
    if isinstance(element, sa.sql.dml.UpdateBase):
        return Kind.WRITE
    word = _bare(statement)
    first = re.match(r"\(*\s*(\w*)", word)
    verb = first.group(1).upper() if first else ""
    if verb == "WITH":
        return Kind.WRITE if _WRITES_IN_WITH.search(word) else Kind.QUERY
    if verb in _QUERIES:
        return Kind.QUERY
    return Kind.WRITE if verb in _WRITES else Kind.CHANGE


def writes_rows(statement: str, element: Any) -> bool:
    """Return whether a statement may write rows of existing tables.

    Args:
        statement: the SQL text.
        element: SQLAlchemy's construct for it; None for raw SQL.

    Returns:
        False for queries and for DDL that leaves rows unchanged; True for everything else, and when it is uncertain.
    """
    if kind(statement, element) is not Kind.CHANGE or isinstance(element, ExecutableDDLElement):
        return kind(statement, element) is Kind.WRITE
    return _SCHEMA_WORDS.match(_bare(statement)) is None


def repeatable(statement: str, element: Any) -> bool:
    """Return whether the statement can be run again with the same result."""
    if isinstance(element, base.AlterColumn):
        return not _renames(element)  # it states the column's whole new definition
    comments = (sa.schema.SetTableComment, sa.schema.DropTableComment)
    return isinstance(element, comments) or _REPEATABLE.match(_bare(statement)) is not None


def happened(connection: sa.Connection, element: Any) -> bool | None:
    """Return whether a DDL statement took effect; None when the catalog cannot show it.

    Args:
        connection: a connection that reads the catalog.
        element: SQLAlchemy's or Alembic's construct of the statement; None for raw SQL.
    """
    inspector = sa.inspect(connection)
    match element:
        case sa.schema.CreateTable() | sa.schema.DropTable():
            there = inspector.has_table(element.element.name, element.element.schema)
            return there is isinstance(element, sa.schema.CreateTable)
        case base.RenameTable():
            return inspector.has_table(
                str(element.new_table_name), element.schema
            ) and not inspector.has_table(str(element.table_name), element.schema)
        case base.AddColumn() | base.DropColumn():
            there = element.column.name in _columns(inspector, element)
            return there is isinstance(element, base.AddColumn)
        case base.ColumnName() | mysql.MySQLChangeColumn():
            columns = _columns(inspector, element)
            return str(element.newname) in columns and str(element.column_name) not in columns
        case sa.schema.CreateIndex() | sa.schema.DropIndex():
            return _index(connection, inspector, element)
        case sa.schema.AddConstraint() | sa.schema.DropConstraint():
            return _constraint(connection, inspector, element)
    return None


def _renames(element: base.AlterColumn) -> bool:
    newname = getattr(element, "newname", None)
    return newname is not None and str(newname) != str(element.column_name)


def _bare(statement: str) -> str:
    """Return the statement without leading comments and whitespace."""
    while comment := _COMMENTS.match(statement):
        statement = statement[comment.end() :]
    return statement.lstrip()


def _columns(inspector: sa.Inspector, element: base.AlterTable) -> set[str]:
    if not inspector.has_table(str(element.table_name), element.schema):
        return set()
    return {column["name"] for column in inspector.get_columns(str(element.table_name), element.schema)}


def _index(connection: sa.Connection, inspector: sa.Inspector, element: Any) -> bool | None:
    index = element.element
    name = _name(connection.dialect.identifier_preparer.format_index(index), connection)
    making = isinstance(element, sa.schema.CreateIndex)
    if not inspector.has_table(index.table.name, index.table.schema):
        return not making
    known = inspector.get_indexes(index.table.name, index.table.schema)
    return (name in {index["name"] for index in known}) is making


def _constraint(connection: sa.Connection, inspector: sa.Inspector, element: Any) -> bool | None:
    constraint = element.element
    table, schema = constraint.table.name, constraint.table.schema
    making = isinstance(element, sa.schema.AddConstraint)
    if not inspector.has_table(table, schema):
        return not making
    if isinstance(constraint, sa.PrimaryKeyConstraint):
        return bool(inspector.get_pk_constraint(table, schema)["constrained_columns"]) is making
    if constraint.name is None:
        return None
    name = _name(connection.dialect.identifier_preparer.format_constraint(constraint), connection)
    names = {key["name"] for key in inspector.get_foreign_keys(table, schema)}
    names |= {key["name"] for key in inspector.get_unique_constraints(table, schema)}
    names |= {index["name"] for index in inspector.get_indexes(table, schema)}
    names |= {check["name"] for check in inspector.get_check_constraints(table, schema)}
    return (name in names) is making


def _name(formatted: str | None, connection: sa.Connection) -> str:
    """Return a name as it is in the catalog, from its quoted form in a statement."""
    preparer = connection.dialect.identifier_preparer
    text = formatted or ""
    if text.startswith(preparer.initial_quote):
        text = text[1:-1].replace(preparer.escape_quote * 2, preparer.escape_quote)
    return text
