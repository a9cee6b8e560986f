"""The cached parts that selects of the same columns share, and the generated code that builds their rows."""

import datetime as dt
import gc
import keyword
import os
import re
import threading
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Any

from pydal.objects import Field

from ringfence.runtime.dal import joined
from ringfence.runtime.dal.decode_errors import find_unreadable
from ringfence.runtime.dal.rows import Row, Rows
from ringfence.runtime.engines import StatementContext

Decoder = Callable[[Sequence[Sequence[Any]]], list[Any]]


class Shape:
    """The cached parts of a select of these fields, which are all columns of mirrored tables."""

    def __init__(self, fields: Sequence[Any], colnames: list[str], columns: str) -> None:
        self.fields = list(fields)  # keeps the fields alive, as the cache is keyed by their id()
        self.colnames = colnames
        self.columns = columns
        self.tables = list({field._tablename: field.table for field in fields}.values())
        self.context = StatementContext("select", ", ".join(table._dalname for table in self.tables))
        self.decode = compile_decoder(fields)

    def rows(self, db: Any, raw: Sequence[Sequence[Any]]) -> Rows:
        """Return the driver's tuples as Rows.

        Args:
            db: the DAL.
            raw: the driver's tuples.
        """
        decoded = self.decode(raw)
        if len(self.tables) == 1:
            made: Rows = Rows.__new__(Rows)
            made.__dict__ = {
                "db": db, "fields": self.fields, "colnames": self.colnames, "compact": True,
                "_records": [], "_flat": decoded, "_flat_name": self.tables[0]._tablename,
            }  # fmt: skip
            return made
        return Rows(db, decoded, self.colnames, fields=self.fields)


def row_class(table: Any, *, keyed: bool) -> type[Row]:
    """Return a class for the rows of one shape; its instances share the layout of their attributes.

    Args:
        table: the table of the columns.
        keyed: whether its key is among them, so that a row can update its record.
    """
    return type("Row", (Row,), {"_of": table, "_table_of": table if keyed else None})


def kept_row_class(table: Any, held: Container[str]) -> type[Row]:
    """Return the cached class for rows that PyDAL made; each table has one for rows with its key, one for rows without.

    Args:
        table: a table of the mirror, or an alias of one.
        held: the names of the row's columns.
    """
    names = table._key_names()
    keyed = bool(names) and all(name in held for name in names)
    classes: dict[bool, type[Row]] = table.__dict__.setdefault("_row_classes", {})
    if keyed not in classes:
        classes[keyed] = row_class(table, keyed=keyed)
    return classes[keyed]


def compile_decoder(fields: Sequence[Field]) -> Decoder:
    """Return a function, generated for these columns, from the driver's tuples to rows."""
    names: dict[str, Any] = {"new": object.__new__, "UTC": dt.UTC}
    values = [_value(index, field, names) for index, field in enumerate(fields)]
    tables = {field._tablename: field.table for field in fields}
    if len(tables) > 1:
        return _explained(fields, without_collection(_join_decoder(tables, fields, values, names)))
    columns = "".join(f"c{index}, " for index in range(len(fields)))
    return _explained(
        fields, without_collection(_loop(columns, _row_made(fields, values, names, 0), "r0", names))
    )


def _value(index: int, field: Field, names: dict[str, Any]) -> str:
    """Return the expression that decodes a column's value."""
    decode = field.type.codec.decode
    if decode is None:
        return f"c{index}"
    names[f"d{index}"] = decode
    return f"c{index} if {_as_is(index, field)} else d{index}(c{index})"


def _as_is(index: int, field: Field) -> str:
    """Return the condition under which the driver's value needs no decoding."""
    condition = f"c{index} is None"
    if field.type.codec.as_is:
        condition += " or " + field.type.codec.as_is.format(value=f"c{index}")
    return condition


def _row_made(
    fields: Sequence[Field], values: Sequence[str], names: dict[str, Any], number: int
) -> list[str]:
    """Return the lines that create the row of one table."""
    table = fields[0].table
    items = []
    for field, value in zip(fields, values, strict=True):
        items.append((field.name, value))
        if field.type == "id" and field.name != "id" and "id" not in table.fields:
            items.append(("id", value))
    selected = {field.name for field in fields}
    names_of_key = table._key_names()
    keyed = bool(names_of_key) and selected.issuperset(names_of_key)
    names[f"R{number}"] = row_class(table, keyed=keyed)
    return [f"r{number} = new(R{number})", *_filled(f"r{number}", items)]


def _join_decoder(
    tables: Iterable[str], fields: Sequence[Field], values: Sequence[str], names: dict[str, Any]
) -> Decoder:
    """Return the decoder of a join: values are decoded at once, as one may be invalid; rows are created on access."""
    columns = [f"c{index}" for index in range(len(fields))]
    filling = [f"{', '.join(columns)}, = raw"]
    kept = []
    for number, table in enumerate(tables):
        own = [index for index, field in enumerate(fields) if field._tablename == table]
        filling += _row_made(
            [fields[index] for index in own], [columns[index] for index in own], names, number
        )
        kept.append(f"kept.setdefault({table!r}, r{number})")  # what was set before is kept
    lines = [*filling, *kept, "row._raw = None"]
    names["own"] = joined.own
    fill = _compiled("fill", [*_FILL, *(f"        {line}" for line in lines), "    return kept"], names)
    names["Outer"], names["keep"] = joined.outer_row(tuple(tables), fill)
    changing = [index for index, value in enumerate(values) if value != columns[index]]
    mostly = all(fields[index].type.codec.as_is for index in changing)  # the driver's tuple is kept
    if not mostly:
        changing = list(range(len(fields)))
    body = [f"c{index} = row[{index}]" for index in changing]
    parts = [value if index in changing else f"row[{index}]" for index, value in enumerate(values)]
    raw = f"({', '.join(parts)},)"
    if mostly:
        unchanged = [f"({_as_is(index, fields[index])})" for index in changing]
        raw = f"row if {' and '.join(unchanged) or 'True'} else {raw}"
    return _loop("row", [*body, "outer = new(Outer)", f"keep(outer, {raw})"], "outer", names)


_FILL = ["def fill(row):", "    kept, raw = own(row), row._raw", "    if raw is not None:"]


def _loop(each: str, body: Sequence[str], result: str, names: dict[str, Any]) -> Decoder:
    lines = [
        "def decode(rows):",
        "    out = []",
        "    append = out.append",
        f"    for {each} in rows:",
        *(f"        {line}" for line in [*body, f"append({result})"]),
        "    return out",
    ]
    decode: Decoder = _compiled("decode", lines, names)
    return decode


def _compiled(name: str, lines: Iterable[str], names: dict[str, Any]) -> Any:
    exec("\n".join(lines), names)  # noqa: S102  # written above from field names as literals and our own functions
    return names[name]


def _explained(fields: Sequence[Field], decode: Decoder) -> Decoder:
    """Return the decoder with errors that name the column and row of a value it cannot decode."""

    def decode_all(rows: Sequence[Sequence[Any]]) -> list[Any]:
        try:
            return decode(rows)
        except Exception:
            found = find_unreadable(fields, rows)
            if found is None:
                raise
        raise found  # outside the handler, so that the original error, which may contain the value, is not its context

    return decode_all


_MANY_ROWS = 200


_pausing: set[int] = set()
"""The threads that have paused the garbage collector. Adding and discarding are atomic, so no lock is needed."""


def without_collection(decode: Decoder) -> Decoder:
    """Return the decoder with the garbage collector paused: it would repeatedly scan the rows being created.

    Only the whole process has a collector. It stays off if the program has switched it off, and runs again when no
    thread decodes any more, whatever exception ends the decoding.
    """

    def decode_all(rows: Sequence[Sequence[Any]]) -> list[Any]:
        if len(rows) < _MANY_ROWS or not (gc.isenabled() or _pausing):
            return decode(rows)
        thread = threading.get_ident()
        try:
            _pausing.add(thread)
            gc.disable()
            return decode(rows)
        finally:
            _pausing.discard(thread)
            if not _pausing:
                gc.enable()

    return decode_all


def _after_fork() -> None:
    """Let the collector run in a forked child, where the threads that had paused it do not exist."""
    others = _pausing - {threading.get_ident()}
    _pausing.difference_update(others)
    if others and not _pausing:
        gc.enable()


os.register_at_fork(after_in_child=_after_fork)


def _filled(row: str, items: list[tuple[str, str]]) -> list[str]:
    """Return the lines that set a row's values.

    Setting attributes one by one is several times faster than a dict: CPython then stores them in the object itself.
    """
    if all(_PLAIN_NAME.fullmatch(name) and not keyword.iskeyword(name) for name, _ in items):
        return [f"{row}.{name} = {value}" for name, value in items]
    return [f"{row}.__dict__ = {{{', '.join(f'{name!r}: {value}' for name, value in items)}}}"]


_PLAIN_NAME = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]*")
