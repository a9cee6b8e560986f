"""PyDAL as it is published, with the field types its own documentation gives for such columns."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

import pydal
from pydal import DAL, Field

from benchmarks import data
from benchmarks.data import Row
from benchmarks.peers.base import Peer
from benchmarks.place import Place

_TYPES = {
    "int": "integer", "uuid": "string", "str": "string", "decimal": "decimal(12,2)", "bool": "boolean",
    "float": "double", "moment": "datetime",
}  # fmt: skip


class StockPydal(Peer):
    """One DAL, a connection per thread."""

    name = "pydal"
    notes = (
        f"PyDAL {pydal.__version__}: `iterselect` reads the whole result before it gives the first row; "
        "`update_or_insert` is a select and then a write, and races",
        "PyDAL's booleans are declared as integers where the column is not BOOLEAN, because PyDAL would write 'T' and 'F'",
    )

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.dal = connect(place, place.login)
        for table, columns in data.COLUMNS.items():
            self.define(table, columns)
        for table in ("entry", "event"):
            self.define(table, data.COLUMNS["item"])
        self.dal._adapter.close("commit")

    def define(self, table: str, columns: Any) -> None:
        """Define a table; the key is PyDAL's own."""
        types = _TYPES if self.place.db_type == "postgresql" else _TYPES | {"bool": "integer"}
        fields = [Field(name, types[kind]) for name, kind in columns.items() if name != "id"]
        self.dal.define_table(table, *fields)

    def close(self) -> None:
        """See Peer."""
        self.dal._adapter.reconnect()
        self.dal.close()

    @contextlib.contextmanager
    def unit(self, commit: bool = False) -> Iterator[None]:
        """See Peer."""
        self.dal._adapter.reconnect()
        yield
        self.dal._adapter.close("commit" if commit else "rollback")

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
        return dal.counter.update_or_insert(dal.counter.name == row["name"], **row)

    def session(self) -> None:
        """See Peer."""
        self.dal._adapter.reconnect()
        self.dal.executesql("SELECT 1")
        self.dal._adapter.close("commit")

    def empty_session(self) -> None:
        """See Peer."""
        self.dal._adapter.reconnect()
        self.dal._adapter.close("commit")

    def request(self, key: int) -> dict[str, Any]:
        """See Peer."""
        dal = self.dal
        dal._adapter.reconnect()
        try:
            return dict(dal(dal.item.id == key).select().first().as_dict())
        finally:
            dal._adapter.close("commit")

    def joined(self, row: Any) -> tuple[Any, ...]:
        """See Peer."""
        sale, product = row.sale, row.product
        return sale.id, sale.quantity, sale.sold_at, product.name, product.price, row.maker.name


def connect(place: Place, login: dict[str, Any]) -> DAL:
    """A DAL with a pool of ten and no migrations."""
    if place.db_type == "sqlite":
        uri = f"sqlite://{login['database']}"
    else:
        scheme = {"postgresql": "postgres:psycopg2", "mysql": "mysql"}[place.db_type]
        address = f"{login['host']}:{login['port']}/{login['database']}"
        charset = "?set_encoding=utf8mb4" if place.db_type == "mysql" else ""
        uri = f"{scheme}://{login['user']}:{quote(login['password'])}@{address}{charset}"
    return DAL(uri, pool_size=10, migrate=False, migrate_enabled=False)
