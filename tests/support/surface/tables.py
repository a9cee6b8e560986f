"""A table, and a select that stands for one."""

import io
import json
import warnings
from typing import Any

from pydal.objects import Field

from support.surface.core import Of

_OF = Of("Table")
_same, _differs, _refused = _OF.same, _OF.differs, _OF.refused


def _counted(dal: Any, work: Any) -> Any:
    return work, dal(dal.tally).select(dal.tally.name, dal.tally.hits, orderby=dal.tally.id).as_list()


def _hooked(dal: Any) -> Any:
    seen: list[Any] = []
    table = dal.tally
    hooks = [
        (table._before_insert, lambda row: seen.append(("before insert", row["name"]))),
        (table._after_insert, lambda row, key: seen.append(("after insert", row["name"]))),
        (table._before_update, lambda found, row: seen.append(("before update", row["hits"]))),
        (table._after_update, lambda found, row: seen.append(("after update", row["hits"]))),
        (table._before_delete, lambda found: seen.append(("before delete", found.count()))),
        (table._after_delete, lambda found: seen.append(("after delete", found.count()))),
    ]
    for hook, called in hooks:
        hook.append(called)
    try:
        table.insert(name="hooked", hits=1)
        dal(table.name == "hooked").update(hits=2)
        dal(table.name == "hooked").delete()
    finally:
        for hook, called in hooks:
            hook.remove(called)
    return seen


def _filtered(dal: Any) -> int:
    table = dal.tally
    table._common_filter = lambda query: table.hits == 1
    try:
        return int(dal(table.id > 0).count())
    finally:
        table._common_filter = None


def _virtual(dal: Any) -> Any:
    dal.tally.double = Field.Virtual("double", lambda row: (row.tally.hits or 0) * 2)
    try:
        return [row.double for row in dal(dal.tally).select(orderby=dal.tally.id)]
    finally:
        dal.tally._virtual_fields.clear()
        vars(dal.tally).pop("double", None)


def _added(dal: Any) -> int:
    @dal.tally.add_method.counted
    def counted(table: Any) -> int:
        return int(table._db(table).count())

    try:
        return int(dal.tally.counted())
    finally:
        vars(dal.tally).pop("counted")


def _deprecated(dal: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dal.tally.sqlsafe, dal.tally.with_alias("m").sqlsafe_alias


def _mothers(dal: Any) -> Any:
    mother = dal.pet.with_alias("m")
    return [row.name for row in dal(dal.pet.mother == mother.pet_no).select(mother.name)]


def _imported(dal: Any) -> Any:
    dal.tally.import_from_csv_file(io.StringIO("tally.name,tally.hits\r\nnew,7\r\n"))
    return dal(dal.tally.name == "new").select(dal.tally.hits).as_list()


def _set_item(dal: Any) -> Any:
    key = dal(dal.tally.name == "n1").select().first().id
    dal.tally[key] = {"hits": 9}
    return dal.tally[key].hits


def _del_item(dal: Any) -> Any:
    key = dal(dal.tally.name == "n1").select().first().id
    del dal.tally[key]
    return dal(dal.tally.name == "n1").count()


_same(
    "__call__",
    lambda dal: (dal.tally(dal.tally.name == "n1").hits, dal.tally(name="n2").hits, dal.tally(0)),
    everywhere=True,
)
_same("__getitem__", lambda dal: (dal.tally["name"] is dal.tally.name, dal.tally[0]))
_same("__setitem__", _set_item)
_same("__delitem__", _del_item)
_same("__iter__ fields", lambda dal: ([field.name for field in dal.tally], dal.tally.fields))
_same("__contains__ has_key", lambda dal: ("name" in dal.tally, "nothing" in dal.tally))
_differs(
    "__setattr__",
    "refused for what would change the schema: `NotSupportedError`",
    lambda dal: setattr(dal.tally, "more", 1),
)
_same("ALL", lambda dal: len(dal(dal.tally).select(dal.tally.ALL)), everywhere=True)
_same("insert", lambda dal: _counted(dal, dal.tally.insert(name="x", hits=1) > 0), everywhere=True)
_differs(
    "bulk_insert",
    "in few statements, by the columns that the rows name; a key that the engine does not tell is None",
    lambda dal: dal.tally.bulk_insert([{"nothing": 1}]),
)
_same(
    "update_or_insert",
    lambda dal: _counted(
        dal,
        (
            dal.tally.update_or_insert(dal.tally.name == "n1", name="n1", hits=8),
            dal.tally.update_or_insert(name="y") > 0,
        ),
    ),
    everywhere=True,
)
_differs(
    "validate_and_insert validate_and_update validate_and_update_or_insert",
    "by the validators of the column's type, its length and its constraints ([forms](../how-to/forms.md))",
    lambda dal: (
        "errors" in dal.tally.validate_and_insert(name="n1", hits=1)
        and dal.tally.validate_and_insert(name="n1")["errors"]
    ),
)
_refused("truncate", "`dal(dal.tally).delete()`", lambda dal: dal.tally.truncate())
_refused("drop", "take it out of the models and write a revision", lambda dal: dal.tally.drop())
_refused(
    "create_index", "an `Index` in the models and a revision", lambda dal: dal.tally.create_index("i", "name")
)
_refused("drop_index", "as `create_index`", lambda dal: dal.tally.drop_index("i"))
_same("import_from_csv_file", _imported)
_same("with_alias", _mothers, everywhere=True)
_same(
    "on",
    lambda dal: len(
        dal(dal.tally).select(
            dal.tally.ALL, dal.seat.ALL, left=dal.seat.on(dal.seat.number == dal.tally.hits)
        )
    ),
    everywhere=True,
)
_OF.each("sql_shortref sql_fullref query_name", lambda dal: dal.tally)
_same("sqlsafe sqlsafe_alias", _deprecated)
_same("as_dict", lambda dal: sorted(dal.tally.as_dict(flat=True)))
_same("as_json", lambda dal: sorted(json.loads(dal.tally.as_json())))
_refused(
    "as_xml",
    "stock PyDAL has no serializer for it either",
    lambda dal: dal.tally.as_xml(),
    "NotImplementedError",
)
_OF.same("as_yaml", lambda dal: len((dal.tally).as_yaml()) > 20)
_same("virtualfields", lambda dal: list(dal.tally.virtualfields))
_same("add_method", _added)
_same(
    "get keys values items iterkeys itervalues iteritems", lambda dal: dal.tally.get("name") is dal.tally.name
)
_same("pop update clear copy", lambda dal: callable(dal.tally.copy))
_same("_id", lambda dal: (dal.tally._id.name, dal.pet._id.name))
_same(
    "_before_insert _after_insert _before_update _after_update _before_delete _after_delete",
    _hooked,
    everywhere=True,
)
_same("_common_filter", _filtered, everywhere=True)
_same("_virtual_fields", _virtual, everywhere=True)
_same("_tablename _dalname", lambda dal: (dal.tally._tablename, dal.tally.with_alias("m")._dalname))
_same("_insert", lambda dal: dal.tally._insert(name="x", hits=1).rstrip(";").split(")")[0])
_refused(
    "_enable_record_versioning",
    "add the archive to the models: see [forms](../how-to/forms.md)",
    lambda dal: dal.tally._enable_record_versioning(),
)
_same("_format", lambda dal: dal.tally._format)

_TABLES = tuple(_OF.members)
_OF = Of("Select")


def _nested(dal: Any) -> Any:
    return (
        dal(dal.tally.hits > 0).nested_select(dal.tally.id, dal.tally.name, dal.tally.hits).with_alias("some")
    )


def _of_nested(dal: Any) -> Any:
    some = _nested(dal)
    return [row.name for row in dal(some.id > 0).select(some.name, orderby=some.id)]


def _joined(dal: Any) -> Any:
    some, tally = _nested(dal), dal.tally
    rows = dal(tally).select(tally.name, some.name, left=some.on(some.id == tally.id), orderby=tally.id)
    return [(row.tally.name, row.some.name) for row in rows]


def _numbers(dal: Any, method: str) -> Any:
    one = dal(dal.tally.hits == 1).cte("c", dal.tally.id, dal.tally.name)
    made = getattr(one, method)(
        lambda _: dal(dal.tally.hits == 2).nested_select(dal.tally.id, dal.tally.name)
    )
    return sorted(row.name for row in dal(made.id > 0).select(made.name))


_OF.same("with_alias fields", _of_nested)
_OF.same("__iter__", lambda dal: [field.name for field in _nested(dal)])
_OF.same("__getitem__ get", lambda dal: (_nested(dal)["name"].name, _nested(dal).get("hits").name))
_OF.same("union union_all", lambda dal: (_numbers(dal, "union"), _numbers(dal, "union_all")), everywhere=True)
_OF.same("cte is_cte", lambda dal: _numbers(dal, "union"))
_OF.same("on", _joined, everywhere=True)
_OF.same("__call__", lambda dal: len(_nested(dal)()))
_OF.same("query_name sql_shortref", lambda dal: (_nested(dal).sql_shortref, len(_nested(dal).query_name())))
_OF.same(
    "keys values items iterkeys itervalues iteritems has_key", lambda dal: "name" in list(_nested(dal).keys())
)
_OF.same("update pop clear copy", lambda dal: callable(_nested(dal).copy))
MEMBERS = (*_TABLES, *_OF.members)
