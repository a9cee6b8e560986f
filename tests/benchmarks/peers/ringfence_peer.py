"""Ringfence."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from benchmarks import data
from benchmarks.data import Row
from benchmarks.peers.base import Peer
from benchmarks.place import Place
from ringfence.runtime import Database, Settings


class RingfencePeer(Peer):
    """Through `Database`, with the mirror of the deployment."""

    name = "ringfence"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.database = Database(Settings.from_env(place.env), place.mirror)
        self.dal = self.database.dal
        self.native_upsert = callable(getattr(type(self.dal.counter), "upsert", None))

    def close(self) -> None:
        """See Peer."""
        self.database.close()

    @contextlib.contextmanager
    def unit(self, commit: bool = False) -> Iterator[None]:
        """See Peer."""
        with self.database.session() as dal:
            yield
            if not commit:
                dal.rollback()

    def one_row(self, key: int) -> Any:
        """See Peer."""
        dal = self.dal
        return dal(dal.item.id == key).select().first()

    def rows(self, count: int) -> Any:
        """See Peer."""
        dal = self.dal
        return dal(dal.item.id <= count).select()

    def wide(self) -> Any:
        """See Peer."""
        return self.dal(self.dal.wide).select()

    def join(self) -> Any:
        """See Peer."""
        dal = self.dal
        sale, product, maker = dal.sale, dal.product, dal.maker
        return dal((sale.product_id == product.id) & (product.maker_id == maker.id)).select(
            sale.id, sale.quantity, sale.sold_at, product.name, product.price, maker.name
        )

    def stream(self) -> Iterable[Any]:
        """See Peer."""
        return self.dal(self.dal.event).iterselect()

    def insert_one(self, row: Row) -> Any:
        """See Peer."""
        return self.dal.entry.insert(**row)

    def insert_many(self, rows: list[Row]) -> Any:
        """See Peer."""
        return self.dal.entry.bulk_insert(rows)

    def update(self, key: int, row: Row) -> Any:
        """See Peer."""
        dal = self.dal
        return dal(dal.item.id == key).update(price=row["price"], active=row["active"])

    def upsert(self, row: Row) -> Any:
        """See Peer."""
        dal = self.dal
        if self.native_upsert:
            return dal.counter.upsert(**row)
        return dal.counter.update_or_insert(dal.counter.name == row["name"], **row)

    def session(self) -> None:
        """See Peer."""
        with self.database.session() as dal:
            dal.executesql("SELECT 1")

    def request(self, key: int) -> dict[str, Any]:
        """See Peer."""
        with self.database.session() as dal:
            return columns(dal(dal.item.id == key).select().first())

    def empty_session(self) -> None:
        """See Peer."""
        with self.database.session():
            pass

    def web(self, app: Any) -> Any:
        """See Peer."""
        from ringfence.runtime.flask import Ringfence

        ringfence = Ringfence(app, database=self.database, health=None)

        def view(key: int) -> dict[str, Any]:
            dal = ringfence.dal
            return columns(dal(dal.item.id == key).select().first())

        return view

    def joined(self, row: Any) -> tuple[Any, ...]:
        """See Peer."""
        sale, product = row.sale, row.product
        return sale.id, sale.quantity, sale.sold_at, product.name, product.price, row.maker.name


def columns(row: Any) -> dict[str, Any]:
    """An item's columns by name."""
    return {name: row[name] for name in data.ITEM}
