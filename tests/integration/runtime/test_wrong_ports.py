"""A port at which something else answers: a mistake of the environment, which is told at once and not waited for."""

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from ringfence.runtime import NotReady
from servers.base import Database as FreshDatabase
from support.runtime_shop import opened
from support.stalling_proxy import Stalling

pytestmark = [pytest.mark.requires("networked"), pytest.mark.runtime_only]
GENEROUS = 25  # seconds; DB_READY_TIMEOUT is 300


def _env(db_type: str, port: int) -> dict[str, str]:
    return {
        "DB_TYPE": db_type,
        "DB_HOST": "127.0.0.1",
        "DB_PORT": str(port),
        "DB_NAME": "shop",
        "DB_USER": "till",
        "DB_PASS": "secret",
        "DB_TCP_TIMEOUT": "4",
        "DB_MAX_RETRIES": "100",
        "DB_READY_TIMEOUT": "300",
    }


def _refused(db_type: str, port: int) -> str:
    started = time.monotonic()
    with opened(_env(db_type, port)) as shop, pytest.raises(NotReady) as raised:
        shop.wait_until_ready()
    assert time.monotonic() - started < GENEROUS
    assert raised.value.state == "misconfigured"
    return str(raised.value)


@contextlib.contextmanager
def _http() -> Iterator[int]:
    class Quiet(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@contextlib.contextmanager
def _answering(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that does this with each connection."""

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                wire, _ = listener.accept()
                threading.Thread(target=serve, args=(wire,), daemon=True).start()

    def serve(wire: socket.socket) -> None:
        with contextlib.suppress(OSError), wire:
            answer(wire)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]


def _redis(wire: socket.socket) -> None:
    """As Redis: what comes before a line's end is not answered, and what begins with NUL never."""
    said = b""
    while more := wire.recv(1000):
        said += more
        if b"PING\r\n" in said and not said.startswith(b"\0"):
            wire.sendall(b"+PONG\r\n")


def _ssh(wire: socket.socket) -> None:
    wire.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
    wire.recv(1000)


def test_the_other_database(shop_db: FreshDatabase) -> None:
    server = shop_db.server
    port = server.hosts[0][1]
    if server.db_type == "postgresql":
        assert "PostgreSQL server answers there" in (said := _refused("mysql", port))
        assert said.endswith("is it DB_TYPE=postgresql, or another DB_PORT?")
    else:
        assert "MySQL or MariaDB server answers there" in (said := _refused("postgresql", port))
        assert said.endswith("is it DB_TYPE=mysql, or another DB_PORT?")


def test_no_database_at_all(shop_db: FreshDatabase) -> None:
    db_type = shop_db.server.db_type
    with _http() as port:
        assert "an HTTP server answers there" in _refused(db_type, port)
    with _answering(_redis) as port:
        assert "a Redis or Valkey server answers there" in _refused(db_type, port)
    with _answering(_ssh) as port:
        said = _refused(db_type, port)
        assert "an SSH server answers there" in said
        assert said.endswith("check DB_HOST and DB_PORT")


def test_what_may_be_starting_is_waited_for(shop_db: FreshDatabase) -> None:
    """A port that closes at once, or that says nothing, may be a balancer, or a container, before its server."""
    db_type = shop_db.server.db_type
    with _answering(lambda wire: None) as port, opened(_env(db_type, port)) as shop:
        assert shop.readiness().state == "unreachable"
    with Stalling(shop_db.server.hosts[0]) as wire:
        wire.stall()
        host = {"DB_HOST": "127.0.0.1", "DB_PORT": str(wire.port), "DB_TCP_TIMEOUT": "2"}
        with opened(shop_db.env() | host) as shop:
            assert shop.readiness().state == "unreachable"
            wire.resume()
            shop.run(lambda dal: dal.item.insert(name="tea", amount=1))
    assert shop_db.execute("SELECT name FROM item") == [("tea",)]
