"""SQLAlchemy's asyncio extension, with asyncpg, aiomysql or aiosqlite."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiomysql  # noqa: F401  # so that a missing driver is seen here
import aiosqlite  # noqa: F401
import asyncpg  # noqa: F401
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benchmarks.peers.base import AsyncPeer


class SqlalchemyAsyncio(AsyncPeer):
    """Core statements on an asynchronous engine."""

    name = "sqlalchemy-asyncio"
    engine: AsyncEngine

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """See AsyncPeer."""
        self.engine = create_async_engine(
            self.place.url(asynchronous=True), pool_size=10, max_overflow=0, pool_timeout=120
        )
        yield
        await self.engine.dispose()

    async def request(self, key: int) -> Any:
        """See AsyncPeer."""
        item = self.place.tables["item"]
        async with self.engine.begin() as connection:
            return (await connection.execute(sa.select(item).where(item.c.id == key))).one()
