"""A private PostgreSQL server, and databases on one."""

import contextlib
import re
import secrets
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servers.process import HOST, Process, find_binary, free_ports
from servers.tls import Certificate

if TYPE_CHECKING:
    from servers.base import Server

_ADMIN = "postgres"
# The machine's crash is of no concern to data that lives for one test; the server's own is (tests crash it), so
# commits still reach the operating system.
_FAST = ("fsync=off", "full_page_writes=off", "wal_level=minimal", "max_wal_senders=0")
_REPLICATED = ("wal_level=replica", "max_wal_senders=4", "wal_receiver_status_interval=1s")


def bin_folders() -> list[str]:
    """Where Debian, Ubuntu, Fedora and Homebrew put the programs, the newest version first."""
    found = [
        *Path("/usr/lib/postgresql").glob("*/bin"),
        *Path("/usr").glob("pgsql-*/bin"),
        *Path("/opt/homebrew/opt").glob("postgresql@*/bin"),
    ]

    def version(folder: Path) -> int:
        digits = re.findall(r"\d+", str(folder))
        return int(digits[-1]) if digits else 0

    return [str(folder) for folder in sorted(found, key=version, reverse=True)]


def start(tls: Certificate | None = None, *, replicated: bool = False) -> "Server":
    """Start a private server with SCRAM passwords, which may have standbys if it is `replicated`.

    Raises Unavailable when there are no binaries.
    """
    folders = bin_folders()
    initdb, postgres = find_binary("initdb", *folders), find_binary("postgres", *folders)
    password = secrets.token_hex(12)
    process = Process(stop_signal=signal.SIGINT)  # waits for no client
    try:
        data = str(process.folder / "data")
        secret = process.write("secret", password)
        process.run(
            initdb, "-D", data, "-U", _ADMIN, "--auth=scram-sha-256", f"--pwfile={secret}", "-E", "UTF8",
            "--locale=C.UTF-8", "--no-sync",
        )  # fmt: skip
        secret.unlink()
        settings = list(_REPLICATED if replicated else ())
        if tls:
            certificate, key = tls.install(process)
            settings += ["ssl=on", f"ssl_cert_file={certificate}", f"ssl_key_file={key}"]
        server = _run(process, postgres, password, settings)
    except BaseException:
        process.close()
        raise
    return server


def _run(process: Process, postgres: str, password: str, settings: Sequence[str]) -> "Server":
    """Start a server whose data folder is there, and wait until it answers."""
    from servers.base import Server

    (port,) = free_ports(1)
    common = (
        f"listen_addresses={HOST}",
        f"unix_socket_directories={process.folder}",
        "max_connections=200",
        *_FAST,
    )
    options = [word for setting in (*common, *settings) for word in ("-c", setting)]
    process.start(postgres, "-D", str(process.folder / "data"), "-p", str(port), *options)
    server = Server("postgresql", ((HOST, port),), _ADMIN, password, processes=(process,))
    process.wait_until(lambda: connect(server, server.maintenance, _ADMIN, password, 0).close())
    return server


def replica(primary: "Server") -> "Server":
    """Start a standby that streams from a private server. Raises Unavailable when there are no binaries."""
    folders = bin_folders()
    basebackup, postgres = find_binary("pg_basebackup", *folders), find_binary("postgres", *folders)
    process = Process(stop_signal=signal.SIGINT)
    try:
        host, port = primary.hosts[0]
        secret = process.write("secret", f"*:*:*:*:{primary.admin_password}\n")
        source = f"host={host} port={port} user={primary.admin_user} passfile={secret}"
        data = str(process.folder / "data")
        process.run(basebackup, "-D", data, "-d", source, "-R", "-c", "fast", "--no-sync")
        server = _run(process, postgres, primary.admin_password, _REPLICATED)
    except BaseException:
        process.close()
        raise
    return server


def connect(server: "Server", name: str, user: str, password: str, node: int) -> Any:
    """Log in with psycopg2."""
    import psycopg2

    host, port = server.hosts[node]
    connection = psycopg2.connect(
        host=host, port=port, dbname=name, user=user, password=password, connect_timeout=10
    )
    connection.autocommit = True
    return connection


def _as_admin(server: "Server", database: str | None = None) -> Any:
    admin = connect(server, database or server.maintenance, server.admin_user, server.admin_password, 0)
    return contextlib.closing(admin)


def create(server: "Server", name: str) -> str:
    """Create an empty database."""
    with _as_admin(server) as admin:
        admin.cursor().execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
    return name


def clone(server: "Server", name: str, copy: str) -> str:
    """Create `copy` as a copy of `name`, to which nobody may be connected."""
    with _as_admin(server) as admin:
        cursor = admin.cursor()
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        cursor.execute(f'CREATE DATABASE "{copy}" TEMPLATE "{name}"')
    return copy


def drop(server: "Server", name: str, prefix: str) -> None:
    """Drop the database and the roles of the prefix, with what they own elsewhere."""
    with _as_admin(server) as admin:
        cursor = admin.cursor()
        cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        _drop_roles(cursor, prefix)


def _drop_roles(cursor: Any, prefix: str) -> None:
    cursor.execute(
        "SELECT quote_ident(rolname) FROM pg_roles WHERE left(rolname, %s) = %s", (len(prefix), prefix)
    )
    roles = [role for (role,) in cursor.fetchall()]
    if roles:
        cursor.execute(f"DROP OWNED BY {', '.join(roles)} CASCADE")
        cursor.execute(f"DROP ROLE {', '.join(roles)}")


def empty(server: "Server", name: str, prefix: str) -> None:
    """Delete every row and the accounts of the prefix, after ending their connections."""
    with contextlib.closing(connect(server, name, server.admin_user, server.admin_password, 0)) as admin:
        cursor = admin.cursor()
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        cursor.execute(
            "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'"
        )
        if tables := [table for (table,) in cursor.fetchall()]:
            cursor.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY CASCADE")
        _drop_roles(cursor, prefix)


def fingerprint(server: "Server", name: str) -> object:
    """What the schema is, as far as a test may have changed it."""
    with contextlib.closing(connect(server, name, server.admin_user, server.admin_password, 0)) as admin:
        cursor = admin.cursor()
        cursor.execute(
            "SELECT attrelid::regclass::text, attname, atttypid, attnotnull FROM pg_attribute a"
            " JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%' ORDER BY 1, 2"
        )
        columns = cursor.fetchall()
        cursor.execute("SELECT tgrelid, tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2")
        return columns, cursor.fetchall()
