"""Sends PostgreSQL's cancel request in a separate thread, without blocking the process (see `psycopg2_compat`)."""

import ctypes
import threading
from typing import Any

import psycopg2

from ringfence.runtime.engines.network_timeouts import CANCEL_SECONDS
from ringfence.runtime.engines.postgresql.psycopg2_compat import LIBPQ

_ERROR_LENGTH = 256


class Canceller:
    """Cancels the statements of one connection; created while that is open, and usable afterwards.

    Args:
        connection: psycopg2's connection.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection if LIBPQ is None else None
        self._key = None if LIBPQ is None else LIBPQ.PQgetCancel(connection.pgconn_ptr)
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
            if self._key and LIBPQ is not None:
                LIBPQ.PQcancel(self._key, ctypes.create_string_buffer(_ERROR_LENGTH), _ERROR_LENGTH)
            elif self._connection is not None:
                self._connection.cancel()
        except psycopg2.Error:
            pass  # already closed: no statement runs
        finally:
            self._under_way = False
            done.set()

    def __del__(self) -> None:
        if self._key and LIBPQ is not None:
            LIBPQ.PQfreeCancel(self._key)
