"""What is done to a connection's socket behind its driver's back."""

import os
import socket


def hang_up(descriptor: int) -> None:
    """End a connection at once: what its driver would still send goes nowhere, and waits for nothing.

    Args:
        descriptor: the number of the driver's socket, which stays the driver's to close.

    Raises:
        OSError: when it is no connected socket.
    """
    with socket.socket(fileno=os.dup(descriptor)) as same:
        same.shutdown(socket.SHUT_RDWR)
