"""Rows, the rows of `iterselect`, a row, and a reference."""

import io
import json
from collections.abc import Callable
from typing import Any

from support.surface.core import Of, Recipe

_OF = Of("Rows")


def _rows(work: Callable[[Any, Any], Any]) -> Recipe:
    def recipe(dal: Any) -> Any:
        return work(
            dal(dal.tally.id > 0).select(dal.tally.name, dal.tally.hits, orderby=dal.tally.id), dal.tally
        )

    return recipe


def _exported(rows: Any) -> str:
    target = io.StringIO()
    rows.export_to_csv_file(target, delimiter=";")
    return target.getvalue()


def _grown(rows: Any, method: str) -> Any:
    row = rows.records[0]
    rows.append(row) if method == "append" else rows.insert(1, row)
    return [each.name for each in rows]


def _related(dal: Any) -> Any:
    found = dal(dal.pet).select(orderby=dal.pet.pet_no).join(dal.pet.pet_no, name="mother")
    return [row.mother and row.mother.name for row in found]


def _rendered(dal: Any) -> Any:
    field = dal.tally.name
    dal.representers["rows_render"] = lambda field, value, row: field.represent(value, row)
    field.represent = lambda value, row: f"<{value}>"
    try:
        return [row.name for row in dal(dal.tally).select(field, orderby=dal.tally.id).render()]
    finally:
        field.represent = None
        del dal.representers["rows_render"]


def _bare(dal: Any) -> Any:
    return dal(dal.tally).select().response is not None


_OF.same(
    "__getitem__ __len__ __iter__ __bool__",
    _rows(lambda rows, t: (rows[0].name, len(rows), [r.hits for r in rows], bool(rows), len(rows[1:3]))),
    everywhere=True,
)
_OF.same("first last", _rows(lambda rows, t: (rows.first().name, rows.last().name)), everywhere=True)
_OF.same("as_list", _rows(lambda rows, t: rows.as_list()), everywhere=True)
_OF.differs(
    "as_dict",
    "also of joins, and of tables without an `id`, by their own key; values as `Row.as_dict` gives them",
    lambda dal: sorted(dal(dal.seat).select().as_dict()),
)
_OF.same("as_json json", _rows(lambda rows, t: json.loads(rows.as_json())))
_OF.same("as_csv __str__", _rows(lambda rows, t: (rows.as_csv(), str(rows))), everywhere=True)
_OF.same("export_to_csv_file", _rows(lambda rows, t: _exported(rows)))
_OF.same("as_xml xml", _rows(lambda rows, t: rows.as_xml()))
_OF.same(
    "as_trees",
    lambda dal: [row.name for row in dal(dal.pet).select(orderby=dal.pet.pet_no).as_trees("mother")],
)
_OF.same("find", _rows(lambda rows, t: [row.name for row in rows.find(lambda row: row.hits == 1)]))
_OF.same("exclude", _rows(lambda rows, t: (len(rows.exclude(lambda row: row.hits == 1)), len(rows))))
_OF.same("sort", _rows(lambda rows, t: [row.name for row in rows.sort(lambda row: row.name, reverse=True)]))
_OF.same("column", _rows(lambda rows, t: (rows.column("name"), rows.column(t.hits))))
_OF.same(
    "group_by_value",
    _rows(lambda rows, t: {key: len(each) for key, each in rows.group_by_value(t.hits).items()}),
)
_OF.same("join", _related)
_OF.same("append", _rows(lambda rows, t: _grown(rows, "append")))
_OF.same("insert", _rows(lambda rows, t: _grown(rows, "insert")))
_OF.same(
    "__add__ __and__ __or__ __eq__",
    _rows(lambda rows, t: (len(rows + rows), len(rows & rows), len(rows | rows), rows == rows.find(bool))),
)
_OF.same("render", _rendered)
_OF.same("setvirtualfields", _rows(lambda rows, t: len(rows.setvirtualfields())))
_OF.same(
    "colnames colnames_fields fields",
    _rows(
        lambda rows, t: (
            [str(name) for name in rows.colnames],
            [f.name for f in rows.colnames_fields],
            len(rows.fields),
        )
    ),
)
_OF.same("compact records", _rows(lambda rows, t: (rows.compact, rows.records[0].tally.name)))
_OF.same("db", _rows(lambda rows, t: rows.db is t._db))
_OF.refused("response", "what the driver gave is not kept: `executesql`", _bare, "AttributeError")
_ROWS = tuple(_OF.members)
_OF = Of("IterRows")


def _stream(work: Callable[[Any, Any], Any]) -> Recipe:
    def recipe(dal: Any) -> Any:
        dal(dal.tally).isempty()  # stock PyDAL has no cursor before its first statement
        return work(
            dal(dal.tally.id > 0).iterselect(dal.tally.name, dal.tally.hits, orderby=dal.tally.id), dal.tally
        )

    return recipe


_OF.same("__iter__", _stream(lambda rows, t: [row.name for row in rows]), everywhere=True)
_OF.same("__next__", _stream(lambda rows, t: next(rows).name), everywhere=True)
_OF.same("__getitem__", _stream(lambda rows, t: rows[2].name), everywhere=True)
_OF.same("first __bool__", _stream(lambda rows, t: (rows.first().name, bool(rows), len(list(rows)))))
_OF.same("as_list", _stream(lambda rows, t: rows.as_list()), everywhere=True)
_OF.same("as_dict", lambda dal: list(dal(dal.tally).iterselect(orderby=dal.tally.id).as_dict(key="name")))
_OF.same("as_json json", _stream(lambda rows, t: len(json.loads(rows.as_json()))))
_OF.same("as_csv __str__", _stream(lambda rows, t: rows.as_csv()))
_OF.same("export_to_csv_file", _stream(lambda rows, t: _exported(rows)))
_OF.same("as_xml xml", _stream(lambda rows, t: callable(rows.as_xml)))
_OF.same("as_trees", _stream(lambda rows, t: callable(rows.as_trees)))
_OF.same(
    "colnames_fields compact", _stream(lambda rows, t: ([f.name for f in rows.colnames_fields], rows.compact))
)
_STREAMS = tuple(_OF.members)
_OF = Of("Row")


def _row(work: Callable[[Any], Any]) -> Recipe:
    def recipe(dal: Any) -> Any:
        return work(dal(dal.tally.name == "n1").select(dal.tally.name, dal.tally.hits).first())

    return recipe


def _updated(dal: Any) -> Any:
    dal(dal.tally.name == "n1").select().first().update_record(hits=8)
    return dal(dal.tally.name == "n1").select(dal.tally.hits).as_list()


def _deleted(dal: Any) -> Any:
    dal(dal.tally.name == "n1").select().first().delete_record()
    return dal(dal.tally).count()


def _seat(dal: Any) -> Any:
    row = dal(dal.seat.number == 2).select().first()
    return row.update_record(guest="Zoe").guest


def _exact(dal: Any) -> Any:
    dal.specimen.insert(name="r", price="1.5000")
    return repr(dal(dal.specimen.name == "r").select(dal.specimen.price).first().as_dict())


_OF.same(
    "__getattr__ __getitem__ __call__ get",
    _row(lambda row: (row.name, row["name"], row("name"), row["tally.name"], row.get("no", 7))),
    everywhere=True,
)
_OF.same(
    "__contains__ has_key", _row(lambda row: ("name" in row, row.has_key("hits"), "no" in row))
)  # PyDAL's
_OF.same("__eq__", _row(lambda row: row == dict(row)))
_OF.same(
    "__iter__ keys values items iterkeys itervalues iteritems",
    _row(lambda row: (sorted(row.keys()), sorted(map(str, row.values())), sorted(row))),
)
_OF.same(
    "update pop clear copy",
    _row(lambda row: (row.update(more=1), row.pop("more"), sorted(row.copy()), row.clear(), bool(row))),
)
_OF.differs(
    "as_dict",
    "every column, with decimals, UUIDs, bytes and durations as they are; stock PyDAL drops or rounds them",
    _exact,
)
_OF.same("as_json", _row(lambda row: json.loads(row.as_json())))
_OF.same("as_xml", _row(lambda row: row.as_xml()))
_OF.same("update_record", _updated, everywhere=True)
_OF.same("delete_record", _deleted, everywhere=True)
_OF.differs(
    "update_record(key)",
    "of a key that is no counted number, too: UUIDs, texts, several columns",
    _seat,
)
_ROW = tuple(_OF.members)
_OF = Of("Reference")


def _read(dal: Any) -> Any:
    row = dal(dal.pet.name == "Pup").select().first()
    return row.mother.name, row.mother["name"], row.mother.get("name"), row.mother.id > 0


def _written(dal: Any) -> Any:
    row = dal(dal.pet.name == "Pup").select().first()
    row.mother.name = "New"
    return row.mother.name


_OF.same("__getattr__ __getitem__ get", _read, everywhere=True)
_OF.same("__setattr__ __setitem__", _written)
MEMBERS = (*_ROWS, *_STREAMS, *_ROW, *_OF.members)
