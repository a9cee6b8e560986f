"""Exposures on the MySQL family: how others reach more than the manifest gives, or an account less, beside grants."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.engines.exposures import Exposure
from ringfence.schema.engines.mysql import hosts as mysql_hosts
from ringfence.schema.engines.mysql.exposures import account_state, memberships
from ringfence.schema.engines.mysql.exposures.other_databases import elsewhere, others
from ringfence.schema.engines.mysql.privileges import IS_ADMINISTRATOR, AdminPrivileges, revoking
from ringfence.schema.engines.mysql.quoting import literal
from ringfence.schema.engines.mysql.routines import undeclared_definers
from ringfence.schema.engines.mysql.row_security import DEFINER_HOST, definer
from ringfence.schema.state import releases

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment
    from ringfence.schema.engines.mysql.accounts import FamilyAccounts

_ADMINISTRATORS = (
    "SELECT CONCAT('''', User, '''@''', Host, '''') FROM mysql.user"  # noqa: S608 - constant SQL
    f" WHERE {IS_ADMINISTRATOR.format('')}"
)


def exposures(
    accounts: "FamilyAccounts", connection: sa.Connection, deployment: "Deployment", logins: tuple[str, ...]
) -> list[Exposure]:
    """Return the exposures of the logins and of the deployment's databases.

    Args:
        accounts: writes the engine's statements for accounts and grants.
        connection: the admin's.
        deployment: its accounts, tables and protected logins.
        logins: the managed accounts, also those that are no longer declared.
    """
    database = accounts.database(connection)
    schemas = frozenset({database, *(str(t.schema) for t in deployment.tables.values() if t.schema)})
    if mysql_hosts.has_table(connection, releases.retired.name):
        schemas |= releases.schemas_retired(connection)
    managed: dict[tuple[str, str], str | None] = {
        (login, host): login
        for login, hosts in mysql_hosts.managed_hosts(connection).items()
        for host in hosts
    }
    managed |= {pair: pair[0] for pair in accounts.pairs(logins) if pair[0] in logins}
    managed[definer(database), DEFINER_HOST] = None
    declared = {account.login for account in deployment.accounts.values()}
    declared_logins = tuple(login for login in logins if login in declared)
    rights = AdminPrivileges.read(connection)
    found = [*anonymous(connection)]
    found += accounts.granted_to_all(connection, managed, schemas)
    found += memberships.proxies(connection, managed)
    found += memberships.members(accounts, connection, managed, schemas)
    found += _roles_and_global_privileges(accounts, connection, declared_logins)
    found += account_state.exposures(
        accounts, connection, account_state.states(accounts, connection, declared_logins)
    )
    found += elsewhere(accounts, connection, declared_logins, schemas, rights)
    administrators = {str(name) for (name,) in connection.exec_driver_sql(_ADMINISTRATORS)}
    named = {f"'{login}'@'{host}'" for login, host in managed} | {rights.account} | administrators
    protected = {"mysql.sys", "mysql.session", "mysql.infoschema", "mariadb.sys", "PUBLIC", ""}
    protected |= set(deployment.policy.protected)

    def known(grantee: str) -> bool:
        return grantee in named or grantee[1:].partition("'@'")[0] in protected

    found += others(connection, known, schemas)
    return [*found, *undeclared_definers(connection, deployment, schemas, rights.account)]


def _roles_and_global_privileges(
    accounts: "FamilyAccounts", connection: sa.Connection, logins: tuple[str, ...]
) -> Iterator[Exposure]:
    """Yield the roles and global privileges that our accounts hold; no attempt on a table would show them."""
    for p in sorted(accounts.privileges.held(connection, logins, ())):
        if p.kind == "role":
            says = f"{p.login} was granted the role {p.name}, and can use all its privileges"
        elif p.kind == "server":
            says = f"{p.login} was granted {p.verb.upper()} on the whole server"
        else:
            continue
        yield Exposure(
            "membership" if p.kind == "role" else "server right",
            p.login,
            says,
            resolution=f"an apply revokes it if the admin may, else its grantor must: {revoking(accounts, p)}",
        )


def anonymous(connection: sa.Connection) -> Iterator[Exposure]:
    """Yield the account without a user name, with which any unknown name can log in."""
    for (host,) in connection.exec_driver_sql("SELECT Host FROM mysql.user WHERE User = '' AND Host = '%%'"):
        account = f"''@{literal(host)}"
        yield Exposure(
            "anonymous account",
            None,
            f"every user name without an account logs in as {account}",
            resolution=f"DROP USER {account}",
            finding=None,
        )


def open_to_all(connection: sa.Connection) -> list[str]:
    """Return a message for each row of mysql.db that gives every account privileges on this database.

    Such a row has no user; the installation of the server makes some.
    """
    return [
        f"every account of the server may use this database: mysql.db gives {pattern!r} to User = ''. Take another"  # noqa: S608 - a message
        f" name, or, as an administrator of the server: DELETE FROM mysql.db WHERE User = '' AND Db ="
        f" {literal(pattern)}; FLUSH PRIVILEGES"
        for (pattern,) in connection.exec_driver_sql(
            "SELECT DISTINCT Db FROM mysql.db WHERE User = '' AND DATABASE() LIKE Db"
        )
    ]
