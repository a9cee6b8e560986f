"""The cases of asyncio: one request after another, and a thousand at once over ten connections."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import data
from benchmarks.cases import expected_items
from benchmarks.compare import compared
from benchmarks.peers.base import AsyncPeer
from benchmarks.peers.raw import Raw

_TICK = 0.001

TITLES = {
    "async-one": "asyncio: one request after another",
    "async-many": "asyncio: {requests:,} requests at once, pool of 10",
}
SEQUENCE = 20
"""Requests that one run of `async-one` makes."""


class AsyncWorks:
    """Peers opened in one event loop, whose works are called from outside it."""

    def __init__(self, peers: list[AsyncPeer], raw: Raw) -> None:
        self.raw = raw
        self.peers = peers
        self._runner = asyncio.Runner()
        self._stack = contextlib.AsyncExitStack()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Open the peers, and close them at the end."""
        with self._runner:
            try:
                for peer in self.peers:
                    self._runner.run(self._stack.enter_async_context(peer.opened()))
                yield
            finally:
                self._runner.run(self._stack.aclose())

    def check(self, peer: AsyncPeer) -> set[str]:
        """In what ways the types of a peer's row are poorer. Raises Different."""
        row = self._runner.run(peer.request(3))
        return compared(expected_items(3)[2:], [peer.values(row, data.ITEM)])

    def one(self, peer: AsyncPeer | None) -> Callable[[], Any]:
        """Requests one after another; None stands for the raw driver, without a loop."""
        keys = itertools.cycle(range(1, 20))
        if peer is None:
            return lambda: [self.raw.request(next(keys)) for _ in range(SEQUENCE)]

        async def work() -> None:
            for _ in range(SEQUENCE):
                await peer.request(next(keys))

        return lambda: self._runner.run(work())

    def many(self, peer: AsyncPeer | None) -> Callable[[], Any]:
        """All requests at once; the raw driver makes them one after another: the time that the database needs."""
        count = self.raw.place.sizes.requests
        keys = [number % self.raw.place.sizes.listed + 1 for number in range(count)]
        if peer is None:
            return lambda: [self.raw.request(key) for key in keys]

        async def work() -> None:
            await asyncio.gather(*(peer.request(key) for key in keys))

        return lambda: self._runner.run(work())

    def blocked(self, peer: AsyncPeer) -> float:
        """The longest time, in seconds, that the loop was not free while all requests ran at once."""
        work = self.many(peer)
        worst = 0.0

        async def watch() -> None:
            nonlocal worst
            while True:
                begin = time.perf_counter()
                await asyncio.sleep(_TICK)
                worst = max(worst, time.perf_counter() - begin - _TICK)

        async def watching() -> asyncio.Task[None]:
            return asyncio.get_running_loop().create_task(watch())

        watcher = self._runner.run(watching())
        work()

        async def stop() -> None:
            await asyncio.sleep(2 * _TICK)  # the watcher sees what was long at the very end
            watcher.cancel()

        self._runner.run(stop())
        return worst
