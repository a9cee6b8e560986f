"""A statement timeout for statements that only read, on each dialect."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

_STEPS = 20_000
"""Instructions of SQLite's virtual machine between two checks of the clock."""


# On PostgreSQL and MySQL, 0 means no timeout: the least is one millisecond.
def _on_postgresql(connection: sa.Connection, seconds: float) -> None:
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = {max(1, round(seconds * 1000))}")


def _on_mysql(connection: sa.Connection, seconds: float) -> None:
    connection.exec_driver_sql(f"SET SESSION max_execution_time = {max(1, round(seconds * 1000))}")


def _on_mariadb(connection: sa.Connection, seconds: float) -> None:
    connection.exec_driver_sql(f"SET SESSION max_statement_time = {seconds:g}")


def _on_sqlite(connection: sa.Connection, seconds: float) -> None:
    end = time.monotonic() + seconds
    file: Any = connection.connection.driver_connection
    file.set_progress_handler(lambda: time.monotonic() > end, _STEPS)


_BOUNDS: Mapping[str, Callable[[sa.Connection, float], None]] = {
    "postgresql": _on_postgresql,
    "mysql": _on_mysql,
    "mariadb": _on_mariadb,
    "sqlite": _on_sqlite,
}


@contextmanager
def bounded(engine: sa.Engine, seconds: float) -> Iterator[sa.Connection]:
    """Open a connection for one SELECT with a statement timeout, and roll back at the end.

    Args:
        engine: An engine of the admin account without a pool: the timeout stays set on the connection.
        seconds: The timeout.

    Yields:
        The connection; a SELECT that takes longer raises sqlalchemy.exc.DBAPIError.
    """
    with engine.connect() as connection:
        _BOUNDS[connection.dialect.name](connection, seconds)
        try:
            yield connection
        finally:
            connection.rollback()
