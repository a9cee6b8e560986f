"""Exceptions that come from outside, as a signal's handler raises them, and that a driver took for its own."""

import sys
from types import TracebackType


def foreign(error: BaseException, driver_error: type[Exception]) -> BaseException | None:
    """The exception of a signal's handler that a driver caught and told as an error of the network, else None.

    PyMySQL does so with every OSError, TimeoutError among them. The handler's own frame at its end tells.

    Args:
        error: what the driver raised.
        driver_error: the driver's class of errors.
    """
    driver = driver_error.__module__.partition(".")[0]
    beneath = error.__context__
    while beneath is not None and (trace := beneath.__traceback__) is not None and _root(trace) == driver:
        while trace.tb_next is not None:
            trace = trace.tb_next
        root = _root(trace)
        if root not in (driver, "ringfence") and root not in sys.stdlib_module_names:
            return beneath
        beneath = beneath.__context__
    return None


def _root(trace: TracebackType) -> str:
    return str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
