"""Closes PyMySQL connections without swallowing an interrupt, as PyMySQL's own methods would."""

import struct
from typing import Any

import pymysql
from pymysql.constants import COMMAND

from ringfence.runtime.interrupts import reraise_interrupt

_GOODBYE = struct.pack("<iB", 1, COMMAND.COM_QUIT)


def close_socket(connection: Any) -> None:
    """Close the socket; raises nothing but an interrupt.

    Args:
        connection: PyMySQL's connection.
    """
    if connection._result is not None:
        connection._result.unbuffered_active = False  # otherwise its destructor would read the remaining rows
    ends = connection._rfile, connection._sock
    connection._closed, connection._rfile, connection._sock = True, None, None
    for end in ends:
        if end is not None:
            end.close()


def quit_and_close(connection: Any) -> None:
    """Send COM_QUIT and close the socket; raises nothing but an interrupt.

    Args:
        connection: PyMySQL's connection.
    """
    try:
        if connection.open:
            connection._write_bytes(_GOODBYE)
    except (pymysql.Error, OSError) as error:  # the connection is broken, and is closed anyway
        reraise_interrupt(error, pymysql.Error)
    finally:
        close_socket(connection)
