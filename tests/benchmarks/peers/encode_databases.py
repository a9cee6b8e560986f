"""databases, of Encode: SQLAlchemy's query language over asyncpg, aiomysql or aiosqlite."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiomysql  # noqa: F401  # so that a missing driver is seen here
import aiosqlite  # noqa: F401
import asyncpg  # noqa: F401
import databases
import sqlalchemy as sa

from benchmarks.peers.base import AsyncPeer


class EncodeDatabases(AsyncPeer):
    """One Database with a pool of ten."""

    name = "databases"
    database: databases.Database

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """See AsyncPeer."""
        url = self.place.url(asynchronous=True)
        pool = {} if self.place.db_type == "sqlite" else {"min_size": 1, "max_size": 10}
        self.database = databases.Database(url.render_as_string(hide_password=False), **pool)
        await self.database.connect()
        yield
        await self.database.disconnect()

    async def request(self, key: int) -> Any:
        """See AsyncPeer."""
        item = self.place.tables["item"]
        async with self.database.transaction():
            return await self.database.fetch_one(sa.select(item).where(item.c.id == key))
