"""INSERTs that would modify an existing record by its unique key, for the proof of an account's row security."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ringfence.runtime.dal.upsert import insert_text


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
        alone=True,
        readable=True,
        updatable=True,
    )
    if clause is not None:
        yield "an upsert", f"{inserted} {clause}"
    if adapter.backend.replaces:
        yield "REPLACE", f"REPLACE{inserted.removeprefix('INSERT')}"
