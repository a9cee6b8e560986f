"""A TCP proxy that cuts connections at a moment of the test's choosing."""

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Self


class Proxy:
    """Passes bytes on between clients and a server.

    Args:
        host, port: the server.
        cut: looks at what a client sends; when it says so, those bytes are passed on and the answer is swallowed.
        listen: the address that clients come to.
    """

    def __init__(
        self,
        host: str,
        port: int,
        cut: Callable[[bytes], bool] = lambda data: False,
        listen: str = "127.0.0.1",
    ) -> None:
        self._server = (host, port)
        self._cut = cut
        family = socket.AF_INET6 if ":" in listen else socket.AF_INET
        self._listener = socket.create_server((listen, 0), family=family)
        self.port = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._mute: set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close(self._listener)
        self.cut_all()

    def cut_all(self) -> None:
        """Cut every connection that is open now."""
        with self._lock:
            found = list(self._open)
        for each in found:
            self._close(each)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(self._server, 10)
                except OSError:
                    client.close()
                    continue
                with self._lock:
                    self._open |= {client, server}
                for pump in (self._up, self._down):
                    threading.Thread(target=pump, args=(client, server), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                cut = self._cut(data)
                if cut:
                    self._mute.add(client)  # before the server can answer
                server.sendall(data)
                if cut:
                    self._close(client)  # who then sees that it is cut knows that the server has it
        self._end(client, server)

    def _down(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if client not in self._mute:
                    client.sendall(data)
        self._end(client, server)

    def _end(self, *both: socket.socket) -> None:
        for each in both:
            self._close(each)

    def _close(self, each: socket.socket) -> None:
        with self._lock:
            self._open.discard(each)
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
