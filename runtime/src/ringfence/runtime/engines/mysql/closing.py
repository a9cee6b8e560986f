"""The ends of a connection through PyMySQL, whose own would swallow an interrupt."""

import struct
from typing import Any

import pymysql
from pymysql.constants import COMMAND

from ringfence.runtime.interrupts import let_through

_GOODBYE = struct.pack("<iB", 1, COMMAND.COM_QUIT)


def drop(connection: Any) -> None:
    """Close the socket; raises nothing but an interrupt."""
    if connection._result is not None:
        connection._result.unbuffered_active = False  # else it would read what is left as it is collected
    ends = connection._rfile, connection._sock
    connection._closed, connection._rfile, connection._sock = True, None, None
    for end in ends:
        if end is not None:
            end.close()


def say_goodbye(connection: Any) -> None:
    """Tell the server, and close the socket; raises nothing but an interrupt."""
    try:
        if connection.open:
            connection._write_bytes(_GOODBYE)
    except (pymysql.Error, OSError) as error:  # it was broken, which is why it is closed
        let_through(error, pymysql.Error)
    finally:
        drop(connection)
