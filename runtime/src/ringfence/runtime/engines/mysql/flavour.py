"""The differences of MySQL proper from MariaDB."""

from typing import Any


class MySQLFlavour:
    """MySQL proper: it has no time limit for writes, so a second connection cancels a statement that runs too long."""

    name = "mysql"
    watched = True
    upserts_in_part = True
    returns_keys = False
    has_sequences = False
    column_leak = "an account that updates a view can have guesses at all of its columns answered"
    row_leak: str | None = (
        "the server may evaluate an expression of a statement before the scope's condition,"
        " and its warnings and errors show values"
    )

    def statement(self, sql: str, timeout: float) -> str:
        """Return the statement unchanged: the watchdog enforces the time limit."""
        return sql

    def json_equals(self, left: str, right: str) -> str:
        """Return SQL that compares values of the JSON type."""
        return f"({left} = CAST({right} AS JSON))"

    def next_value(self, sequence: str) -> str:
        """Return DEFAULT, for an AUTO_INCREMENT column: there are no sequences."""
        return "DEFAULT"

    def last_value(self, sequence: str) -> None:
        """Return None: the driver knows the AUTO_INCREMENT key."""

    def check_ready(self, cursor: Any) -> None:
        """Do nothing: a single server that answers is ready."""

    def grants(self, cursor: Any) -> list[str]:
        """Return the account's grants, including those of its active roles."""
        cursor.execute("SELECT CURRENT_ROLE()")
        roles = cursor.fetchone()[0]
        cursor.execute("SHOW GRANTS" if roles == "NONE" else f"SHOW GRANTS FOR CURRENT_USER() USING {roles}")
        return [line for (line,) in cursor.fetchall()]
