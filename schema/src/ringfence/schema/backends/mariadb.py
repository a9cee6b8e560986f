"""MariaDB."""

from typing import ClassVar

from ringfence.runtime.settings import Secret
from ringfence.schema.access.passwords import mariadb_hash
from ringfence.schema.backends.base import Statement
from ringfence.schema.backends.mysql_access import FamilyAccounts
from ringfence.schema.backends.mysql_family import MySQLFamily
from ringfence.schema.backends.mysql_fence import Fencing


class MariaDBFencing(Fencing):
    """MariaDB shows the words of a function to who may read mysql.*; a cluster's nodes made it at several times."""

    form: ClassVar[str] = (
        "CONCAT_WS(CHAR(10), DTD_IDENTIFIER, SECURITY_TYPE, IS_DETERMINISTIC, COALESCE(ROUTINE_DEFINITION, ''))"
    )
    alone: ClassVar[str] = "IDENTIFIED VIA mysql_native_password USING 'invalid' ACCOUNT LOCK"


class MariaDBAccounts(FamilyAccounts):
    """Accounts as MariaDB stores them."""

    fencing: ClassVar[type[Fencing]] = MariaDBFencing

    locked: ClassVar[str] = (
        "(SELECT COALESCE(JSON_VALUE(g.Priv, '$.account_locked'), 0) = 1 FROM mysql.global_priv g"
        " WHERE g.User = u.User AND g.Host = u.Host)"
    )
    roles: ClassVar[str] = (
        "SELECT User, Role FROM mysql.roles_mapping WHERE Admin_option = 'N' AND (User, Host) IN %(accounts)s"
    )

    def _identified(self, verb: str, login: str, password: Secret) -> Statement:
        """The hash that the server would store: its statement and binary logs do not mask a password."""
        statement = super()._identified(verb, login, password)
        return Statement(
            statement.sql.replace("IDENTIFIED BY %s", "IDENTIFIED BY PASSWORD %s"),
            (mariadb_hash(password.reveal()),),
            statement.shown,
            secret=True,
        )


class MariaDB(MySQLFamily):
    """A MariaDB server of its own."""

    dialect: ClassVar[str] = "mariadb"
    longest_login: ClassVar[int] = 80
    names_definer: ClassVar[str] = "SET USER"

    def _accounts(self) -> MariaDBAccounts:
        return MariaDBAccounts(self)
