"""Which relation a verb goes through: the table itself, unless the mirror names another for this family of engines."""

from collections.abc import Callable, Sequence

from ringfence.runtime.mirror import Table


def relation_of(table: Table, verb: str, engines: Sequence[str], quote: Callable[[str], str]) -> str:
    """The relation, quoted, and qualified where the table is.

    Args:
        table, verb: of the mirror; a verb that is not given goes to the table, which refuses it.
        engines: the family, as the mirror names its members: they always agree.
        quote: how an identifier is quoted.
    """
    given = table.verbs.get(verb)
    relations = given.relations if given is not None else {}
    name = next((relations[engine] for engine in engines if engine in relations), table.name)
    return ".".join(quote(part) for part in (table.schema, name) if part)
