"""Accounts on the MySQL family: the statements that create and change them, their passwords and their limits."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.runtime.settings import Secret
from ringfence.schema.engines.base import Login, PasswordComparison, Statement
from ringfence.schema.engines.mysql import passwords as mysql_passwords
from ringfence.schema.engines.mysql import privileges
from ringfence.schema.engines.mysql.exposures.other_databases import drop_obstacles

if TYPE_CHECKING:
    from ringfence.schema.engines.mysql.accounts import FamilyAccounts

_IS_ADMINISTRATOR = privileges.IS_ADMINISTRATOR.format("u.")


class FamilyRoles:
    """The accounts of a server that can log in.

    Args:
        accounts: each login with its host, and the forms of the engine's statements.
    """

    def __init__(self, accounts: "FamilyAccounts") -> None:
        self._accounts = accounts

    def existing(
        self, connection: sa.Connection, logins: Iterable[str], host: str | None = None
    ) -> Mapping[str, Login]:
        """Return those of the logins that exist on the server.

        Args:
            connection: the admin's.
            logins: user names.
            host: the host of all of them; None for each login's own.
        """
        rows = connection.exec_driver_sql(
            f"SELECT u.User, {self._accounts.locked}, {_IS_ADMINISTRATOR},"  # noqa: S608 - constants
            " u.User = SUBSTRING_INDEX(CURRENT_USER(), '@', 1)"
            " FROM mysql.user u WHERE (u.User, u.Host) IN %(accounts)s",
            {"accounts": self._accounts.pairs(logins, host)},
        )
        found = {}
        for login, locked, strong, admin in rows:
            reason = "holds rights over the whole server" if strong else None
            found[login] = Login(login, not locked, "is the admin itself" if admin else reason)
        return found

    def create(self, login: str, password: Secret | None) -> Statement:
        """Return the statement that creates an account without privileges; without a password it is locked."""
        locked = f"CREATE USER IF NOT EXISTS {self._accounts.account(login)} ACCOUNT LOCK"
        if password is None:
            return Statement.plain(locked)
        pasted = f"{locked}; -- unlocked, with its password, by `ringfence access apply`"
        return replace(
            self._accounts.identified("CREATE USER IF NOT EXISTS", login, password), manual_sql=pasted
        )

    def enable(self, login: str, enabled: bool) -> Statement:
        """Return the statement that unlocks or locks an account."""
        return Statement.plain(
            f"ALTER USER {self._accounts.account(login)} ACCOUNT {'UNLOCK' if enabled else 'LOCK'}"
        )

    def drop(self, login: str) -> Statement:
        """Return the statement that drops an account."""
        return Statement.plain(f"DROP USER IF EXISTS {self._accounts.account(login)}")

    def drop_obstacles(self, connection: sa.Connection, logins: Iterable[str]) -> Mapping[str, list[str]]:
        """Return why logins must not be dropped: privileges in other databases, and objects that they define."""
        return drop_obstacles(self._accounts, connection, tuple(logins))

    def set_password(self, login: str, password: Secret) -> Statement:
        """Return the statement that sets the password of an account."""
        pasted = f"-- the password of {self._accounts.account(login)} is set by `ringfence access apply`"
        return replace(self._accounts.identified("ALTER USER", login, password), manual_sql=pasted)

    def compare_passwords(
        self, connection: sa.Connection, passwords: Mapping[str, Secret]
    ) -> PasswordComparison:
        """Return which of the accounts have another password than the one given.

        The stored hash is compared where its form is known. Otherwise a login is tried, which may be refused for
        another reason than the password.
        """
        return mysql_passwords.compare_passwords(self._accounts, connection, passwords)


class FamilyLoginSettings:
    """The connection limits of accounts.

    Args:
        accounts: each login with its host.
    """

    def __init__(self, accounts: "FamilyAccounts") -> None:
        self._accounts = accounts

    def changed(self, connection: sa.Connection, logins: Iterable[str]) -> Mapping[str, Mapping[str, str]]:
        """Return the connection limit of each login that has one."""
        rows = connection.exec_driver_sql(
            "SELECT User, max_user_connections FROM mysql.user"
            " WHERE max_user_connections <> 0 AND (User, Host) IN %(accounts)s",
            {"accounts": self._accounts.pairs(logins)},
        )
        return {login: {"connection_limit": str(number)} for login, number in rows}

    def set(self, connection: sa.Connection, login: str, setting: str, value: str | None) -> Statement:
        """Return the statement that sets the connection limit of a login.

        Args:
            connection: the admin's.
            login: a user name.
            setting: the manifest's name of the limit; `connection_limit` is the only one here.
            value: the number of connections; None or "0" for no limit.
        """
        return Statement.plain(
            f"ALTER USER {self._accounts.account(login)} WITH MAX_USER_CONNECTIONS {int(value or 0)}"
        )
