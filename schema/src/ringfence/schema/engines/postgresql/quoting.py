"""Writing SQL for PostgreSQL: identifiers and literals."""

from ringfence.schema.engines.types import RelationKey


def quoted(name: str) -> str:
    """Quote an identifier, always, because a newer server may have keywords that are unknown here.

    Args:
        name: the name as the catalog has it.

    Returns:
        The name in double quotes, with its own double quotes doubled.
    """
    return '"' + name.replace('"', '""') + '"'


def qualified(relation: RelationKey) -> str:
    """Return the quoted name of a relation, with its schema.

    Args:
        relation: the schema and name.
    """
    return ".".join(map(quoted, relation))


def literal(text: str) -> str:
    """Return a text as an SQL literal that is right under either value of `standard_conforming_strings`.

    Args:
        text: the text.

    Raises:
        ValueError: the text has a NUL character, which PostgreSQL cannot store.
    """
    if "\0" in text:
        # The manifest's reader refuses it earlier, and names the line.
        raise ValueError("a text with a NUL character cannot be sent")
    escaped = text.replace("'", "''")
    return "E'" + escaped.replace("\\", "\\\\") + "'" if "\\" in text else f"'{escaped}'"
