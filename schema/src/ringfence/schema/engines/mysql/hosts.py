"""Where accounts of the MySQL family log in from: which of them are ours, and how one comes to another host.

A login can be an account at each of several hosts. `ringfence_host` says at which of them ours are; a login without a
row there is at `%`. Rights on tables are looked up by login and address, not by account: while the old account stands,
what it may do is the new one's too where the address fits both, so that a service lacks nothing between two statements.
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
    """login -> the hosts at which it is recorded as ours."""
    if not has_table(connection, releases.host.name):
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for login, host in connection.execute(
        sa.select(releases.host.c.login, releases.host.c.host).order_by(releases.host.c.host)
    ):
        found[login] = (*found.get(login, ()), host)
    return found


def ours(connection: sa.Connection) -> dict[str, tuple[str, ...]]:
    """login -> the hosts of those accounts that are ours."""
    if not has_table(connection, releases.account.name):
        return {}
    known = recorded(connection)
    return {login: known.get(login, (ANYWHERE,)) for login in releases.accounts(connection)}


def noted(connection: sa.Connection, hosts: Mapping[str, str], mine: Iterable[str]) -> list[Statement]:
    """Write down where an account is to be, before it is there: a job that ends between the two finds it again.

    Args:
        connection: the admin's.
        hosts: login -> where the manifest wants it.
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
    """What takes a login out of the record; at one host, or whole."""
    where = f"login = {text(login)}" + (f" AND host = {text(host)}" if host is not None else "")
    return _statement(f"DELETE FROM {releases.host.name} WHERE {where}")  # noqa: S608 - quoted


def moved(
    accounts: "FamilyAccounts", connection: sa.Connection, logins: Iterable[str]
) -> tuple[list[tuple[str, Statement]], list[str]]:
    """What drops accounts of ours at hosts where they are no longer wanted, and what is tied to them.

    They do not stay locked as others do: the server may prefer them to the new ones, and then no login works.
    """
    found: list[tuple[str, Statement]] = []
    tied, mine = [], ours(connection)
    for login, host in [(one, host) for one in logins for host in mine.get(one, ())]:
        if host == accounts.host(login):
            continue
        old = type(accounts)(accounts.backend, {login: host})
        there, ties = old.existing(connection, [login]).get(login), old.ties(connection, [login])
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
    """Accounts of the logins that are not ours, and nobody's: the server may take them for ours.

    The narrower host goes first, and then the login fails; and rights on tables are had by the login's account at any
    host that fits.
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
    """login -> whether the server stores this password, where the stored form is one that is known."""
    rows = connection.exec_driver_sql(
        "SELECT User, plugin, authentication_string FROM mysql.user WHERE (User, Host) IN %(accounts)s",
        {"accounts": accounts.pairs(passwords)},
    )
    found = {login: same_password(form, kept, passwords[login].reveal()) for login, form, kept in rows}
    return {login: same for login, same in found.items() if same is not None}


def account(login: str, host: str) -> str:
    """'login'@'host', as literals that hold in every mode that our sessions set."""
    return f"{text(login)}@{text(host)}"


def same_password(plugin: str, stored: str, password: str) -> bool | None:
    """Whether what the server stores is this password; None where its form is not known."""
    if plugin == "mysql_native_password":
        return hmac.compare_digest(stored.encode(), mariadb_hash(password).encode())
    parts = stored.split("$", 3)  # $A$ rounds in thousands $ salt and digest
    if plugin != "caching_sha2_password" or len(parts) != 4 or parts[1] != "A":
        return None
    rounds, rest = int(parts[2], 16) * 1000, parts[3].encode()
    made = _sha256_crypt(password.encode(), rest[:_SALT], rounds)
    return hmac.compare_digest(made.encode(), rest[_SALT:])


def _sha256_crypt(password: bytes, salt: bytes, rounds: int) -> str:
    """The digest of Drepper's "Unix crypt using SHA-256", with the longer salt that MySQL takes."""
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
    """Whether the database has a table."""
    return bool(
        connection.exec_driver_sql(
            "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = %s",
            (table,),
        ).scalar_one()
    )


def text(said: str) -> str:
    """A literal that holds in every mode that our sessions set."""
    return "'" + said.replace("\\", "\\\\").replace("'", "''") + "'"


def _statement(sql: str) -> Statement:
    return Statement(sql.replace("%", "%%"), shown=sql)
