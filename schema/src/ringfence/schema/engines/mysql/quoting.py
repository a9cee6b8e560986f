"""Writing SQL for the MySQL family: identifiers, literals and accounts."""


def quoted(name: str) -> str:
    """Return an identifier in backticks.

    SQLAlchemy's own quoting doubles percent signs, which a statement without parameters must not have.

    Args:
        name: as the catalog has it.
    """
    return "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    """Return a string literal that is valid in every sql_mode that the job's sessions set; they use utf8mb4."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def account(login: str, host: str) -> str:
    """Return 'login'@'host' as literals."""
    return f"{literal(login)}@{literal(host)}"
