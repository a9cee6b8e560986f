"""The differences of MariaDB from MySQL."""

from typing import Any

from ringfence.runtime.engines.mariadb.json import normalize_escapes


class MariaDBFlavour:
    """MariaDB: the statement's text sets its time limit, for reads and writes alike."""

    name = "mariadb"
    watched = False
    upserts_in_part = False
    """An upsert needs UPDATE on every column it inserts, and SELECT on every column it updates."""
    returns_keys = True
    has_sequences = True
    column_leak = "an account that updates a view can learn the values of all of its columns"
    row_leak: str | None = "the server may evaluate an expression of a statement before the scope's condition"

    def statement(self, sql: str, timeout: float) -> str:
        """Return the statement with its time limit in seconds; the session's settings stay unchanged."""
        return f"SET STATEMENT max_statement_time={timeout:.6f} FOR {sql}"

    def json_equals(self, left: str, right: str) -> str:
        """Return SQL that compares JSON texts by JSON_EQUALS (MariaDB 10.7 and later), with escapes normalized."""
        # A literal was written by this runtime and needs no normalization.
        sides = [sql if sql.startswith("'") else normalize_escapes(sql) for sql in (left, right)]
        return f"(JSON_EQUALS({sides[0]}, {sides[1]}) = 1)"

    def next_value(self, sequence: str) -> str:
        """Return SQL that draws the next value of a sequence."""
        return f"NEXTVAL({sequence})"

    def last_value(self, sequence: str) -> str | None:
        """Return SQL for the value this session drew last; it requires SELECT on the sequence, as drawing does."""
        return f"LASTVAL({sequence})"

    def check_ready(self, cursor: Any) -> None:
        """Do nothing: a single server that answers is ready."""

    def grants(self, cursor: Any) -> list[str]:
        """Return the account's grants; MariaDB includes those of the active role."""
        cursor.execute("SHOW GRANTS")
        return [line for (line,) in cursor.fetchall()]
