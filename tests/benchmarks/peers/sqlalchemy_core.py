"""SQLAlchemy Core, over the tables of the deployment's models."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from benchmarks.data import Row
from benchmarks.peers.base import Peer
from benchmarks.place import Place


class SqlalchemyCore(Peer):
    """Statements made in each call, as in a view; SQLAlchemy caches what it compiled."""

    name = "sqlalchemy-core"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.engine = engine(place)
        self.connection: Any = None
        tables = place.tables
        self.item, self.entry, self.event = tables["item"], tables["entry"], tables["event"]
        self.sale, self.product, self.maker = tables["sale"], tables["product"], tables["maker"]
        self.wides, self.counter = tables["wide"], tables["counter"]

    def close(self) -> None:
        """See Peer."""
        self.engine.dispose()

    @contextlib.contextmanager
    def unit(self, commit: bool = False) -> Iterator[None]:
        """See Peer."""
        with self.engine.connect() as self.connection:
            yield
            if commit:
                self.connection.commit()

    def one_row(self, key: int) -> Any:
        """See Peer."""
        return self.connection.execute(sa.select(self.item).where(self.item.c.id == key)).one()

    def rows(self, count: int) -> Any:
        """See Peer."""
        return self.connection.execute(sa.select(self.item).where(self.item.c.id <= count)).all()

    def wide(self) -> Any:
        """See Peer."""
        return self.connection.execute(sa.select(self.wides)).all()

    def join(self) -> Any:
        """See Peer."""
        sale, product, maker = self.sale.c, self.product.c, self.maker.c
        select = sa.select(
            sale.id, sale.quantity, sale.sold_at, product.name, product.price, maker.name.label("maker")
        )
        joined = self.sale.join(self.product, sale.product_id == product.id)
        return self.connection.execute(
            select.select_from(joined.join(self.maker, product.maker_id == maker.id))
        ).all()

    def stream(self) -> Iterable[Any]:
        """See Peer."""
        return self.connection.execution_options(yield_per=2000).execute(sa.select(self.event))  # type: ignore[no-any-return]

    def insert_one(self, row: Row) -> Any:
        """See Peer."""
        return self.connection.execute(self.entry.insert().values(**row)).inserted_primary_key[0]

    def insert_many(self, rows: list[Row]) -> Any:
        """See Peer."""
        return self.connection.execute(self.entry.insert(), rows)

    def update(self, key: int, row: Row) -> Any:
        """See Peer."""
        change = self.item.update().where(self.item.c.id == key)
        return self.connection.execute(change.values(price=row["price"], active=row["active"])).rowcount

    def upsert(self, row: Row) -> Any:
        """See Peer."""
        return self.connection.execute(upserting(self.place, self.counter, row))

    def session(self) -> None:
        """See Peer."""
        with self.engine.begin() as connection:
            connection.exec_driver_sql("SELECT 1").all()

    def empty_session(self) -> None:
        """See Peer."""
        with self.engine.begin():
            pass

    def request(self, key: int) -> dict[str, Any]:
        """See Peer."""
        with self.engine.begin() as connection:
            row = connection.execute(sa.select(self.item).where(self.item.c.id == key)).one()
            return dict(row._mapping)

    def joined(self, row: Any) -> tuple[Any, ...]:
        """See Peer."""
        return tuple(row)


def engine(place: Place) -> sa.Engine:
    """An engine with the pool's defaults but ten connections; SQLite begins explicitly, as its manual advises."""
    made = sa.create_engine(place.url(), pool_size=10)
    if place.db_type == "sqlite":
        sa.event.listen(made, "connect", lambda connection, record: _plain_sqlite(connection))
        sa.event.listen(made, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return made


def _plain_sqlite(connection: Any) -> None:
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")


def upserting(place: Place, counter: Any, row: Row) -> Any:
    """The statement that inserts a counter or changes the one of its name."""
    if place.db_type == "mysql":
        insert = mysql.insert(counter).values(**row)
        return insert.on_duplicate_key_update(value=insert.inserted.value, changed=insert.inserted.changed)
    dialect: Any = postgresql if place.db_type == "postgresql" else sqlite
    insert = dialect.insert(counter).values(**row)
    changed = {"value": insert.excluded.value, "changed": insert.excluded.changed}
    return insert.on_conflict_do_update(index_elements=["name"], set_=changed)
