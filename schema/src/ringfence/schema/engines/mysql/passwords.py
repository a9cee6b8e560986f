"""Compares passwords with those of accounts of the MySQL family: by the stored hash, else by a login."""

import hashlib
import hmac
from collections.abc import Mapping
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.runtime.settings import Secret
from ringfence.schema.engines.mysql.exposures.account_state import PASSWORD_PLUGINS, states
from ringfence.schema.engines.types import PasswordComparison
from ringfence.schema.grants.passwords import mariadb_hash

if TYPE_CHECKING:
    from ringfence.schema.engines.mysql.accounts import FamilyAccounts

_SALT = 20
_ORDER = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def compare_passwords(
    accounts: "FamilyAccounts", connection: sa.Connection, passwords: Mapping[str, Secret]
) -> PasswordComparison:
    """Return which accounts have another password than the one given, and for which this is unknown.

    A login can be refused for other reasons than its password; such an account keeps its password.

    Args:
        accounts: knows the host of each login.
        connection: the admin's.
        passwords: login -> the password to compare.
    """
    found = PasswordComparison()
    same = same_passwords(accounts, connection, passwords)
    stored = {state.login: state for state in states(accounts, connection, tuple(passwords))}
    for login, password in passwords.items():
        if login in same:
            found.other |= set() if same[login] else {login}
            continue
        state = stored.get(login)
        if state is not None and state.plugin not in PASSWORD_PLUGINS:
            continue  # its authentication plugin is an exposure of its own
        refusal = accounts.backend.refused_login(login, password)
        if refusal is None:
            continue
        if refusal.password and not (state is not None and state.tls):
            found.other.add(login)
        else:
            reason = f"it may connect only over TLS ({refusal.why})" if refusal.password else refusal.why
            found.unknown.append(f"whether {login} has the given password is unknown: {reason}")
    return found


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
    found = {
        login: same_password(plugin, stored, passwords[login].reveal()) for login, plugin, stored in rows
    }
    return {login: same for login, same in found.items() if same is not None}


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
    digest = _sha256_crypt(password.encode(), rest[:_SALT], rounds)
    return hmac.compare_digest(digest.encode(), rest[_SALT:])


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
