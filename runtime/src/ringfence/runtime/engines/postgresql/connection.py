"""Opens a connection to PostgreSQL; libpq tries the hosts, and finds the writable one."""

from collections.abc import Sequence
from typing import Any

import psycopg2
import psycopg2.extensions as ext

from ringfence.runtime.engines.network_timeouts import libpq_options, prompt_timeout
from ringfence.runtime.engines.postgresql.cancel import Canceller
from ringfence.runtime.settings import Host, Settings


class Connection(ext.connection):
    """psycopg2's connection, with the timeout of its current session."""

    limit: float | None = None
    """The longest wait for an answer, in seconds; None waits for ever."""
    canceller: Canceller


def open_connection(
    settings: Settings, hosts: Sequence[Host], user: str | None, secret: str | None, application: str
) -> Connection:
    """Connect and log in, without verification.

    Args:
        settings: the service's settings.
        hosts: the servers, in the order in which they are tried.
        user: the account.
        secret: its password.
        application: the client's name, which the server shows in `pg_stat_activity`.

    Raises:
        psycopg2.Error: no server can be reached, or it refuses the login.
    """
    arguments: dict[str, Any] = {
        "host": ",".join(item.host for item in hosts),
        "port": ",".join(str(item.port) for item in hosts),
        "dbname": settings.name,
        "user": user,
        "password": secret,
        "connect_timeout": max(2, round(prompt_timeout(settings))),  # per host; libpq's minimum is 2 s
        "application_name": application,
        "client_encoding": "UTF8",
        **libpq_options(settings),
        "connection_factory": Connection,
        # Always given, as libpq would otherwise read it from the environment.
        "target_session_attrs": "read-write" if len(settings.hosts) > 1 else "any",
    }
    if settings.sslmode:
        arguments["sslmode"] = settings.sslmode
    if settings.sslrootcert:
        arguments["sslrootcert"] = settings.sslrootcert
    connection: Connection = psycopg2.connect(**arguments)
    return connection
