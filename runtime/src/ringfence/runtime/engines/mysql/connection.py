"""Opens and verifies a connection to a server of the MySQL family."""

from pathlib import Path
from typing import Any

from pymysql.constants import CLIENT

from ringfence.runtime import errors
from ringfence.runtime.engines import tls_errors
from ringfence.runtime.engines.galera.flavour import GaleraFlavour
from ringfence.runtime.engines.mariadb.flavour import MariaDBFlavour
from ringfence.runtime.engines.mysql.codecs import CONVERSIONS
from ringfence.runtime.engines.mysql.flavour import MySQLFlavour
from ringfence.runtime.engines.mysql.pymysql_compat import RuntimeConnection
from ringfence.runtime.engines.network_timeouts import prompt_timeout
from ringfence.runtime.settings import Host, Settings

IDENTITY = "SELECT CONCAT_WS('/', @@hostname, @@port, @@server_id)"
"""Distinguishes servers behind the same address."""

_ALL_ROWS = (1 << 64) - 1
"""The `sql_select_limit` that omits no row of a SELECT."""
_CONNECTED = (
    "SELECT @@sql_mode, @@character_set_connection, @@version, CONNECTION_ID(), @@max_allowed_packet,"
    " @@sql_select_limit, @@sql_auto_is_null"
)


def open_connection(
    settings: Settings,
    host: Host | None,
    user: str | None,
    secret: str | None,
    program: str,
    seconds: float | None = None,
) -> RuntimeConnection:
    """Connect and log in, without verification.

    Args:
        settings: the service's settings.
        host: the server.
        user: the account.
        secret: its password.
        program: the client's name, which the server shows in its process list.
        seconds: the longest wait for any answer, until `client_timeout` changes it; that of `prompt_timeout` when None.

    Raises:
        ArgumentError: without a host.
        Exception: the driver's errors, and those of TLS and the operating system.
    """
    if host is None:
        raise errors.ArgumentError("a networked backend needs a host")
    seconds = prompt_timeout(settings) if seconds is None else seconds
    connection = RuntimeConnection(
        user=user,
        # As bytes: PyMySQL would encode text as Latin-1.
        password=(secret or "").encode(),
        database=settings.name,
        charset="utf8mb4",
        autocommit=True,
        connect_timeout=seconds,
        read_timeout=seconds,
        write_timeout=seconds,
        program_name=program,
        conv=CONVERSIONS,
        # The server's `now()` is in the session's time zone; columns store UTC.
        init_command="SET time_zone = '+00:00'",
        # Count matched rows instead of changed ones, as other engines do.
        client_flag=CLIENT.FOUND_ROWS,
        **_address(host),
        **_tls(settings),
    )
    connection.notice_dead_peer(settings)
    return connection


def verify(connection: Any, settings: Settings) -> MySQLFlavour | MariaDBFlavour | GaleraFlavour:
    """Set strict mode, check utf8mb4 and TLS, and find out which server this is.

    Args:
        connection: an open connection.
        settings: the service's settings.

    Returns:
        The flavour of the server.

    Raises:
        NotReady: when the server is not ready for work, or does not meet a requirement.
    """
    with connection.cursor() as cursor:
        cursor.execute(_CONNECTED)
        sql_mode, charset, version, connection.ringfence_id, connection.longest, *limits = cursor.fetchone()
        if charset != "utf8mb4":
            raise errors.NotReady(
                f"{settings}: the server answers in {charset}, not utf8mb4", "misconfigured"
            )
        _see_mode(cursor, sql_mode, settings)
        if limits != [_ALL_ROWS, 0]:
            cursor.execute(f"SET SESSION sql_select_limit = {_ALL_ROWS}, sql_auto_is_null = 0")
        cursor.execute(IDENTITY)
        connection.ringfence_node = cursor.fetchone()[0]
        flavour = _flavour_of(cursor, version)
        if settings.sslmode not in (None, "disable"):
            cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
            if not cursor.fetchone()[1]:
                raise errors.NotReady(f"{settings}: {tls_errors.not_offered(settings)}", "login")
        if len(settings.hosts) > 1:
            flavour.check_ready(cursor)
    return flavour


def _see_mode(cursor: Any, sql_mode: str, settings: Settings) -> None:
    """Set strict mode, and remove modes that change values when they are stored or read."""
    modes = sql_mode.split(",")
    wanted = [mode for mode in modes if mode and mode not in _CHANGES_VALUES]
    if not any(mode.startswith("STRICT_") for mode in wanted):
        wanted.append("STRICT_ALL_TABLES")
    if wanted == modes:
        return
    cursor.execute("SET SESSION sql_mode = %s", (",".join(wanted),))
    cursor.execute("SELECT @@sql_mode")
    if "STRICT_" not in cursor.fetchone()[0]:
        raise errors.NotReady(f"{settings}: the server refuses strict mode", "misconfigured")


_CHANGES_VALUES = frozenset({"EMPTY_STRING_IS_NULL", "PAD_CHAR_TO_FULL_LENGTH"})


def _tls(settings: Settings) -> dict[str, Any]:
    mode, ca = settings.sslmode, settings.sslrootcert
    if mode is None:
        return {}
    if mode == "disable":
        return {"ssl_disabled": True}
    if mode == "require":
        return {"ssl": {"verify_mode": "none", "check_hostname": False}}
    return {"ssl": {"ca": ca, "verify_mode": "required", "check_hostname": mode == "verify-full"}}


def _flavour_of(cursor: Any, version: str) -> MySQLFlavour | MariaDBFlavour | GaleraFlavour:
    if "mariadb" not in version.lower():
        return MySQLFlavour()
    cursor.execute("SHOW GLOBAL VARIABLES LIKE 'wsrep_on'")
    row = cursor.fetchone()
    return GaleraFlavour() if row and row[1].upper() == "ON" else MariaDBFlavour()


def _address(host: Host) -> dict[str, Any]:
    if not host.host.startswith("/"):
        return {"host": host.host, "port": host.port}
    path = Path(host.host)
    return {"unix_socket": str(path / "mysqld.sock" if path.is_dir() else path)}
