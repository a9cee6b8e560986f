"""Row scopes as SQL conditions of the MySQL family: for views, and for the old row in guard triggers."""

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from ringfence.schema.manifest.model import BoundScope, Condition, Scope
from ringfence.schema.models.types import portable

# Portable type of a bound name -> the SQL type that its function returns.
_TYPES: Mapping[str, str] = {
    "boolean": "TINYINT",
    "smallint": "SMALLINT",
    "integer": "INT",
    "bigint": "BIGINT",
    "decimal": "DECIMAL(65,30)",
    "date": "DATE",
    "datetime": "DATETIME(6)",
    "uuid": "CHAR(32) CHARACTER SET utf8mb4",
}
_TEXT = "VARCHAR(4096) CHARACTER SET utf8mb4"
_TEXTS = frozenset({"string", "text", "citext", "enum"})
OUTSIDE = "ringfence: the row is outside the scope of the account"
UNBOUND = "ringfence: the session does not bind"


def quoted(name: str) -> str:
    """Return an identifier in backticks."""
    return "`" + name.replace("`", "``") + "`"


def text(value: str) -> str:
    """Return a string literal that is valid in every sql_mode that our sessions set; they use utf8mb4."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def function_name(name: str) -> str:
    """Return the name of the function that returns the value that a session binds to a name."""
    return f"ringfence_scope_{name}"


def variable(name: str) -> str:
    """Return the session variable with the bound value; the runtime sets it, and clients in other languages may."""
    return f"@{quoted(f'ringfence_{name}')}"


def returned(bound: BoundScope) -> str:
    """Return the SQL type that the function of a bound name returns."""
    return _TYPES.get(bound.type, _TEXT)


def body(bound: BoundScope) -> str:
    """Return the body of that function; without a bound value it returns NULL, or an error if `unset` says so."""
    value = variable(bound.name)
    given = f"LOWER(REPLACE({value}, '-', ''))" if bound.type == "uuid" else value
    if bound.unset != "error":
        return f"RETURN {given}"
    return (
        f"BEGIN IF {value} IS NULL THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{UNBOUND} {bound.name}';"
        f" END IF; RETURN {given}; END"
    )


class ScopeWriter:
    """Writes the scopes of one table as SQL.

    Args:
        table: the table, with the types of its columns.
        engines: the engines of the deployment.
        database: the database that contains the functions of bound names.
    """

    def __init__(self, table: sa.Table, engines: tuple[str, ...], database: str) -> None:
        self._kinds = {str(c.name): portable(c.type, engines).type for c in table.columns}
        self._database = database

    def scope(self, scope: Scope, row: str = "") -> str:
        """Return a condition that is true for the rows of a scope.

        Args:
            scope: its alternatives.
            row: the prefix of column names: `OLD.` in a trigger.
        """
        parts = [" AND ".join(self._condition(condition, row) for condition in part) for part in scope or ()]
        return " OR ".join(f"({part})" for part in parts) or "FALSE"

    def _condition(self, condition: Condition, row: str) -> str:
        column = f"{row}{quoted(condition.column)}"
        kind = self._kinds[condition.column]
        match condition.kind:
            case "null":
                return f"{column} IS NULL"
            case "bound":
                values = [f"{quoted(self._database)}.{quoted(function_name(condition.value))}()"]
            case "in":
                values = [_constant(value, kind) for value in condition.value]
            case _:
                values = [_constant(condition.value, kind)]
        found = _among(column, values)
        if kind in _TEXTS:
            # The first comparison can use an index. The second excludes what a collation treats as equal although case,
            # accents or blanks differ.
            octets = [f"CAST({value} AS BINARY)" for value in values]
            found += f" AND {_among(f'CAST(CONVERT({column} USING utf8mb4) AS BINARY)', octets)}"
        return found


def _among(expression: str, values: list[str]) -> str:
    return f"{expression} = {values[0]}" if len(values) == 1 else f"{expression} IN ({', '.join(values)})"


def _constant(value: Any, kind: str) -> str:
    """Return a constant of the manifest as a literal of the column's type."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int) or kind == "decimal":
        return str(value)
    if kind == "uuid":
        return text(uuid.UUID(value).hex)
    if kind == "datetime":
        moment = dt.datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
        return f"CAST({text(moment.isoformat(' '))} AS DATETIME(6))"
    if kind == "date":
        return f"CAST({text(value)} AS DATE)"
    return text(str(value))
