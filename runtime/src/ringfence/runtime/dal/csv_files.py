"""Lossless CSV: values of every type and references survive export and import, as do keys into an empty table.

The format is PyDAL's: a header of `table.field`, `<NULL>` for NULL, bytes in base64, and for a whole DAL a section
`TABLE name` for each table. Values that PyDAL would truncate are complete: fractions and zones of datetimes, JSON.
"""

import base64
import contextlib
import csv
import datetime as dt
import decimal
import enum
import functools
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pydal import validators
from pydal.helpers.classes import Reference
from pydal.objects import Field as PydalField
from pydal.objects import Row as PydalRow

from ringfence.runtime.dal.lazy_tables import in_order, references
from ringfence.runtime.dal.types import TypeTag, type_name
from ringfence.runtime.dal.validators import Truth
from ringfence.runtime.engines import StatementContext
from ringfence.runtime.errors import ArgumentError, DataError, RingfenceError, UnknownName
from ringfence.runtime.values import JSON_NULL, from_document

NULL = "<NULL>"
_MICROSECONDS = 1_000_000


_LONGEST_CELL = 2**31 - 1
_limit_lock = threading.RLock()
_limits: list[int] = []
"""The limits that were set when each running import began; the first one is the program's own."""


@contextlib.contextmanager
def long_cells() -> Iterator[None]:
    """Let Python's csv module read cells of any length in a block.

    Its limit is one of the process, 128 KiB by default, so it is restored when the last running import ends.
    """
    with _limit_lock:
        _limits.append(csv.field_size_limit())
        csv.field_size_limit(max(_LONGEST_CELL, _limits[-1]))
    try:
        yield
    finally:
        with _limit_lock:
            before = _limits.pop()
            if not _limits:
                csv.field_size_limit(before)


def _after_fork() -> None:
    """Restore the limit in a forked child, where the threads that had raised it do not exist."""
    global _limit_lock
    _limit_lock = threading.RLock()
    if _limits:
        csv.field_size_limit(_limits[0])
        _limits.clear()


os.register_at_fork(after_in_child=_after_fork)


def csv_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those options that belong to Python's csv module, with defaults.

    Args:
        options: the options of an export or import.
    """
    return {
        "delimiter": options.get("delimiter", ","),
        "quotechar": options.get("quotechar", '"'),
        "quoting": options.get("quoting", csv.QUOTE_MINIMAL),
    }


def export_rows(rows: Any, file: Any, null: str = NULL, *, shown: bool = False, **options: Any) -> None:
    """Write rows as CSV.

    Args:
        rows: the rows of a select or of `iterselect`.
        file: a text file opened with `newline=""`.
        null: the text that stands for NULL.
        shown: whether the output is only displayed and never read back.
        options: `delimiter`, `quotechar`, `quoting`; `represent` to write the results of the fields' `represent`;
            `colnames`, the columns to write; `write_colnames`.

    Raises:
        DataError: for a text that equals `null`.
    """
    names = list(map(str, rows.colnames))
    known = dict(zip(names, rows.fields, strict=False))
    asked = [str(name) for name in options.get("colnames") or names]
    writer = csv.writer(file, **csv_options(options))
    if options.get("write_colnames", True):
        writer.writerow(_heading(known.get(name), name) for name in asked)
    represent = bool(options.get("represent"))
    for row in rows:
        writer.writerow(
            [_cell(row, name, known.get(name), null, represent=represent, shown=shown) for name in asked]
        )


def _heading(field: Any, name: str) -> str:
    if isinstance(field, PydalField):
        return f"{field.tablename}.{field.name}"
    return name.rsplit(" AS ", maxsplit=1)[-1] if " AS " in name else name


def _cell(row: Any, name: str, field: Any, null: str, *, represent: bool, shown: bool) -> Any:
    if isinstance(field, PydalField):
        part = row.get(field.tablename)
        value = part[field.name] if isinstance(part, PydalRow) else row[field.name]
        if represent and field.represent:
            return field.represent(value, row)
    else:
        value = row[_heading(field, name)] if "_extra" not in row else row["_extra"][_heading(field, name)]
    items = items_of(field) if isinstance(field, PydalField) and field.type == "array" else None
    text = null if value is None else written(value, getattr(field, "type", None), items)
    if value is not None and text == null and not shown:
        raise DataError(f"{name}: a text is {null!r}, which stands for NULL in the file: pass another null=")
    return text


def written(value: Any, kind: Any = None, of_items: str | None = None) -> Any:
    """Return a value as text, or as an object that the csv module writes exactly.

    Args:
        value: a row's value, not None.
        kind: the PyDAL type of its field.
        of_items: the PyDAL type of an array's items.
    """
    if kind == "json":
        return "null" if value is JSON_NULL else json.dumps(value, ensure_ascii=False)
    if isinstance(value, Reference):
        return int(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, dt.datetime):
        return value.isoformat(" ")
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        whole = decimal.Decimal(value // dt.timedelta(microseconds=1))
        return f"{whole / _MICROSECONDS:f}"
    if isinstance(value, enum.Enum):
        return kind.codec.check(value) if isinstance(kind, TypeTag) else value.name
    if isinstance(value, set | frozenset):
        return ",".join(sorted(map(str, value)))
    if isinstance(value, list | tuple):
        items = [None if item is None else str(written(item, of_items)) for item in value]
        return json.dumps(items, ensure_ascii=False)
    return value


def read(text: str, kind: str, of_items: str | None = None) -> Any:
    """Return the value of a text that `written` made.

    Args:
        text: the cell.
        kind: the PyDAL type of the field.
        of_items: the PyDAL type of an array's items.

    Raises:
        ValueError: for a text that is no value of the type.
    """
    kind = kind.partition("(")[0].partition(" ")[0]
    if kind in _TEXTS:
        return text
    if not text.strip() and kind not in ("blob", "set"):
        return None
    if kind == "array":
        items = json.loads(text)
        return [None if item is None else read(item, of_items or "text") for item in items]
    make = _READ.get(kind)
    return text if make is None else make(text)  # the codecs accept dates, decimals and UUIDs as text


def items_of(field: Any) -> str | None:
    """Return the PyDAL type of an array field's items; None if unknown.

    Args:
        field: a field of a table of the mirror, or of unpickled rows.
    """
    columns = getattr(getattr(field.table, "_mirror", None), "columns", {}).values()
    column = next((each for each in columns if each.field == field.name), None)
    item = column.params.get("item") if column is not None else None
    return None if item is None else type_name(item["type"], item.get("params", {}))


def _truth(text: str) -> Any:
    try:
        return Truth().validate(text)
    except validators.ValidationError as error:
        raise ValueError(error.message) from None


_TEXTS = frozenset({"string", "text", "password", "enum", "inet"})
_READ: Mapping[str, Callable[[str], Any]] = {
    "integer": int,
    "bigint": int,
    "id": int,
    "reference": int,
    "double": float,
    "boolean": _truth,
    "json": from_document,
    "blob": lambda text: base64.b64decode(text, validate=True),
    "interval": lambda text: dt.timedelta(microseconds=int(decimal.Decimal(text) * _MICROSECONDS)),
    "set": lambda text: set(text.split(",")) if text else set(),
}


_MOST_DRAWN = 10_000_000
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
        with long_cells():
            self._run()

    def _run(self) -> None:
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
        if self._table._db._adapter.backend.features.advance_sequence_insert is not None:
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
        template = adapter.backend.features.advance_sequence_insert
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
            session.execute(statement, context=StatementContext("insert", self._table._dalname))
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


class TablesInFiles:
    """CSV export and import of the whole DAL, mixed in before PyDAL's DAL."""

    def export_to_csv_file(self, ofile: Any, *args: Any, **kwargs: Any) -> None:
        """Write every table that the account may read, each after the tables it refers to.

        Args:
            ofile: a text file opened with `newline=""`.
            args: the text that stands for NULL.
            kwargs: the options of `export_rows`.
        """
        dal: Any = self
        tables = dal._mirror.tables
        for name in in_order(sorted(tables, reverse=True), references(tables)[0]):
            if "select" not in tables[name].verbs:
                continue
            ofile.write(f"TABLE {name}\r\n")
            table = dal[name]
            order = {"orderby": [table[key] for key in table._key_names()]} if table._key_names() else {}
            export_rows(dal(table).iterselect(**order), ofile, *args, **kwargs)
            ofile.write("\r\n\r\n")
        ofile.write("END")

    def import_from_csv_file(
        self,
        ifile: Any,
        id_map: dict[str, Any] | None = None,
        null: str = NULL,
        unique: str = "uuid",
        map_tablenames: Mapping[str, str | None] | None = None,
        ignore_missing_tables: bool = False,
        **kwargs: Any,
    ) -> None:
        """Insert the rows of a file that `export_to_csv_file` wrote.

        Args:
            ifile: a text file opened with `newline=""`.
            id_map: per table, old keys and their new ones: filled, and used to translate references.
            null: the text that stands for NULL.
            unique: a field that identifies an existing record to update instead.
            map_tablenames: other names for tables of the file; None skips a table.
            ignore_missing_tables: whether to skip tables that the mirror does not have.
            kwargs: the options of a table's import.

        Raises:
            UnknownName: for a table that the mirror does not have.
            ArgumentError: for a file in another format.
        """
        with long_cells():
            self._import_tables(
                ifile,
                {} if id_map is None else id_map,
                map_tablenames or {},
                {"null": null, "unique": unique} | kwargs,
                ignore_missing=ignore_missing_tables,
            )

    def _import_tables(
        self,
        file: Any,
        ids: dict[str, Any],
        names: Mapping[str, str | None],
        options: dict[str, Any],
        *,
        ignore_missing: bool,
    ) -> None:
        dal: Any = self
        later = DeferredReferences()
        for line in file:
            said = line.strip()
            if said == "END":
                break
            if not said:
                continue
            if not said.startswith("TABLE "):
                raise ArgumentError(
                    "this is no file that dal.export_to_csv_file wrote: a line TABLE name is wanted"
                )
            name = names.get(said[6:], said[6:])
            if name is not None and name in dal.tables:
                dal[name].import_from_csv_file(file, ids, later=later, **options)
            elif name is None or ignore_missing:
                for _ in _section(file, options):
                    pass
            else:
                raise UnknownName(
                    f"{dal._unknown(name)}; pass map_tablenames={{{name!r}: …}} or ignore_missing_tables=True"
                )
        later.settle()


def _section(file: Any, options: Mapping[str, Any]) -> Iterator[list[str]]:
    """Yield the CSV records up to an empty one; a quoted text may contain empty lines."""
    for line in csv.reader(file, **csv_options(options)):
        if not line:
            return
        yield line
