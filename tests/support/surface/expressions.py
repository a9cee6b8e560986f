"""Expressions and queries."""

from collections.abc import Callable
from typing import Any

from support.surface.core import Of, Recipe

_OF = Of("Expression")
_same, _differs, _refused = _OF.same, _OF.differs, _OF.refused


def _value(make: Callable[[Any], Any]) -> Recipe:
    """What an expression gives for each tally."""

    def recipe(dal: Any) -> Any:
        found = dal(dal.tally).select(dal.tally.id, make(dal.tally).with_alias("v"), orderby=dal.tally.id)
        return [row.v for row in found]

    return recipe


def _one(make: Callable[[Any], Any]) -> Recipe:
    """What an aggregate gives."""

    def recipe(dal: Any) -> Any:
        return dal(dal.tally).select(make(dal.tally).with_alias("v")).first().v

    return recipe


def _found(make: Callable[[Any], Any]) -> Recipe:
    """What a query finds."""

    def recipe(dal: Any) -> Any:
        return [row.name for row in dal(make(dal.tally)).select(orderby=dal.tally.id)]

    return recipe


def _day(dal: Any, part: str) -> Any:
    dal.specimen.insert(name="timed", naive="2024-02-29 23:59:58")
    field = getattr(dal.specimen.naive, part)()
    return dal(dal.specimen.name == "timed").select(field.with_alias("v")).first().v


def _part(part: str) -> Recipe:
    return lambda dal: _day(dal, part)


for _name, _query in {
    "__eq__": lambda t: (t.hits == 1) & (t.name == "n1"),
    "__ne__": lambda t: t.hits != 1,
    "__lt__": lambda t: t.hits < 1,
    "__le__": lambda t: t.hits <= 1,
    "__gt__": lambda t: t.hits > 1,
    "__ge__": lambda t: t.hits >= 1,
    "like": lambda t: t.name.like("n%"),
    "ilike": lambda t: t.name.ilike("N1"),
    "startswith": lambda t: t.name.startswith("n"),
    "endswith": lambda t: t.name.endswith("2"),
    "contains": lambda t: t.name.contains(["1", "2"]),
    "regexp": lambda t: t.name.regexp("n[12]"),
}.items():
    _same(_name, _found(_query), everywhere=True)
_differs(
    "belongs",
    "takes values of any type in any order, None among them; a text is refused and never taken for SQL",
    lambda dal: dal(dal.tally.hits.belongs([1, None])).count(),
)
for _name, _make in {
    "__add__": lambda t: t.hits + 1,
    "__sub__": lambda t: t.hits - 1,
    "__mul__": lambda t: t.hits * 2,
    "__mod__": lambda t: t.hits % 2,
    "abs": lambda t: (t.hits - 2).abs(),
    "coalesce": lambda t: t.hits.coalesce(7),
    "coalesce_zero": lambda t: t.hits.coalesce_zero(),
    "len": lambda t: t.name.len(),
    "lower": lambda t: t.name.lower(),
    "upper": lambda t: t.name.upper(),
    "replace": lambda t: t.name.replace("n", "m"),
}.items():
    _same(_name, _value(_make), everywhere=True)
_same("__truediv__ __div__", _value(lambda t: t.hits / 1))
_same("__radd__", _value(lambda t: "a" + t.name))
_differs("__getitem__", "negative bounds count from the end, as Python's do", _value(lambda t: t.name[-1]))
_differs("avg", "a fraction, also of whole numbers", _one(lambda t: t.hits.avg()))
for _name in ("sum", "max", "min"):
    _same(_name, _one(lambda t, name=_name: getattr(t.hits, name)()), everywhere=True)
_differs(
    "cast",
    "text, numbers, booleans, dates and times, the same on every engine; sizes by keyword, or `decimal(10,2)`",
    _value(lambda t: t.hits.cast("decimal(4,1)")),
)
_same(
    "__or__ __invert__",
    lambda dal: [row.name for row in dal(dal.tally).select(orderby=~dal.tally.hits | dal.tally.name)],
    everywhere=True,
)
_same("with_alias", _value(lambda t: t.hits), everywhere=True)
for _name in ("year", "month", "day", "hour", "minutes", "seconds", "epoch"):
    _same(_name, _part(_name))
_differs(
    "json_key json_key_value json_path json_path_value json_contains",
    "on PostgreSQL; `NotSupportedError` elsewhere, where stock PyDAL has none: select the document, or use `executesql`",
    lambda dal: str(dal.specimen.document.json_key("a")),
)
_refused(
    "st_asgeojson st_astext st_aswkb st_contains st_distance st_dwithin st_equals st_intersects st_overlaps st_simplify"
    " st_simplifypreservetopology st_touches st_transform st_within st_x st_y",
    "a mirror has no geometry types: `executesql`",
    lambda dal: dal(dal.tally.name.st_within("POINT(1 1)")).select(),
)
_EXPRESSIONS = tuple(_OF.members)
_OF = Of("Query")
_OF.same(
    "__and__ __or__ __invert__ __rand__ __ror__",
    _found(lambda t: ~((t.hits == 1) & (t.name != "n1")) | (t.hits == 2)),
    everywhere=True,
)
_OF.same("case", _value(lambda t: (t.hits == 1).case("one", "other")), everywhere=True)
_OF.same(
    "__eq__ __ne__",
    lambda dal: (
        (dal.tally.hits == 1) == (dal.tally.hits == 1),
        (dal.tally.hits == 1) != (dal.tally.hits == 2),
    ),
)
_OF.same("as_dict", lambda dal: (dal.tally.hits == 1).as_dict(flat=True))
_OF.each("as_json", lambda dal: dal.tally.hits == 1)
_OF.refused(
    "as_xml",
    "stock PyDAL has no serializer for it either",
    lambda dal: (dal.tally.hits == 1).as_xml(),
    "NotImplementedError",
)
_OF.same("as_yaml", lambda dal: len((dal.tally.hits == 1).as_yaml()) > 20)
_OF.same("ignore_common_filters", lambda dal: dal(dal.tally.hits == 1, ignore_common_filters=True).count())
MEMBERS = (*_EXPRESSIONS, *_OF.members)
