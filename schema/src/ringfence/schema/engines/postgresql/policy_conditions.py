"""Row scopes as SQL conditions of policies."""

from collections.abc import Mapping
from typing import Any

from ringfence.schema.engines.postgresql.identifiers import quoted
from ringfence.schema.manifest.model import BoundScope, Condition, Scope


def rows(scope: Scope, types: Mapping[str, tuple[str, bool]], names: Mapping[str, BoundScope]) -> str:
    """Return the SQL condition of a scope.

    Args:
        scope: alternatives, each a list of conditions that must all hold; None for every row, no alternative for no
            row.
        types: column -> its type as the server prints it, and whether that is an enum.
        names: the scopes that sessions bind, by name.
    """
    if scope is None:
        return "true"
    parts = [" AND ".join(_condition(c, *types[c.column], names) for c in part) for part in scope]
    return " OR ".join(f"({part})" for part in parts) if len(parts) > 1 else "".join(parts) or "false"


def _condition(condition: Condition, type_: str, is_enum: bool, names: Mapping[str, BoundScope]) -> str:
    column = quoted(condition.column)
    if condition.kind == "null":
        return f"{column} IS NULL"
    if condition.kind == "in":
        return f"{column} IN ({', '.join(_constant(value, type_) for value in condition.value)})"
    if condition.kind == "equals":
        return f"{column} = {_constant(condition.value, type_)}"
    # Comparing as text: a value that is no label of the enum matches no row instead of raising an error.
    left, cast = (f"{column}::text", "text") if is_enum else (column, type_)
    return f"{left} = (SELECT ({_bound(names[condition.value])})::{cast})"


def _bound(bound: BoundScope) -> str:
    """Return the value of a bound scope's setting as SQL; an empty text counts as unset.

    A setting reads as empty after the transaction that set it with SET LOCAL.
    """
    value = f"NULLIF(current_setting({literal(bound.setting)}, true), '')"
    if bound.unset == "none":
        return value
    # No setting can have such a name, so the server fails with this text, whichever client is used.
    refusal = f"the scope {bound.name} is not bound: SET LOCAL {bound.setting} first"
    return f"coalesce({value}, current_setting({literal(refusal)}))"


def _constant(value: Any, type_: str) -> str:
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    return f"{literal(text)}::{type_}"


def literal(text: str) -> str:
    """Return a text as an SQL literal that is right under either value of `standard_conforming_strings`.

    Args:
        text: the text.

    Raises:
        ValueError: the text has a NUL character, which PostgreSQL cannot store.
    """
    if "\0" in text:
        raise ValueError(
            "a text with a NUL character cannot be sent"
        )  # the manifest's reader already refuses it, with the line
    escaped = text.replace("'", "''")
    return "E'" + escaped.replace("\\", "\\\\") + "'" if "\\" in text else f"'{escaped}'"
