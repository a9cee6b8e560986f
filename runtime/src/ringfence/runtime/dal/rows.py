"""Row and Rows that cost what the driver's cost: built by generated code (`shapes`), and dressed up only when asked.

PyDAL gives each row its record operators and its sets of back-references, and wraps it into a row of rows; ours makes
those when they are asked for. What a program sees is the same.
"""

import base64
import copy
import datetime as dt
import decimal
import enum
import io
import json
import re
import types
import uuid
from collections.abc import Iterator
from typing import Any

from pydal.helpers.classes import RecordOperator, Reference
from pydal.objects import Field as PydalField
from pydal.objects import LazyReferenceGetter, LazySet, VirtualCommand
from pydal.objects import Row as PydalRow
from pydal.objects import Rows as PydalRows

from ringfence.runtime.dal.csv_files import NULL, export_rows
from ringfence.runtime.errors import Misuse
from ringfence.runtime.values import JSON_NULL

# What PyDAL keeps in a row beside its columns.
_ABILITIES = (RecordOperator, LazySet, LazyReferenceGetter, VirtualCommand)


class Row(PydalRow):  # type: ignore[misc]  # pydal is untyped
    """A row of a select; one of a table with a key has that table's operators and back-references."""

    _of: Any = None  # the table of its columns
    _table_of: Any = None  # the same, where the row holds its key
    _raw: Any = None  # of a join's row: what the driver gave, until its parts are made

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

    def __getattr__(self, name: str) -> Any:
        # Called when nothing of that name was found.
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(self._lacking(name)) from None

    def _lacking(self, name: str) -> str:
        parts = self.__dict__
        held = ", ".join(parts) or "nothing"
        if name not in ("update_record", "delete_record"):
            return f"this row has no {name}; it has {held}"
        if any(isinstance(part, PydalRow) for part in parts.values()):
            return f"a row of a join has no {name}: say row.{next(iter(parts))}.{name}() (it has {held})"
        names = self._of._key_names() if self._of is not None else ()
        wanted = (
            f"its key too, {', '.join(names)}" if names else "a table with a key that this service may read"
        )
        return f"this row has no {name}: select {wanted} (it has {held})"

    def __contains__(self, key: Any) -> bool:
        return bool(super().__contains__(key)) or self._on_demand(str(key)) is not None

    def _on_demand(self, name: str) -> Any:
        table = type(self)._table_of
        if table is None:
            return None
        key = self.__dict__.get(table._id.name)
        if (operator := table._db.record_operators.get(name)) is not None:
            return operator(self, table, key)
        if name != table._tablename and table._id.type == "id":
            for field in table._referenced_by:
                if field.tablename == name:
                    return BackReferences(field, key)
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

    def __copy__(self) -> Any:
        return self._with({name: part for name, part in self.items() if not isinstance(part, RecordOperator)})

    def __deepcopy__(self, memo: Any) -> Any:
        # What the row can do is made anew, for the copy.
        kept = {name: part for name, part in self.items() if not isinstance(part, _ABILITIES)}
        return self._with(copy.deepcopy(kept, memo))

    def _with(self, parts: dict[str, Any]) -> Any:
        made = object.__new__(Row if hasattr(type(self), "_fill") else type(self))
        made.__dict__.update(parts)
        return made

    def __reduce__(self) -> Any:
        return PydalRow, ({name: part for name, part in self.items() if not isinstance(part, _ABILITIES)},)


class BackReferences(LazySet):  # type: ignore[misc]  # pydal is untyped
    """The records that refer to this one, as a set like any other."""

    def _getset(self) -> Any:
        return self.db(self.db[self.tablename][self.fieldname] == self.id)


class PlainData:
    """What Rows and the rows of `iterselect` have in common, mixed in before PyDAL's."""

    fields: Any

    def as_dict(
        self,
        key: Any = "id",
        compact: bool = True,
        storage_to_dict: bool = True,
        datetime_to_str: bool = False,
        custom_types: Any = None,
    ) -> dict[Any, Any]:
        """The rows by their key; those of a join are counted from 0, unless a key is named.

        Args:
            key: the field, `table.field`, or what gives the key of a row; where the table has no `id`, its own key,
                which is a tuple when it has several fields.
            compact: the rows of one table without a row around each.
            storage_to_dict: rows as plain data.
            datetime_to_str, custom_types: as for `Row.as_dict`.

        Raises:
            Misuse: when the rows do not hold the key.
        """
        rows = self.as_list(compact, storage_to_dict, datetime_to_str, custom_types)  # type: ignore[attr-defined]
        if not isinstance(key, str):
            return {key(row): row for row in rows}
        table, dot, name = key.rpartition(".")
        if not dot and rows and self._in_parts(rows[0]):
            return dict(enumerate(rows))
        try:
            if dot:
                return {_part_of(row, table)[name]: row for row in rows}
            return {row[key]: row for row in rows}
        except KeyError:
            names = self._own_key() if key == "id" else ()
            if not names or not all(name in row for name in names for row in rows):
                raise Misuse(f"these rows have no {key} to go by: select it, or say as_dict(key=…)") from None
        return {row[names[0]] if len(names) == 1 else tuple(row[name] for name in names): row for row in rows}

    def export_to_csv_file(self, ofile: Any, null: str = NULL, *args: Any, **kwargs: Any) -> None:
        """Write the rows; see `csv_files.export_rows`."""
        export_rows(self, ofile, null, **kwargs)

    def __str__(self) -> str:
        shown = io.StringIO()
        export_rows(self, shown, shown=True)
        return shown.getvalue()

    def _in_parts(self, row: Any) -> bool:
        """Whether a row has a part for each table: a document in a column of JSON is none."""
        tables = {field.tablename for field in self.fields if isinstance(field, PydalField)} | {"_extra"}
        return any(name in tables and isinstance(part, dict | PydalRow) for name, part in row.items())

    def _own_key(self) -> tuple[str, ...]:
        tables = {id(field.table): field.table for field in self.fields if isinstance(field, PydalField)}
        if len(tables) != 1:
            return ()
        (table,) = tables.values()
        names: tuple[str, ...] = table._key_names() if hasattr(table, "_key_names") else ()
        return names


def _part_of(row: Any, table: str) -> Any:
    """The part of a row that is of a table; the row itself where it is of one table alone."""
    part = row.get(table)
    return part if isinstance(part, dict | PydalRow) else row


class Rows(PlainData, PydalRows):  # type: ignore[misc]  # pydal is untyped
    """The rows of a select; those of a single table are kept flat until somebody wants PyDAL's rows of rows."""

    _flat: list[Any] | None = None
    _flat_name = ""

    @property
    def response(self) -> Any:
        """What the driver gave, where PyDAL itself made the rows."""
        if (kept := self.__dict__.get("_response")) is None:
            raise AttributeError("rows do not keep what the driver gave: use executesql")
        return kept

    @response.setter
    def response(self, raw: Any) -> None:
        self.__dict__["_response"] = raw

    @property
    def records(self) -> list[Any]:
        """PyDAL's own form: for each record a Row with a Row for each table."""
        if self._flat is not None:
            name, flat, self._flat = self._flat_name, self._flat, None
            self._records = [wrapped(name, row) for row in flat]
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
        return self._each()

    def _each(self) -> Iterator[Any]:
        whole = super().__getitem__
        for index, row in enumerate(self.records):
            yield row if _waits(row) else whole(index)

    def __getitem__(self, index: Any) -> Any:
        if not isinstance(index, slice):
            if self._flat is not None and self.compact:
                return self._flat[index]
            row = self.records[index]
            if _waits(row):  # a join's, and whole: to ask for its parts would make them
                return row
        return super().__getitem__(index)

    def __reduce__(self) -> Any:
        # Without the DAL, which belongs to a process.
        fields = [_described(field) for field in self.fields]
        return _rows_again, (type(self), self.records, list(map(str, self.colnames)), self.compact, fields)

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


class _Unbound:
    """What rows have in place of a DAL when they were pickled."""

    _adapter = types.SimpleNamespace(
        REGEX_TABLE_DOT_FIELD=re.compile(r"""^["`\[]?([^"`\]]+)["`\]]?\.["`\[]?([^"`\]]+)["`\]]?$""")
    )

    def has_representer(self, name: str) -> bool:
        """None is here."""
        return False

    def __reduce__(self) -> str:
        return "UNBOUND"


UNBOUND = _Unbound()


def _described(field: Any) -> tuple[str, str, str] | None:
    return (field.tablename, field.name, str(field.type)) if isinstance(field, PydalField) else None


def _rows_again(kind: Any, records: Any, colnames: Any, compact: bool, described: Any) -> Any:  # pickle's
    fields = []
    for description in described:
        field = PydalField(description[1], description[2]) if description else None
        if field is not None:
            field.tablename = description[0]
        fields.append(field)
    return kind(UNBOUND, records, colnames, compact, fields=fields)


def _waits(row: Any) -> bool:
    """Whether this is a join's row whose parts are not made."""
    return getattr(row, "_raw", None) is not None


def wrapped(name: str, row: Any) -> Row:
    """PyDAL's row of rows.

    Args:
        name: of the table.
        row: of that table.
    """
    outer = Row.__new__(Row)
    outer.__dict__ = {name: row}
    return outer
