"""Exceptions that come from outside, as a signal's handler raises them, and that a driver took for its own."""

import sys
from types import TracebackType

_NETWORKS = ("gevent", "eventlet")
"""They take the part of the standard library's sockets, and raise what those would."""


def foreign(error: BaseException | None, driver_error: type[Exception]) -> BaseException | None:
    """The exception of a signal's handler that a driver caught and raised as an error of the network, else None.

    PyMySQL does so with every OSError, TimeoutError among them. The handler's own frame at its end tells.

    Args:
        error: what the driver raised, or what was caught in its place.
        driver_error: the driver's class of errors.
    """
    driver = driver_error.__module__.partition(".")[0]
    if error is None or not isinstance(error, driver_error):
        return error if error is not None and _ends_elsewhere(error.__traceback__, driver) else None
    beneath = error.__context__
    while beneath is not None and (trace := beneath.__traceback__) is not None and _root(trace) == driver:
        if _ends_elsewhere(trace, driver):
            return beneath
        beneath = beneath.__context__
    return None


def let_through(error: BaseException | None, driver_error: type[Exception]) -> None:
    """Raise what `foreign` finds, if anything: the caller takes the error for one of the network."""
    if (interrupt := foreign(error, driver_error)) is not None:
        raise interrupt from None


def _ends_elsewhere(trace: TracebackType | None, driver: str) -> bool:
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    root = _root(trace)
    return root not in (driver, "ringfence", *_NETWORKS) and root not in sys.stdlib_module_names


def _root(trace: TracebackType) -> str:
    return str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
