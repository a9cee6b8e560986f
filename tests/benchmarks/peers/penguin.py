"""penguin-dal: PyDAL's manner of speech over SQLAlchemy, with tables read from the database."""

import contextlib
from collections.abc import Iterator
from typing import Any

from penguin_dal import DB

from benchmarks.data import Row
from benchmarks.peers.base import Peer
from benchmarks.place import Place


class Penguin(Peer):
    """Each call takes a connection, runs in a transaction of its own and commits it: there is no other way."""

    name = "penguin-dal"
    cannot = {  # noqa: RUF012  # a constant
        "join": "selects from one table",
        "upsert": "has none",
        "stream": "reads the whole result",
    }
    notes = (
        "penguin-dal has no transaction around several calls, so each of its queries pays for a session too",
    )

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.by_hand = place.db_type == "sqlite"
        self.db = DB(place.url().render_as_string(hide_password=False))

    def close(self) -> None:
        """See Peer."""
        self.db.close()

    @contextlib.contextmanager
    def unit(self, commit: bool = False) -> Iterator[None]:
        """See Peer: here it is nothing."""
        yield

    def one_row(self, key: int) -> Any:
        """See Peer."""
        return self.db.item[key]

    def rows(self, count: int) -> Any:
        """See Peer."""
        db = self.db
        return db(db.item.id <= count).select()

    def wide(self) -> Any:
        """See Peer."""
        db = self.db
        return db(db.wide.id > 0).select()

    def insert_one(self, row: Row) -> Any:
        """See Peer."""
        return self.db.entry.insert(**self.sent(row))

    def insert_many(self, rows: list[Row]) -> Any:
        """See Peer."""
        return self.db.entry.bulk_insert([self.sent(row) for row in rows] if self.by_hand else rows)

    def sent(self, row: Row) -> Row:
        """A row as the reflected columns take it: a UUID is text to them where the engine has no such type."""
        return row | {"ident": row["ident"].hex} if self.by_hand else row

    def update(self, key: int, row: Row) -> Any:
        """See Peer."""
        db = self.db
        return db(db.item.id == key).update(price=row["price"], active=row["active"])

    def session(self) -> None:
        """See Peer."""
        self.db.executesql("SELECT 1")

    def request(self, key: int) -> dict[str, Any]:
        """See Peer."""
        return self.db.item[key].as_dict()  # type: ignore[no-any-return]
