"""Global variables of MySQL, MariaDB and Galera, set on every node for a while."""

import contextlib
from collections.abc import Iterator

from servers.base import Database


@contextlib.contextmanager
def globally(database: Database, **values: int) -> Iterator[None]:
    """Set global variables on every node; sessions that begin later have them. Those of before come back.

    Args:
        database: of the server.
        values: by variable.
    """
    before = {name: database.execute(f"SELECT @@GLOBAL.{name}")[0][0] for name in values}
    try:
        _put(database, values)
        yield
    finally:
        _put(database, before)


def _put(database: Database, values: dict[str, int]) -> None:
    for node in range(len(database.owner.hosts)):
        with contextlib.closing(database.connect(node=node)) as connection:
            for name, value in values.items():
                connection.cursor().execute(f"SET GLOBAL {name} = {value}")
