"""What a peer is: one function per case, each the way the library's own documentation would write it."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, ClassVar

from benchmarks.data import Row
from benchmarks.place import Place


class Peer:
    """A library at work in a place. A case whose function a peer does not define is one it cannot do.

    Every function but `session`, `request` and `close` is called inside `unit`, a transaction that is open already; so
    each measures its query, and `session` measures the transaction.
    """

    name: ClassVar[str]
    cannot: ClassVar[dict[str, str]] = {}
    """Case -> why this peer does not take part in it."""
    notes: ClassVar[tuple[str, ...]] = ()
    """What a reader of the table must know of this peer."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def unit(self, commit: bool = False) -> AbstractContextManager[Any]:
        """A transaction: committed at the end, or else rolled back."""
        raise NotImplementedError

    def close(self) -> None:
        """Close every connection."""

    # -- reading: rows come as the library gives them

    def one_row(self, key: int) -> Any:
        """The item with this key."""
        raise NotImplementedError

    def rows(self, count: int) -> Any:
        """The items up to this key."""
        raise NotImplementedError

    def wide(self) -> Any:
        """All of `wide`."""
        raise NotImplementedError

    def join(self) -> Any:
        """Each sale with its product and maker: the columns of `data.JOINED`."""
        raise NotImplementedError

    def stream(self) -> Iterable[Any]:
        """All of `event`, row by row."""
        raise NotImplementedError

    # -- writing

    def insert_one(self, row: Row) -> Any:
        """Insert an entry; returns its key."""
        raise NotImplementedError

    def insert_many(self, rows: list[Row]) -> Any:
        """Insert entries."""
        raise NotImplementedError

    def update(self, key: int, row: Row) -> Any:
        """Change price and active of an item."""
        raise NotImplementedError

    def upsert(self, row: Row) -> Any:
        """Insert a counter, or change the one of its name."""
        raise NotImplementedError

    # -- whole units of work

    def session(self) -> None:
        """A transaction of one statement, `SELECT 1`, on a connection taken from the library's pool."""
        raise NotImplementedError

    def request(self, key: int) -> dict[str, Any]:
        """What a web request does, from any thread: the item of this key, as a dict, in a transaction of its own."""
        raise NotImplementedError

    def empty_session(self) -> None:
        """A unit of work in which nothing is asked; the raw driver sends BEGIN and COMMIT."""
        raise NotImplementedError

    def web(self, app: Any) -> Any:
        """The view `key -> dict` for a Flask application; `request`, unless the library has an extension for Flask."""
        return self.request

    # -- looking at what came out

    def read(self, rows: Any) -> None:
        """Read each column of each item by its name."""
        for row in rows:
            _ = row.id, row.ident, row.price, row.active, row.made

    def values(self, row: Any, columns: Iterable[str]) -> tuple[Any, ...]:
        """A row's values in the order of these columns; for the comparison, and for reading by name."""
        return tuple(getattr(row, name) for name in columns)

    def joined(self, row: Any) -> tuple[Any, ...]:
        """A joined row's values in the order of `data.JOINED`."""
        raise NotImplementedError


class AsyncPeer:
    """A library of asyncio at work in a place."""

    name: ClassVar[str]
    notes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, place: Place) -> None:
        self.place = place

    def opened(self) -> AbstractAsyncContextManager[Any]:
        """Connect, with a pool of ten, for the running loop."""
        raise NotImplementedError

    async def request(self, key: int) -> Any:
        """The item of this key, in a transaction of its own."""
        raise NotImplementedError

    def values(self, row: Any, columns: Iterable[str]) -> tuple[Any, ...]:
        """A row's values in the order of these columns."""
        return tuple(getattr(row, name) for name in columns)
