"""The hosts of accounts on the MySQL family: where our accounts are, and how one moves to another host.

A login can have an account at each of several hosts. The table `ringfence_host` records at which of them the account is
ours; a login without a row there is at `%`. The server looks up privileges on tables by login and address, not by
account. While the old account exists, its privileges therefore also serve the new one where the address matches both,
so that a service lacks nothing between two statements.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from ringfence.runtime.settings import Secret
from ringfence.schema.engines.base import Statement
from ringfence.schema.grants.passwords import mariadb_hash
from ringfence.schema.manifest.model import ANYWHERE
from ringfence.schema.state import releases

if TYPE_CHECKING:
    from ringfence.schema.engines.mysql.roles import FamilyAccounts

_SALT = 20
_ORDER = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def recorded(connection: sa.Connection) -> dict[str, tuple[str, ...]]:
    """Return login -> the hosts at which its accounts are recorded as ours."""
    if not has_table(connection, releases.host.name):
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for login, host in connection.execute(
        sa.select(releases.host.c.login, releases.host.c.host).order_by(releases.host.c.host)
    ):
        found[login] = (*found.get(login, ()), host)
    return found


def ours(connection: sa.Connection) -> dict[str, tuple[str, ...]]:
    """Return login -> the hosts of those of its accounts that are ours."""
    if not has_table(connection, releases.account.name):
        return {}
    known = recorded(connection)
    return {login: known.get(login, (ANYWHERE,)) for login in releases.accounts(connection)}


def noted(connection: sa.Connection, hosts: Mapping[str, str], mine: Iterable[str]) -> list[Statement]:
    """Return the statements that record the hosts of accounts.

    They run before an account is created, so that a job finds an account again that an interrupted job created.

    Args:
        connection: the admin's.
        hosts: login -> its host in the manifest.
        mine: the logins that are ours already.
    """
    mine, known = set(mine), recorded(connection)
    found: list[Statement] = []
    rows: list[tuple[str, str]] = []
    for login, host in hosts.items():
        stored = known.get(login, ())
        if login in mine:
            stored = stored or (ANYWHERE,)
            rows += [(login, one) for one in (*stored, host)] if host not in stored else []
            continue
        found += [forgotten(login)] if stored else []
        rows += [(login, host)] if host != ANYWHERE else []
    if rows and not has_table(connection, releases.host.name):
        sql = str(CreateTable(releases.host, if_not_exists=True).compile(dialect=connection.dialect))
        found.append(_statement(" ".join(sql.split())))
    if rows:
        values = ", ".join(f"({text(login)}, {text(host)})" for login, host in rows)
        found.append(_statement(f"REPLACE INTO {releases.host.name} (login, host) VALUES {values}"))  # noqa: S608 - quoted
    return found


def forgotten(login: str, host: str | None = None) -> Statement:
    """Return the statement that deletes the record of a login.

    Args:
        login: a user name.
        host: deletes the record of this host alone; None deletes all of the login.
    """
    where = f"login = {text(login)}" + (f" AND host = {text(host)}" if host is not None else "")
    return _statement(f"DELETE FROM {releases.host.name} WHERE {where}")  # noqa: S608 - quoted


def moved(
    accounts: "FamilyAccounts", connection: sa.Connection, logins: Iterable[str]
) -> tuple[list[tuple[str, Statement]], list[str]]:
    """Return the statements that drop our accounts at hosts that are no longer declared.

    They are not locked instead, as other accounts are: the server may match them before the new ones, and then no login
    works.

    Args:
        accounts: with the declared host of each login.
        connection: the admin's.
        logins: user names.

    Returns:
        Logins with their statements, and a message for each account that must not be dropped.
    """
    found: list[tuple[str, Statement]] = []
    tied, mine = [], ours(connection)
    for login, host in [(one, host) for one in logins for host in mine.get(one, ())]:
        if host == accounts.host(login):
            continue
        old = type(accounts)(accounts.backend, {login: host})
        there, ties = old.existing(connection, [login]).get(login), old.drop_obstacles(connection, [login])
        if there is not None and ties:
            tied.append(
                f"{account(login, host)} cannot become {accounts.account(login)}: it {'; it '.join(ties[login])}."
                " Take that from it, or choose another login"
            )
            continue
        if there is not None:
            found.append((login, old.drop(login)))
        found.append((login, forgotten(login, host)))
    return found, tied


def shadowed(accounts: "FamilyAccounts", connection: sa.Connection, logins: tuple[str, ...]) -> list[str]:
    """Return a message for each account, of these logins or anonymous, that the server may match instead of ours.

    The server prefers the narrower host, and then the login fails. And the privileges on tables of an account serve its
    login from every address that matches its host.

    Args:
        accounts: with the declared host of each login.
        connection: the admin's.
        logins: user names.
    """
    rows = connection.exec_driver_sql(
        "SELECT User, Host FROM mysql.user WHERE Host <> ''"
        " AND (User IN %(logins)s OR (User = '' AND Host <> '%%'))",
        {"logins": logins or ("\0",)},
    ).all()
    mine = ours(connection)
    return [
        f"the {'anonymous ' if not user else ''}account {account(user, host)} shadows"
        f" {accounts.account(user) if user else 'every service account'} on connections from {host}:"
        f" DROP USER {account(user, host)}"
        for user, host in rows
        if host not in mine.get(user, (accounts.host(user),) if user else ())
    ]


def same_passwords(
    accounts: "FamilyAccounts", connection: sa.Connection, passwords: Mapping[str, Secret]
) -> dict[str, bool]:
    """Return login -> whether the server stores this password, where the form of the stored hash is known.

    Args:
        accounts: with the host of each login.
        connection: the admin's.
        passwords: login -> the password to compare.
    """
    rows = connection.exec_driver_sql(
        "SELECT User, plugin, authentication_string FROM mysql.user WHERE (User, Host) IN %(accounts)s",
        {"accounts": accounts.pairs(passwords)},
    )
    found = {login: same_password(form, kept, passwords[login].reveal()) for login, form, kept in rows}
    return {login: same for login, same in found.items() if same is not None}


def account(login: str, host: str) -> str:
    """Return 'login'@'host', as literals that are valid in every sql_mode that our sessions set."""
    return f"{text(login)}@{text(host)}"


def same_password(plugin: str, stored: str, password: str) -> bool | None:
    """Return whether a stored hash is that of a password; None where its form is not known.

    Args:
        plugin: the authentication plugin; `mysql_native_password` and `caching_sha2_password` are known.
        stored: the `authentication_string` of the account.
        password: the password to compare.
    """
    if plugin == "mysql_native_password":
        return hmac.compare_digest(stored.encode(), mariadb_hash(password).encode())
    parts = stored.split("$", 3)  # $A$ rounds in thousands $ salt and digest
    if plugin != "caching_sha2_password" or len(parts) != 4 or parts[1] != "A":
        return None
    rounds, rest = int(parts[2], 16) * 1000, parts[3].encode()
    made = _sha256_crypt(password.encode(), rest[:_SALT], rounds)
    return hmac.compare_digest(made.encode(), rest[_SALT:])


def _sha256_crypt(password: bytes, salt: bytes, rounds: int) -> str:
    """Return the digest of Drepper's "Unix crypt using SHA-256", with the longer salt of MySQL."""
    length = len(password)
    mixed = _filled(hashlib.sha256(password + salt + password).digest(), length)
    first = hashlib.sha256(password + salt + mixed)
    bits = length
    while bits:
        first.update(hashlib.sha256(password + salt + password).digest() if bits & 1 else password)
        bits >>= 1
    digest = first.digest()
    p = _filled(hashlib.sha256(password * length).digest(), length)
    s = _filled(hashlib.sha256(salt * (16 + digest[0])).digest(), len(salt))
    for number in range(rounds):
        odd = number & 1
        words = (p if odd else digest) + (s if number % 3 else b"") + (p if number % 7 else b"")
        digest = hashlib.sha256(words + (digest if odd else p)).digest()
    text = ""
    for i in range(10):
        a, b, c = (digest[(i * 21 + step) % 30] for step in (0, 10, 20))
        text += _written(a << 16 | b << 8 | c, 4)
    return text + _written(digest[31] << 8 | digest[30], 3)


def _filled(digest: bytes, length: int) -> bytes:
    return (digest * (length // len(digest) + 1))[:length]


def _written(number: int, characters: int) -> str:
    return "".join(_ORDER[number >> 6 * i & 63] for i in range(characters))


def has_table(connection: sa.Connection, table: str) -> bool:
    """Return whether the default database has a table."""
    return bool(
        connection.exec_driver_sql(
            "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = %s",
            (table,),
        ).scalar_one()
    )


def text(said: str) -> str:
    """Return a string literal that is valid in every sql_mode that our sessions set."""
    return "'" + said.replace("\\", "\\\\").replace("'", "''") + "'"


def _statement(sql: str) -> Statement:
    return Statement(sql.replace("%", "%%"), shown=sql)
