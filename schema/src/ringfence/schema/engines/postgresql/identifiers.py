"""How an identifier is written in a statement for PostgreSQL."""


def quoted(name: str) -> str:
    """An identifier; always quoted, since a keyword of a newer server is not known here.

    Args:
        name: as the catalog has it.

    Returns:
        It in double quotes, with its own doubled.
    """
    return '"' + name.replace('"', '""') + '"'
