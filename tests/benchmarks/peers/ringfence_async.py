"""Ringfence under asyncio."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from benchmarks.peers.base import AsyncPeer
from ringfence.runtime import Settings
from ringfence.runtime.aio import AsyncDatabase


class RingfenceAsync(AsyncPeer):
    """Through `AsyncDatabase`: a thread for each session."""

    name = "ringfence"
    database: AsyncDatabase

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """See AsyncPeer."""
        self.database = AsyncDatabase(Settings.from_env(self.place.env), self.place.mirror)
        yield
        await self.database.close()

    async def request(self, key: int) -> Any:
        """See AsyncPeer."""
        return await self.database.run(
            lambda dal: dal(dal.item.id == key).select().first(),
            read_only=True,  # else each waits on SQLite for the lock that a writer takes
        )
