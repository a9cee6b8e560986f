"""A bound in time for statements that only look, in each dialect's own words."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

_STEPS = 20_000
"""Of SQLite's machine, between two looks at the clock."""


# On PostgreSQL and MySQL 0 is no bound, so it is a millisecond at the least.
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
    """A connection of its own for one SELECT, which the server ends when it takes too long; nothing is kept.

    Args:
        engine: of the admin, whose connections are closed when they are given back.
        seconds: the bound.

    Yields:
        The connection; a SELECT that takes longer raises sqlalchemy.exc.DBAPIError.
    """
    with engine.connect() as connection:
        _BOUNDS[connection.dialect.name](connection, seconds)
        try:
            yield connection
        finally:
            connection.rollback()
