"""Accounts that are given rights by hand, for tests of what a server does by itself."""

import contextlib
from typing import Any

from servers.base import Database

PASSWORD = "plain-4711"


class Plain:
    """A database, and accounts of it that go with it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.postgresql = database.server.db_type == "postgresql"
        self._opened = contextlib.ExitStack()

    def name(self, account: str) -> str:
        """An account as it is written in SQL."""
        login = self.database.prefix + account
        return f'"{login}"' if self.postgresql else f"'{login}'@'%'"

    def make(self, account: str, *grants: str) -> str:
        """Make an account and give it what is granted: `SELECT ON note`, or with {db} for the database's name."""
        word = "LOGIN PASSWORD" if self.postgresql else "IDENTIFIED BY"
        self.database.execute(f"CREATE USER {self.name(account)} {word} '{PASSWORD}'")
        if self.postgresql:
            self.database.execute(
                f"GRANT CONNECT ON DATABASE {self.database.name} TO {self.name(account)}",
                f"GRANT USAGE ON SCHEMA public TO {self.name(account)}",
            )
        self.grant(account, *grants)
        return self.name(account)

    def grant(self, account: str, *grants: str) -> None:
        """Grant something to an account."""
        for grant in grants:
            self.database.execute(f"GRANT {grant.format(db=self.database.name)} TO {self.name(account)}")

    def revoke(self, account: str, *grants: str) -> None:
        """Take something from an account."""
        for grant in grants:
            self.database.execute(f"REVOKE {grant.format(db=self.database.name)} FROM {self.name(account)}")

    def open(self, account: str | None = None) -> Any:
        """A connection of an account, or of the admin, that is closed with the test."""
        if account is None:
            server = self.database.server
            connection = self.database.connect(server.admin_user, server.admin_password)
        else:
            connection = self.database.connect(self.database.prefix + account, PASSWORD)
        self._opened.callback(_close, connection)
        return connection

    def close(self) -> None:
        """End what was opened."""
        self._opened.close()


def ask(connection: Any, sql: str) -> list[Any]:
    """Run a statement and read what it gives; raises the driver's error."""
    cursor = connection.cursor()
    cursor.execute(sql)
    return [tuple(row) for row in cursor.fetchall()] if cursor.description else []


def code(connection: Any, sql: str) -> str | int | None:
    """By what code a statement is refused; None when it is not."""
    try:
        ask(connection, sql)
    except Exception as error:  # each driver has its own
        found: str | int | None = getattr(error, "pgcode", None) or next(iter(error.args), None)
        return found
    return None


def _close(connection: Any) -> None:
    with contextlib.suppress(Exception):  # the server may have ended it
        connection.close()
