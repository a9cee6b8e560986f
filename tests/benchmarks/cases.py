"""The cases: what each peer is asked to do, and how the harness sees that it was done."""

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks import data
from benchmarks.compare import Different, compared
from benchmarks.peers.base import Peer
from benchmarks.peers.raw import Raw

Work = Callable[[], Any]


@dataclass(frozen=True)
class Case:
    """One line of the table."""

    name: str
    title: str
    needs: str
    """The function of `Peer` that it calls."""
    work: Callable[[Peer], Work]
    """What is timed, made once for each peer."""
    check: Callable[[Peer, Raw, Any], set[str]]
    """Looks at what the work returned and left; gives in what ways its types are poorer. Raises Different."""
    in_unit: bool = True
    """Whether it is timed within a transaction that is open already."""
    writes: bool = False


def expected_items(count: int) -> list[tuple[Any, ...]]:
    """The rows of `item`, and of `event` as far as they go, in the order of `data.ITEM`."""
    return [(number, *row.values()) for number, row in enumerate(data.items(count), 1)]


# -- reading


def _one_row(peer: Peer) -> Work:
    keys = itertools.cycle(range(1, peer.place.sizes.listed + 1))
    return lambda: peer.one_row(next(keys))


def _check_one_row(peer: Peer, raw: Raw, row: Any) -> set[str]:
    values = peer.values(row, data.ITEM)
    return compared(
        [item for item in expected_items(peer.place.sizes.listed) if item[0] == values[0]], [values]
    )


def _rows(peer: Peer) -> Work:
    count = peer.place.sizes.listed
    return lambda: peer.rows(count)


def _check_rows(peer: Peer, raw: Raw, rows: Any) -> set[str]:
    return compared(expected_items(peer.place.sizes.listed), [peer.values(row, data.ITEM) for row in rows])


def _rows_read(peer: Peer) -> Work:
    count = peer.place.sizes.listed

    def work() -> Any:
        rows = peer.rows(count)
        peer.read(rows)
        return rows

    return work


def _check_wide(peer: Peer, raw: Raw, rows: Any) -> set[str]:
    wanted = [tuple(row[name] for name in data.WIDE) for row in data.wides(peer.place.sizes.wide)]
    return compared(wanted, [peer.values(row, data.WIDE) for row in rows])


def _check_join(peer: Peer, raw: Raw, rows: Any) -> set[str]:
    tables = dict(data.shop(peer.place.sizes.joined))
    makers = {row["id"]: row for row in tables["maker"]}
    products = {row["id"]: row for row in tables["product"]}
    wanted = []
    for sale in tables["sale"]:
        product = products[sale["product_id"]]
        maker = makers[product["maker_id"]]["name"]
        wanted.append(
            (sale["id"], sale["quantity"], sale["sold_at"], product["name"], product["price"], maker)
        )
    return compared(wanted, [peer.joined(row) for row in rows])


def _join_read(peer: Peer) -> Work:
    def work() -> Any:
        rows = peer.join()
        for row in rows:
            peer.joined(row)
        return rows

    return work


def _stream(peer: Peer) -> Work:
    def work() -> Any:
        count, row = 0, None
        for row in peer.stream():  # noqa: B007  # the last one is looked at
            count += 1
        return count, row

    return work


def _check_stream(peer: Peer, raw: Raw, result: Any) -> set[str]:
    count, row = result
    if count != peer.place.sizes.streamed:
        raise Different(f"{count} rows in the place of {peer.place.sizes.streamed}")
    values = peer.values(row, data.ITEM)
    there = raw.look(f"SELECT {', '.join(data.ITEM)} FROM event WHERE id = ?", values[0])
    return compared(raw.item(there), [values])


# -- writing


def _insert_one(peer: Peer) -> Work:
    row = data.items(1, seed=3)[0]
    return lambda: peer.insert_one(dict(row))


def _check_insert_one(peer: Peer, raw: Raw, key: Any) -> set[str]:
    stored = _stored(raw)
    found = _as_stored(data.items(1, seed=3), stored)
    return found if key == stored[-1][0] else found | {"no key comes back"}


def _insert_many(peer: Peer) -> Work:
    rows = data.items(peer.place.sizes.inserted, seed=4)
    return lambda: peer.insert_many(rows)


def _check_insert_many(peer: Peer, raw: Raw, result: Any) -> set[str]:
    return _as_stored(data.items(peer.place.sizes.inserted, seed=4), _stored(raw))


def _stored(raw: Raw) -> list[tuple[Any, ...]]:
    return raw.item(raw.look(f"SELECT {', '.join(data.ITEM)} FROM entry ORDER BY id"))


def _as_stored(rows: list[data.Row], stored: list[tuple[Any, ...]]) -> set[str]:
    ways = compared([tuple(row.values()) for row in rows], [row[1:] for row in stored])
    return {f"stores {way}" for way in ways}


_CHANGED_KEY = 7


def _update(peer: Peer) -> Work:
    changes = itertools.cycle([data.items(2, seed=5)[0], data.items(2, seed=5)[1]])
    return lambda: peer.update(_CHANGED_KEY, next(changes))


def _check_update(peer: Peer, raw: Raw, result: Any) -> set[str]:
    changed = raw.item(raw.look(f"SELECT {', '.join(data.ITEM)} FROM item WHERE id = ?", _CHANGED_KEY))[0]
    first = data.items(2, seed=5)[0]
    return compared([(first["price"], first["active"])], [changed[2:4]])


def _upsert(peer: Peer) -> Work:
    values = itertools.count(1000)
    return lambda: peer.upsert({"name": "counter 5", "value": next(values), "changed": data.START})


def _check_upsert(peer: Peer, raw: Raw, result: Any) -> set[str]:
    return compared([(1000,)], raw.look("SELECT value FROM counter WHERE name = ?", "counter 5"))


def _nothing(peer: Peer, raw: Raw, result: Any) -> set[str]:
    return set()


CASES: tuple[Case, ...] = (
    Case("one-row", "one row by key", "one_row", _one_row, _check_one_row),
    Case("rows-1000x5", "{listed:,} rows of 5 columns", "rows", _rows, _check_rows),
    Case("rows-1000x5-read", "… and each value read by name", "rows", _rows_read, _check_rows),
    Case("rows-10000x20", "{wide:,} rows of 20 columns", "wide", lambda peer: peer.wide, _check_wide),
    Case("join-3", "join of three, {joined:,} rows", "join", lambda peer: peer.join, _check_join),
    Case("join-3-read", "… and each value read", "join", _join_read, _check_join),
    Case("insert-one", "insert one", "insert_one", _insert_one, _check_insert_one, writes=True),
    Case("insert-10000", "insert {inserted:,}", "insert_many", _insert_many, _check_insert_many, writes=True),
    Case("update", "update by key", "update", _update, _check_update, writes=True),
    Case("upsert", "upsert", "upsert", _upsert, _check_upsert, writes=True),
    Case("stream", "stream {streamed:,} rows", "stream", _stream, _check_stream),
    Case("session", "session of one `SELECT 1`", "session", lambda peer: peer.session, _nothing, in_unit=False),
    Case(
        "session-empty", "session of nothing", "empty_session", lambda peer: peer.empty_session, _nothing, in_unit=False
    ),
)  # fmt: skip


no_unit = contextlib.nullcontext
"""For what opens its own transaction."""


def takes_part(peer: Peer | type[Peer], case: Case) -> bool:
    """Whether a peer defines what a case needs."""
    kind = peer if isinstance(peer, type) else type(peer)
    return getattr(kind, case.needs) is not getattr(Peer, case.needs)


def tried(case: Case, peer: Peer, raw: Raw) -> tuple[Work, set[str]]:
    """A peer's work, after one run that was committed and looked at; and in what ways its types are poorer.

    Raises:
        Different: when the peer gave or stored something else.
    """
    work = case.work(peer)
    if case.in_unit:
        with peer.unit(commit=case.writes):
            result = work()
            # What a read brought may be alive only as long as its transaction.
            found = set() if case.writes else case.check(peer, raw, result)
        if case.writes:
            found = case.check(peer, raw, result)
    else:
        found = case.check(peer, raw, work())
    restore(raw, case)
    return work, found


def restore(raw: Raw, case: Case) -> None:
    """Take back what a case left."""
    if not case.writes:
        return
    item = data.items(_CHANGED_KEY)[-1]
    with raw.unit(commit=True):
        raw.cursor.execute("DELETE FROM entry")
        raw.update(_CHANGED_KEY, item)
        raw.upsert(data.counters()[5])
