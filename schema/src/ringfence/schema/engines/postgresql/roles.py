"""Roles of PostgreSQL: the statements that create and change them, their passwords and their settings."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.runtime.settings import Secret
from ringfence.schema.engines.base import Login, PasswordComparison, Statement
from ringfence.schema.engines.postgresql import passwords as role_passwords
from ringfence.schema.engines.postgresql import role_settings
from ringfence.schema.engines.postgresql.catalog import MEMBERSHIP_OPTIONS, is_since
from ringfence.schema.engines.postgresql.quoting import quoted
from ringfence.schema.grants.passwords import matches_verifier, scram_verifier

if TYPE_CHECKING:
    from ringfence.schema.engines.postgresql.server import PostgreSQL

_ROLES = """
    SELECT rolname, rolcanlogin,
           CASE WHEN rolsuper THEN 'is a superuser'
                WHEN rolname = current_user THEN 'is the admin itself' END,
           CASE WHEN rolbypassrls THEN 'bypasses row security'
                WHEN rolcreaterole THEN 'may create roles'
                WHEN rolcreatedb THEN 'may create databases'
                WHEN rolreplication THEN 'may replicate' END
    FROM pg_catalog.pg_roles WHERE rolname = ANY (%s)
"""


class PostgreSQLRoles:
    """The roles of a server that can log in.

    Args:
        backend: the server.
    """

    def __init__(self, backend: "PostgreSQL") -> None:
        self._backend = backend

    def existing(self, connection: sa.Connection, logins: Iterable[str]) -> Mapping[str, Login]:
        """Return the logins that exist, with the attributes that make a role unfit for a service."""
        rows = connection.exec_driver_sql(_ROLES, (list(logins),))
        return {name: Login(name, enabled, strong, may) for name, enabled, strong, may in rows}

    def unmanageable(self, connection: sa.Connection, logins: list[str]) -> list[str]:
        """Return an error for each role that the admin account may not alter.

        From PostgreSQL 16 on, CREATEROLE covers only roles on which the admin account has the ADMIN option.

        Args:
            connection: a connection of the admin account.
            logins: the roles to check.
        """
        if not is_since(connection, MEMBERSHIP_OPTIONS):
            return []
        rows = connection.exec_driver_sql(
            "SELECT rolname, current_user FROM pg_catalog.pg_roles r WHERE rolname = ANY (%s)"
            " AND NOT pg_catalog.pg_has_role(r.oid, 'MEMBER WITH ADMIN OPTION')",
            (logins,),
        )
        return [
            f"{me} may not change the account {name}: GRANT {quoted(name)} TO {quoted(me)} WITH ADMIN OPTION"
            for name, me in rows
        ]

    def create(self, login: str, password: Secret | None) -> Statement:
        """Return the statement that creates a role with LOGIN; without a password, none is set."""
        bare = f"CREATE ROLE {quoted(login)} LOGIN"
        if password is None:
            return Statement.plain(bare)
        sql = f"{bare} PASSWORD "
        verifier = scram_verifier(password.reveal())
        return Statement(
            f"{sql.replace('%', '%%')}%s", (verifier,), f"{sql}'***'", secret=True, manual_sql=f"{bare};"
        )

    def enable(self, login: str, enabled: bool) -> Statement:
        """Return the statement that gives the role LOGIN or NOLOGIN."""
        return Statement.plain(f"ALTER ROLE {quoted(login)} {'LOGIN' if enabled else 'NOLOGIN'}")

    def drop(self, login: str) -> Statement:
        """Return the DROP ROLE of a login."""
        return Statement.plain(f"DROP ROLE {quoted(login)}")

    def drop_obstacles(self, connection: sa.Connection, logins: Iterable[str]) -> Mapping[str, list[str]]:
        """Return why each role must not be dropped."""
        return role_settings.drop_obstacles(connection, logins)

    def set_password(self, login: str, password: Secret) -> Statement:
        """Return the statement that sets a password, sent as a SCRAM verifier."""
        sql = f"ALTER ROLE {quoted(login)} PASSWORD "
        return Statement(
            f"{sql.replace('%', '%%')}%s",
            (scram_verifier(password.reveal()),),
            f"{sql}'***'",
            secret=True,
            manual_sql=f"-- the password of {quoted(login)} is set by `ringfence access apply`",
        )

    def compare_passwords(
        self, connection: sa.Connection, passwords: Mapping[str, Secret]
    ) -> PasswordComparison:
        """Compare passwords with the stored verifiers if the admin may read them, else by logging in."""
        if not connection.exec_driver_sql(
            "SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT')"
        ).scalar_one():
            return role_passwords.compare_passwords(self._backend, connection, passwords)
        rows = connection.exec_driver_sql(
            "SELECT rolname, rolpassword FROM pg_catalog.pg_authid WHERE rolname = ANY (%s)",
            (list(passwords),),
        )
        return PasswordComparison(
            {
                login
                for login, stored in rows
                if stored is None or not matches_verifier(passwords[login].reveal(), stored)
            }
        )


class PostgreSQLLoginSettings:
    """The connection limits, expiry dates and settings of roles."""

    def changed(self, connection: sa.Connection, logins: Iterable[str]) -> Mapping[str, Mapping[str, str]]:
        """Return the limits and settings of each role that differ from those of a new role."""
        return role_settings.limits(connection, logins)

    def set(self, connection: sa.Connection, login: str, setting: str, value: str | None) -> Statement:
        """Return the statement that sets or resets one limit or setting."""
        return Statement.plain(role_settings.limit(connection, login, setting, value))
