"""Inserts a record, or updates the one with the same unique key, safely under concurrent writes."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydal.objects import Expression, Field, Query

from ringfence.runtime.dal.decode_errors import read_key
from ringfence.runtime.dal.fast_paths import plain_pairs
from ringfence.runtime.engines import StatementContext
from ringfence.runtime.errors import ArgumentError, CheckViolation, UniqueViolation, UnknownName

_TRIES = 3
Pairs = list[tuple[Any, Any]]


def upsert(
    table: Any, named: str | Iterable[str] | None, values: dict[str, Any], other: dict[str, Any] | None
) -> Any:
    """Insert or update a record.

    Args:
        table: a table of the mirror.
        named: the fields of the unique key that decides; None for the only one that the values contain.
        values: the record.
        other: what to store in an existing record in place of the values; an empty dict to leave it unchanged.

    Returns:
        The record's key, as `insert` returns it.

    Raises:
        ArgumentError: when `other` changes the key that decides.
    """
    key = deciding_key(table, named, values)
    if moved := [name for name in other or () if name in key]:
        raise ArgumentError(
            f"{table._tablename}.upsert: {moved[0]} is part of the key that decides, and stays as it is"
        )
    staying = staying_fields(table, key)
    changes = {name: value for name, value in values.items() if name not in staying} | (other or {})
    if other == {}:
        changes = {}
    found = table._all_of({name: values[name] for name in key})
    if table._hooked("insert") or table._hooked("update"):
        return _update_or_insert(table, key, values, changes, found)
    inserted = plain_pairs(table, values, "default")
    if inserted is None:
        inserted = table._fields_and_values_for_insert(values).op_values()
    updated = plain_pairs(table, changes, "update") if changes else []
    if updated is None:
        updated = table._fields_and_values_for_update(changes).op_values()
    table._allowed("insert", [field.name for field, _ in inserted])
    if updated:
        table._allowed("update", [field.name for field, _ in updated])
    clause = _clause(table, key, inserted, updated)
    if clause is None:
        return _update_or_insert(table, key, values, changes, found)
    # A key generated for the new record is not that of an existing one.
    known = [(field, value) for field, value in inserted if field.name in values]
    if updated or not _is_scoped(table):
        return _sent(table, inserted, known, clause, found)
    return _sent(table, inserted, known, clause, found, unless=lambda: _is_invisible(table, key, found))


def update_else_insert(table: Any, query: Any, values: dict[str, Any]) -> tuple[bool, Any]:
    """Update the record of a unique key, else insert it unless a concurrent writer did; repeat until one succeeds.

    Args:
        table: a table of the mirror.
        query: a query or a dict of values that identifies one record by a unique key.
        values: what to store.

    Returns:
        Whether that was done (not if the query, the engine or the account does not allow it), and a new record's key.
    """
    key = deciding_equalities(table, query, values)
    if key is None or table._hooked("insert") or table._hooked("update") or table._hooked("delete"):
        return False, None
    staying = staying_fields(table, key)
    changes = {name: value for name, value in values.items() if name not in staying}
    clause = _clause(table, key, plain_pairs(table, values, "default") or [], [])
    if clause is None:
        if not reads_key(table, key):
            if not changes:
                return True, _insert_or_leave(table, key, values)
            table._allowed("update", list(changes))
        return False, None
    found = table._all_of({name: values[name] for name in key})
    for _ in range(_TRIES):
        if changes and table._db(found).update(**changes):
            return True, None
        inserted, made = _insert_unless_there(table, values, clause)
        if inserted or not changes:
            return True, made
    return False, None


def _insert_unless_there(table: Any, values: dict[str, Any], clause: str) -> tuple[bool, Any]:
    pairs = table._fields_and_values_for_insert(values).op_values()
    table._allowed("insert", [field.name for field, _ in pairs])
    adapter = table._db._adapter
    session = adapter.sessions.current()
    context = StatementContext("insert", table._dalname)
    known = [field for field, value in pairs if not isinstance(value, Expression)]
    returning = adapter.returning_many(table, known) or ""
    cursor = session.execute(f"{insert_text(table, pairs)} {clause}{returning}", context=context)
    made = session.reading(cursor.fetchone, context) if returning else None
    inserted = made is not None if returning else cursor.rowcount > 0
    return inserted, adapter.key_of(
        table, pairs, lambda field: made and read_key(field, made[0])
    ) if inserted else None


def unless_kept(table: Any, query: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Return the values without those that an existing record already has and the account may not update.

    Args:
        table: a table of the mirror.
        query: the query that finds the record.
        values: what to store.
    """
    asked = equalities(table, query) or {}
    staying = staying_fields(table, ())
    barred = table._denied_fields["update"]
    return {
        name: value
        for name, value in values.items()
        if name not in barred or not (name in staying or (name in asked and same(value, asked[name])))
    }


def _clause(table: Any, key: Iterable[str], inserted: Pairs, updated: Pairs) -> str | None:
    """Return the clause that makes the INSERT an upsert; None where the engine or the privileges allow none."""
    adapter, target = table._db._adapter, table._relation("insert")
    if updated and target != table._relation("update"):
        return None
    if target != table._rname and any(isinstance(value, Expression) for _, value in updated):
        return None  # the fields' SQL names another relation than the one written to
    barred, unread = table._denied_fields["update"], table._denied_fields["select"]
    clause: str | None = adapter.backend.upsert(
        [_column(table[name]) for name in key],
        [f"{_column(field)}={adapter.store(value, field)}" for field, value in updated],
        only_conflict=_is_only_conflict(table, tuple(key), inserted),
        readable=reads_key(table, key),
        updatable=not any(field.name in barred for field, _ in inserted)
        and not any(field.name in unread for field, _ in updated),
    )
    return clause


def _column(field: Any) -> str:
    return str(field._rname)


def _is_only_conflict(table: Any, key: tuple[str, ...], inserted: Pairs) -> bool:
    """Return whether the row cannot conflict with another unique key than the one that decides."""
    if any(each.kind == "partial_unique" for each in table._mirror.constraints.values()):
        return False
    # A UUID generated for the row conflicts with none.
    given = {
        field.name: value
        for field, value in inserted
        if not (field.type == "uuid" and callable(field.default))
    }
    by_name = {column.field: column for column in table._mirror.columns.values()}
    for other in unique_keys(table):
        free = [name for name in other if given.get(name) is None]
        never = any(by_name[n].autoincrement or by_name[n].nullable or table[n].type == "uuid" for n in free)
        if set(other) != set(key) and not never:
            return False
    return True


def insert_text(table: Any, pairs: Pairs) -> str:
    """Return the INSERT of one row, into the relation that the account's inserts use.

    Args:
        table: a table of the mirror.
        pairs: fields and values.
    """
    adapter = table._db._adapter
    columns = ",".join(_column(field) for field, _ in pairs)
    literals = ",".join(adapter.store(value, field) for field, value in pairs)
    return f"INSERT INTO {table._relation('insert')}({columns}) VALUES ({literals})"


def _sent(
    table: Any,
    inserted: Pairs,
    known: Pairs,
    clause: str,
    found: Any,
    unless: Callable[[], bool] = lambda: False,
) -> Any:
    """Run the upsert; the key comes from RETURNING or from a select of the record.

    `unless` returns, if nothing was stored, whether that is because of a record that the account does not see.
    """
    adapter = table._db._adapter
    session = adapter.sessions.current()
    context = StatementContext("insert", table._dalname)
    fields = [field for field, _ in known]
    columns = table._mirror.columns
    updatable = all(columns[name].updatable for name in table._mirror.primary_key if name in columns)
    may = adapter.backend.upsert_returns(updatable=updatable)
    returning = adapter.returning_many(table, fields) if may else None
    cursor = session.execute(insert_text(table, inserted) + f" {clause}{returning or ''}", context=context)
    made = session.reading(cursor.fetchone, context) if returning else None
    stored = made is not None if returning else cursor.rowcount > 0
    if not stored and unless():
        raise _outside(table)
    return adapter.key_of(
        table, known, lambda field: read_key(field, made[0]) if made else _key_there(table, found)
    )


def _key_there(table: Any, found: Any) -> Any:
    """Return the key of the existing record, if it is a single column that the account may read."""
    keys = [column for column in table._mirror.columns.values() if column.name in table._mirror.primary_key]
    if len(table._mirror.primary_key) != 1 or "select" not in table._mirror.verbs or not keys[0].selectable:
        return None
    key = table[keys[0].field]
    record = table._db(found).select(key, limitby=(0, 1), orderby_on_limitby=False).first()
    if record is None:  # a concurrent writer stored the record after this transaction's snapshot was taken
        record = (
            table._db(found).select(key, limitby=(0, 1), orderby_on_limitby=False, for_update=True).first()
        )
    return None if record is None else record[key.name]


def _update_or_insert(
    table: Any, key: tuple[str, ...], values: dict[str, Any], changes: dict[str, Any], found: Any
) -> Any:
    """Update the record if it exists, else insert it; try again when a concurrent writer was first."""
    if not changes and not reads_key(table, key):
        return _insert_or_leave(table, key, values)
    session = table._db._adapter.sessions.current()
    for tried in range(_TRIES):
        there = not table._db(found).isempty()
        if there and (not changes or table._db(found).update(**changes)):
            return _key(table, values, found)
        try:
            with session.attempt():
                return table.insert(**values)
        except UniqueViolation as error:
            if changes and table._db(found).update(**changes):
                return _key(table, values, found)
            if tried == _TRIES - 1 or (not changes and table._db(found).isempty()):
                if _conflicts_with_invisible(table, key, changes, found, error):
                    raise _outside(table) from error.__cause__
                raise
    return None


def _insert_or_leave(table: Any, key: tuple[str, ...], values: dict[str, Any]) -> Any:
    """Insert a record unless its key exists, for an account that may not read the key."""
    session = table._db._adapter.sessions.current()
    deciding = {column.name for column in table._mirror.columns.values() if column.field in key}
    try:
        with session.attempt():
            return table.insert(**values)
    except UniqueViolation as error:
        if set(error.columns) != deciding:
            raise
        return None


def _is_scoped(table: Any) -> bool:
    return any(verb.scope is not None for verb in table._mirror.verbs.values())


def _conflicts_with_invisible(
    table: Any, key: tuple[str, ...], changes: dict[str, Any], found: Any, error: UniqueViolation
) -> bool:
    """Return whether the record with the key is outside the account's scope; an update was tried before."""
    deciding = {column.name for column in table._mirror.columns.values() if column.field in key}
    return (
        _is_scoped(table)
        and set(error.columns) == deciding
        and bool(changes or _is_invisible(table, key, found))
    )


def _is_invisible(table: Any, key: tuple[str, ...], found: Any) -> bool:
    """Return whether an existing record is invisible to the account, even to a locking read of the current rows."""
    verbs = table._mirror.verbs
    looks = (False, True) if "update" in verbs else (False,)
    return "select" in verbs and not any(
        table._db(found).select(
            table[key[0]], limitby=(0, 1), orderby_on_limitby=False, for_update=for_update
        )
        for for_update in looks
    )


def _outside(table: Any) -> CheckViolation:
    """Return the error that engines raise when an upsert would reach a record outside the account's scope."""
    where = table._dalname
    return CheckViolation(
        f"the upsert would reach a row outside the scope of the account on {where}", None, where
    )


def _key(table: Any, values: dict[str, Any], found: Any) -> Any:
    pairs = [(table[name], value) for name, value in values.items()]
    return table._db._adapter.key_of(table, pairs, lambda _: _key_there(table, found))


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
            f"{where}: the values give no unique key in full, so the record is not determined; the unique keys "
            f"of the table that this service knows are: {listed}"
        )
    if len(complete) > 1:
        listed = ", ".join("+".join(key) for key in complete)
        raise ArgumentError(
            f"{where}: the values give more than one unique key ({listed}): name the one that decides, such as "
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


def upsert_probes(table: Any, key: Sequence[str], values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what each such statement of the engine is called, and its SQL; the account's privileges are not considered.

    Args:
        table: a table of the mirror.
        key: the fields of the unique key that conflicts.
        values: the new record, by fields.
    """
    adapter = table._db._adapter
    columns = [column for column in table._mirror.columns.values() if column.field in values]
    free = [column.field for column in columns if column.updatable and column.field not in key]
    changed = table[free[0] if free else key[0]]
    literal = adapter.store(values[changed.name], changed)
    inserted = insert_text(table, [(table[name], value) for name, value in values.items()])
    clause = adapter.backend.upsert(
        [table[name]._rname for name in key],
        [f"{changed._rname}={literal}"],
        only_conflict=True,
        readable=True,
        updatable=True,
    )
    if clause is not None:
        yield "an upsert", f"{inserted} {clause}"
    if adapter.backend.features.has_replace:
        yield "REPLACE", f"REPLACE{inserted.removeprefix('INSERT')}"
