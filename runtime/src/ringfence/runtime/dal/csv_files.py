"""Lossless CSV: values of every type and references survive export and import, as do keys into an empty table.

The format is PyDAL's: a header of `table.field`, `<NULL>` for NULL, bytes in base64, and for a whole DAL a section
`TABLE name` for each table. Values that PyDAL would truncate are complete: fractions and zones of datetimes, JSON.
"""

import base64
import csv
import datetime as dt
import decimal
import enum
import json
from collections.abc import Callable, Mapping
from typing import Any

from pydal import validators
from pydal.helpers.classes import Reference
from pydal.objects import Field as PydalField
from pydal.objects import Row as PydalRow

from ringfence.runtime.dal.types import TypeTag, type_name
from ringfence.runtime.dal.validators import Truth
from ringfence.runtime.errors import DataError
from ringfence.runtime.values import JSON_NULL, from_document

NULL = "<NULL>"
_MICROSECONDS = 1_000_000


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
