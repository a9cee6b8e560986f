"""What the server stores about an account of the MySQL family that refuses, limits or widens its logins."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.engines.exposures import Exposure
from ringfence.schema.engines.types import Statement

if TYPE_CHECKING:
    from ringfence.schema.engines.mysql.accounts import FamilyAccounts

PASSWORD_PLUGINS = frozenset(
    {
        "mysql_native_password",
        "mysql_old_password",
        "caching_sha2_password",
        "sha256_password",
        "ed25519",
        "parsec",
    }
)
"""Authentication plugins that require a password and nothing else."""
_LIMITS = ("MAX_QUERIES_PER_HOUR", "MAX_UPDATES_PER_HOUR", "MAX_CONNECTIONS_PER_HOUR", "MAX_STATEMENT_TIME")


@dataclass(frozen=True, slots=True)
class AccountState:
    """What the server stores about one account.

    Args:
        login: the user name.
        expired: whether its password has expired.
        lifetime: days after which the password expires, as set for this account; None where the server's default
            applies, 0 for never.
        ends: the day on which the password expires by the server's default.
        plugin: the authentication plugin.
        stored: the stored form of its password.
        second: whether there is a second way to log in: an old password kept beside the new one, or another plugin.
        factors: how many factors a login needs.
        attempts: failed logins after which the account is locked for a while; 0 for never.
        tls: what its connections require: empty for nothing, ANY for TLS, X509 or SPECIFIED for a certificate.
        limits: one for each word of _LIMITS, 0 for none.
    """

    login: str
    expired: bool
    lifetime: int | None
    ends: str | None
    plugin: str
    stored: str
    second: bool
    factors: int
    attempts: int
    tls: str
    limits: tuple[float, ...]


def states(
    accounts: "FamilyAccounts", connection: sa.Connection, logins: tuple[str, ...]
) -> list[AccountState]:
    """Return what the server stores about some accounts.

    Args:
        accounts: the query, and the host of each login.
        connection: the admin's.
        logins: user names.
    """
    rows = connection.exec_driver_sql(accounts.states, {"accounts": accounts.pairs(logins)})
    return [
        AccountState(
            login=str(login),
            expired=bool(expired),
            lifetime=None if lifetime is None else int(lifetime),
            ends=None if ends is None else str(ends),
            plugin=str(plugin),
            stored=str(stored),
            second=bool(second),
            factors=int(factors),
            attempts=int(attempts),
            tls=str(tls or ""),
            limits=tuple(float(limit or 0) for limit in limits),
        )
        for login, expired, lifetime, ends, plugin, stored, second, factors, attempts, tls, *limits in rows
    ]


def exposures(
    accounts: "FamilyAccounts", connection: sa.Connection, states: list[AccountState]
) -> Iterator[Exposure]:
    """Yield what differs from the state of a new account.

    Args:
        accounts: writes the engine's statements for accounts.
        connection: the admin's.
        states: the accounts.
    """
    encrypted = _encrypted(connection)
    for state in states:
        yield from _password(accounts, state)
        yield from _connection(accounts, state, encrypted=encrypted)


def _password(accounts: "FamilyAccounts", state: AccountState) -> Iterator[Exposure]:
    login, account = state.login, accounts.account(state.login)
    if state.plugin not in PASSWORD_PLUGINS:
        yield Exposure(
            "authentication",
            login,
            f"{account} logs in by the plugin {state.plugin or 'of the server'}, which does not use the"
            " given password; it is left as it is",
            resolution=f"if that is not meant: ALTER USER {account} IDENTIFIED BY a password; the next apply sets it",
            finding="missing",
        )
    elif state.expired:
        yield Exposure(
            "password",
            login,
            f"the password of {account} has expired: the service cannot log in",
            repair=accounts.reset_password(state),
            finding="missing",
        )
    if state.second and state.plugin in PASSWORD_PLUGINS:
        yield Exposure(
            "authentication",
            login,
            f"{account} has a second way to log in beside its password",
            repair=accounts.only_password(state),
        )
    if state.factors > 1:
        yield Exposure(
            "authentication",
            login,
            f"{account} needs {state.factors} factors to log in, and a service has one",
            resolution=f"ALTER USER {account} DROP 2 FACTOR",
            finding="missing",
        )
    if state.lifetime:
        yield Exposure(
            "password",
            login,
            f"the password of {account} expires after {state.lifetime} days, which the manifest does not declare",
            repair=Statement.plain(f"ALTER USER {account} PASSWORD EXPIRE DEFAULT"),
            finding="missing",
        )
    elif state.ends and not state.expired:
        yield Exposure(
            "password",
            login,
            f"the password of {account} expires on {state.ends}, by the server's default_password_lifetime",
            resolution=f"give it another before that day, or ALTER USER {account} PASSWORD EXPIRE NEVER",
            finding=None,
        )
    if state.attempts:
        yield Exposure(
            "password",
            login,
            f"{state.attempts} failed logins, by any client, lock {account} for a while (FAILED_LOGIN_ATTEMPTS)",
            repair=Statement.plain(f"ALTER USER {account} FAILED_LOGIN_ATTEMPTS 0 PASSWORD_LOCK_TIME 0"),
            finding="missing",
        )


def _connection(accounts: "FamilyAccounts", state: AccountState, *, encrypted: bool) -> Iterator[Exposure]:
    login, account = state.login, accounts.account(state.login)
    if (state.tls == "ANY" and not encrypted) or state.tls not in ("", "ANY"):
        what = (
            "TLS (REQUIRE SSL), and this connection has none"
            if state.tls == "ANY"
            else "a client certificate"
        )
        resolution = "set DB_SSLMODE for the services, or " if state.tls == "ANY" else ""
        yield Exposure(
            "tls",
            login,
            f"{account} must connect with {what}; the manifest does not declare that requirement, and it is left as it"
            " is",
            resolution=f"{resolution}ALTER USER {account} REQUIRE NONE",
            finding="missing",
        )
    words = [(word, number) for word, number in zip(_LIMITS, state.limits, strict=False) if number]
    if words:
        limits = ", ".join(f"{word} {number:g}" for word, number in words)
        none = " ".join(f"{word} 0" for word, _ in words)
        yield Exposure(
            "limit",
            login,
            f"{account} is limited to {limits}, which the manifest does not declare: the server refuses requests"
            " beyond that",
            repair=Statement.plain(f"ALTER USER {account} WITH {none}"),
            finding="missing",
        )


def _encrypted(connection: sa.Connection) -> bool:
    """Return whether the admin's connection, which is configured as the services' are, uses TLS."""
    row = connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Ssl_cipher'").one_or_none()
    return bool(row and row[1])
