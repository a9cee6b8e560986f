"""What is checked on the MySQL family before a job: the rights of the admin account, and the state of the server."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.engines.base import Findings
from ringfence.schema.engines.mysql.exposures import open_to_all
from ringfence.schema.engines.mysql.privileges import AdminPrivileges, granted_on
from ringfence.schema.engines.mysql.row_security import Requirements, definer, requirements

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment
    from ringfence.schema.engines.mysql.family import MySQLFamily

_CONNECTIONS = 4  # connections: one that migrates, one that holds the lock, two that read
_PRIVILEGES = (
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "ALTER",
    "DROP",
    "INDEX",
    "REFERENCES",
    "CREATE TEMPORARY TABLES",
)


class FamilyChecks:
    """The checks of one database.

    Args:
        backend: the server.
    """

    def __init__(self, backend: "MySQLFamily") -> None:
        self._backend = backend

    def admin(self, connection: sa.Connection, deployment: "Deployment") -> Findings:
        """Return the privileges that the admin lacks, and the declared logins that cannot be used.

        The required privileges are those of the documentation's page on admin rights.
        """
        found = Findings()
        accounts = deployment.accounts.values()
        rights = AdminPrivileges.read(connection)
        me, name = rights.account, self._backend.settings.name
        if not rights.server & {"CREATE USER"}:
            found.errors.append(f"the admin may not create accounts: GRANT CREATE USER ON *.* TO {me}")
        if missing := [right for right in _PRIVILEGES if right not in rights.database]:
            found.errors.append(
                f"the admin lacks {', '.join(missing)} on the database: GRANT {', '.join(missing)} ON"
                f" {granted_on(name)}.* TO {me} WITH GRANT OPTION"
            )
        if not rights.grants:
            found.errors.append(
                f"the admin may not grant its privileges to others: GRANT {', '.join(_PRIVILEGES)} ON"
                f" {granted_on(name)}.* TO {me} WITH GRANT OPTION"
            )
        found.errors += self._row_security_privileges(
            connection, rights, requirements(deployment, name or "")
        )
        if not rights.catalog:
            found.errors.append(
                f"the admin may not read the grants of other accounts: GRANT SELECT ON `mysql`.* TO {me}"
            )
            return found
        found.errors += open_to_all(connection)
        declared = self._backend.accounts.hosts.at_declared(connection, accounts)
        found.errors += declared.hosts.shadowed(connection, [account.login for account in accounts])
        found.errors += [
            f"{account.origin}: the login {account.login!r} is the account that views run as here; choose another"
            for account in accounts
            if account.login == definer(name or "")
        ]
        return found

    def _row_security_privileges(
        self, connection: sa.Connection, rights: AdminPrivileges, needed: Requirements
    ) -> Iterator[str]:
        """Yield what the admin lacks to create the views, triggers and functions that the deployment needs."""
        me, routines = rights.account, bool(needed.guards or needed.bound)
        required = (
            *(("CREATE VIEW", "SHOW VIEW") if needed.views else ()),
            *(("TRIGGER",) if needed.guards else ()),
            *(("CREATE ROUTINE", "ALTER ROUTINE", "EXECUTE") if needed.bound else ()),
        )
        if missing := ", ".join(right for right in required if right not in rights.database):
            yield (
                f"the admin lacks {missing} on the database, for the views in front of tables: GRANT {missing} ON"
                f" {granted_on(self._backend.settings.name)}.* TO {me} WITH GRANT OPTION"
            )
        if needed.views and self._backend.set_definer_privilege not in rights.server:
            yield (
                "the admin may not create a view that runs as another account, which row scopes and column grants"
                " need here: GRANT"
                f" {self._backend.set_definer_privilege} ON *.* TO {me}"
            )
        logs, trusts = connection.exec_driver_sql(
            "SELECT @@GLOBAL.log_bin, @@GLOBAL.log_bin_trust_function_creators"
        ).one()
        if routines and logs and not trusts and "SUPER" not in rights.server:
            yield (
                "the server has a binary log and lets only SUPER create triggers and functions, which row scopes"
                " need here: SET GLOBAL log_bin_trust_function_creators = ON, and in the server's configuration"
            )

    def environment(self, connection: sa.Connection) -> Findings:
        """Return long transactions as warnings, and too few free connections as an error."""
        found = Findings(warnings=self._backend.sessions.long_transactions(connection))
        used = int(connection.exec_driver_sql("SHOW GLOBAL STATUS LIKE 'Threads_connected'").one()[1])
        most = int(connection.exec_driver_sql("SELECT @@GLOBAL.max_connections").scalar_one())
        if most - used < _CONNECTIONS:
            found.errors.append(
                f"{used} of the server's {most} connections are taken, and the job needs {_CONNECTIONS}: reduce"
                " the pools of the services (DB_POOL_SIZE), or raise max_connections"
            )
        return found
