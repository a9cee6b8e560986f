"""A core for the client and another for the server: where a scheduler puts the two would decide more than a library."""

import contextlib
import os
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path


@contextlib.contextmanager
def apart() -> Iterator[bool]:
    """Keep this thread on one core, and the servers that this process has started on another, as if on two machines.

    Yields:
        Whether that was done: it takes Linux, and two cores.
    """
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        yield False
        return
    _keep({cores[0]}, {cores[1]})
    try:
        yield True
    finally:
        _keep(set(cores), set(cores))


def _keep(client: AbstractSet[int], servers: AbstractSet[int]) -> None:
    os.sched_setaffinity(0, client)
    for process in _descendants():
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's
            for thread in Path(f"/proc/{process}/task").iterdir():
                os.sched_setaffinity(int(thread.name), servers)


def _descendants() -> list[int]:
    """The processes that this one started, and those that they did."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended meanwhile
                after_name = (folder / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(after_name[1]), []).append(int(folder.name))
    found = [os.getpid()]
    for process in found:
        found += children.get(process, [])
    return found[1:]
