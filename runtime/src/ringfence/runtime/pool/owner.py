"""Who runs: the process, the thread and the asyncio task, told apart cheaply, for it is asked at each statement."""

import asyncio
import os
import threading
from typing import Any

# The task itself and not its number, which is used again when it has ended; and so for the thread and the process.
Owner = tuple[object, object, "asyncio.Task[Any] | None"]

_here = threading.local()


class Process:
    """This process: another object in a fork."""

    token = object()

    @classmethod
    def forked(cls) -> None:
        cls.token = object()


os.register_at_fork(after_in_child=Process.forked)


def current_owner() -> Owner:
    """The process, thread and asyncio task that runs now."""
    try:
        thread = _here.token
    except AttributeError:
        thread = _here.token = object()
    task = asyncio.current_task() if asyncio._get_running_loop() is not None else None
    return Process.token, thread, task
