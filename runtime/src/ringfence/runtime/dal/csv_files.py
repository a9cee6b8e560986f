"""CSV that comes back as it went out: values of every type, references, and the keys where a table was empty.

The form is PyDAL's: a header of `table.field`, `<NULL>` for NULL, bytes in base64, and for a whole DAL a section
`TABLE name` for each table. What PyDAL's own would lose is written in full: fractions and zones of datetimes, JSON.
"""

import base64
import csv
import datetime as dt
import decimal
import enum
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from pydal import validators
from pydal.helpers.classes import Reference
from pydal.objects import Field as PydalField
from pydal.objects import Row as PydalRow

from ringfence.runtime.dal.types import TypeTag, type_name
from ringfence.runtime.dal.validators import Truth
from ringfence.runtime.errors import BadValue, Misuse
from ringfence.runtime.values import JSON_NULL, from_document

NULL = "<NULL>"
_MICROSECONDS = 1_000_000
_MOST_DRAWN = 10_000_000


def csv_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """What of the options is Python's csv module's.

    Args:
        options: of an export or import.
    """
    return {
        "delimiter": options.get("delimiter", ","),
        "quotechar": options.get("quotechar", '"'),
        "quoting": options.get("quoting", csv.QUOTE_MINIMAL),
    }


def export_rows(rows: Any, file: Any, null: str = NULL, *, shown: bool = False, **options: Any) -> None:
    """Write rows of a select.

    Args:
        rows: of a select, or of `iterselect`.
        file: of text, opened with `newline=""`.
        null: what stands for NULL.
        shown: for somebody to look at, and not to read back.
        options: `delimiter`, `quotechar`, `quoting`; `represent` to write what the fields' `represent` makes;
            `colnames`, some of the rows' own; `write_colnames`.

    Raises:
        BadValue: for a text that is the same as `null`.
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
        raise BadValue(f"{name}: a text is {null!r}, which stands for NULL in the file: pass another null=")
    return text


def written(value: Any, kind: Any = None, of_items: str | None = None) -> Any:
    """A value as text, or as what the csv module writes exactly.

    Args:
        value: of a row, and not None.
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
        return kind.codec.fit(value) if isinstance(kind, TypeTag) else value.name
    if isinstance(value, set | frozenset):
        return ",".join(sorted(map(str, value)))
    if isinstance(value, list | tuple):
        items = [None if item is None else str(written(item, of_items)) for item in value]
        return json.dumps(items, ensure_ascii=False)
    return value


def read(text: str, kind: str, of_items: str | None = None) -> Any:
    """What a text that `written` made stands for.

    Args:
        text: of a cell.
        kind: the PyDAL type of the field that it is for.
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
    return text if make is None else make(text)  # dates, decimals and UUIDs are taken as text


def items_of(field: Any) -> str | None:
    """The PyDAL type of the items of an array.

    Args:
        field: of a table of the mirror, or of rows without one.
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


class Import:
    """Rows of a file on their way into a table.

    Args:
        table: of the DAL.
        file: of text, opened with `newline=""`.
        null: what stands for NULL.
        ids: for each table the keys of the file and those they became, to which references are turned.
        options: `unique`, `transform`, `validate`, `delimiter`, `quotechar`, `quoting`.
    """

    def __init__(
        self, table: Any, file: Iterable[str], null: str, ids: dict[str, Any], **options: Any
    ) -> None:
        self._table, self._null, self._ids = table, null, ids
        self._reader = csv.reader(file, **csv_options(options))
        self._unique, self._transform = options.get("unique"), options.get("transform")
        self._validate = bool(options.get("validate"))
        self._mine: dict[int, Any] = ids.setdefault(table._tablename, {})
        self._key = next((field for field in table if field.type == "id"), None)
        self._keeps: bool | None = None
        self._last: dict[str, Any] = {}
        self._counted = 0

    def run(self) -> None:
        """Insert the rows up to an empty line. Raises BadValue with the line."""
        rows = self._lines()
        for number, items in rows:
            try:
                values = {name: self._value(name, text) for name, text in items.items()}
            except ValueError as error:
                raise BadValue(f"line {number} of the file: {error}") from None
            self._store(number, values)
        if self._keeps:
            self._pass_over()

    def _lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        names: list[str] | None = None
        for line in self._reader:
            if not line:
                if names is None:
                    continue
                return
            if names is None:
                names = [name.split(".", 1)[-1] for name in line]
                continue
            number = self._reader.line_num
            if len(line) != len(names):
                raise BadValue(
                    f"line {number} of the file has {len(line)} values, and its header {len(names)}"
                )
            items = dict(zip(names, line, strict=True))
            items = self._transform(items) if self._transform else items
            if unknown := [name for name in items if name not in self._table.fields]:
                raise Misuse(f"{self._table._unknown(unknown[0])}; leave it out with transform=")
            yield number, {name: text for name, text in items.items() if self._wanted(name)}

    def _wanted(self, name: str) -> bool:
        """Whether it is stored: what the server computes comes by itself."""
        column = next(each for each in self._table._mirror.columns.values() if each.field == name)
        return column.default is None or column.default.kind != "computed"

    def _value(self, name: str, text: Any) -> Any:
        if not isinstance(text, str):
            return text  # as transform= made it
        if text == self._null:
            return None
        field = self._table[name]
        try:
            value = read(text, str(field.type), items_of(field) if field.type == "array" else None)
        except (ValueError, ArithmeticError):
            raise ValueError(f"{field} is no {field.type.portable}") from None
        if value is not None and field.type.startswith("reference "):
            return self._ids.get(field.type[10:], {}).get(value, value)
        return value

    def _store(self, number: int, values: dict[str, Any]) -> None:
        table, key = self._table, self._key
        old = values.pop(key.name, None) if key is not None else None
        if self._keeps is None:
            self._keeps = old is not None and self._may_keep(number, key, values)
        if self._unique in values and self._unique in table.fields:
            found = table(**{self._unique: values[self._unique]})
            if found is not None:
                table._db(table._same_record(found, None)).update(**values)
                self._note(old, found[table._id.name])
                return
        given = {key.name: old} if key is not None and self._keeps and old is not None else {}
        self._note(old, self._insert(number, {**given, **values}))
        self._last = values

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
            raise BadValue(f"line {number} of the file: {self._table._tablename}: {found}")
        return self._table.insert(**key, **valid)

    def _note(self, old: Any, new: Any) -> None:
        if old is not None and new is not None:
            self._mine[old] = int(new)

    def _may_keep(self, number: int, key: Any, values: dict[str, Any]) -> bool:
        """Whether rows keep their keys: in an empty table, where the account may give them."""
        columns = self._table._mirror.columns.values()
        column = next(each for each in columns if each.field == key.name)
        drawn = column.default is not None and column.default.kind == "sequence"
        readable = column.selectable and "select" in self._table._mirror.verbs
        if drawn or not column.insertable or not readable or not values:
            return False
        if not self._table._db(self._table).isempty():
            return False
        if self._table._db._adapter.backend.drawing_insert is not None:
            session = self._table._db._adapter.sessions.current()
            name = session.savepoint()
            try:
                self._counted = int(self._insert(number, dict(values)))
            finally:
                session.undo(name)
        return True

    def _pass_over(self) -> None:
        """Let the server count on from the keys that were given, where it does not by itself."""
        adapter = self._table._db._adapter
        template = adapter.backend.drawing_insert
        count = max(self._mine.values(), default=0) - self._counted
        if template is None or count <= 0:
            return
        if count > _MOST_DRAWN:
            raise Misuse(
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
            session.undo(name)
