"""A connection to a server of the MySQL family: how it is opened, and what must be true of it."""

from pathlib import Path
from typing import Any

from pymysql.constants import CLIENT

from ringfence.runtime import errors
from ringfence.runtime.engines import tls_errors
from ringfence.runtime.engines.galera.flavour import Galera
from ringfence.runtime.engines.mariadb.flavour import MariaDB
from ringfence.runtime.engines.mysql.codecs import CONVERSIONS
from ringfence.runtime.engines.mysql.flavour import PlainMySQL
from ringfence.runtime.engines.mysql.results import Reading
from ringfence.runtime.engines.network_timeouts import asking
from ringfence.runtime.settings import Host, Settings

IDENTITY = "SELECT CONCAT_WS('/', @@hostname, @@port, @@server_id)"
"""What tells one server from another behind the same address."""

_ALL_ROWS = (1 << 64) - 1
"""`sql_select_limit` of a server that leaves no row of a SELECT out."""
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
) -> Reading:
    """Connect and log in; nothing is verified yet.

    Args:
        settings: of the service.
        host: the server.
        user, secret: the login.
        program: the name of the client, which the server shows in its list of connections.
        seconds: the longest wait for any answer, here and until `bound` says otherwise; what `asking` says when None.

    Raises:
        the driver's errors, and those of TLS and of the operating system.
    """
    if host is None:
        raise errors.Misuse("a networked backend needs a host")
    seconds = asking(settings) if seconds is None else seconds
    connection = Reading(
        user=user,
        # As bytes: PyMySQL would encode a text as Latin-1.
        password=(secret or "").encode(),
        database=settings.name,
        charset="utf8mb4",
        autocommit=True,
        connect_timeout=seconds,
        read_timeout=seconds,
        write_timeout=seconds,
        program_name=program,
        conv=CONVERSIONS,
        # A moment that the server fills in, `now()`, is of the session's zone; columns hold UTC.
        init_command="SET time_zone = '+00:00'",
        # Rows matched, not rows changed: an update that finds its row counts it on every engine.
        client_flag=CLIENT.FOUND_ROWS,
        **_address(host),
        **_tls(settings),
    )
    connection.notice_dead_peer(settings)
    return connection


def verify(connection: Any, settings: Settings) -> PlainMySQL | MariaDB | Galera:
    """See to strict mode and utf8mb4, and remember which server this is.

    Returns:
        The flavour of the server.

    Raises:
        NotReady: where it is not fit for work; and the driver's errors.
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
            flavour.stages(cursor)
    return flavour


def _see_mode(cursor: Any, sql_mode: str, settings: Settings) -> None:
    """See to strict mode, and that no mode makes other values of those that are stored or read."""
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


def _flavour_of(cursor: Any, version: str) -> PlainMySQL | MariaDB | Galera:
    if "mariadb" not in version.lower():
        return PlainMySQL()
    cursor.execute("SHOW GLOBAL VARIABLES LIKE 'wsrep_on'")
    row = cursor.fetchone()
    return Galera() if row and row[1].upper() == "ON" else MariaDB()


def _address(host: Host) -> dict[str, Any]:
    if not host.host.startswith("/"):
        return {"host": host.host, "port": host.port}
    path = Path(host.host)
    return {"unix_socket": str(path / "mysqld.sock" if path.is_dir() else path)}
