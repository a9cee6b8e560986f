"""Primary keys as positions in the order of a table's rows: compared in SQL, and stored as JSON."""

import datetime as dt
import uuid
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

Key = tuple[Any, ...]

# Type that JSON does not have -> how to parse it from text.
_FROM_TEXT: Mapping[type[Any], Callable[[str], Any]] = {
    uuid.UUID: uuid.UUID,
    Decimal: Decimal,
    dt.datetime: dt.datetime.fromisoformat,
    dt.date: dt.date.fromisoformat,
    dt.time: dt.time.fromisoformat,
    bytes: bytes.fromhex,
}


class Keys:
    """The columns of one primary key, in their order."""

    def __init__(self, columns: Sequence[sa.ColumnClause[Any]]) -> None:
        self.columns = tuple(columns)
        self.names = tuple(column.name for column in self.columns)

    def after(self, key: Key | None) -> sa.ColumnElement[bool]:
        """Return the condition of the rows after a key; of all rows for None."""
        return sa.true() if key is None else self._compared(key)

    def until(self, key: Key) -> sa.ColumnElement[bool]:
        """Return the condition of the rows up to and including a key."""
        first = self.columns[0]
        return first <= key[0] if len(self.columns) == 1 else sa.not_(self._compared(key))

    def equal(self, key: Key) -> sa.ColumnElement[bool]:
        """Return the condition of the row with a key."""
        return sa.and_(*(column == value for column, value in zip(self.columns, key, strict=True)))

    def _compared(self, key: Key) -> sa.ColumnElement[bool]:
        """Return (a, b) > (x, y) in expanded form, because not every engine uses an index for the row comparison."""
        ways = []
        for index, column in enumerate(self.columns):
            same = [one == value for one, value in zip(self.columns[:index], key, strict=False)]
            ways.append(sa.and_(*same, column > key[index]))
        return sa.or_(*ways)

    def encode(self, key: Key) -> list[Any]:
        """Return a key as values that JSON can store."""
        return [self._text(value) for value in key]

    def decode(self, values: Sequence[Any]) -> Key:
        """Return a key from the values of `encode`, by the types of the columns."""
        return tuple(
            value if read is None else read(value)
            for value, read in zip(values, map(self._reader, self.columns), strict=True)
        )

    @staticmethod
    def _text(value: Any) -> Any:
        if isinstance(value, bytes):
            return value.hex()
        if isinstance(value, dt.date | dt.time):
            return value.isoformat()
        return str(value) if isinstance(value, uuid.UUID | Decimal) else value

    @staticmethod
    def _reader(column: sa.ColumnClause[Any]) -> Callable[[str], Any] | None:
        try:
            kind = column.type.python_type
        except NotImplementedError:
            return None
        return _FROM_TEXT.get(kind)
