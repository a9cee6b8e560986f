"""Determines which unique key identifies the record of an upsert, and what the account may do with its fields."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydal.objects import Expression, Field, Query

from ringfence.runtime.errors import ArgumentError, UnknownName


def unique_keys(table: Any) -> list[tuple[str, ...]]:
    """Return the fields of each unique key whose columns the account all knows, the primary key first."""
    kept: list[tuple[str, ...]] | None = table.__dict__.get("_unique")
    if kept is None:
        mirror = table._mirror
        names = {column.name: column.field for column in mirror.columns.values()}
        given = [mirror.primary_key]
        given += [each.columns for each in mirror.constraints.values() if each.kind == "unique"]
        known = [
            tuple(names[column] for column in key) for key in given if key and all(c in names for c in key)
        ]
        kept = table.__dict__["_unique"] = list(dict.fromkeys(known))
    return kept


def deciding_key(table: Any, named: str | Iterable[str] | None, values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the unique key that identifies the record.

    Args:
        table: a table of the mirror.
        named: the fields that the program named, or None.
        values: the record.

    Raises:
        ArgumentError: when no unique key qualifies, or several.
    """
    where = f"{table._tablename}.upsert"
    if unknown := [name for name in values if name not in table.fields]:
        raise UnknownName(table._unknown(unknown[0]))
    keys = unique_keys(table)
    listed = ", ".join("+".join(key) for key in keys) or "none"
    if named is not None:
        wanted = (named,) if isinstance(named, str) else tuple(named)
        key = next((key for key in keys if set(key) == set(wanted)), None)
        if key is None:
            raise ArgumentError(
                f"{where}: {'+'.join(wanted)} is no unique key that this service knows; they are: {listed}"
            )
        keys = [key]
    complete = [key for key in keys if all(values.get(name) is not None for name in key)]
    if not complete:
        raise ArgumentError(
            f"{where}: the values give no unique key in full, so nothing tells which record is meant; the unique keys "
            f"of the table that this service knows are: {listed}"
        )
    if len(complete) > 1:
        listed = ", ".join("+".join(key) for key in complete)
        raise ArgumentError(
            f"{where}: the values give more than one unique key ({listed}): say which decides, such as "
            f"_key={list(complete[0])!r}"
        )
    return complete[0]


def deciding_equalities(table: Any, query: Any, values: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the unique key that a query tests for the same values that would be stored; None if there is none.

    Args:
        table: a table of the mirror.
        query: a query or a dict of values.
        values: what to store.
    """
    asked: Mapping[str, Any] | None = query if isinstance(query, dict) else equalities(table, query)
    if not asked or any(name not in values or not same(values[name], asked[name]) for name in asked):
        return None
    return next((key for key in unique_keys(table) if set(key) == set(asked)), None)


def equalities(table: Any, query: Any) -> dict[str, Any] | None:
    """Return the values of a query that only tests fields of the table for equality; else None."""
    if not isinstance(query, Query):
        return None
    word = getattr(query.op, "__name__", "")
    if word == "_and":
        one, other = equalities(table, query.first), equalities(table, query.second)
        if one is None or other is None or one.keys() & other.keys():
            return None
        return one | other
    if word == "eq" and isinstance(query.first, Field) and query.first.table is table:
        return {query.first.name: query.second}
    return None


def same(one: Any, other: Any) -> bool:
    """Return whether two values are equal, of the same class, and neither NULL nor an expression."""
    return (
        one is not None
        and type(one) is type(other)
        and not isinstance(one, Expression)
        and bool(one == other)
    )


def staying_fields(table: Any, key: tuple[str, ...]) -> set[str]:
    """Return the fields that an existing record keeps: its key, and scope columns that the account may not update."""
    known: dict[Any, set[str]] = table.__dict__.setdefault("_staying", {})
    if key not in known:
        columns = table._mirror.columns
        scoped = {
            name
            for verb in (table._mirror.verbs.get("select"), table._mirror.verbs.get("update"))
            for conditions in (verb.scope if verb and verb.scope else ())
            for name in conditions
        }
        kept = {column.field for column in columns.values() if column.name in scoped and not column.updatable}
        known[key] = kept | set(key)
    return known[key]


def reads_key(table: Any, key: Iterable[str]) -> bool:
    """Return whether the account may read the fields of a key."""
    columns = {column.field: column for column in table._mirror.columns.values()}
    return "select" in table._mirror.verbs and all(columns[name].selectable for name in key)
