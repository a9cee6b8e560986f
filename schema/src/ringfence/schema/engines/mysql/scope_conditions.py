"""Row scopes as the MySQL family writes them: in a view, and of the old row in a trigger."""

import datetime as dt
import uuid
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from ringfence.schema.manifest.model import BoundName, Condition, Scope
from ringfence.schema.models.types import portable

# The type that a function of ours returns, by the portable type of the name that is bound.
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
    """An identifier in backticks."""
    return "`" + name.replace("`", "``") + "`"


def text(value: str) -> str:
    """A literal that holds in every mode that our sessions set; they speak utf8mb4."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def function_name(name: str) -> str:
    """The function that gives what a session binds to a name."""
    return f"ringfence_scope_{name}"


def variable(name: str) -> str:
    """The session's variable that holds it: the runtime sets it, and clients in other languages may."""
    return f"@{quoted(f'ringfence_{name}')}"


def returned(bound: BoundName) -> str:
    """The type of the function."""
    return _TYPES.get(bound.type, _TEXT)


def body(bound: BoundName) -> str:
    """What the function does."""
    value = variable(bound.name)
    given = f"LOWER(REPLACE({value}, '-', ''))" if bound.type == "uuid" else value
    if bound.unset != "error":
        return f"RETURN {given}"
    return (
        f"BEGIN IF {value} IS NULL THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{UNBOUND} {bound.name}';"
        f" END IF; RETURN {given}; END"
    )


class Written:
    """Writes the scopes of one table.

    Args:
        table: with the columns' types.
        engines: those of the deployment.
        database: the one our functions are in.
    """

    def __init__(self, table: sa.Table, engines: tuple[str, ...], database: str) -> None:
        self._kinds = {str(c.name): portable(c.type, engines).type for c in table.columns}
        self._database = database

    def scope(self, scope: Scope, row: str = "") -> str:
        """An expression that is true of the rows in it.

        Args:
            scope: with one alternative or more.
            row: what stands before a column's name: `OLD.` in a trigger.
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
            # The first finds an index, and the second tells what a collation takes for the same: case, accents, blanks.
            octets = [f"CAST({value} AS BINARY)" for value in values]
            found += f" AND {_among(f'CAST(CONVERT({column} USING utf8mb4) AS BINARY)', octets)}"
        return found


def _among(expression: str, values: list[str]) -> str:
    return f"{expression} = {values[0]}" if len(values) == 1 else f"{expression} IN ({', '.join(values)})"


def _constant(value: Any, kind: str) -> str:
    """A constant of the manifest as the column holds it."""
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
