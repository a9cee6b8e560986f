"""Chooses the relation for a verb: the table itself, unless the mirror names another one for this engine family."""

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
