"""The rows of a join, which are made when somebody asks for the first of them."""

import threading
from typing import Any

import pytest

from ringfence.runtime.dal.joined import outer_row, own
from ringfence.runtime.dal.rows import Row


def part(**values: Any) -> Row:
    row = Row()
    row.update(**values)
    return row


def waiting(names: tuple[str, ...] = ("one", "other")) -> tuple[Row, list[Any]]:
    """A row that nobody has looked at, and what was made for it."""
    made: list[Any] = []

    def fill(row: Any) -> dict[str, Any]:
        kept, raw = own(row), row._raw  # noqa: SLF001 - what fills a row takes its values and says that it has
        if raw is not None:
            made.append(raw)
            for name, value in zip(names, raw, strict=True):
                kept.setdefault(name, part(value=value))
            row._raw = None  # noqa: SLF001
        return kept

    outer, keep = outer_row(names, fill)
    row = object.__new__(outer)
    keep(row, tuple(range(len(names))))
    return row, made


def test_parts_are_made_once_and_when_asked_for() -> None:
    row, made = waiting()
    assert made == []
    assert (row.one.value, row.other.value, row.one is row["one"]) == (0, 1, True)
    assert made == [(0, 1)]


def test_what_was_set_before_stays() -> None:
    row, _ = waiting()
    row.one = "mine"
    assert (row.one, row.other.value) == ("mine", 1)


@pytest.mark.parametrize("name", ["items", "keys", "update", "as_dict", "get"])
def test_a_table_with_the_name_of_a_method_hides_it(name: str) -> None:
    row, _ = waiting((name, "other"))
    assert getattr(row, name).value == 0


def test_threads_that_look_at_once_see_all_parts() -> None:
    for _ in range(200):
        row, _made = waiting()
        gate = threading.Barrier(4)
        seen: list[Any] = []

        def look(row: Row = row, gate: threading.Barrier = gate, seen: list[Any] = seen) -> None:
            gate.wait()
            seen.append((row.other.value, row.one.value, sorted(row.keys())))

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [(1, 0, ["one", "other"])] * 4
