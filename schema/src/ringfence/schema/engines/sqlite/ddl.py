"""DDL of SQLite: what a session must be refused."""

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from ringfence.schema.engines.base import Statement
from ringfence.schema.engines.ddl_attempts import NEW, Attempt, transactional_attempts


class SQLiteDDL:
    """DDL statements of SQLite."""

    def drop_standalone_objects(self, connection: sa.Connection) -> list[str]:
        """Return nothing: a function belongs to a connection, and not to the database."""
        return []

    def drop_incomplete_index(
        self, connection: sa.Connection, schema: str | None, index: str
    ) -> Statement | None:
        """Return None: each statement is atomic."""
        return None

    def attempts(self, tables: Sequence[tuple[str, str]], readable: str) -> Iterator[Attempt]:
        """Yield DDL that a rollback would undo.

        CREATE TRIGGER is left out: its body ends in END, which a session refuses before SQLite receives it.
        """
        yield from transactional_attempts(tables)
        for key, _ in tables:
            yield "create index", key, f'CREATE INDEX main.{NEW} ON "{key}" ((1))'
