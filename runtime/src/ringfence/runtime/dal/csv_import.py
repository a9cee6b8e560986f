"""Imports the rows of a CSV file into a table: values, keys and references between records."""

import csv
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ringfence.runtime.dal.csv_files import csv_options, items_of, read
from ringfence.runtime.errors import ArgumentError, DataError, RingfenceError, UnknownName

_MOST_DRAWN = 10_000_000
_LONGEST_CELL = 2**31 - 1
"""In characters. The limit of Python's csv module, 131,072 by default, is process-wide: it is only ever raised."""


class DeferredReferences:
    """References to records that come later in the file; they are stored once those records exist."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Any, Any, Any, Any, Callable[[], Mapping[Any, Any]]]] = []

    def note(
        self, table: Any, query: Any, name: str, old: Any, new_keys: Callable[[], Mapping[Any, Any]]
    ) -> None:
        """Add a reference.

        Args:
            table: the referring table.
            query: matches the referring record.
            name: the referring field.
            old: the referenced key, as in the file.
            new_keys: returns the file's keys of the referenced table with their new ones, once all are read.
        """
        self._waiting.append((table, query, table[name], old, new_keys))

    def settle(self) -> None:
        """Store all collected references."""
        for table, query, field, old, new_keys in self._waiting:
            value = new_keys().get(old, old)
            # This column alone: an ordinary update would overwrite other columns with on-update values.
            table._db._adapter.update(table, query, [(field, value)])
        self._waiting.clear()


class Import:
    """Imports one table from a CSV file.

    Args:
        table: the DAL's table.
        file: a text file opened with `newline=""`.
        null: the text that stands for NULL.
        ids: per table, old keys and their new ones, by which references are translated.
        options: `unique`, `transform`, `validate`, `delimiter`, `quotechar`, `quoting`; `later` if the file holds
            several tables, in which case the caller settles it.
    """

    def __init__(
        self, table: Any, file: Iterable[str], null: str, ids: dict[str, Any], **options: Any
    ) -> None:
        self._table, self._null, self._ids = table, null, ids
        form = csv_options(options)
        if form["quoting"] != csv.QUOTE_NONE:
            form["quoting"] = (
                csv.QUOTE_MINIMAL
            )  # the other modes are read the same, but turn numbers into floats
        csv.field_size_limit(max(_LONGEST_CELL, csv.field_size_limit()))
        self._reader = csv.reader(file, **form)
        self._unique, self._transform = options.get("unique"), options.get("transform")
        self._validate = bool(options.get("validate"))
        self._whole: DeferredReferences | None = options.get("later")
        self._later = self._whole or DeferredReferences()
        self._mine: dict[int, Any] = ids.setdefault(table._tablename, {})
        self._key = next((field for field in table if field.type == "id"), None)
        self._keeps: bool | None = None
        self._last: dict[str, Any] = {}
        self._counted = 0
        self._targets = _targets(table)
        self._met: set[tuple[str, Any]] = set()

    def run(self) -> None:
        """Insert the rows up to an empty line.

        Raises:
            DataError: for an invalid value, with the line.
        """
        for number, items in self._lines():
            try:
                values = {name: self._value(name, text) for name, text in items.items()}
                said = {name for name, text in items.items() if isinstance(text, str)}
                self._store(number, values, said)  # values that transform= made are used unchanged
            except (DataError, ValueError) as error:
                reason = str(error)
                line = "" if reason.startswith("line ") else f"line {number} of the file: "
                raise DataError(f"{line}{reason}") from None
            except RingfenceError as error:
                error.add_note(f"at line {number} of the file")
                raise
        if self._whole is None:
            self._later.settle()
        if self._keeps:
            self._advance_sequence()

    def _lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        names: list[str] | None = None
        for line in self._cells():
            if not line:
                if names is None:
                    continue
                return
            if names is None:
                names = [name.split(".", 1)[-1] for name in line]
                if twice := [name for name in names if names.count(name) > 1]:
                    raise ArgumentError(
                        f"the header of the file names {self._table._tablename}.{twice[0]} twice"
                    )
                continue
            number = self._reader.line_num
            if len(line) != len(names):
                raise DataError(
                    f"line {number} of the file has {len(line)} values, and its header {len(names)}"
                )
            items = dict(zip(names, line, strict=True))
            items = self._transform(items) if self._transform else items
            if unknown := [name for name in items if name not in self._table.fields]:
                raise UnknownName(f"{self._table._unknown(unknown[0])}; leave it out with transform=")
            yield number, {name: text for name, text in items.items() if self._wanted(name)}

    def _cells(self) -> Iterator[list[str]]:
        while True:
            try:
                line = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise DataError(f"line {self._reader.line_num + 1} of the file: {error}") from None
            yield line

    def _wanted(self, name: str) -> bool:
        """Return whether a field is stored; columns that the server computes are skipped."""
        column = next(each for each in self._table._mirror.columns.values() if each.field == name)
        return column.default is None or column.default.kind != "computed"

    def _value(self, name: str, text: Any) -> Any:
        if not isinstance(text, str):
            return text  # a value from transform=
        if text == self._null:
            return None
        field = self._table[name]
        try:
            value = read(text, str(field.type), items_of(field) if field.type == "array" else None)
        except (ValueError, ArithmeticError):
            raise ValueError(f"{field} is no {field.type.portable}") from None
        return value

    def _turned(self, values: dict[str, Any], said: set[str]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the values with translated references, and the references whose records may come later in the file."""
        own = self._table._tablename
        turned, waiting = dict(values), {}
        for name in said & self._targets.keys():
            target, field, may_wait = self._targets[name]
            old = values[name]
            if old is None:
                continue
            found = self._new_keys(name).get(old)
            if found is not None:
                turned[name] = found
            elif may_wait and ((field, old) not in self._met if target == own else self._may_come(target)):
                waiting[name], turned[name] = old, None
        return turned, waiting

    def _new_keys(self, name: str) -> Mapping[Any, Any]:
        """Return the new keys of the table that a field refers to; empty unless it refers to an automatic key."""
        counted = self._table[name].type.startswith("reference ")
        return self._ids.get(self._targets[name][0], {}) if counted else {}

    def _may_come(self, table: str) -> bool:
        """Return whether another table may come later in the file."""
        return self._whole is not None and table not in self._ids

    def _store(self, number: int, values: dict[str, Any], said: set[str]) -> None:
        table, key = self._table, self._key
        values, waiting = self._turned(values, said)
        old = values.pop(key.name, None) if key is not None else None
        if waiting and not self._findable(values):
            values, waiting = values | waiting, {}
        if self._keeps is None:
            self._keeps = old is not None and self._may_keep(number, key, values)
        if self._unique in values and self._unique in table.fields:
            found = table(**{self._unique: values[self._unique]})
            if found is not None:
                query = table._same_record(found, None)
                table._db(query).update(**values)
                self._remember(query, waiting)
                self._note(old, found[table._id.name])
                return
        given = {key.name: old} if key is not None and self._keeps and old is not None else {}
        new = self._insert(number, {**given, **values})
        if waiting and new is not None:
            self._remember(table._all_of(self._key_of(values, new)), waiting)
        self._met |= {(field, values.get(field)) for _, field, _ in self._targets.values()}
        self._note(old, new)
        self._last = values

    def _findable(self, values: Mapping[str, Any]) -> bool:
        """Return whether the record made of these values can be found again by its key."""
        names = self._table._key_names()
        return bool(names) and (self._key is not None or all(name in values for name in names))

    def _key_of(self, values: Mapping[str, Any], new: Any) -> dict[str, Any]:
        if self._key is not None:
            return {self._key.name: int(new)}
        return {name: values[name] for name in self._table._key_names()}

    def _remember(self, query: Any, waiting: Mapping[str, Any]) -> None:
        for name, old in waiting.items():
            self._later.note(self._table, query, name, old, functools.partial(self._new_keys, name))

    def _insert(self, number: int, values: dict[str, Any]) -> Any:
        if not self._validate:
            return self._table.insert(**values)
        key = (
            {}
            if self._key is None or self._key.name not in values
            else {self._key.name: values.pop(self._key.name)}
        )
        errors, valid = self._table._validate_fields(values)
        if errors:
            found = "; ".join(f"{name}: {error}" for name, error in errors.items())
            raise DataError(f"line {number} of the file: {self._table._tablename}: {found}")
        return self._table.insert(**key, **valid)

    def _note(self, old: Any, new: Any) -> None:
        if old is not None and new is not None:
            self._mine[old] = int(new)

    def _may_keep(self, number: int, key: Any, values: dict[str, Any]) -> bool:
        """Return whether rows keep their keys: in an empty table, if the account may insert them."""
        columns = self._table._mirror.columns.values()
        column = next(each for each in columns if each.field == key.name)
        drawn = column.default is not None and column.default.kind == "sequence"
        readable = column.selectable and "select" in self._table._mirror.verbs
        if drawn or not column.insertable or not readable or not values:
            return False
        if not self._table._db(self._table).isempty():
            return False
        if self._table._db._adapter.backend.advance_sequence_insert is not None:
            session = self._table._db._adapter.sessions.current()
            name = session.savepoint()
            try:
                self._counted = int(self._insert(number, dict(values)))
            finally:
                session.rollback_to(name)
        return True

    def _advance_sequence(self) -> None:
        """Advance the server's key sequence past the imported keys, where the server does not do that itself."""
        adapter = self._table._db._adapter
        template = adapter.backend.advance_sequence_insert
        count = max(self._mine.values(), default=0) - self._counted
        if template is None or count <= 0:
            return
        if count > _MOST_DRAWN:
            raise ArgumentError(
                f"{self._table._tablename}: the keys of the file go to {self._counted + count}, and the server counts"
                f" from {self._counted}: let the admin import it, or leave out the key with transform="
            )
        fields = [self._table[name] for name in self._last]
        statement = template.format(
            relation=self._table._relation("insert"),
            columns=", ".join(field._rname for field in fields),
            values=", ".join(adapter.store(self._last[field.name], field) for field in fields),
            count=count,
        )
        session = adapter.sessions.current()
        name = session.savepoint()
        try:
            session.execute(statement)
        finally:
            session.rollback_to(name)


def _targets(table: Any) -> dict[str, tuple[str, str, bool]]:
    """Return, for each referring field, the target table and field, and whether the reference may be stored later."""
    mirror = table._mirror
    tables = {(each.schema, each.name): each for each in table._db._mirror.tables.values()}
    found = {}
    for foreign in mirror.foreign_keys:
        column, other = mirror.columns.get(foreign.columns[0]), tables.get((foreign.schema, foreign.table))
        if len(foreign.columns) != 1 or column is None or other is None:
            continue
        target = other.columns.get(foreign.references[0])
        if target is not None:
            waits = column.nullable and column.updatable and "update" in mirror.verbs
            found[column.field] = (other.key, target.field, waits)
    return found
