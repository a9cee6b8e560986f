"""MySQL, and the question which server of its family it is."""

from typing import ClassVar

import sqlalchemy as sa

from ringfence.schema.backends.base import Identity
from ringfence.schema.backends.galera import Galera
from ringfence.schema.backends.mariadb import MariaDB
from ringfence.schema.backends.mysql_access import FamilyAccounts
from ringfence.schema.backends.mysql_family import MySQLFamily
from ringfence.schema.backends.mysql_fence import Fencing


class MySQLFencing(Fencing):
    """MySQL shows the words of a function to few, and to everybody when it was made: nothing else alters them."""

    form: ClassVar[str] = "CONCAT_WS(CHAR(10), DTD_IDENTIFIER, SECURITY_TYPE, IS_DETERMINISTIC, CREATED)"
    alone: ClassVar[str] = "IDENTIFIED BY RANDOM PASSWORD ACCOUNT LOCK"


class MySQLAccounts(FamilyAccounts):
    """Accounts as MySQL stores them. The server masks passwords in its logs itself."""

    fencing: ClassVar[type[Fencing]] = MySQLFencing

    locked: ClassVar[str] = "u.account_locked = 'Y'"
    restrictions: ClassVar[str] = (
        "SELECT User, JSON_EXTRACT(User_attributes, '$.Restrictions') FROM mysql.user"
        " WHERE (User, Host) IN %(accounts)s AND JSON_EXTRACT(User_attributes, '$.Restrictions') IS NOT NULL"
    )
    roles: ClassVar[str] = (
        "SELECT TO_USER, FROM_USER FROM mysql.role_edges WHERE (TO_USER, TO_HOST) IN %(accounts)s"
    )

    def _processlist(self, connection: sa.Connection) -> str:
        """The old one fails with 3854 while any statement that runs holds an emoji; the new one may be switched off."""
        on = connection.exec_driver_sql("SELECT @@GLOBAL.performance_schema").scalar_one()
        return "performance_schema.processlist" if on else super()._processlist(connection)


class MySQL(MySQLFamily):
    """Oracle's MySQL and what calls itself so."""

    dialect: ClassVar[str] = "mysql"
    longest_login: ClassVar[int] = 32
    names_definer: ClassVar[str] = "SET_ANY_DEFINER"

    def _accounts(self) -> MySQLAccounts:
        return MySQLAccounts(self)


def identify(connection: sa.Connection) -> Identity:
    """Which of the three it is: the version names MariaDB, and a Galera node knows the size of its cluster."""
    version = str(connection.exec_driver_sql("SELECT VERSION()").scalar_one())
    if "mariadb" not in version.lower():
        return Identity("mysql", version)
    size = connection.exec_driver_sql(
        "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'WSREP_CLUSTER_SIZE'"
    ).scalar()
    replicates = connection.exec_driver_sql("SELECT @@GLOBAL.wsrep_on").scalar()
    return Identity("galera" if replicates and int(size or 0) > 0 else "mariadb", version)


KINDS = {"mysql": MySQL, "mariadb": MariaDB, "galera": Galera}
