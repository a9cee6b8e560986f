"""Checks the passwords of PostgreSQL accounts by logging in, and tells a wrong password from other refusals."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.runtime.settings import Secret
from ringfence.schema.engines.types import PasswordComparison

if TYPE_CHECKING:
    from ringfence.schema.engines.postgresql.server import PostgreSQL

_EXPIRED = """
    SELECT rolname FROM pg_catalog.pg_roles WHERE rolname = ANY (%s) AND rolvaliduntil <= clock_timestamp()
"""


def refusal(backend: "PostgreSQL", login: str, password: Secret) -> str | None:
    """Log in, and return the message of the server or the driver if the login is refused; None if it succeeds.

    Args:
        backend: the server.
        login: the account.
        password: the password to try.
    """
    settings = replace(backend.settings, user=login, password=password, password_file=None)
    try:
        type(backend)(settings, backend.identity).engine().connect().close()
    except sa.exc.OperationalError as error:
        return str(error.orig).strip()
    return None


def other_password(password: Secret) -> Secret:
    """Return a password that differs from this one.

    Args:
        password: the password to differ from.
    """
    return Secret(password.reveal() + "\u2260")


def compare_passwords(
    backend: "PostgreSQL", connection: sa.Connection, passwords: Mapping[str, Secret]
) -> PasswordComparison:
    """Find the logins that have another password, and those of which that cannot be determined.

    The driver has no SQLSTATE for a refused login, and the server's message may be in any language. Each login is
    therefore also tried with a wrong password. Refusals after the password check (no CONNECT, CONNECTION LIMIT,
    NOLOGIN) come only with the right password, those before it (pg_hba.conf, no free connection) with any. For an
    expired password the server sends the same message as for a wrong one.

    Args:
        backend: the server.
        connection: a connection of the admin account.
        passwords: login -> password, of existing accounts.
    """
    found = PasswordComparison()
    expired = {str(login) for (login,) in connection.exec_driver_sql(_EXPIRED, (list(passwords),))}
    for login, password in passwords.items():
        given = refusal(backend, login, password)
        other = refusal(backend, login, other_password(password))
        if given is None and other is not None:
            continue
        if given is None:
            found.other.add(login)  # the server accepts any password, so the stored one is unknown
            continue
        if given != other:
            found.unknown.append(f"{login} has the given password, and cannot log in: {_short(given)}")
            continue
        if login in expired:
            reason = "its password has expired (VALID UNTIL)"
        elif _names_only_the_login(given, login):
            found.other.add(login)
            continue
        else:
            reason = _short(given)
        found.unknown.append(f"whether {login} has the given password is unknown: {reason}")
    return found


def _names_only_the_login(message: str, login: str) -> bool:
    """Return whether a refusal that a wrong password gets too is about the password: it names the login only."""
    if "password authentication failed" in message:
        return True
    return login in message and "pg_hba" not in message and "authentication failed" not in message


def _short(message: str) -> str:
    """Return the first line of the server's message, without the address."""
    line = message.partition("\n")[0]
    return line.rpartition("FATAL:")[2].strip() or line
