"""PostgreSQL's request to stop a statement, sent without stopping the process.

psycopg2's own `connection.cancel()` holds Python's global lock until libpq has its answer, so that a network which
swallows the request would stop every thread. Here libpq is called by itself, in a thread of its own.
"""

import ctypes
import threading
from typing import Any

import psycopg2._psycopg as driver

from ringfence.runtime.engines.network_timeouts import CANCEL_SECONDS

_ERROR_LENGTH = 256


def _libpq() -> ctypes.CDLL | None:
    """The libpq that psycopg2 is linked with, or None where it shows none of its functions."""
    try:
        found = ctypes.CDLL(driver.__file__)
        found.PQgetCancel.argtypes, found.PQgetCancel.restype = [ctypes.c_void_p], ctypes.c_void_p
        found.PQfreeCancel.argtypes, found.PQfreeCancel.restype = [ctypes.c_void_p], None
        found.PQcancel.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
        found.PQcancel.restype = ctypes.c_int
    except (OSError, AttributeError):
        return None
    return found


_LIBPQ = _libpq()


class Canceller:
    """What it takes to stop the statements of one connection; made while that is open, and of use ever after.

    Args:
        connection: psycopg2's.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection if _LIBPQ is None else None
        self._key = None if _LIBPQ is None else _LIBPQ.PQgetCancel(connection.pgconn_ptr)
        self._under_way = False

    def request(self) -> bool:
        """Ask the server to stop what runs now.

        Returns:
            Whether it was reached within `CANCEL_SECONDS`.
        """
        if self._under_way:  # an earlier one is still waited for: the server is out of reach
            return False
        done = threading.Event()
        self._under_way = True
        threading.Thread(target=self._send, args=(done,), name="ringfence-cancel", daemon=True).start()
        return done.wait(CANCEL_SECONDS)

    def _send(self, done: threading.Event) -> None:
        try:
            if self._key and _LIBPQ is not None:
                _LIBPQ.PQcancel(self._key, ctypes.create_string_buffer(_ERROR_LENGTH), _ERROR_LENGTH)
            elif self._connection is not None:
                self._connection.cancel()
        except driver.Error:
            pass  # it is closed already: nothing runs on it
        finally:
            self._under_way = False
            done.set()

    def __del__(self) -> None:
        if self._key and _LIBPQ is not None:
            _LIBPQ.PQfreeCancel(self._key)
