"""What MySQL proper does otherwise than MariaDB."""

from typing import Any


class PlainMySQL:
    """MySQL proper: no per-statement time limit for writes, so a second connection ends what runs too long."""

    name = "mysql"
    watched = True
    upserts_in_part = True
    returns_keys = False
    has_sequences = False
    weak_columns = "an account that updates a view can have guesses at all of its columns answered"
    weak_rows: str | None = (
        "the server may evaluate an expression of a statement before the scope's condition,"
        " and its warnings and errors show values"
    )

    def statement(self, sql: str, timeout: float) -> str:
        """As it is: the watchdog keeps the time."""
        return sql

    def same_json(self, left: str, right: str) -> str:
        """JSON is a type, and compares as one."""
        return f"({left} = CAST({right} AS JSON))"

    def next_value(self, sequence: str) -> str:
        """What is counted up: there are no sequences."""
        return "DEFAULT"

    def last_value(self, sequence: str) -> None:
        """None: the driver has it."""

    def stages(self, cursor: Any) -> None:
        """A single server that answers is ready."""

    def grants(self, cursor: Any) -> list[str]:
        """The account's grants, with those of the roles that are active for it."""
        cursor.execute("SELECT CURRENT_ROLE()")
        roles = cursor.fetchone()[0]
        cursor.execute("SHOW GRANTS" if roles == "NONE" else f"SHOW GRANTS FOR CURRENT_USER() USING {roles}")
        return [line for (line,) in cursor.fetchall()]
