"""Recover exceptions of signal handlers that a driver caught and re-raised as its own errors."""

import sys
from types import TracebackType

_NETWORKS = ("gevent", "eventlet")
"""Packages that replace the standard library's sockets, and raise the same exceptions."""


def interrupt_of(error: BaseException | None, driver_error: type[Exception]) -> BaseException | None:
    """Find the exception of a signal handler that a driver caught and re-raised as a network error.

    PyMySQL does so with every OSError, including TimeoutError. Such an exception is recognized by its traceback, which
    ends in a frame of the handler and not of the driver or the standard library.

    Args:
        error: the driver's error, or any other exception that was caught.
        driver_error: the driver's base class of errors.

    Returns:
        The handler's exception; None if there is none.
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


def reraise_interrupt(error: BaseException | None, driver_error: type[Exception]) -> None:
    """Raise the exception that `interrupt_of` finds, if any, so that the caller does not treat it as a network error.

    Args:
        error: as for `interrupt_of`.
        driver_error: as for `interrupt_of`.
    """
    if (interrupt := interrupt_of(error, driver_error)) is not None:
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
