"""Inserts and updates many records with few statements: one for each batch of rows with the same fields."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydal.objects import Expression
from pydal.objects import Row as PydalRow
from pydal.validators import LazyCrypt

from ringfence.runtime.dal.decode_errors import read_key
from ringfence.runtime.dal.operands import operand
from ringfence.runtime.dal.pydal_compat import reference_to
from ringfence.runtime.dal.sequence_defaults import without_drawn
from ringfence.runtime.engines import StatementContext
from ringfence.runtime.errors import ArgumentError, DataError, UnknownName
from ringfence.runtime.values.codecs import Quote

INSERT_ROWS = 1_000
INSERT_CHARACTERS = 1_000_000


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
    batch: _Inserts | None = None
    for number, item in enumerate(items):
        if batch is None or not batch.takes(item):
            if batch is not None:
                keys += batch.send()
            batch = _Inserts(adapter, table, item)
        batch.add(number, item)
    return keys + (batch.send() if batch is not None else [])


class _Inserts:
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
        return item.keys() == self._names and len(self._rows) < INSERT_ROWS and self._size < INSERT_CHARACTERS

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
                return [reference_to(table, key) for key in made]
        return [
            adapter.key_of(table, values, lambda field, key=key: read_key(field, key))
            for values, key in zip(self._values, made, strict=True)
        ]


# For each row the server searches the CASE branches of all rows of its statement, so a batch is small.
UPDATE_ROWS = 200
UPDATE_CHARACTERS = 500_000


def update_many(table: Any, items: Iterable[Mapping[str, Any]], key: str | Iterable[str] | None) -> int:
    """Update records by key, as `Table.bulk_update` describes.

    Args:
        table: a table of the mirror.
        items: dicts of field names and values.
        key: the fields that identify a record; the primary key when None.

    Returns:
        How many records were found.
    """
    names = _key_names(table, key)
    found = 0
    batch: _Updates | None = None
    for number, item in enumerate(items):
        if batch is None or not batch.takes(item):
            found += batch.send() if batch is not None else 0
            batch = _Updates(table, names, number, item)
        batch.add(number, item)
    return found + (batch.send() if batch is not None else 0)


def _key_names(table: Any, key: str | Iterable[str] | None) -> tuple[str, ...]:
    if key is not None:
        names = (key,) if isinstance(key, str) else tuple(key)
        if unknown := [name for name in names if name not in table.fields]:
            raise UnknownName(table._unknown(unknown[0]))
        return names
    columns = table._mirror.columns.values()
    fields = {column.name: column.field for column in columns}
    names = tuple(fields[name] for name in table._mirror.primary_key if name in fields)
    if not names or len(names) < len(table._mirror.primary_key):
        raise ArgumentError(
            f"{table._tablename}.bulk_update: this service knows no primary key of it; name the fields that find a"
            " record: key=[…]"
        )
    return names


class _Updates:
    """Rows that change the same fields, collected for one UPDATE."""

    def __init__(self, table: Any, key: tuple[str, ...], number: int, first: Mapping[str, Any]) -> None:
        self._table, self._key = table, key
        self._adapter = table._db._adapter
        self._names = first.keys()
        self._where = f"{table._tablename}.bulk_update"
        if unknown := [name for name in first if name not in table.fields]:
            raise UnknownName(table._unknown(unknown[0]))
        if missing := [name for name in key if name not in first]:
            raise ArgumentError(
                f"{self._where}: row {number} has no {missing[0]}, by which its record is found"
            )
        if len(first) == len(key):
            raise ArgumentError(
                f"{self._where}: row {number} has nothing but its key, so there is nothing to update"
            )
        self._keys: dict[tuple[Any, ...], int] = {}
        self._rows: list[list[tuple[Any, Any]]] = []
        self._changes: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
        self._literals: list[dict[str, str]] = []
        self._size = 0

    def takes(self, item: Mapping[str, Any]) -> bool:
        """Return whether a row can be added to the same statement."""
        return item.keys() == self._names and len(self._rows) < UPDATE_ROWS and self._size < UPDATE_CHARACTERS

    def add(self, number: int, item: Mapping[str, Any]) -> None:
        """Add a row: its key, its values and the on-update values generated for it.

        Args:
            number: the row's number, for errors.
            item: the row's values by field name.

        Raises:
            ArgumentError: for a key that is None or already in the batch, and for an expression as a value.
            DataError: for a value that its column does not accept.
        """
        key = tuple(item[name] for name in self._key)
        if any(value is None for value in key):
            raise ArgumentError(f"{self._where}: the key of row {number} is None, which finds no record")
        literals = {name: self._store(number, self._table[name], item[name]) for name in self._key}
        literal_key = tuple(literals.values())
        if literal_key in self._keys:
            raise ArgumentError(
                f"{self._where}: rows {self._keys[literal_key]} and {number} have the same key"
            )
        self._keys[literal_key] = number
        changes = {name: value for name, value in item.items() if name not in self._key}
        pairs = self._table._fields_and_values_for_update(changes).op_values()
        if not self._rows:
            self._table._allowed("update", [field.name for field, _ in pairs])
        for field, value in pairs:
            literals[field.name] = self._store(number, field, value)
        self._rows.append(pairs)
        self._changes.append((key, changes))
        self._literals.append(literals)
        self._size += sum(map(len, literals.values()))

    def _store(self, number: int, field: Any, value: Any) -> str:
        if isinstance(value, Expression):
            raise ArgumentError(
                f"{self._where}: row {number}: {field.name} is an expression: update that record alone"
            )
        try:
            return str(self._adapter.store(value, field))
        except DataError as error:
            raise DataError(f"row {number}: {error}") from error.__cause__

    def send(self) -> int:
        """Update the collected rows and return how many records were found."""
        table = self._table
        if table._hooked("update"):
            return sum(table._db(self._one(key)).update(**changes) for key, changes in self._changes)
        adapter = self._adapter
        scope = {"current_scope": [table._tablename]}
        keys = [str(adapter.expand(table[name], query_env=scope)) for name in self._key]
        pairs = ",".join(f"{field._rname}={self._case(field, keys)}" for field, _ in self._rows[0])
        sql = str(adapter.dialect.update(table, pairs, adapter._where(table, self._asked(), "update")))
        session = adapter.sessions.current()
        context = StatementContext("update", table._dalname)
        return int(session.execute(sql, context=context).rowcount)

    def _asked(self) -> Any:
        """Return the query for all records of the batch."""
        if len(self._key) == 1:
            field = self._table[self._key[0]]
            return field.belongs([key[0] for key, _ in self._changes])
        queries = [self._one(key) for key, _ in self._changes]
        while len(queries) > 1:  # a balanced tree: a chain would exceed the recursion limit
            halves = [queries[at : at + 2] for at in range(0, len(queries), 2)]
            queries = [half[0] | half[1] if len(half) == 2 else half[0] for half in halves]
        return queries[0]

    def _one(self, key: tuple[Any, ...]) -> Any:
        return self._table._all_of(dict(zip(self._key, key, strict=True)))

    def _case(self, field: Any, keys: list[str]) -> str:
        """Return the CASE expression that gives each record its value of a field."""
        if len(keys) == 1:
            start, whens = f"CASE {keys[0]}", [literals[self._key[0]] for literals in self._literals]
        else:
            start = "CASE"
            whens = [
                " AND ".join(f"{key}={literals[name]}" for key, name in zip(keys, self._key, strict=True))
                for literals in self._literals
            ]
        cases = " ".join(
            f"WHEN {when} THEN {literals[field.name]}"
            for when, literals in zip(whens, self._literals, strict=True)
        )
        null = self._adapter.backend.typed_null(self._table._relation("update"), field._rname)
        return f"{start} {cases}{f' ELSE {null}' if null else ''} END"
