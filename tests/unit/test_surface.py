"""docs/reference/pydal.md is what the members of PyDAL's classes say, and every public member is among them."""

from pathlib import Path

import pydal.objects as pydal
import pytest
from pydal import DAL
from pydal.helpers.classes import Reference

from repository import ROOT
from surface import MEMBERS, page

PAGE = ROOT / "docs/reference/pydal.md"
PLUMBING = frozenset(
    "__bool__ __class__ __copy__ __deepcopy__ __delattr__ __dict__ __dir__ __doc__ __format__ __getstate__ __hash__ __init__"
    " __init_subclass__ __int__ __long__ __module__ __new__ __next__ __reduce__ __reduce_ex__ __repr__ __setattr__ __sizeof__"
    " __str__ __subclasshook__ __weakref__ __getslice__ __call__ __delitem__ __setitem__ __getattribute__".split()
)
CLASSES = (
    *(
        DAL,
        pydal.Table,
        pydal.Field,
        pydal.Expression,
        pydal.Query,
        pydal.Set,
        pydal.LazySet,
        pydal.Row,
        pydal.Rows,
    ),
    *(pydal.IterRows, pydal.Select),
)


def _members(kind: type) -> set[str]:
    """The public members of a class and its operators; of a Field those that no expression has.

    What a dialect adds to all expressions of a process, once a DAL of its engine was made in it, is that engine's own.
    """
    added = set(pydal.Expression._dialect_expressions_)
    names = {name for name in dir(kind) if not name.startswith("_")} - added
    operators = {name for name in vars(kind) if name.startswith("__")} - PLUMBING
    inherited = set(dir(pydal.Expression)) if kind is pydal.Field else set()
    return (names | operators) - inherited


def _attributes() -> dict[str, set[str]]:
    """What PyDAL gives the objects themselves."""
    dal = DAL("sqlite:memory", migrate=False)
    table = dal.define_table("thing", pydal.Field("name"), migrate=False)
    made = {"Table": table, "Field": table.name, "Set": dal(table)}
    own = {of: {name for name in vars(each) if not name.startswith("_")} for of, each in made.items()}
    dal.close()
    own["Table"] -= {"id", "name"}
    return own


def test_every_public_member_has_a_line() -> None:
    told = {(member.of, member.name) for member in MEMBERS}
    wanted = {(kind.__name__, name) for kind in CLASSES for name in _members(kind)}
    wanted |= {(of, name) for of, names in _attributes().items() for name in names}
    wanted |= {
        ("Reference", name) for name in vars(Reference) if name in ("get", "__getattr__", "__getitem__")
    }
    assert not sorted(wanted - told)
    assert len(told) == len(MEMBERS), "a member has two lines"


def test_the_page_is_what_the_members_say(pytestconfig: pytest.Config) -> None:
    target: Path | None = pytestconfig.getoption("--pydal-page", default=None)
    if target is not None:
        target.write_text(page(MEMBERS), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page(MEMBERS)
