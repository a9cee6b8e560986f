"""A field: what it has beside the operators of an expression."""

import json
from typing import Any

from support.surface.core import Of

_OF = Of("Field")
_same, _differs, _refused = _OF.same, _OF.differs, _OF.refused


def _set(name: str, value: Any) -> Any:
    def recipe(dal: Any) -> Any:
        field = dal.tally.name
        before = vars(field).get(name)
        setattr(field, name, value)
        try:
            return getattr(field, name)
        finally:
            setattr(field, name, before)

    return recipe


def _validators(dal: Any) -> list[str]:
    given = dal.tally.name.requires
    return [type(each).__name__ for each in (given if isinstance(given, list) else [given])]


def _filtered(name: str) -> Any:
    def recipe(dal: Any) -> Any:
        field = dal.tally.name
        setattr(field, name, lambda value: f"{value}!")
        try:
            dal.tally.insert(name="filtered", hits=9)
            return [row.name for row in dal(dal.tally.hits == 9).select(dal.tally.name)]
        finally:
            setattr(field, name, None)

    return recipe


def _made(name: str, value: Any) -> Any:
    def recipe(dal: Any) -> Any:
        field = dal.tally.hits
        setattr(field, name, value)
        try:
            dal.tally.insert(name="made")
            dal(dal.tally.name == "made").update(name="made")
            return dal(dal.tally.name == "made").select(dal.tally.hits).as_list()
        finally:
            setattr(field, name, None)

    return recipe


_same(
    "name tablename longname sqlsafe sqlsafe_name",
    lambda dal: [dal.tally.name.tablename, dal.tally.name.longname, dal.tally.name.sqlsafe],
)
_same("table db", lambda dal: (dal.tally.name.table is dal.tally, dal.tally.name.db is dal))
_same("type", lambda dal: (str(dal.tally.name.type), str(dal.tally.hits.type), str(dal.pet.mother.type)))
_same("length", lambda dal: dal.tally.name.length)
_same("default", _made("default", 5), everywhere=True)
_same("update", _made("update", 6), everywhere=True)
_same("compute", _made("compute", lambda row: len(row["name"])), everywhere=True)
_same("filter_in", _filtered("filter_in"), everywhere=True)
_same("filter_out", _filtered("filter_out"), everywhere=True)
_same("required", _set("required", True))
_differs("notnull", "as the model says", lambda dal: dal.tally.name.notnull)
_differs("unique", "as the model says", lambda dal: bool(dal.tally.name.unique))
_differs(
    "requires",
    "by type, length, reference, nullability and uniqueness",
    _validators,
)
for _name in ("label", "comment"):
    _same(_name, _set(_name, "A text"))
for _name in ("readable", "writable", "listable", "searchable"):
    _same(_name, _set(_name, False))
for _name in ("represent", "widget", "options"):
    _same(_name, _set(_name, str.upper))
_same("map_none", _set("map_none", ""))
_differs(
    "ondelete onupdate", "as the model says", lambda dal: (dal.pet.mother.ondelete, dal.pet.mother.onupdate)
)
_OF.each("authorize autodelete custom_delete custom_qualifier custom_retrieve", lambda dal: dal.tally.name)
_OF.each("custom_retrieve_file_properties custom_store isattachment", lambda dal: dal.tally.name)
_OF.each("uploadfield uploadfolder uploadfs uploadseparate regex", lambda dal: dal.tally.name)
_same("type_name referent", lambda dal: (dal.tally.name.type_name is None, dal.tally.name.referent is None))
_same("first second op", lambda dal: (dal.tally.name.first, dal.tally.name.second, dal.tally.name.op))
_same("clone bind", lambda dal: (dal.tally.name.clone().name, dal.tally.name.clone(label="x").label))
_same("set_attributes", _set("comment", "x"))
_same(
    "count",
    lambda dal: [
        dal(dal.tally).select(made).first()[made]
        for made in (dal.tally.hits.count(), dal.tally.hits.count(distinct=True))
    ],
    everywhere=True,
)
_same("formatter", lambda dal: dal.tally.hits.formatter(5))
_same("validate", lambda dal: dal.tally.name.validate("x"))
_same("has_default_validator", lambda dal: callable(dal.tally.name.has_default_validator) or True)
_same(
    "referenced_table referenced_field",
    lambda dal: (dal.pet.mother.referenced_table()._tablename, dal.pet.mother.referenced_field().name),
)
_same("Virtual Method Lazy", lambda dal: (dal.Field.Virtual.__name__, dal.Field.Method.__name__))
_same("as_dict", lambda dal: sorted(dal.tally.name.as_dict(flat=True)))
_refused(
    "store retrieve retrieve_file_properties",
    "no column of a mirror is an `upload`: keep files outside, or bytes in a column",
    lambda dal: dal.tally.name.store(None, "x.txt"),
)
_same("as_json", lambda dal: sorted(json.loads(dal.tally.name.as_json())))
_refused(
    "as_xml",
    "stock PyDAL has no serializer for it either",
    lambda dal: dal.tally.name.as_xml(),
    "NotImplementedError",
)
_OF.same("as_yaml", lambda dal: len((dal.tally.name).as_yaml()) > 20)
MEMBERS = tuple(_OF.members)
