"""Attributes of a field that every thread reads as the mirror defines them, even where py4web patches PyDAL's Field."""

from inspect import getattr_static
from typing import Any, Self

from pydal.objects import Field as PydalField

from ringfence.runtime.dal.validators import default_validator

# The attributes of PyDAL's Field that py4web makes thread-local.
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
    """A value that the program gave an attribute in one thread; py4web stores it per thread."""

    __slots__ = ("field", "value")

    def __init__(self, field: Any, value: Any) -> None:
        self.field = field
        self.value = value


class _Attribute:
    """An attribute with the mirror's value for all threads, which under py4web one thread can override for itself.

    py4web puts thread-local descriptors on PyDAL's Field: an attribute set while a table is made would be None in every
    other thread.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, field: Any, owner: type | None = None) -> Any:
        if field is None:
            return None
        found = self.of_thread(field)
        return self.said(field) if found is None else found.value

    def of_thread(self, field: Any) -> _SetByThread | None:
        """Return the value set in this thread alone, or None."""
        if (kept := thread_local(self._name)) is None:
            return None
        found = kept.__get__(field, type(field))
        # py4web keys its values by id(), which an earlier field may have had.
        mine = isinstance(found, _SetByThread) and found.field is field.__dict__.get("_itself")
        return found if mine else None

    def said(self, field: Any) -> Any:
        """Return the value for all threads."""
        return field.__dict__.get(self._name)

    def __set__(self, field: Any, value: Any) -> None:
        kept = thread_local(self._name)
        if kept is None or not field.__dict__.get("_made"):
            field.__dict__[self._name] = value
        else:
            kept.__set__(field, _SetByThread(field.__dict__.setdefault("_itself", object()), value))


class _Requires(_Attribute):
    """The validators, made on first access: many services never use them."""

    def said(self, field: Any) -> Any:
        """Return the validators, making the default ones on first access."""
        found = field.__dict__
        if "requires" not in found:
            found["requires"] = default_validator(field) if found.get("_made") else None
        return found["requires"]


def thread_local(name: str) -> Any:
    """Return the descriptor that makes an attribute of PyDAL's Field thread-local, or None.

    Args:
        name: the attribute's name.
    """
    found = PydalField.__dict__.get(name)
    return found if hasattr(type(found), "__set__") else None


class Attributes(PydalField):  # type: ignore[misc]  # pydal is untyped
    """PyDAL's Field with attributes of its own, unaffected by descriptors that are put on PyDAL's class later."""

    default = filter_in = filter_out = update = represent = widget = None
    label = ""
    readable = writable = True
    requires = _Requires()

    def made(self) -> None:
        """Mark the field's table as complete: from now on its validators are made on access."""
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
        """Bind the field to a table, without making its validators."""
        made = self.__dict__.pop("_made", False)
        super().bind(table)
        self.__dict__["_made"] = made

    def has_default_validator(self) -> bool:
        """Return whether `requires` is the mirror's default; always False while the table is made."""
        return bool(self.__dict__.get("_made")) and bool(super().has_default_validator())


class PerThread:
    """Mixed in before `Attributes` under py4web: what a request sets on a field is visible to its thread only."""

    default = _Attribute()
    filter_in = _Attribute()
    filter_out = _Attribute()
    label = _Attribute()
    readable = _Attribute()
    represent = _Attribute()
    update = _Attribute()
    widget = _Attribute()
    writable = _Attribute()
