"""MariaDB."""

import re
from typing import TYPE_CHECKING, ClassVar

import sqlalchemy as sa

from ringfence.runtime.settings import Secret
from ringfence.schema.access.diff import Privilege
from ringfence.schema.access.passwords import mariadb_hash
from ringfence.schema.access.sequences import draws
from ringfence.schema.backends.base import Statement
from ringfence.schema.backends.mysql_access import FamilyAccounts
from ringfence.schema.backends.mysql_catalog import MariaDBCatalog, MySQLCatalog
from ringfence.schema.backends.mysql_family import MySQLFamily
from ringfence.schema.backends.mysql_fence import Fencing

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

_DRAWING = (
    "SELECT table_schema, table_name, column_default FROM information_schema.columns"
    " WHERE table_schema IN %(schemas)s AND column_default LIKE '%%nextval(%%'"
)
_NEXTVAL = re.compile(r"\bnextval\(`((?:[^`]|``)+)`\.`((?:[^`]|``)+)`\)")


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

    def wanted(self, connection: sa.Connection, deployment: "Deployment") -> set[Privilege]:
        """See Accounts; and what an insert draws from: a sequence asks for INSERT and SELECT, also where a column's
        default draws, whether or not a value is given, and whether or not a view stands between.
        """
        found = super().wanted(connection, deployment)
        default = self.database(connection)
        drawn = {
            (account.login, str(sequence.schema or default), str(sequence.name))
            for account, _, sequence in draws(deployment)
        }
        inserts = [
            (account.login, (grant.schema or default, grant.table))
            for account in deployment.accounts.values()
            for grant in account.grants
            if grant.verb == "insert"
        ]
        schemas = tuple({schema for _, (schema, _) in inserts}) or ("\0",)
        for schema, table, text in connection.exec_driver_sql(_DRAWING, {"schemas": schemas}):
            drawn |= {
                (login, *(name.replace("``", "`") for name in sequence))
                for login, place in inserts
                if place == (schema, table)
                for sequence in _NEXTVAL.findall(text)
            }
        return found | {
            Privilege(login, "table", schema, name, verb)
            for login, schema, name in drawn
            for verb in ("insert", "select")
        }

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
    catalogs: ClassVar[type[MySQLCatalog]] = MariaDBCatalog

    def _accounts(self) -> MariaDBAccounts:
        return MariaDBAccounts(self)
