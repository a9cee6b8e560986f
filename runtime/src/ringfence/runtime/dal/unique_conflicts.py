"""INSERTs that would reach a record which is there by a unique key: what a proof of an account's rows has to try."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ringfence.runtime.dal.upsert import insert_text


def conflicting_inserts(
    table: Any, key: Sequence[str], values: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Each way that the engine has, as what it is called and its SQL; no right of the account is looked at here.

    Args:
        table: a table of the mirror.
        key: the fields of the unique key on which the record is met.
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
        alone=True,
        readable=True,
        updatable=True,
    )
    if clause is not None:
        yield "an upsert", f"{inserted} {clause}"
    if adapter.backend.replaces:
        yield "REPLACE", f"REPLACE{inserted.removeprefix('INSERT')}"
