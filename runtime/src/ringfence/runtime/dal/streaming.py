"""Rows one at a time: PyDAL's IterRows over a select that is fetched and decoded in batches."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pydal.objects import IterRows
from pydal.objects import Row as PydalRow

from ringfence.runtime.dal.rows import PlainData, wrapped
from ringfence.runtime.session.stream import Stream

Decode = Callable[[Sequence[Any]], list[Any]]

FIRST_ROWS = 100
MOST_ROWS = 2_000
BATCH_OCTETS = 2_000_000


class StreamedRows(PlainData, IterRows):  # type: ignore[misc]  # pydal is untyped
    """Rows that are fetched as they are read; closed at the end, when dropped, or when the session ends.

    Args:
        db: the DAL.
        fields: what was selected.
        colnames: PyDAL's names of the columns.
        stream: fetches further rows.
        first: the first rows, as the driver gave them.
        decode: converts the driver's tuples to rows.
    """

    def __init__(
        self, db: Any, fields: Any, colnames: Any, stream: Stream, first: list[Any], decode: Decode
    ) -> None:
        self.db, self.fields, self.colnames = db, fields, colnames
        self.blob_decode, self.cacheable, self.compact = True, False, True
        self._head: Any = None
        self.last_item: Any = None
        self.last_item_id: int | None = None
        self._stream, self._decode = stream, decode
        stream.read_by(self)
        self._count = next_count(first)
        self._ready: Iterator[Any] = iter(decode(first))

    def __next__(self) -> Any:
        for row in self._ready:
            return self._seen(row)
        if not self._read_on():
            raise StopIteration
        return next(self._ready)

    def __iter__(self) -> Iterator[Any]:
        if self._head is not None:
            yield self._head
        while True:
            for row in self._ready:
                yield self._seen(row)
            if not self._read_on():
                return

    def _seen(self, row: Any) -> Any:
        """Return the row, or with `compact` False, PyDAL's outer row."""
        if self.compact or any(isinstance(part, PydalRow) for part in row.__dict__.values()):
            return row
        return wrapped(self.fields[0].tablename, row)

    def _read_on(self) -> bool:
        rows = self._stream.fetch(self._count)
        self._count = next_count(rows)
        self._ready = iter(self._decode(rows))
        return bool(rows)

    def __getitem__(self, key: Any) -> Any:
        """Return the row with this number, counted from 0; rows that were passed over are not kept.

        Raises:
            IndexError: for a row that was passed over or does not exist.
            TypeError: for a key that is not an integer.
        """
        if not isinstance(key, int):
            raise TypeError(f"rows are counted by whole numbers, not {key!r}")
        if key == self.last_item_id:
            return self.last_item
        passed = -1 if self.last_item_id is None else self.last_item_id
        if key <= passed:
            raise IndexError(f"row {key} was passed over already: select() gives rows to keep")
        row = None
        try:
            for _ in range(key - passed):
                row = next(self)
        except StopIteration:
            raise IndexError(f"there is no row {key}") from None
        self.last_item_id, self.last_item = key, row
        return row

    def as_trees(
        self, parent_name: str = "parent_id", children_name: str = "children", render: Any = False
    ) -> Any:
        """Return the rows as trees; PyDAL's version would iterate over them twice.

        Args:
            parent_name: the field that refers to the parent row.
            children_name: the name for the list of child rows.
            render: whether values are shown by each field's `represent`.
        """
        rows = self if render else list(self)
        return IterRows.as_trees(rows, parent_name, children_name, render)

    def close(self) -> None:
        """Skip the remaining rows; the stream is closed before the session's next statement."""
        self._stream.discard()


def next_count(rows: Sequence[Any]) -> int:
    """Return how many rows to fetch next so that a batch stays small, judged by a sample of the last rows."""
    if len(rows) < FIRST_ROWS:
        return FIRST_ROWS
    some = (rows[0], rows[len(rows) // 3], rows[len(rows) // 2], rows[-1])
    return max(1, min(MOST_ROWS, BATCH_OCTETS // max(map(_octets, some))))


def _octets(row: Any) -> int:
    return sum(len(value) if isinstance(value, str | bytes | memoryview) else 24 for value in row)
