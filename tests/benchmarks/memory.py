"""`python -m benchmarks.memory`: how much memory a stream of many rows takes.

    PYTHONPATH=tests .venv/bin/python -m benchmarks.memory --engine postgresql --rows 10000000

Starts a private server, as scripts/bench.sh does, and reads so many rows of a small table joined with itself, so that
none has to be written first. Exit 1: it took more than 30 MB above the start. Reads /proc, so it wants Linux.
"""

import argparse
import resource
import sys
import time
from pathlib import Path

from benchmarks import data
from benchmarks.place import prepared
from ringfence.runtime import Database, Settings
from servers.registry import Registry

LIMIT = 30 * 1024 * 1024
_STATUS = Path("/proc/self/statm")


def main() -> int:
    """Stream, and print the most that was resident above the start."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory")
    parser.add_argument("--engine", choices=("postgresql", "mariadb", "sqlite"), default="postgresql")
    parser.add_argument("--rows", type=int, default=10_000_000)
    arguments = parser.parse_args()
    with (
        prepared(Registry().server(arguments.engine), data.QUICK) as place,
        Database(Settings.from_env(place.env), place.mirror) as database,
    ):
        most, count, took = streamed(database, arguments.rows)
    print(
        f"{arguments.engine}: {count:,} rows in {took:.0f} s, at most {most / 1024 / 1024:.1f} MB above the start"
    )
    return 1 if most > LIMIT else 0


def streamed(database: Database, wanted: int) -> tuple[int, int, float]:
    """The octets above the start, the rows read, and the seconds it took."""
    with database.session(read_only=True) as dal:
        item, other = dal.item, dal.item.with_alias("other")
        third = dal.item.with_alias("third")
        every = dal((item.id > 0) & (other.id > 0) & (third.id > 0))
        start, most, count, begin = resident(), 0, 0, time.monotonic()
        for _row in every.iterselect(item.ALL, limitby=(0, wanted), orderby_on_limitby=False):
            count += 1
            if count % 50_000 == 0:
                most = max(most, resident() - start)
        return most, count, time.monotonic() - begin


def resident() -> int:
    """The octets of this process that are in memory."""
    return int(_STATUS.read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    sys.exit(main())
