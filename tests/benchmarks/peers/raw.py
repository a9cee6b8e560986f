"""The bare driver, as a careful hand would write it: psycopg2, PyMySQL or sqlite3, and only the conversions it needs."""

import contextlib
import datetime as dt
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from benchmarks import data
from benchmarks.data import Row
from benchmarks.peers.base import Peer
from benchmarks.place import Place

Convert = Mapping[str, str]

# Per driver: kind of value -> the expression that makes it from what the driver gives, and the one that sends it.
_DECODE: Mapping[str, Convert] = {
    "postgresql": {},
    "mysql": {"uuid": "UUID({})", "bool": "{} != 0", "moment": "{}.replace(tzinfo=UTC)"},
    "sqlite": {
        "uuid": "UUID({})",
        "bool": "{} != 0",
        "moment": "parse({}).replace(tzinfo=UTC)",
        "decimal": "Decimal('%.2f' % {})",
    },
}
_ENCODE: Mapping[str, Convert] = {
    "postgresql": {},
    "mysql": {"uuid": "str({})", "moment": "{}.astimezone(UTC).replace(tzinfo=None)"},
    "sqlite": {
        "uuid": "{}.hex",
        "moment": "{}.astimezone(UTC).strftime('%Y-%m-%d %H:%M:%S.%f')",
        "decimal": "float({})",
    },
}
_NAMES = {"UUID": uuid.UUID, "UTC": dt.UTC, "parse": dt.datetime.fromisoformat, "Decimal": Decimal}


class Raw(Peer):
    """What the others are measured against: tuples of the right types."""

    name = "raw"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.local = threading.local()
        self.opened: list[Any] = []
        self.connection = self.connect()
        self.looking: Any = None
        self.cursor = self.connection.cursor()
        self.db_type = place.db_type
        self.mark = "?" if self.db_type == "sqlite" else "%s"
        columns = data.COLUMNS
        self.item = self.decoder(columns["item"])
        self.wides = self.decoder(columns["wide"])
        self.joins = self.decoder(data.JOINED)
        new = {name: columns["item"][name] for name in data.NEW}
        self.entry = self.encoder(new)
        self.counter = self.encoder(columns["counter"])
        self.change = self.encoder({name: new[name] for name in ("price", "active")})
        marks = ", ".join([self.mark] * len(new))
        self.select = f"SELECT {', '.join(data.ITEM)} FROM item WHERE id "
        self.insert = f"INSERT INTO entry ({', '.join(new)}) VALUES ({marks})"
        self.upserting = _UPSERT[self.db_type].replace("?", self.mark)

    def connect(self) -> Any:
        """A connection with autocommit off, or on SQLite one that begins nothing by itself."""
        login = self.place.login
        if self.place.db_type == "postgresql":
            import psycopg2
            import psycopg2.extras

            made = psycopg2.connect(dbname=login.pop("database"), **login)
            psycopg2.extras.register_uuid(conn_or_curs=made)
        elif self.place.db_type == "mysql":
            import pymysql

            made = pymysql.connect(charset="utf8mb4", autocommit=False, **login)
        else:
            import sqlite3

            made = sqlite3.connect(login["database"], isolation_level=None, check_same_thread=False)
            made.execute("PRAGMA journal_mode = WAL")
            made.execute("PRAGMA foreign_keys = ON")
        self.opened.append(made)
        return made

    def close(self) -> None:
        """See Peer."""
        for connection in self.opened:
            connection.close()

    def decoder(self, kinds: Mapping[str, str]) -> Callable[[Any], list[tuple[Any, ...]]]:
        """`lambda rows: [(a, UUID(b), c != 0) for a, b, c in rows]`, or `list` where the driver gives all types."""
        convert = _DECODE[self.place.db_type]
        if not convert:
            return list
        names = ", ".join(kinds)
        made = ", ".join(convert.get(kind, "{}").format(name) for name, kind in kinds.items())
        decode: Any = eval(f"lambda rows: [({made}) for {names} in rows]", dict(_NAMES))  # noqa: S307  # see above
        return decode  # type: ignore[no-any-return]

    def encoder(self, kinds: Mapping[str, str]) -> Callable[[Row], tuple[Any, ...]]:
        """`lambda row: (str(row["ident"]), row["price"], …)`."""
        convert = _ENCODE[self.place.db_type]
        made = ", ".join(convert.get(kind, "{}").format(f"row[{name!r}]") for name, kind in kinds.items())
        encode: Any = eval(f"lambda row: ({made})", dict(_NAMES))  # noqa: S307  # see above
        return encode  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def unit(self, commit: bool = False) -> Iterator[None]:
        """See Peer."""
        if self.db_type == "sqlite":
            self.cursor.execute("BEGIN")
        yield
        if commit:
            self.connection.commit()
        else:
            self.connection.rollback()

    def look(self, sql: str, *given: Any) -> list[tuple[Any, ...]]:
        """Rows as the driver gives them, over a connection that has no other use and sees what is committed."""
        if self.looking is None:
            self.looking = self.connect()
        cursor = self.looking.cursor()
        cursor.execute(sql.replace("?", self.mark), given)
        rows = list(cursor.fetchall())
        cursor.close()
        self.looking.rollback()
        return rows

    def one_row(self, key: int) -> Any:
        """See Peer."""
        self.cursor.execute(self.select + "= " + self.mark, (key,))
        return self.item(self.cursor.fetchall())[0]

    def rows(self, count: int) -> Any:
        """See Peer."""
        self.cursor.execute(self.select + "<= " + self.mark, (count,))
        return self.item(self.cursor.fetchall())

    def wide(self) -> Any:
        """See Peer."""
        self.cursor.execute(f"SELECT {', '.join(data.WIDE)} FROM wide")
        return self.wides(self.cursor.fetchall())

    def join(self) -> Any:
        """See Peer."""
        self.cursor.execute(_JOIN)
        return self.joins(self.cursor.fetchall())

    def stream(self) -> Iterable[Any]:
        """See Peer."""
        select = f"SELECT {', '.join(data.ITEM)} FROM event"
        if self.db_type == "postgresql":
            cursor = self.connection.cursor("benchmark")
            cursor.itersize = 2000
        elif self.db_type == "mysql":
            import pymysql.cursors

            cursor = self.connection.cursor(pymysql.cursors.SSCursor)
        else:
            cursor = self.connection.cursor()
        with contextlib.closing(cursor):
            cursor.execute(select)
            while rows := cursor.fetchmany(2000):
                yield from self.item(rows)

    def insert_one(self, row: Row) -> Any:
        """See Peer."""
        if self.db_type == "postgresql":
            self.cursor.execute(self.insert + " RETURNING id", self.entry(row))
            return self.cursor.fetchone()[0]
        self.cursor.execute(self.insert, self.entry(row))
        return self.cursor.lastrowid

    def insert_many(self, rows: list[Row]) -> Any:
        """See Peer."""
        given = [self.entry(row) for row in rows]
        if self.db_type == "postgresql":
            from psycopg2.extras import execute_values

            insert = f"INSERT INTO entry ({', '.join(data.NEW)}) VALUES %s RETURNING id"
            return execute_values(self.cursor, insert, given, page_size=1000, fetch=True)
        return self.cursor.executemany(self.insert, given)

    def update(self, key: int, row: Row) -> Any:
        """See Peer."""
        sql = f"UPDATE item SET price = {self.mark}, active = {self.mark} WHERE id = {self.mark}"
        self.cursor.execute(sql, (*self.change(row), key))
        return self.cursor.rowcount

    def upsert(self, row: Row) -> Any:
        """See Peer."""
        self.cursor.execute(self.upserting, self.counter(row))

    def session(self) -> None:
        """See Peer."""
        cursor = self.connection.cursor()
        if self.db_type == "sqlite":
            cursor.execute("BEGIN")
        cursor.execute("SELECT 1")
        cursor.fetchall()
        cursor.close()
        self.connection.commit()

    def empty_session(self) -> None:
        """BEGIN and COMMIT by hand."""
        cursor = self.connection.cursor()
        cursor.execute("BEGIN")
        cursor.close()
        self.connection.commit()

    def request(self, key: int) -> dict[str, Any]:
        """See Peer."""
        connection = getattr(self.local, "connection", None)
        if connection is None:
            connection = self.local.connection = self.connect()
        cursor = connection.cursor()
        if self.db_type == "sqlite":
            cursor.execute("BEGIN")
        cursor.execute(self.select + "= " + self.mark, (key,))
        row = self.item(cursor.fetchall())[0]
        cursor.close()
        connection.commit()
        return dict(zip(data.ITEM, row, strict=True))

    def values(self, row: Any, columns: Iterable[str]) -> tuple[Any, ...]:
        """See Peer."""
        return tuple(row)

    def read(self, rows: Any) -> None:
        """See Peer."""
        for _id, _ident, _price, _active, _made in rows:
            pass

    def joined(self, row: Any) -> tuple[Any, ...]:
        """See Peer."""
        return tuple(row)


_JOIN = (
    "SELECT sale.id, sale.quantity, sale.sold_at, product.name, product.price, maker.name FROM sale "
    "JOIN product ON sale.product_id = product.id JOIN maker ON product.maker_id = maker.id"
)
_CONFLICT = (
    "INSERT INTO counter (name, value, changed) VALUES (?, ?, ?) "
    "ON CONFLICT (name) DO UPDATE SET value = excluded.value, changed = excluded.changed"
)
_UPSERT = {
    "postgresql": _CONFLICT,
    "sqlite": _CONFLICT,
    "mysql": "INSERT INTO counter (name, value, changed) VALUES (?, ?, ?) "
    "ON DUPLICATE KEY UPDATE value = VALUES(value), changed = VALUES(changed)",
}
