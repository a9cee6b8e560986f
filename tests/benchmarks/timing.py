"""Interleaved rounds: each peer in turn, over and over, so that what disturbs the machine disturbs all alike."""

import contextlib
import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Work = Callable[[], Any]
Unit = Callable[[], contextlib.AbstractContextManager[Any]]


@dataclass(frozen=True)
class Pace:
    """How long to measure; times are in seconds."""

    slice: float = 0.05
    """A peer repeats its work for about so long in each round."""
    rounds: int = 15
    least: int = 3
    budget: float = 15.0
    """Fewer rounds, down to `least`, when they would take longer than this together."""


_LONG = 0.5
"""What takes so long, in seconds, has no need of warming up."""
QUICK = Pace(slice=0.01, rounds=5, least=2, budget=3.0)


@dataclass(frozen=True)
class Measured:
    """Microseconds for one run of the work, and the median of each round's ratio to the measure's."""

    micros: float
    ratio: float


def measure(works: Mapping[str, tuple[Work, Unit]], pace: Pace, measure_by: str) -> dict[str, Measured]:
    """Time each work in rounds.

    Args:
        works: name -> what to run, and the context to run it in (entered outside the time).
        pace: how long.
        measure_by: whose time is 1; it must be among `works`.

    Returns:
        For each name its median time, and the median over the rounds of its time divided by the measure's.
    """
    repeats, first, cost = {}, {}, 0.0
    for name, (work, unit) in works.items():
        once = first[name] = _timed(work, unit, 1)
        if once < _LONG:  # the first run of a short work is not like the others
            once = min(once, _timed(work, unit, 1))
        repeats[name] = max(1, round(pace.slice / once))
        cost += repeats[name] * once
    rounds = max(pace.least, min(pace.rounds, round(pace.budget / cost)))
    times: dict[str, list[float]] = {name: [] for name in works}
    if min(first.values()) > _LONG:  # then it was a round like the others
        times = {name: [once] for name, once in first.items()}
        rounds -= 1
    names = list(works)
    gc.collect()
    gc.freeze()  # what the libraries themselves hold is nobody's cost
    try:
        for number in range(rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                work, unit = works[name]
                gc.collect()
                times[name].append(_timed(work, unit, repeats[name]) / repeats[name])
    finally:
        gc.unfreeze()
    return summary(times, measure_by)


def summary(times: Mapping[str, list[float]], measure_by: str) -> dict[str, Measured]:
    """The medians of rounds, in seconds, of each name."""
    base = times[measure_by]
    return {
        name: Measured(
            statistics.median(taken) * 1e6,
            statistics.median(mine / its for mine, its in zip(taken, base, strict=True)),
        )
        for name, taken in times.items()
    }


def _timed(work: Work, unit: Unit, repeats: int) -> float:
    with unit():
        begin = time.perf_counter()
        for _ in range(repeats):
            work()
        return time.perf_counter() - begin
