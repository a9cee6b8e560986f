"""Sends PostgreSQL's cancel request without blocking the process.

psycopg2's `connection.cancel()` holds Python's global interpreter lock until libpq has an answer, so a network that
drops the request would block every thread. Here libpq is called through ctypes, in a separate thread.
"""

import ctypes
import threading
from typing import Any

import psycopg2._psycopg as driver

from ringfence.runtime.engines.network_timeouts import CANCEL_SECONDS

_ERROR_LENGTH = 256


def _libpq() -> ctypes.CDLL | None:
    """Return the libpq that psycopg2 is linked with, or None where its functions are not accessible."""
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
    """Cancels the statements of one connection; created while that is open, and usable afterwards.

    Args:
        connection: psycopg2's connection.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection if _LIBPQ is None else None
        self._key = None if _LIBPQ is None else _LIBPQ.PQgetCancel(connection.pgconn_ptr)
        self._under_way = False

    def request(self) -> bool:
        """Ask the server to cancel the running statement.

        Returns:
            Whether the server was reached within `CANCEL_SECONDS`.
        """
        if self._under_way:  # an earlier request has not been answered: the server is unreachable
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
            pass  # already closed: no statement runs
        finally:
            self._under_way = False
            done.set()

    def __del__(self) -> None:
        if self._key and _LIBPQ is not None:
            _LIBPQ.PQfreeCancel(self._key)
