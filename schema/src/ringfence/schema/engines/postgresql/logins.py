"""Whether PostgreSQL's accounts have the passwords given, learnt by logging in: much else refuses a login too."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.runtime.settings import Secret
from ringfence.schema.engines.types import Compared

if TYPE_CHECKING:
    from ringfence.schema.engines.postgresql.server import PostgreSQL

_ENDED = """
    SELECT rolname FROM pg_catalog.pg_roles WHERE rolname = ANY (%s) AND rolvaliduntil <= clock_timestamp()
"""


def refusal(backend: "PostgreSQL", login: str, password: Secret) -> str | None:
    """What the server, or the driver, says to this login; None when it is let in."""
    settings = replace(backend.settings, user=login, password=password, password_file=None)
    try:
        type(backend)(settings, backend.identity).engine().connect().close()
    except sa.exc.OperationalError as error:
        return str(error.orig).strip()
    return None


def another(password: Secret) -> Secret:
    """A password that is certainly not this one."""
    return Secret(password.reveal() + "\u2260")


def compared(backend: "PostgreSQL", connection: sa.Connection, passwords: Mapping[str, Secret]) -> Compared:
    """Which logins have another password, and of which it cannot be learnt.

    The driver has no SQLSTATE of a refused login, and the server speaks its own language. What comes after the password
    (no CONNECT, CONNECTION LIMIT, NOLOGIN) is said to the right one alone; what comes before it (pg_hba.conf, no
    connection left) is said to any; and of a password that has ended the server says what it says of a wrong one.

    Args:
        backend: the server.
        connection: the admin's.
        passwords: login -> password, of accounts that exist.
    """
    found = Compared()
    ended = {str(login) for (login,) in connection.exec_driver_sql(_ENDED, (list(passwords),))}
    for login, password in passwords.items():
        said, otherwise = refusal(backend, login, password), refusal(backend, login, another(password))
        if said is None and otherwise is not None:
            continue
        if said is None:
            found.other.add(
                login
            )  # the server lets anybody in, and what it would ask for elsewhere is not known
            continue
        if said != otherwise:
            found.unknown.append(f"{login} has its password, and cannot log in: {_short(said)}")
            continue
        if login in ended:
            why = "its password has ended (VALID UNTIL)"
        elif _of_the_password(said, login):
            found.other.add(login)
            continue
        else:
            why = _short(said)
        found.unknown.append(f"whether {login} has the password that is given could not be learnt: {why}")
    return found


def _of_the_password(said: str, login: str) -> bool:
    """Whether a refusal that another password gets too is one of the password: such a one names the login alone."""
    if "password authentication failed" in said:
        return True
    return login in said and "pg_hba" not in said and "authentication failed" not in said


def _short(said: str) -> str:
    """The server's own words, without the address."""
    line = said.partition("\n")[0]
    return line.rpartition("FATAL:")[2].strip() or line
