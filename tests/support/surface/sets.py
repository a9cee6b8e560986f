"""Sets, and the sets of records that refer to one."""

from collections.abc import Callable
from typing import Any

from pydal.objects import LazySet

from support.surface.core import Of, Recipe

_OF = Of("Set")
_same, _differs, _refused = _OF.same, _OF.differs, _OF.refused


def _some(dal: Any) -> Any:
    return dal(dal.tally.hits == 1)


def _rows(dal: Any, given: Any = None) -> Any:
    return given, dal(dal.tally).select(dal.tally.name, dal.tally.hits, orderby=dal.tally.id).as_list()


def _common(dal: Any) -> Any:
    made = _some(dal).cte("c", dal.tally.id, dal.tally.name)
    return [row.name for row in dal(made.id > 0).select(made.ALL, orderby=made.id)]


_same(
    "select",
    lambda dal: [row.name for row in _some(dal).select(orderby=~dal.tally.id, limitby=(0, 2))],
    everywhere=True,
)
_same(
    "iterselect",
    lambda dal: [row.name for row in _some(dal).iterselect(orderby=dal.tally.id)],
    everywhere=True,
)
_same(
    "count", lambda dal: (_some(dal).count(), dal(dal.tally).count(distinct=dal.tally.hits)), everywhere=True
)
_differs(
    "count(distinct=True)",
    "counts the records, and `distinct=[a, b]` the combinations without NULL",
    lambda dal: (
        dal(dal.tally).count(distinct=True),
        dal(dal.tally).count(distinct=[dal.tally.hits, dal.tally.name]),
    ),
)
_refused(
    "select(distinct=field)",
    "elsewhere than on PostgreSQL, for want of DISTINCT ON: `distinct=True`, or `groupby`",
    lambda dal: dal(dal.tally).select(dal.tally.hits, distinct=dal.tally.hits),
)
_same("isempty", lambda dal: (_some(dal).isempty(), dal(dal.tally.hits == 99).isempty()), everywhere=True)
_same(
    "where __call__",
    lambda dal: [row.name for row in _some(dal)(dal.tally.name != "n1").select()],
    everywhere=True,
)
_same("update", lambda dal: _rows(dal, _some(dal).update(hits=dal.tally.hits + 5)), everywhere=True)
_same("update_naive", lambda dal: _rows(dal, _some(dal).update_naive(hits=9)), everywhere=True)
_same(
    "validate_and_update",
    lambda dal: _rows(dal, _some(dal).validate_and_update(hits=9)["updated"]),
    everywhere=True,
)
_same("delete", lambda dal: _rows(dal, _some(dal).delete()), everywhere=True)
_same("delete_naive", lambda dal: _rows(dal, _some(dal).delete_naive()), everywhere=True)
_differs(
    "nested_select",
    "of a table that stands outside it too, it reads its own; compared by `belongs` alone",
    lambda dal: dal(dal.tally.name.belongs(_some(dal).nested_select(dal.tally.name))).count(),
)
_same("cte", _common, everywhere=True)
_same("as_dict", lambda dal: _some(dal).as_dict(flat=True)["query"])
_OF.each("as_json", _some)
_OF.refused(
    "as_xml",
    "stock PyDAL has no serializer for it either",
    lambda dal: _some(dal).as_xml(),
    "NotImplementedError",
)
_OF.same("as_yaml", lambda dal: len((_some(dal)).as_yaml()) > 20)
_same(
    "parse build",
    lambda dal: dal({"op": "EQ", "first": {"tablename": "tally", "fieldname": "hits"}, "second": 1}).count(),
)
_same("db query dquery", lambda dal: (_some(dal).db is dal, _some(dal).query.second, _some(dal).dquery))
_same(
    "_select _count",
    lambda dal: (str(_some(dal)._count()).rstrip(";"), str(_some(dal)._select(dal.tally.name)).rstrip(";")),
)
_same("_update _delete", lambda dal: len(_some(dal)._update(hits=1)) > 0 and len(_some(dal)._delete()) > 0)
_SETS = tuple(_OF.members)
_OF = Of("LazySet")


def _pups(work: Callable[[Any], Any]) -> Recipe:
    """What is done with the pets whose mother is Rex."""

    def recipe(dal: Any) -> Any:
        rex = dal(dal.pet.name == "Rex").select().first().pet_no
        found = work(LazySet(dal.pet.mother, rex))
        return found, [row.name for row in dal(dal.pet).select(orderby=dal.pet.pet_no)]

    return recipe


_OF.same("select", _pups(lambda pups: sorted(row.name for row in pups.select())), everywhere=True)
_OF.same("nested_select", _pups(lambda pups: len(pups.nested_select().fields)))
_OF.same("count isempty", _pups(lambda pups: (pups.count(), pups.isempty())), everywhere=True)
_OF.same("where __call__", _pups(lambda pups: [row.name for row in pups(pups.db.pet.name == "Dot").select()]))
_OF.same("update", _pups(lambda pups: pups.update(name="Pups")), everywhere=True)
_OF.same("update_naive", _pups(lambda pups: pups.update_naive(name="Pups")))
_OF.same("validate_and_update", _pups(lambda pups: pups.validate_and_update(name="Pups")["updated"]))
_OF.same(
    "delete delete_naive", _pups(lambda pups: pups.where(pups.db.pet.name == "Dot").delete()), everywhere=True
)
MEMBERS = (*_SETS, *_OF.members)
