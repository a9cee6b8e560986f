"""Inserts many rows with few statements: the columns are worked out once per set of field names, values per row."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydal.helpers.classes import Reference
from pydal.objects import Expression
from pydal.objects import Row as PydalRow
from pydal.validators import LazyCrypt

from ringfence.runtime.dal.decode_errors import read_key
from ringfence.runtime.dal.operands import operand
from ringfence.runtime.dal.sequence_defaults import without_drawn
from ringfence.runtime.engines import StatementContext
from ringfence.runtime.errors import DataError, UnknownName
from ringfence.runtime.values.codecs import Quote

BATCH_ROWS = 1_000
BATCH_CHARACTERS = 1_000_000


def insert_many(adapter: Any, table: Any, items: Iterable[Mapping[str, Any]]) -> list[Any]:
    """Insert rows in the given order.

    Args:
        adapter: the DAL's adapter.
        table: a table of the mirror.
        items: the rows; they may have different fields.

    Returns:
        The keys in order, as `insert` returns them; None for each key that the engine does not report.

    Raises:
        DataError: for an invalid value, with the row's number, counted from 0, and the column.
    """
    keys: list[Any] = []
    batch: _Batch | None = None
    for number, item in enumerate(items):
        if batch is None or not batch.takes(item):
            if batch is not None:
                keys += batch.send()
            batch = _Batch(adapter, table, item)
        batch.add(number, item)
    return keys + (batch.send() if batch is not None else [])


class _Batch:
    """Rows with the same fields, collected for one INSERT."""

    def __init__(self, adapter: Any, table: Any, first: Mapping[str, Any]) -> None:
        self._adapter, self._table = adapter, table
        self._names = first.keys()
        if unknown := [name for name in first if name not in table.fields]:
            raise UnknownName(table._unknown(unknown[0]))
        defaults = [field for field in table if field.name not in first and field.default is not None]
        self._named, self._filled = [table[name] for name in first], defaults
        self._fields = self._named + self._filled
        self._defaults = [(field, field.default) for field in defaults]
        table._allowed("insert", [field.name for field in self._fields])
        self._quote: Quote = adapter.backend.quote(adapter.connection)
        self._columns = ",".join(field._rname for field in self._fields)
        self._writers = [(field.name, field, field.type.codec.store) for field in self._fields]
        keys = {c.field for c in table._mirror.columns.values() if c.name in table._mirror.primary_key}
        self._keys = [field for field in self._fields if field.name in keys]
        self._makes_reference = not without_drawn(self._keys) and "id" in [table[name].type for name in keys]
        self._rows: list[str] = []
        self._values: list[list[tuple[Any, Any]]] = []
        self._size = 0

    def takes(self, item: Mapping[str, Any]) -> bool:
        """Return whether a row can be added to the same statement."""
        return item.keys() == self._names and len(self._rows) < BATCH_ROWS and self._size < BATCH_CHARACTERS

    def add(self, number: int, item: Mapping[str, Any]) -> None:
        """Add the literals of one row.

        Args:
            number: the row's number, for errors.
            item: the row's values by field name.

        Raises:
            DataError: for a value that its column does not accept.
        """
        values = dict(item)
        for name, value in item.items():
            if callable(value) and not isinstance(value, PydalRow):
                values[name] = value()
            elif value.__class__ is LazyCrypt:
                values[name] = operand(value)
        for field, default in self._defaults:
            values[field.name] = default() if callable(default) else default
        literals = []
        for name, field, store in self._writers:
            value = values[name]
            try:
                written = (
                    self._adapter.store(value, field)
                    if isinstance(value, Expression)
                    else store(operand(value, field.type) if callable(value) else value, self._quote)
                )
            except DataError as error:
                raise DataError(f"row {number}: {field._tablename}.{name}: {error}") from error.__cause__
            literals.append(written)
        row = f"({','.join(literals)})"
        self._size += len(row)
        self._rows.append(row)
        self._values.append([(field, values[field.name]) for field in self._keys])

    def send(self) -> list[Any]:
        """Insert the collected rows and return their keys."""
        adapter, table = self._adapter, self._table
        if not self._fields:
            return [adapter.insert(table, []) for _ in self._rows]
        returning = adapter.returning_many(table, [*self._named, *without_drawn(self._filled)])
        session = adapter.sessions.current()
        context = StatementContext("insert", table._dalname)
        cursor = session.execute(
            f"INSERT INTO {table._relation('insert')}({self._columns})"
            f" VALUES {','.join(self._rows)}{returning or ''}",
            context=context,
        )
        made: list[Any] = [None] * len(self._rows)
        if returning:
            made = [row[0] for row in session.reading(cursor.fetchall, context)]
            if self._makes_reference:
                return [_reference(table, key) for key in made]
        return [
            adapter.key_of(table, values, lambda field, key=key: read_key(field, key))
            for values, key in zip(self._values, made, strict=True)
        ]


def _reference(table: Any, key: int) -> Reference:
    made = Reference(key)
    made._table, made._record = table, None
    return made
