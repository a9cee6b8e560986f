"""Identify the running process, thread and asyncio task; cheap, because it is called for each statement."""

import asyncio
import os
import threading
from typing import Any

# Objects and not numbers, because the numbers of ended processes, threads and tasks are used again.
Owner = tuple[object, object, "asyncio.Task[Any] | None"]

_here = threading.local()


class Process:
    """Holds an object that identifies this process; a fork gets another one."""

    token = object()

    @classmethod
    def forked(cls) -> None:
        """Replace the token; called in the child after a fork."""
        cls.token = object()


os.register_at_fork(after_in_child=Process.forked)


def current_owner() -> Owner:
    """Return tokens of the running process and thread, and the running asyncio task, if any."""
    try:
        thread = _here.token
    except AttributeError:
        thread = _here.token = object()
    task = asyncio.current_task() if asyncio._get_running_loop() is not None else None
    return Process.token, thread, task
