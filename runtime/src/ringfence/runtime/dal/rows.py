"""Row and Rows that are cheap to create: generated code (see `shapes`) builds them, the rest is made on access.

PyDAL gives each row its record operators and its sets of back-references, and wraps it in an outer row; here these are
made when they are accessed. Programs see the same behaviour.
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
from ringfence.runtime.errors import ArgumentError
from ringfence.runtime.values import JSON_NULL

# Members of a row that PyDAL adds to its columns.
_ABILITIES = (RecordOperator, LazySet, LazyReferenceGetter, VirtualCommand)


class Row(PydalRow):  # type: ignore[misc]  # pydal is untyped
    """A row of a select; with its table's key, it also has that table's record operators and back-references."""

    _of: Any = None  # the table that the columns belong to
    _table_of: Any = None  # the same table, if the row contains its key
    _raw: Any = None  # of a join's row: the driver's tuple, until its parts are made

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
        # Called only when normal attribute lookup fails.
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
            return f"a row of a join has no {name}: write row.{next(iter(parts))}.{name}() (it has {held})"
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
        """Return the columns as a dict, without record operators and sets of back-references.

        Unlike PyDAL's version it keeps UUIDs, bytes and intervals, and does not turn decimals into floats.

        Args:
            datetime_to_str: whether dates and times become text in ISO form.
            custom_types: types of members to keep that would otherwise be left out.
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
        """Return the row as JSON text; `jsonable` converts values that JSON has no type for.

        Args:
            mode: ignored; PyDAL's parameter.
            default: converts values in place of `jsonable`.
            colnames: ignored; PyDAL's parameter.
            serialize: False returns the dict instead of text.
            more: as for `as_dict`.
        """
        found = self.as_dict(**more)
        return json.dumps(found, default=default or jsonable) if serialize else found

    def __copy__(self) -> Any:
        return self._with({name: part for name, part in self.items() if not isinstance(part, RecordOperator)})

    def __deepcopy__(self, memo: Any) -> Any:
        # Record operators and back-references are left out: the copy makes its own.
        kept = {name: part for name, part in self.items() if not isinstance(part, _ABILITIES)}
        return self._with(copy.deepcopy(kept, memo))

    def _with(self, parts: dict[str, Any]) -> Any:
        made = object.__new__(Row if hasattr(type(self), "_fill") else type(self))
        made.__dict__.update(parts)
        return made

    def __reduce__(self) -> Any:
        return PydalRow, ({name: part for name, part in self.items() if not isinstance(part, _ABILITIES)},)


class BackReferences(LazySet):  # type: ignore[misc]  # pydal is untyped
    """The records that refer to this one, as a PyDAL set."""

    def _getset(self) -> Any:
        return self.db(self.db[self.tablename][self.fieldname] == self.id)


class PlainData:
    """The conversions that Rows and the rows of `iterselect` share, mixed in before PyDAL's class."""

    fields: Any

    def as_dict(
        self,
        key: Any = "id",
        compact: bool = True,
        storage_to_dict: bool = True,
        datetime_to_str: bool = False,
        custom_types: Any = None,
    ) -> dict[Any, Any]:
        """Return the rows by their key; rows of a join are numbered from 0, unless a key is named.

        Args:
            key: a field, `table.field`, or a function from a row to its key; for a table without `id`, its primary key,
                a tuple when it has several fields.
            compact: whether rows of one table come without PyDAL's outer row.
            storage_to_dict: whether rows become dicts.
            datetime_to_str: as for `Row.as_dict`.
            custom_types: as for `Row.as_dict`.

        Raises:
            ArgumentError: when the rows do not contain the key.
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
                raise ArgumentError(
                    f"these rows have no {key} to go by: select it, or pass as_dict(key=…)"
                ) from None
        return {row[names[0]] if len(names) == 1 else tuple(row[name] for name in names): row for row in rows}

    def export_to_csv_file(self, ofile: Any, null: str = NULL, *args: Any, **kwargs: Any) -> None:
        """Write the rows as CSV, as `csv_files.export_rows` does.

        Args:
            ofile: a text file opened with `newline=""`.
            null: the text that stands for NULL.
            args: ignored.
            kwargs: the options of `export_rows`.
        """
        export_rows(self, ofile, null, **kwargs)

    def __str__(self) -> str:
        shown = io.StringIO()
        export_rows(self, shown, shown=True)
        return shown.getvalue()

    def _in_parts(self, row: Any) -> bool:
        """Return whether a row has a part for each table; a document in a JSON column does not count as one."""
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
    """Return the part of a row that belongs to a table; the row itself where it is of a single table."""
    part = row.get(table)
    return part if isinstance(part, dict | PydalRow) else row


class Rows(PlainData, PydalRows):  # type: ignore[misc]  # pydal is untyped
    """The rows of a select; those of a single table are stored without PyDAL's outer rows until these are accessed."""

    _flat: list[Any] | None = None
    _flat_name = ""

    @property
    def response(self) -> Any:
        """The driver's rows, available only where PyDAL itself made the Rows."""
        if (kept := self.__dict__.get("_response")) is None:
            raise AttributeError("rows do not keep what the driver gave: use executesql")
        return kept

    @response.setter
    def response(self, raw: Any) -> None:
        self.__dict__["_response"] = raw

    @property
    def records(self) -> list[Any]:
        """The records in PyDAL's form: an outer Row with one Row per table."""
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
            if _waits(row):  # a join's row with parts not yet made; PyDAL's __getitem__ would make them
                return row
        return super().__getitem__(index)

    def __reduce__(self) -> Any:
        # Without the DAL, which cannot leave its process.
        fields = [_described(field) for field in self.fields]
        return _rows_again, (type(self), self.records, list(map(str, self.colnames)), self.compact, fields)

    def as_json(self, mode: str = "object", default: Any = None) -> str:
        """Return the rows as JSON text; `jsonable` converts values that JSON has no type for.

        Args:
            mode: ignored; PyDAL's parameter.
            default: converts values in place of `jsonable`.
        """
        return json.dumps([row.as_dict() for row in self], default=default or jsonable)

    def first(self) -> Any:
        """Return the first row, or None."""
        return self[0] if len(self) else None

    def last(self) -> Any:
        """Return the last row, or None."""
        return self[-1] if len(self) else None


def jsonable(value: Any) -> Any:
    """Return the JSON form of a value that JSON has no type for.

    Dates and times become ISO text, decimals and UUIDs text, intervals seconds, bytes base64, enum members their names.

    Raises:
        TypeError: for any other type.
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
    """Stands in for the DAL in unpickled rows."""

    _adapter = types.SimpleNamespace(
        REGEX_TABLE_DOT_FIELD=re.compile(r"""^["`\[]?([^"`\]]+)["`\]]?\.["`\[]?([^"`\]]+)["`\]]?$""")
    )

    def has_representer(self, name: str) -> bool:
        """Return False: unpickled rows have no representers."""
        return False

    def __reduce__(self) -> str:
        return "UNBOUND"


UNBOUND = _Unbound()


def _described(field: Any) -> tuple[str, str, str] | None:
    return (field.tablename, field.name, str(field.type)) if isinstance(field, PydalField) else None


def _rows_again(
    kind: Any, records: Any, colnames: Any, compact: bool, described: Any
) -> Any:  # called by pickle
    fields = []
    for description in described:
        field = PydalField(description[1], description[2]) if description else None
        if field is not None:
            field.tablename = description[0]
        fields.append(field)
    return kind(UNBOUND, records, colnames, compact, fields=fields)


def _waits(row: Any) -> bool:
    """Return whether this is a join's row whose parts are not yet made."""
    return getattr(row, "_raw", None) is not None


def wrapped(name: str, row: Any) -> Row:
    """Return PyDAL's outer row around a row of one table.

    Args:
        name: the table's name.
        row: the row.
    """
    outer = Row.__new__(Row)
    outer.__dict__ = {name: row}
    return outer
