"""What belongs to the whole process (the garbage collector, the limit of csv's cells) is left as it was found."""

import csv
import gc
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from ringfence.runtime.dal.csv_files import long_cells
from ringfence.runtime.dal.shapes import without_collection

ROWS = [(number,) for number in range(1_000)]


@pytest.fixture(autouse=True)
def collecting() -> Iterator[None]:
    yield
    gc.enable()


def was_paused(rows: Sequence[Any]) -> list[Any]:
    return [not gc.isenabled()]


def test_the_collector_is_paused_for_many_rows_and_runs_again() -> None:
    assert without_collection(was_paused)(ROWS) == [True]
    assert gc.isenabled()
    assert without_collection(was_paused)(ROWS[:10]) == [False]


def test_the_collector_runs_again_after_an_exception() -> None:
    def failing(rows: Sequence[Any]) -> list[Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        without_collection(failing)(ROWS)
    assert gc.isenabled()


def test_a_collector_that_the_program_switched_off_stays_off() -> None:
    gc.disable()
    assert without_collection(was_paused)(ROWS) == [True]
    assert not gc.isenabled()


def test_the_collector_runs_once_the_last_of_several_threads_has_decoded() -> None:
    ends = [threading.Event(), threading.Event()]
    begun = threading.Barrier(3)

    def decode(rows: Sequence[Any], end: threading.Event) -> list[Any]:
        begun.wait(10)
        end.wait(10)
        return []

    threads = [
        threading.Thread(target=without_collection(lambda rows, end=end: decode(rows, end)), args=(ROWS,))
        for end in ends
    ]
    for thread in threads:
        thread.start()
    begun.wait(10)
    assert not gc.isenabled()
    ends[0].set()
    threads[0].join()
    assert not gc.isenabled()
    ends[1].set()
    threads[1].join()
    assert gc.isenabled()


def in_a_child(check: Any) -> bool:
    child = os.fork()
    if not child:
        try:
            os._exit(0 if check() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_child_that_is_forked_meanwhile_collects_and_has_the_limit_of_before() -> None:
    begun, end = threading.Event(), threading.Event()
    before = csv.field_size_limit()

    def decode(rows: Sequence[Any]) -> list[Any]:
        with long_cells():
            begun.set()
            end.wait(10)
        return []

    thread = threading.Thread(target=without_collection(decode), args=(ROWS,))
    thread.start()
    begun.wait(10)
    try:
        assert in_a_child(lambda: gc.isenabled() and csv.field_size_limit() == before)
    finally:
        end.set()
        thread.join()


def test_the_limit_of_cells_is_restored_when_the_last_import_ends() -> None:
    before = csv.field_size_limit()
    with pytest.raises(KeyError), long_cells():
        with long_cells():
            pass
        assert csv.field_size_limit() > before
        raise KeyError
    assert csv.field_size_limit() == before


def test_a_larger_limit_of_the_program_stays_during_an_import() -> None:
    before = csv.field_size_limit(2**40)
    try:
        with long_cells():
            assert csv.field_size_limit() == 2**40
        assert csv.field_size_limit() == 2**40
    finally:
        csv.field_size_limit(before)
