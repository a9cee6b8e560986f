"""What is set on a field, while its table is made and later, in one thread and in others."""

import copy
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from pydal.objects import Field

from ringfence.runtime import Database
from support.runtime_shop import in_threads

pytestmark = pytest.mark.engines("sqlite")

NAMES = (
    "readable writable default filter_in filter_out label update requires widget represent"  # py4web's list
).split()


class _PerThread:
    """What py4web puts in place of attributes of PyDAL's Field (threadsafevariable)."""

    storage: ClassVar[threading.local] = threading.local()
    defaults: ClassVar[dict[tuple[int, int], Any]] = {}

    def __set__(self, field: Any, value: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            self.defaults[id(field), id(self)] = value
        vars(self.storage)[id(field), id(self)] = value

    def __get__(self, field: Any, owner: type) -> Any:
        return vars(self.storage).get((id(field), id(self)), self.defaults.get((id(field), id(self))))


def _copied(field: Any) -> Any:
    """As py4web has it copied."""
    copier = type(field).__copy__
    type(field).__copy__ = None
    clone = copy.copy(field)
    type(field).__copy__ = copier
    for name in NAMES:
        setattr(clone, name, getattr(field, name))
    return clone


@pytest.fixture
def py4web() -> Iterator[None]:
    for name in NAMES:
        setattr(Field, name, _PerThread())
    Field.__copy__ = _copied
    yield
    for name in [*NAMES, "__copy__"]:
        delattr(Field, name)


def _said(dal: Any) -> dict[str, Any]:
    table = dal.defaulted
    found = {
        f"{each.name}.{name}": getattr(each, name) for each in table for name in NAMES if name != "requires"
    }
    return found | {each.name: each.requires.formatter for each in table} | {"length": table.label.length}


def _look(shop: Database) -> None:
    """A table that another thread made is whole in every thread."""
    made = in_threads(1, lambda _: _said(shop.dal))[0]
    assert made["label.default"] == "plain"
    assert made["label.label"] == "Label"
    assert made["changed.update"] is not None
    assert made["made.writable"] is True
    assert in_threads(3, lambda _: _said(shop.dal)) == [made] * 3
    assert _said(shop.dal) == made
    with shop.session() as dal:
        assert dal.defaulted(dal.defaulted.insert()).label == "plain"
        assert dal.defaulted.validate_and_insert(label="x" * 21)["errors"] == {
            "label": "Enter from 0 to 20 characters"
        }
        assert dal.defaulted.with_alias("other").label.default == "plain"


def test_a_table_made_by_one_thread_is_whole_in_the_next(shop: Database) -> None:
    _look(shop)
    field = shop.dal.defaulted.note
    field.default = "everywhere"
    assert in_threads(2, lambda _: field.default) == ["everywhere"] * 2


def test_under_py4web_too_where_a_request_sets_attributes_for_itself(py4web: None, shop: Database) -> None:
    _look(shop)
    field = shop.dal.defaulted.note

    def asked(number: int) -> tuple[Any, ...]:
        field.writable, field.default, field.requires = False, f"of {number}", None
        clone = copy.copy(field)
        with shop.session() as dal:
            return field.writable, field.requires, clone.default, dal.defaulted(dal.defaulted.insert()).note

    first = field.requires
    assert sorted(in_threads(3, asked)) == [(False, None, f"of {n}", f"of {n}") for n in range(3)]
    assert (field.writable, field.default, field.requires) == (True, "hello", first)
    assert first is not None
    field.default = None
    assert field.default is None
    assert in_threads(1, lambda _: field.default) == [None]  # the main thread's is everybody's


def test_py4web_that_comes_late_takes_nothing_away(shop: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    made = _said(shop.dal)
    for name in NAMES:
        monkeypatch.setattr(Field, name, _PerThread(), raising=False)
    assert _said(shop.dal) == made
    assert in_threads(2, lambda _: _said(shop.dal)) == [made] * 2
