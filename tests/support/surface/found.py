"""The public members that PyDAL's classes have, read off PyDAL itself.

Run as a process of its own (`python -m support.surface.found`), it prints them as JSON: PyDAL adds a dialect's functions to its
classes when a DAL of that engine is first made, and Python adds `__slotnames__` when an object is first copied, so what
a process finds depends on what ran in it before.
"""

import json

import pydal.objects as pydal
from pydal import DAL
from pydal.helpers.classes import Reference

CLASSES = (
    DAL,
    pydal.Table,
    pydal.Field,
    pydal.Expression,
    pydal.Query,
    pydal.Set,
    pydal.LazySet,
    pydal.Row,
    pydal.Rows,
    pydal.IterRows,
    pydal.Select,
)
PLUMBING = frozenset(
    "__bool__ __class__ __copy__ __deepcopy__ __delattr__ __dict__ __dir__ __doc__ __format__ __getstate__ __hash__ __init__"
    " __init_subclass__ __int__ __long__ __module__ __new__ __next__ __reduce__ __reduce_ex__ __repr__ __setattr__ __sizeof__"
    " __str__ __subclasshook__ __weakref__ __getslice__ __call__ __delitem__ __setitem__ __getattribute__".split()
)


def _of_class(kind: type) -> set[str]:
    """The public names of a class and its operators; of a Field those that no expression has."""
    names = {name for name in dir(kind) if not name.startswith("_")}
    operators = {name for name in vars(kind) if name.startswith("__")} - PLUMBING
    inherited = set(dir(pydal.Expression)) if kind is pydal.Field else set()
    return (names | operators) - inherited


def _of_objects() -> dict[str, set[str]]:
    """The public attributes that PyDAL gives the objects themselves."""
    dal = DAL("sqlite:memory", migrate=False)
    table = dal.define_table("thing", pydal.Field("name"), migrate=False)
    objects = {"Table": table, "Field": table.name, "Set": dal(table)}
    own = {of: {name for name in vars(each) if not name.startswith("_")} for of, each in objects.items()}
    dal.close()
    own["Table"] -= {"id", "name"}
    return own


def members() -> list[tuple[str, str]]:
    """Every public member, as pairs of the class's name and the member's, sorted."""
    found = {(kind.__name__, name) for kind in CLASSES for name in _of_class(kind)}
    found |= {(of, name) for of, names in _of_objects().items() for name in names}
    found |= {
        ("Reference", name) for name in vars(Reference) if name in ("get", "__getattr__", "__getitem__")
    }
    return sorted(found)


if __name__ == "__main__":
    print(json.dumps(members()))
