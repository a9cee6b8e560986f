"""Relations in SQL, where several engines agree: which one a verb uses, quoting, privilege probes and ON CONFLICT."""

from collections.abc import Callable, Sequence

from ringfence.runtime.mirror import Table


def relation_of(table: Table, verb: str, engines: Sequence[str], quote: Callable[[str], str]) -> str:
    """Return the relation, quoted, and qualified where the table has a schema.

    Args:
        table: a table of the mirror.
        verb: select, insert, update or delete; without a grant for it the table itself is used, and the server refuses.
        engines: the family's engines by their names in the mirror, whose relations are always the same.
        quote: quotes an identifier.
    """
    given = table.verbs.get(verb)
    relations = given.relations if given is not None else {}
    name = next((relations[engine] for engine in engines if engine in relations), table.name)
    return ".".join(quote(part) for part in (table.schema, name) if part)


def probes(verb: str, relation: str, columns: Sequence[str]) -> list[str]:
    """Return EXPLAIN statements: they need the privileges of the explained statement and run nothing.

    Args:
        verb: select, insert, update or delete.
        relation: the quoted relation.
        columns: the quoted columns; may be empty for a select.
    """
    if verb == "select":
        return [f"EXPLAIN SELECT {', '.join(columns) or '1'} FROM {relation} WHERE 1 = 0"]
    if verb == "delete":
        return [f"EXPLAIN DELETE FROM {relation}"]  # a WHERE would require SELECT as well
    if not columns:
        return []
    if verb == "insert":
        defaults = ", ".join(["DEFAULT"] * len(columns))
        return [f"EXPLAIN INSERT INTO {relation} ({', '.join(columns)}) VALUES ({defaults})"]
    return [f"EXPLAIN UPDATE {relation} SET {', '.join(f'{column} = DEFAULT' for column in columns)}"]


def double_quoted(name: str) -> str:
    """Return an identifier as standard SQL quotes it, on PostgreSQL and SQLite."""
    return '"' + name.replace('"', '""') + '"'


def on_conflict(
    key: Sequence[str], sets: Sequence[str], *, only_conflict: bool, readable: bool
) -> str | None:
    """Return the ON CONFLICT clause of PostgreSQL and SQLite; arguments and result are those of `Backend.upsert`.

    Naming the key requires SELECT on it, and without a name the clause means any unique key.

    Args:
        key: the quoted columns of the unique key that decides.
        sets: `column=value` assignments for an existing row; empty to leave it unchanged.
        only_conflict: whether the new row cannot conflict with any other unique key.
        readable: whether the account may read the columns of the key.
    """
    if not readable:
        return "ON CONFLICT DO NOTHING" if only_conflict and not sets else None
    action = f"UPDATE SET {', '.join(sets)}" if sets else "NOTHING"
    return f"ON CONFLICT ({', '.join(key)}) DO {action}"
