"""The backend and the accounts of Oracle's MySQL."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

import sqlalchemy as sa

from ringfence.schema.engines.base import Exposure, Statement
from ringfence.schema.engines.mysql.accounts import FamilyAccounts
from ringfence.schema.engines.mysql.effective_rights import EffectiveRightsReader, MySQLEffectiveRights
from ringfence.schema.engines.mysql.exposures import memberships as mysql_memberships
from ringfence.schema.engines.mysql.exposures.account_state import AccountState
from ringfence.schema.engines.mysql.family import MySQLFamily
from ringfence.schema.engines.mysql.privileges import AdminPrivileges, mandatory_roles
from ringfence.schema.engines.mysql.quoting import account
from ringfence.schema.engines.mysql.row_security import RowSecurityPlanner
from ringfence.schema.features.mysql import FEATURES


class MySQLRowSecurity(RowSecurityPlanner):
    """Row security on MySQL.

    Few accounts may read a function's body, and all may read its time of creation. That is compared, because a body
    changes only when the function is created again.
    """

    function_digest_expression: ClassVar[str] = (
        "CONCAT_WS(CHAR(10), DTD_IDENTIFIER, SECURITY_TYPE, IS_DETERMINISTIC, CREATED)"
    )
    no_login_clause: ClassVar[str] = "IDENTIFIED BY RANDOM PASSWORD ACCOUNT LOCK"


class MySQLAccounts(FamilyAccounts):
    """Accounts as MySQL stores them; the server itself masks passwords in its logs."""

    row_security_planner: ClassVar[type[RowSecurityPlanner]] = MySQLRowSecurity
    rights_reader: ClassVar[type[EffectiveRightsReader]] = MySQLEffectiveRights

    locked: ClassVar[str] = "u.account_locked = 'Y'"
    restrictions: ClassVar[str] = (
        "SELECT User, JSON_EXTRACT(User_attributes, '$.Restrictions') FROM mysql.user"
        " WHERE (User, Host) IN %(accounts)s AND JSON_EXTRACT(User_attributes, '$.Restrictions') IS NOT NULL"
    )
    memberships: ClassVar[str] = (
        "SELECT FROM_USER, FROM_HOST, TO_USER, TO_HOST, WITH_ADMIN_OPTION = 'Y' FROM mysql.role_edges"
    )
    states: ClassVar[str] = (
        "SELECT User, password_expired = 'Y' OR (COALESCE(password_lifetime, @@GLOBAL.default_password_lifetime) > 0"
        " AND password_last_changed + INTERVAL COALESCE(password_lifetime, @@GLOBAL.default_password_lifetime) DAY"
        " < NOW()), password_lifetime,"
        " IF(password_lifetime IS NULL AND @@GLOBAL.default_password_lifetime > 0,"
        " DATE(password_last_changed + INTERVAL @@GLOBAL.default_password_lifetime DAY), NULL), plugin,"
        " COALESCE(authentication_string, ''), JSON_EXTRACT(User_attributes, '$.additional_password') IS NOT NULL,"
        " 1 + COALESCE(JSON_LENGTH(User_attributes, '$.multi_factor_authentication'), 0),"
        " COALESCE(CAST(JSON_EXTRACT(User_attributes, '$.Password_locking.failed_login_attempts') AS SIGNED), 0),"
        " ssl_type, max_questions, max_updates, max_connections, 0 FROM mysql.user WHERE (User, Host) IN %(accounts)s"
    )

    def role_name(self, role: str, host: str) -> str:
        """Return the role as 'role'@'host', because MySQL's roles are accounts."""
        return account(role, host)

    def may_revoke_role(self, connection: sa.Connection, role: str, host: str) -> bool:
        """Return whether the admin may revoke a role; a mandatory role cannot be revoked at all."""
        if (role, host) in self._mandatory(connection):
            return False
        if AdminPrivileges.read(connection).server & {"SUPER", "ROLE_ADMIN"}:
            return True
        sql = (
            "SELECT COUNT(*) FROM mysql.role_edges WHERE (FROM_USER, FROM_HOST) = (%s, %s) AND WITH_ADMIN_OPTION = 'Y'"
            " AND CONCAT(TO_USER, '@', TO_HOST) = CURRENT_USER()"
        )
        return bool(connection.exec_driver_sql(sql, (role, host)).scalar_one())

    def granted_to_all(
        self, connection: sa.Connection, ours: Mapping[tuple[str, str], str | None], schemas: frozenset[str]
    ) -> Iterator[Exposure]:
        """Yield the mandatory roles, which every account has."""
        return mysql_memberships.mandatory(self, connection, self._mandatory(connection), ours, schemas)

    @staticmethod
    def _mandatory(connection: sa.Connection) -> list[tuple[str, str]]:
        return mandatory_roles(
            str(connection.exec_driver_sql("SELECT @@GLOBAL.mandatory_roles").scalar_one() or "")
        )

    def reset_password(self, state: AccountState) -> Statement:
        """Return the statement that sets the stored hash of the password again, so that it is no longer expired."""
        sql = f"ALTER USER {self.account(state.login)} IDENTIFIED WITH `{state.plugin}` AS "
        return self.with_stored_password(state.login, sql, f"0x{state.stored.encode().hex()}")

    def only_password(self, state: AccountState) -> Statement:
        """Return the statement that discards the second password that an account may keep."""
        return Statement.plain(f"ALTER USER {self.account(state.login)} DISCARD OLD PASSWORD")

    def processlist(self, connection: sa.Connection) -> str:
        """Return performance_schema.processlist where that schema is on, else information_schema.processlist.

        The latter fails with error 3854 while any running statement contains an emoji.
        """
        on = connection.exec_driver_sql("SELECT @@GLOBAL.performance_schema").scalar_one()
        return "performance_schema.processlist" if on else super().processlist(connection)


class MySQL(MySQLFamily):
    """Backend of Oracle's MySQL, and of servers that give its name as theirs."""

    features = FEATURES
    dialect: ClassVar[str] = "mysql"
    set_definer_privilege: ClassVar[str] = "SET_ANY_DEFINER"

    def _accounts(self) -> MySQLAccounts:
        return MySQLAccounts(self)
