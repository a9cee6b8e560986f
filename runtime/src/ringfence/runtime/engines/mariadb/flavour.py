"""What MariaDB does otherwise than MySQL."""

from typing import Any

from ringfence.runtime.engines.mariadb.json import written_alike


class MariaDB:
    """A time limit per statement, in the statement's own text, for reads and writes alike."""

    name = "mariadb"
    watched = False
    upserts_in_part = False
    """An upsert is refused unless each column it inserts may be updated, too, and each that it updates may be read."""
    returns_keys = True
    has_sequences = True
    weak_columns = "an account that updates a view can learn the values of all of its columns"
    weak_rows: str | None = (
        "the server may evaluate an expression of a statement before the scope's condition"
    )

    def statement(self, sql: str, timeout: float) -> str:
        """The statement within its limit; the session's own settings stay untouched."""
        return f"SET STATEMENT max_statement_time={timeout:.6f} FOR {sql}"

    def same_json(self, left: str, right: str) -> str:
        """JSON is text, and a function compares it (MariaDB 10.7 and later), but for how its characters are written."""
        # A literal is this runtime's own.
        sides = [sql if sql.startswith("'") else written_alike(sql) for sql in (left, right)]
        return f"(JSON_EQUALS({sides[0]}, {sides[1]}) = 1)"

    def next_value(self, sequence: str) -> str:
        """The SQL that draws from a sequence."""
        return f"NEXTVAL({sequence})"

    def last_value(self, sequence: str) -> str | None:
        """The SQL of what this session drew last; it asks for SELECT on the sequence, as drawing does."""
        return f"LASTVAL({sequence})"

    def stages(self, cursor: Any) -> None:
        """A single server that answers is ready."""

    def grants(self, cursor: Any) -> list[str]:
        """The account's grants; MariaDB adds those of its active role by itself."""
        cursor.execute("SHOW GRANTS")
        return [line for (line,) in cursor.fetchall()]
