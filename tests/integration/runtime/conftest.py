"""The shop of tests/support/runtime_shop.py on each engine, as one service sees it."""

from collections.abc import Iterator

import pytest

from ringfence.runtime import Database
from servers.base import Database as FreshDatabase
from servers.base import Server
from support import runtime_shop


@pytest.fixture(scope="session")
def _shops() -> Iterator[dict[Server, FreshDatabase]]:
    made: dict[Server, FreshDatabase] = {}
    yield made
    for database in made.values():
        database.drop()


@pytest.fixture
def shop_db(server: Server, _shops: dict[Server, FreshDatabase]) -> FreshDatabase:
    """A database with the shop's tables, empty and without connections: one for each engine, emptied for each test."""
    if server not in _shops:
        database = server.database()
        runtime_shop.create(database)
        _shops[server] = database
    runtime_shop.empty(_shops[server])
    return _shops[server]


@pytest.fixture
def shop(shop_db: FreshDatabase) -> Iterator[Database]:
    """The service's door to it, as the admin."""
    with runtime_shop.opened(shop_db.env()) as database:
        yield database
