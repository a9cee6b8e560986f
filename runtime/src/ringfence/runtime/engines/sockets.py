"""Operations on a connection's socket that bypass its driver."""

import os
import socket


def hang_up(descriptor: int) -> None:
    """Shut a socket down at once: pending data is discarded and nothing waits.

    Args:
        descriptor: the file descriptor of the driver's socket; the driver still closes it.

    Raises:
        OSError: when it is not a connected socket.
    """
    with socket.socket(fileno=os.dup(descriptor)) as same:
        same.shutdown(socket.SHUT_RDWR)
