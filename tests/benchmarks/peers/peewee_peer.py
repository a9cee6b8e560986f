"""Peewee."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import peewee
from playhouse.pool import PooledMySQLDatabase, PooledPostgresqlDatabase, PooledSqliteDatabase

from benchmarks import data
from benchmarks.data import Row
from benchmarks.peers.base import Peer
from benchmarks.place import Place


class PeeweePeer(Peer):
    """Models with Peewee's own field types, and its connection pool."""

    name = "peewee"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.database = connect(place)
        self.models = {table: self.model(table, columns) for table, columns in data.COLUMNS.items()}
        for table in ("entry", "event"):
            self.models[table] = self.model(table, data.COLUMNS["item"])

    def model(self, table: str, columns: Any) -> Any:
        """A model class for a table; references are made by hand, for the join names its conditions."""
        fields: dict[str, Any] = {
            name: peewee.AutoField() if name == "id" else _FIELDS[kind]() for name, kind in columns.items()
        }
        if "id" not in fields:
            fields["id"] = peewee.AutoField()
        meta = type("Meta", (), {"database": self.database, "table_name": table})
        return type(table.title(), (peewee.Model,), {**fields, "Meta": meta})

    def close(self) -> None:
        """See Peer."""
        self.database.close_all()

    @contextlib.contextmanager
    def unit(self, commit: bool = False) -> Iterator[None]:
        """See Peer."""
        with self.database.connection_context(), self.database.atomic() as transaction:
            yield
            if not commit:
                transaction.rollback()

    def one_row(self, key: int) -> Any:
        """See Peer."""
        return self.models["item"].get_by_id(key)

    def rows(self, count: int) -> Any:
        """See Peer."""
        item = self.models["item"]
        return list(item.select().where(item.id <= count))

    def wide(self) -> Any:
        """See Peer."""
        return list(self.models["wide"].select())

    def join(self) -> Any:
        """See Peer."""
        sale, product, maker = (self.models[name] for name in ("sale", "product", "maker"))
        columns = (
            sale.id, sale.quantity, sale.sold_at, product.name.alias("product"), product.price,
            maker.name.alias("maker"),
        )  # fmt: skip
        joined = sale.select(*columns).join(product, on=sale.product_id == product.id)
        return list(joined.join(maker, on=product.maker_id == maker.id).objects())

    def stream(self) -> Iterable[Any]:
        """See Peer."""
        return self.models["event"].select().iterator()  # type: ignore[no-any-return]

    def insert_one(self, row: Row) -> Any:
        """See Peer."""
        return self.models["entry"].create(**row).id

    def insert_many(self, rows: list[Row]) -> Any:
        """See Peer."""
        for batch in peewee.chunked(rows, 1000):
            self.models["entry"].insert_many(batch).execute()

    def update(self, key: int, row: Row) -> Any:
        """See Peer."""
        item = self.models["item"]
        return item.update(price=row["price"], active=row["active"]).where(item.id == key).execute()

    def upsert(self, row: Row) -> Any:
        """See Peer."""
        counter = self.models["counter"]
        insert = counter.insert(**row)
        preserved = [counter.value, counter.changed]
        if self.place.db_type == "mysql":
            return insert.on_conflict(preserve=preserved).execute()
        return insert.on_conflict(conflict_target=[counter.name], preserve=preserved).execute()

    def session(self) -> None:
        """See Peer."""
        with self.database.connection_context(), self.database.atomic():
            self.database.execute_sql("SELECT 1").fetchall()

    def empty_session(self) -> None:
        """See Peer."""
        with self.database.connection_context(), self.database.atomic():
            pass

    def request(self, key: int) -> dict[str, Any]:
        """See Peer."""
        with self.database.connection_context(), self.database.atomic():
            return dict(self.models["item"].get_by_id(key).__data__)

    def joined(self, row: Any) -> tuple[Any, ...]:
        """See Peer."""
        return row.id, row.quantity, row.sold_at, row.product, row.price, row.maker


def connect(place: Place) -> Any:
    """A pool of ten connections."""
    login = place.login
    database = login.pop("database")
    if place.db_type == "sqlite":
        options: dict[str, Any] = {
            "pragmas": {"foreign_keys": 1},
            "check_same_thread": False,
        }  # the pool hands them across threads
        return PooledSqliteDatabase(database, max_connections=10, **options)
    kind = {"postgresql": PooledPostgresqlDatabase, "mysql": PooledMySQLDatabase}[place.db_type]
    charset = {"charset": "utf8mb4"} if place.db_type == "mysql" else {}
    return kind(database, max_connections=10, **login, **charset)


_FIELDS: dict[str, Any] = {
    "int": peewee.IntegerField,
    "uuid": peewee.UUIDField,
    "str": peewee.CharField,
    "decimal": lambda: peewee.DecimalField(max_digits=12, decimal_places=2),
    "bool": peewee.BooleanField,
    "float": peewee.DoubleField,
    "moment": peewee.DateTimeField,
}
