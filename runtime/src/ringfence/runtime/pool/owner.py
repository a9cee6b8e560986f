"""Identify the caller: the running process, thread and asyncio task, and the line of the program."""

import asyncio
import contextlib
import os
import sys
import threading
from pathlib import Path
from typing import Any

# Objects and not numbers, because the numbers of ended processes, threads and tasks are used again.
Owner = tuple[object, object, "asyncio.Task[Any] | None"]

_OWN = (str(Path(__file__).parents[1]), contextlib.__file__)  # this library, and what stands between

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
    """Return tokens of the running process and thread, and the running asyncio task, if any.

    It is cheap, because it is called for each statement.
    """
    try:
        thread = _here.token
    except AttributeError:
        thread = _here.token = object()
    task = asyncio.current_task() if asyncio._get_running_loop() is not None else None
    return Process.token, thread, task


def caller() -> str:
    """Return the thread's name and the program's line that called into this library."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OWN):
        frame = frame.f_back
    code = frame.f_code
    return f"{threading.current_thread().name} at {code.co_filename}:{frame.f_lineno} in {code.co_name}"
