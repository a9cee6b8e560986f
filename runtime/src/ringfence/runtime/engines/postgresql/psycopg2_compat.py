"""What the runtime uses of psycopg2 beside its public face: the libpq that its extension module is linked with.

psycopg2's `connection.cancel()` holds Python's global interpreter lock until libpq has an answer, so a network that
drops the request would block every thread. ctypes releases the lock, so the module `cancel` calls libpq's functions
itself. They are found through the extension module `psycopg2._psycopg`; where that is impossible, `LIBPQ` is None, and
`connection.cancel()` is used. Checked with psycopg2-binary 2.9.9 and 2.9.13.
"""

import ctypes

import psycopg2._psycopg as extension


def _libpq() -> ctypes.CDLL | None:
    """Return the libpq that psycopg2 is linked with, or None where its functions are not accessible."""
    try:
        found = ctypes.CDLL(extension.__file__)
        found.PQgetCancel.argtypes, found.PQgetCancel.restype = [ctypes.c_void_p], ctypes.c_void_p
        found.PQfreeCancel.argtypes, found.PQfreeCancel.restype = [ctypes.c_void_p], None
        found.PQcancel.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
        found.PQcancel.restype = ctypes.c_int
    except (OSError, AttributeError):
        return None
    return found


LIBPQ = _libpq()
