"""The attributes of a field: every thread reads what the mirror says, also where a framework changes PyDAL's Field."""

from inspect import getattr_static
from typing import Any, Self

from pydal.objects import Field as PydalField

from ringfence.runtime.dal.validators import default_validator

# What py4web makes thread-local of PyDAL's Field.
_PER_THREAD = (
    "default",
    "filter_in",
    "filter_out",
    "label",
    "readable",
    "represent",
    "update",
    "widget",
    "writable",
)


class _SetByThread:
    """A value that a program gave an attribute, kept by py4web for the thread that did."""

    __slots__ = ("field", "value")

    def __init__(self, field: Any, value: Any) -> None:
        self.field = field
        self.value = value


class _Attribute:
    """An attribute that one thread may change for itself, where py4web is there, over what the mirror says to all.

    py4web puts descriptors on PyDAL's Field that know only what was set in the same thread, or in its main thread:
    what is set while a table is made would be None everywhere else.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, field: Any, owner: type | None = None) -> Any:
        if field is None:
            return None
        found = self.of_thread(field)
        return self.said(field) if found is None else found.value

    def of_thread(self, field: Any) -> _SetByThread | None:
        """What a program set in this thread alone, or None."""
        if (kept := thread_local(self._name)) is None:
            return None
        found = kept.__get__(field, type(field))
        # py4web goes by id(): a field of the same number may have been there before.
        mine = isinstance(found, _SetByThread) and found.field is field.__dict__.get("_itself")
        return found if mine else None

    def said(self, field: Any) -> Any:
        """What the mirror says, or a program in every thread."""
        return field.__dict__.get(self._name)

    def __set__(self, field: Any, value: Any) -> None:
        kept = thread_local(self._name)
        if kept is None or not field.__dict__.get("_made"):
            field.__dict__[self._name] = value
        else:
            kept.__set__(field, _SetByThread(field.__dict__.setdefault("_itself", object()), value))


class _Requires(_Attribute):
    """The validators, which are made when they are first asked for: many services never do."""

    def said(self, field: Any) -> Any:
        found = field.__dict__
        if "requires" not in found:
            found["requires"] = default_validator(field) if found.get("_made") else None
        return found["requires"]


def thread_local(name: str) -> Any:
    """The descriptor that makes an attribute of PyDAL's Field thread-local, or None.

    Args:
        name: of the attribute.
    """
    found = PydalField.__dict__.get(name)
    return found if hasattr(type(found), "__set__") else None


class Attributes(PydalField):  # type: ignore[misc]  # pydal is untyped
    """PyDAL's Field, whose attributes are its own, whatever is put on PyDAL's class once tables are made."""

    default = filter_in = filter_out = update = represent = widget = None
    label = ""
    readable = writable = True
    requires = _Requires()

    def made(self) -> None:
        """Note that its table is whole: its validators are made when they are asked for."""
        self.__dict__.pop("requires", None)
        self.__dict__["_made"] = True

    def __copy__(self) -> Self:
        copied = self.__class__.__new__(self.__class__)
        copied.__dict__.update(self.__dict__)
        copied.__dict__.pop("_itself", None)
        for name in (*_PER_THREAD, "requires"):
            attribute = getattr_static(self.__class__, name)
            if isinstance(attribute, _Attribute) and (found := attribute.of_thread(self)) is not None:
                copied.__dict__[name] = found.value
        return copied

    def bind(self, table: Any) -> None:
        """Make it a field of a table, without a look at its validators."""
        made = self.__dict__.pop("_made", False)
        super().bind(table)
        self.__dict__["_made"] = made

    def has_default_validator(self) -> bool:
        """Whether `requires` is what the mirror gave it; never while its table is made."""
        return bool(self.__dict__.get("_made")) and bool(super().has_default_validator())


class PerThread:
    """Mixed in before that under py4web: what a request sets on a field is seen by that request alone."""

    default = _Attribute()
    filter_in = _Attribute()
    filter_out = _Attribute()
    label = _Attribute()
    readable = _Attribute()
    represent = _Attribute()
    update = _Attribute()
    widget = _Attribute()
    writable = _Attribute()
