"""Quoting of identifiers for PostgreSQL."""


def quoted(name: str) -> str:
    """Quote an identifier, always, because a newer server may have keywords that are unknown here.

    Args:
        name: the name as the catalog has it.

    Returns:
        The name in double quotes, with its own double quotes doubled.
    """
    return '"' + name.replace('"', '""') + '"'
