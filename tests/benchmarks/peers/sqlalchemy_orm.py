"""SQLAlchemy ORM, over the deployment's models."""

import contextlib
import importlib
from collections.abc import Iterable, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from benchmarks.data import Row
from benchmarks.peers.base import Peer
from benchmarks.peers.sqlalchemy_core import engine, upserting
from benchmarks.place import Place


class SqlalchemyOrm(Peer):
    """One Session per unit of work; before each read it forgets what it holds, or it would give objects made before."""

    name = "sqlalchemy-orm"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.engine = engine(place)
        self.orm: Any = None
        self.models: dict[str, Any] = models(place)

    def close(self) -> None:
        """See Peer."""
        self.engine.dispose()

    @contextlib.contextmanager
    def unit(self, commit: bool = False) -> Iterator[None]:
        """See Peer."""
        with Session(self.engine) as self.orm:
            yield
            if commit:
                self.orm.commit()

    def one_row(self, key: int) -> Any:
        """See Peer."""
        self.orm.expunge_all()
        return self.orm.get(self.models["item"], key)

    def rows(self, count: int) -> Any:
        """See Peer."""
        self.orm.expunge_all()
        item = self.models["item"]
        return self.orm.scalars(sa.select(item).where(item.id <= count)).all()

    def wide(self) -> Any:
        """See Peer."""
        self.orm.expunge_all()
        return self.orm.scalars(sa.select(self.models["wide"])).all()

    def join(self) -> Any:
        """See Peer."""
        sale, product, maker = (self.models[name] for name in ("sale", "product", "maker"))
        columns = (sale.id, sale.quantity, sale.sold_at, product.name, product.price, maker.name)
        select = sa.select(*columns).join(product, sale.product_id == product.id)
        return self.orm.execute(select.join(maker, product.maker_id == maker.id)).all()

    def stream(self) -> Iterable[Any]:
        """See Peer."""
        select = sa.select(self.models["event"])
        return self.orm.scalars(select.execution_options(yield_per=2000))  # type: ignore[no-any-return]

    def insert_one(self, row: Row) -> Any:
        """See Peer."""
        entry = self.models["entry"](**row)
        self.orm.add(entry)
        self.orm.flush()
        return entry.id

    def insert_many(self, rows: list[Row]) -> Any:
        """See Peer."""
        entry = self.models["entry"]
        self.orm.add_all([entry(**row) for row in rows])
        self.orm.flush()

    def update(self, key: int, row: Row) -> Any:
        """See Peer."""
        item = self.models["item"]
        change = sa.update(item).where(item.id == key).values(price=row["price"], active=row["active"])
        return self.orm.execute(change).rowcount

    def upsert(self, row: Row) -> Any:
        """See Peer."""
        return self.orm.execute(upserting(self.place, self.models["counter"], row))

    def session(self) -> None:
        """See Peer."""
        with Session(self.engine) as session, session.begin():
            session.execute(sa.text("SELECT 1")).all()

    def empty_session(self) -> None:
        """See Peer."""
        with Session(self.engine) as session, session.begin():
            pass

    def request(self, key: int) -> dict[str, Any]:
        """See Peer."""
        with Session(self.engine) as session, session.begin():
            item: Any = session.get(self.models["item"], key)
            return {name: getattr(item, name) for name in ("id", "ident", "price", "active", "made")}

    def joined(self, row: Any) -> tuple[Any, ...]:
        """See Peer."""
        return tuple(row)


def models(place: Place) -> dict[str, Any]:
    """Table -> its class in the deployment's models."""
    base = importlib.import_module("bench_models").Base  # loaded with the deployment
    return {mapper.local_table.name: mapper.class_ for mapper in base.registry.mappers}
