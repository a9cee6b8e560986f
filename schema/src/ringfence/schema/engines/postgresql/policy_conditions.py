"""A row scope as the condition of a policy: columns and constants from the manifest, types from the database."""

from collections.abc import Mapping
from typing import Any

from ringfence.schema.engines.postgresql.identifiers import quoted
from ringfence.schema.manifest.model import BoundName, Condition, Scope


def rows(scope: Scope, types: Mapping[str, tuple[str, bool]], names: Mapping[str, BoundName]) -> str:
    """The condition of a scope. Columns and constants come from the manifest, types from the database.

    Args:
        scope: its alternatives; None for every row, and none of them for no row.
        types: column -> its type as the server prints it, and whether that is an enum.
        names: the scopes of the manifest that sessions bind, by name.
    """
    if scope is None:
        return "true"
    parts = [" AND ".join(_condition(c, *types[c.column], names) for c in part) for part in scope]
    return " OR ".join(f"({part})" for part in parts) if len(parts) > 1 else "".join(parts) or "false"


def _condition(condition: Condition, type_: str, is_enum: bool, names: Mapping[str, BoundName]) -> str:
    column = quoted(condition.column)
    if condition.kind == "null":
        return f"{column} IS NULL"
    if condition.kind == "in":
        return f"{column} IN ({', '.join(_constant(value, type_) for value in condition.value)})"
    if condition.kind == "equals":
        return f"{column} = {_constant(condition.value, type_)}"
    # A label that an enum does not have is no row, and no error.
    left, cast = (f"{column}::text", "text") if is_enum else (column, type_)
    return f"{left} = (SELECT ({_bound(names[condition.value])})::{cast})"


def _bound(bound: BoundName) -> str:
    """The setting's text, or NULL when it is unset: also as it is left behind by a transaction that had set it."""
    value = f"NULLIF(current_setting({literal(bound.setting)}, true), '')"
    if bound.unset == "none":
        return value
    # No setting can have such a name, so this fails, and says why, whoever the client is.
    refusal = f"the scope {bound.name} is not bound: SET LOCAL {bound.setting} first"
    return f"coalesce({value}, current_setting({literal(refusal)}))"


def _constant(value: Any, type_: str) -> str:
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    return f"{literal(text)}::{type_}"


def literal(text: str) -> str:
    """A text literal, right in either mode of the server.

    Args:
        text: what it is to say.

    Raises:
        ValueError: it holds a NUL character, which the server has no text for.
    """
    if "\0" in text:
        raise ValueError(
            "a text with a NUL character cannot be sent"
        )  # the manifest's reader refuses it, with its line
    escaped = text.replace("'", "''")
    return "E'" + escaped.replace("\\", "\\\\") + "'" if "\\" in text else f"'{escaped}'"
