"""Servers that somebody else runs, given by URL in RINGFENCE_TEST_<ENGINE>_URL."""

import os
from dataclasses import replace
from urllib.parse import unquote

from servers import mysql_family, postgres
from servers.base import Server
from servers.process import Unavailable

_PORTS = {"postgresql": 5432, "redis": 6379}


def variable(engine: str) -> str:
    """The environment variable that holds the URL of an engine's server."""
    return f"RINGFENCE_TEST_{engine.upper().replace('-', '_')}_URL"


def parse(url: str, engine: str) -> Server:
    """Read `scheme://user:password@host:port[,host:port…]/database` into a Server, without connecting.

    Raises Unavailable, without the URL in its message, when a part is missing.
    """
    _, separator, rest = url.partition("://")
    authority, _, database = rest.partition("/")
    login, at, places = authority.rpartition("@")
    user, _, password = login.partition(":")
    if not (separator and at and user and places):
        raise Unavailable(f"{variable(engine)} wants the form scheme://user:password@host:port/")
    hosts = []
    for place in places.split(","):
        host, _, port = place.rpartition(":") if ":" in place else (place, "", str(_PORTS.get(engine, 3306)))
        host = host.strip("[]")  # an IPv6 address
        if not port.isdigit():
            raise Unavailable(f"{variable(engine)} names a port that is no number")
        hosts.append((host, int(port)))
    maintenance = database.partition("?")[0] or "postgres"
    return Server(engine, tuple(hosts), unquote(user), unquote(password), maintenance=maintenance)


def find(engine: str, name: str | None = None) -> Server | None:
    """The server that the environment names for this engine (under another name, for a second one), or None.

    Raises Unavailable when it is named and cannot be logged in to.
    """
    url = os.environ.get(variable(name or engine))
    if not url:
        return None
    server = replace(parse(url, name or engine), engine=engine)
    connect, database = (
        (postgres.connect, server.maintenance)
        if server.db_type == "postgresql"
        else (mysql_family.connect, "")
    )
    try:
        for node in range(len(server.hosts)):
            connect(server, database, server.admin_user, server.admin_password, node).close()
    except Exception as error:
        raise Unavailable(
            f"{variable(name or engine)} names a server that refuses its admin: {error}"
        ) from error
    return server
