"""Row and Rows that cost what the driver's cost: built by generated code, and dressed up only when asked.

PyDAL gives each row its record operators and its sets of back-references, and wraps it into a row of rows; ours makes
those when they are asked for. What a program sees is the same.
"""

import base64
import datetime as dt
import decimal
import enum
import gc
import json
import keyword
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pydal.helpers.classes import RecordDeleter, RecordOperator, RecordUpdater, Reference
from pydal.objects import Field, LazyReferenceGetter, LazySet, VirtualCommand
from pydal.objects import Row as PydalRow
from pydal.objects import Rows as PydalRows

from ringfence.runtime.backends import Doing
from ringfence.runtime.values import JSON_NULL

Decoder = Callable[[Sequence[Sequence[Any]]], list[Any]]


# What PyDAL keeps in a row beside its columns.
_ABILITIES = (RecordOperator, LazySet, LazyReferenceGetter, VirtualCommand)


class Row(PydalRow):  # type: ignore[misc]  # pydal is untyped
    """A row of a select; one of a table with a key has that table's operators and back-references."""

    _table_of: Any = None

    def __getitem__(self, key: Any) -> Any:
        found = self.__dict__
        if "_extra" not in found:
            try:
                return found[key]
            except (KeyError, TypeError):
                pass
        try:
            return super().__getitem__(key)
        except KeyError:
            made = self._on_demand(str(key))
            if made is None:
                raise
            found[str(key)] = made
            return made

    def __contains__(self, key: Any) -> bool:
        return bool(super().__contains__(key)) or self._on_demand(str(key)) is not None

    def _on_demand(self, name: str) -> Any:
        table = type(self)._table_of
        if table is None:
            return None
        key = self.__dict__.get(table._id.name)
        if name == "update_record":
            return RecordUpdater(self, table, key)
        if name == "delete_record":
            return RecordDeleter(self, table, key)
        if name != table._tablename:
            for field in table._referenced_by:
                if field.tablename == name:
                    return LazySet(field, key)
        return None

    def as_dict(self, datetime_to_str: bool = False, custom_types: Any = None) -> dict[str, Any]:
        """Every column as plain data; what a row can do (operators, sets of back-references) is left out.

        PyDAL's own leaves out UUIDs, bytes and intervals too, and makes floats of decimals.

        Args:
            datetime_to_str: dates and times as text in ISO form.
            custom_types: types of things to keep that would be left out.
        """
        kept = tuple(custom_types) if isinstance(custom_types, list | tuple | set) else (custom_types,)
        kept = tuple(each for each in kept if each is not None)
        found: dict[str, Any] = {}
        for name, value in self.__dict__.items():
            if isinstance(value, _ABILITIES) and not isinstance(value, kept):
                continue
            if isinstance(value, PydalRow):
                found[name] = value.as_dict(datetime_to_str, custom_types)
            elif isinstance(value, Reference):
                found[name] = int(value)
            elif datetime_to_str and isinstance(value, dt.date | dt.time):
                found[name] = str(value)
            else:
                found[name] = value
        return found

    def as_json(
        self,
        mode: str = "object",
        default: Any = None,
        colnames: Any = None,
        serialize: bool = True,
        **more: Any,
    ) -> Any:
        """The row as JSON text; see `jsonable` for what JSON has no word for."""
        found = self.as_dict(**more)
        return json.dumps(found, default=default or jsonable) if serialize else found

    def __reduce__(self) -> Any:
        return PydalRow, (dict(self),)


class Rows(PydalRows):  # type: ignore[misc]  # pydal is untyped
    """The rows of a select; those of a single table are kept flat until somebody wants PyDAL's rows of rows."""

    _flat: list[Any] | None = None
    _flat_name = ""

    @property
    def records(self) -> list[Any]:
        """PyDAL's own form: for each record a Row with a Row for each table."""
        if self._flat is not None:
            name, flat, self._flat = self._flat_name, self._flat, None
            self._records = [_wrap(name, row) for row in flat]
        return self._records

    @records.setter
    def records(self, records: list[Any]) -> None:
        self._flat = None
        self._records = records

    def __len__(self) -> int:
        return len(self._records if self._flat is None else self._flat)

    def __bool__(self) -> bool:
        return len(self) > 0

    def __repr__(self) -> str:
        return f"<Rows ({len(self)})>"

    def __iter__(self) -> Iterator[Any]:
        if self._flat is not None and self.compact:
            return iter(self._flat)
        return super().__iter__()  # type: ignore[no-any-return]

    def __getitem__(self, index: Any) -> Any:
        if self._flat is not None and self.compact and not isinstance(index, slice):
            return self._flat[index]
        return super().__getitem__(index)

    def __reduce__(self) -> Any:
        # Without the DAL, which belongs to a process.
        return type(self), (None, self.records, list(map(str, self.colnames)), self.compact)

    def as_json(self, mode: str = "object", default: Any = None) -> str:
        """The rows as JSON text; see `jsonable` for what JSON has no word for."""
        return json.dumps([row.as_dict() for row in self], default=default or jsonable)

    def first(self) -> Any:
        """The first row, or None."""
        return self[0] if len(self) else None

    def last(self) -> Any:
        """The last row, or None."""
        return self[-1] if len(self) else None


def jsonable(value: Any) -> Any:
    """What stands in JSON for a value it has no word for: text in ISO form, decimals as text, bytes in base64.

    Raises:
        TypeError: for anything else.
    """
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal | uuid.UUID):
        return str(value)
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, enum.Enum):
        return value.name
    if value is JSON_NULL:
        return None
    raise TypeError(f"a {type(value).__name__} cannot be said in JSON: pass default=")


def _wrap(name: str, row: Any) -> Row:
    outer = Row.__new__(Row)
    outer.__dict__ = {name: row}
    return outer


class Shape:
    """What a select of these fields, all of them columns of mirrored tables, always has in common."""

    def __init__(self, fields: Sequence[Any], colnames: list[str], columns: str) -> None:
        self.fields = list(fields)  # held, so that the identities the cache goes by stay theirs
        self.colnames = colnames
        self.columns = columns
        self.tables = list({field._tablename: field.table for field in fields}.values())
        self.doing = Doing("select", ", ".join(table._dalname for table in self.tables))
        self.decode = compile_decoder(fields)

    def rows(self, db: Any, raw: Sequence[Sequence[Any]]) -> Rows:
        """What the driver fetched, as Rows."""
        decoded = self.decode(raw)
        if len(self.tables) == 1:
            made: Rows = Rows.__new__(Rows)
            made.__dict__ = {
                "db": db, "fields": self.fields, "colnames": self.colnames, "compact": True, "response": None,
                "_records": [], "_flat": decoded, "_flat_name": self.tables[0]._tablename,
            }  # fmt: skip
            return made
        return Rows(db, decoded, self.colnames, fields=self.fields)


def row_class(table: Any, *, keyed: bool) -> type[Row]:
    """A class for the rows of one shape, which share the layout of their columns; with its key it knows its table."""
    return type("Row", (Row,), {"_table_of": table if keyed else None})


def compile_decoder(fields: Sequence[Field]) -> Decoder:
    """A function from the driver's tuples to rows, written for exactly these columns."""
    names: dict[str, Any] = {"new": object.__new__, "Outer": type("Row", (Row,), {}), "UTC": dt.UTC}
    by_table: dict[str, list[tuple[str, str]]] = {}
    for index, field in enumerate(fields):
        decode = field.type.codec.decode
        value = f"c{index}"
        if decode is not None:
            names[f"d{index}"] = decode
            as_is = f"c{index} is None"
            if field.type.codec.as_is:
                as_is += " or " + field.type.codec.as_is.format(value=f"c{index}")
            value = f"c{index} if {as_is} else d{index}(c{index})"
        items = by_table.setdefault(field._tablename, [])
        items.append((field.name, value))
        if field.type == "id" and field.name != "id" and "id" not in field.table.fields:
            items.append(("id", value))
    tables = {field._tablename: field.table for field in fields}
    body = []
    for number, (name, items) in enumerate(by_table.items()):
        table = tables[name]
        selected = {field.name for field in fields if field._tablename == name}
        has_key = not hasattr(table, "_primarykey")
        keyed = has_key and any(field.type == "id" and field.name in selected for field in table)
        names[f"R{number}"] = row_class(table, keyed=keyed)
        body += [f"r{number} = new(R{number})", *_filled(f"r{number}", items)]
    result = "r0"
    if len(by_table) > 1:
        inside = [(name, f"r{number}") for number, name in enumerate(by_table)]
        body += ["outer = new(Outer)", *_filled("outer", inside)]
        result = "outer"
    columns = ", ".join(f"c{index}" for index in range(len(fields)))
    indent = "\n        "
    source = (
        "def decode(rows):\n    out = []\n    append = out.append\n"
        f"    for {columns}, in rows:{indent}{indent.join(body)}{indent}append({result})\n    return out\n"
    )
    exec(source, names)  # noqa: S102  # written above from field names as literals and our own functions
    return _undisturbed(names["decode"])


_MANY_ROWS = 200


def _undisturbed(decode: Decoder) -> Decoder:
    """The decoder, without the garbage collector looking again and again through rows that are being made."""

    def decode_all(rows: Sequence[Sequence[Any]]) -> list[Any]:
        if len(rows) < _MANY_ROWS or not gc.isenabled():
            return decode(rows)
        gc.disable()
        try:
            return decode(rows)
        finally:
            gc.enable()

    return decode_all


def _filled(row: str, items: list[tuple[str, str]]) -> list[str]:
    """Lines that give a row its values.

    One attribute after the other is several times faster than a dict: CPython then keeps them in the object itself.
    """
    if all(_PLAIN_NAME.fullmatch(name) and not keyword.iskeyword(name) for name, _ in items):
        return [f"{row}.{name} = {value}" for name, value in items]
    return [f"{row}.__dict__ = {{{', '.join(f'{name!r}: {value}' for name, value in items)}}}"]


_PLAIN_NAME = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]*")
