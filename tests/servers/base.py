"""A running server and a fresh database on it: what the tests, the benchmarks and the demo hold in their hands."""

import os
import secrets
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType
from typing import Any, Self

from servers import mysql_family, postgres, sqlite
from servers.process import Process

_DB_TYPES = {
    "postgresql": "postgresql",
    "mysql": "mysql",
    "mariadb": "mysql",
    "galera": "mysql",
    "sqlite": "sqlite",
}
# For each kind of database the module that creates, opens, clones and drops one.
_OPERATIONS: dict[str, ModuleType] = {"postgresql": postgres, "mysql": mysql_family, "sqlite": sqlite}


@dataclass(frozen=True)
class Server:
    """A running server and its real administrator."""

    engine: str
    hosts: tuple[tuple[str, int], ...] = ()
    admin_user: str = ""
    admin_password: str = field(default="", repr=False)
    maintenance: str = "postgres"
    """The PostgreSQL database from which others are created."""
    processes: tuple[Process, ...] = field(default=(), repr=False, compare=False)
    """The processes of a private server, one per node, to stop and start in tests of failure; else empty."""
    behind: "Server | None" = field(default=None, repr=False)
    """The server itself, when this is a pooler in front of it: databases are created and dropped there."""

    @property
    def db_type(self) -> str:
        """The value of DB_TYPE for this engine."""
        return _DB_TYPES[self.engine]

    def database(self) -> "Database":
        """Create a fresh, empty database of a unique name; as a context manager it is dropped at the end."""
        database = self.named()
        database.name = database.operations.create(database.owner, database.name)
        return database

    def named(self) -> "Database":
        """A database whose name no other of this process has: five digits alone met once in some thousand."""
        while (unique := secrets.token_hex(3)[:5]) in _NAMES:
            pass
        _NAMES.add(unique)
        return Database(self, f"ringfence_{unique}", f"t{unique}-")

    def close(self) -> None:
        """Stop a private server; one that was given by URL goes on."""
        for process in reversed(self.processes):
            process.close()


_NAMES: set[str] = set()


class Database:
    """One fresh database, with a prefix for the logins that belong to it."""

    def __init__(self, server: Server, name: str, prefix: str) -> None:
        self.server = server
        self.name = name
        self.prefix = prefix

    def __repr__(self) -> str:
        return f"<Database {self.name} on {self.server.engine}>"

    @cached_property
    def operations(self) -> ModuleType:
        """The module that knows how to create, open, clone and drop this kind of database."""
        return _OPERATIONS[self.server.db_type]

    @property
    def owner(self) -> Server:
        """The server that holds the database, which is not the pooler in front of it."""
        return self.server.behind or self.server

    def env(self, user: str | None = None, password: str | None = None) -> dict[str, str]:
        """The environment of a service or job that uses this database, as the admin when no user is named.

        SQLite has neither host nor user: there it holds DB_TYPE and DB_NAME alone.
        """
        environment = {"DB_TYPE": self.server.db_type, "DB_NAME": self.name}
        hosts = self.server.hosts
        if hosts:
            environment["DB_HOST"] = (
                hosts[0][0] if len(hosts) == 1 else ",".join(f"{h}:{p}" for h, p in hosts)
            )
            environment["DB_PORT"] = str(hosts[0][1])
            environment["DB_USER"], environment["DB_PASS"] = self._login(user, password)
        return environment

    def connect(self, user: str | None = None, password: str | None = None, node: int = 0) -> Any:
        """A raw driver connection with autocommit on (psycopg2, pymysql or sqlite3), as the admin by default."""
        return self.operations.connect(self.server, self.name, *self._login(user, password), node)

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements as the admin, on the first node, and return the rows of the last.

        Changes of accounts are applied on every node of a cluster when it returns.
        """
        connection = self.connect()
        try:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            rows = list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()
        if self.server.db_type == "mysql":
            mysql_family.settle(self.server, *statements)
        return rows

    def clone(self) -> "Database":
        """A copy of the tables and rows under a new name and a new prefix; accounts are not copied."""
        copy = self.server.named()
        copy.name = self.operations.clone(self.owner, self.name, copy.name)
        return copy

    def empty(self) -> None:
        """Delete every row, and the accounts whose login starts with the prefix."""
        self.operations.empty(self.owner, self.name, self.prefix)

    def fingerprint(self) -> object:
        """What the schema is: equal for as long as nobody changed it."""
        return self.operations.fingerprint(self.owner, self.name)

    def through(self, pooler: Server) -> "Database":
        """The same database, reached through a pooler in front of its server."""
        return Database(pooler, self.name, self.prefix)

    def drop(self) -> None:
        """Drop the database, whoever is connected, and the accounts whose login starts with the prefix."""
        self.operations.drop(self.owner, self.name, self.prefix)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

    def _login(self, user: str | None, password: str | None) -> tuple[str, str]:
        if user is None:
            return self.server.admin_user, self.server.admin_password
        return user, password or ""


def clean_environment() -> dict[str, str]:
    """This process's environment without what could lead a child process to another database."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DB_", "PG", "MYSQL_", "RINGFENCE_TEST_")) and name != "DATABASE_URL"
    }
