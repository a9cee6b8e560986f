"""Who can act as an account of the MySQL family: by PROXY, or because the account was granted as a role."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.engines.exposures import Exposure
from ringfence.schema.engines.mysql.privileges import IS_ADMINISTRATOR, PUBLIC, AccountAt, matches, unescaped
from ringfence.schema.engines.mysql.quoting import account
from ringfence.schema.engines.types import Statement

if TYPE_CHECKING:
    from ringfence.schema.engines.mysql.accounts import FamilyAccounts

_PROXIES = f"""
    SELECT p.User, p.Host, p.Proxied_user, p.Proxied_host, p.With_grant,
           EXISTS (SELECT 1 FROM mysql.user u WHERE u.User = p.User AND {IS_ADMINISTRATOR.format("u.")}),
           p.User = SUBSTRING_INDEX(CURRENT_USER(), '@', 1) AND (p.Host = SUBSTRING_INDEX(CURRENT_USER(), '@', -1)
           OR SUBSTRING_INDEX(USER(), '@', -1) LIKE p.Host)
    FROM mysql.proxies_priv p
"""  # noqa: S608 - constant SQL


def proxies(connection: sa.Connection, managed: Mapping[AccountAt, str | None]) -> Iterator[Exposure]:
    """Yield the PROXY grants by which others can act as managed accounts, or managed accounts as others.

    Args:
        connection: the admin's.
        managed: managed accounts -> the login that is reported; None for the account that views run as.
    """
    rows = connection.exec_driver_sql(_PROXIES).all()
    logins = {login for login, _ in managed}
    # Those that the admin may grant and revoke; ('', '') stands for every account.
    grantable = {
        (login, host) for _, _, login, host, passes_on, _, by_admin in rows if by_admin and passes_on
    }
    for user, host, proxied, at, _, is_administrator, _ in rows:
        holder = (user, host)
        if proxied not in logins and holder not in managed and proxied:
            continue
        if not proxied and is_administrator:
            continue  # the installation of the server grants it to an administrator
        grantee, proxied_account = account(user, host), account(proxied, at)
        sql = f"REVOKE PROXY ON {proxied_account} FROM {grantee}"
        may = bool(proxied) and bool({("", ""), (proxied, at)} & grantable)
        login = (
            managed.get(holder)
            if holder in managed
            else next((t for (u, _), t in managed.items() if u == proxied), None)
        )
        says = f"{grantee} may act as {proxied_account if proxied else 'any account'} (PROXY), with all its privileges"
        if may:
            yield Exposure("proxy", login, says, repair=Statement.plain(sql))
        else:
            yield Exposure(
                "proxy",
                login,
                says,
                resolution=f"an account that holds PROXY on it WITH GRANT OPTION can revoke it: {sql}",
                refuses=True,
            )


def members(
    accounts: "FamilyAccounts",
    connection: sa.Connection,
    managed: Mapping[AccountAt, str | None],
    schemas: frozenset[str],
) -> Iterator[Exposure]:
    """Yield the accounts that were granted a managed account as a role, and the roles that PUBLIC was granted.

    Args:
        accounts: writes the engine's statements for accounts and roles.
        connection: the admin's.
        managed: managed accounts -> the login that is reported; None for the account that views run as.
        schemas: the databases of the deployment.
    """
    for role, at, user, host, _ in connection.exec_driver_sql(accounts.memberships).all():
        login = managed.get((role, at))
        if (user, host) == PUBLIC:
            yield from _public_role(accounts, connection, (role, at), schemas)
        elif (role, at) in managed and (user, host) not in managed:
            name, grantee = accounts.role_name(role, at), account(user, host)
            says, sql = (
                f"{grantee} was granted {name} as a role, and so has all its privileges",
                f"REVOKE {name} FROM {grantee}",
            )
            if accounts.may_revoke_role(connection, role, at):
                yield Exposure(
                    "membership",
                    login,
                    says,
                    repair=Statement.plain(sql),
                    lasting_connections=((user, f"the rights of {name}"),),
                )
            else:
                yield Exposure(
                    "membership",
                    login,
                    says,
                    resolution=f"as an administrator who holds that role with the admin option, or ROLE_ADMIN: {sql}",
                    refuses=True,
                )


def _public_role(
    accounts: "FamilyAccounts", connection: sa.Connection, role: AccountAt, schemas: frozenset[str]
) -> Iterator[Exposure]:
    """Yield a role of MariaDB's PUBLIC; the repair revokes it where it reaches the deployment and nothing else."""
    reaches = holdings(accounts, connection, role)
    in_deployment = {one for one in reaches if one == "*" or any(matches(one, schema) for schema in schemas)}
    name = accounts.role_name(*role)
    says = f"every account of the server may activate the role {name}, which reaches {_listed(reaches) or 'nothing'}"
    sql = f"REVOKE {name} FROM PUBLIC"
    if (
        in_deployment
        and {unescaped(one) for one in reaches} <= schemas
        and accounts.may_revoke_role(connection, *role)
    ):
        yield Exposure("membership", None, says, repair=Statement.plain(sql))
    elif in_deployment:
        resolution = f"its grantor must decide, because other accounts may use it: {sql}"
        yield Exposure("membership", None, says, resolution=resolution, refuses=True)
    elif reaches:
        yield Exposure("membership", None, says, resolution=f"if that is not meant: {sql}", finding=None)


def mandatory(
    accounts: "FamilyAccounts",
    connection: sa.Connection,
    roles: Iterable[AccountAt],
    managed: Mapping[AccountAt, str | None],
    schemas: frozenset[str],
) -> Iterator[Exposure]:
    """Yield the roles that MySQL gives every account by the variable `mandatory_roles`.

    Args:
        accounts: the query of the granted roles.
        connection: the admin's.
        roles: the roles of the variable.
        managed: managed accounts -> the login that is reported; None for the account that views run as.
        schemas: the databases of the deployment.
    """
    for role in roles:
        reaches = holdings(accounts, connection, role)
        if not reaches and role not in managed:
            continue
        in_deployment = (
            role in managed
            or "*" in reaches
            or any(matches(one, schema) for one in reaches for schema in schemas)
        )
        yield Exposure(
            "membership",
            managed.get(role),
            f"every account of the server has the role {account(*role)} (mandatory_roles), which reaches"
            f" {_listed(reaches) or 'nothing yet'}",
            resolution="as an administrator of the server: SET PERSIST mandatory_roles, without it",
            refuses=in_deployment,
        )


def holdings(accounts: "FamilyAccounts", connection: sa.Connection, role: AccountAt) -> set[str]:
    """Return the databases on which a role holds any privilege, its own or by other roles; `*` for a global one.

    Args:
        accounts: the query of the granted roles.
        connection: the admin's.
        role: the role and its host.
    """
    granted: dict[AccountAt, list[AccountAt]] = {}
    for one, at, user, host, _ in connection.exec_driver_sql(accounts.memberships):
        granted.setdefault((user, host), []).append((one, at))
    found: set[AccountAt] = set()
    left = [role]
    while left:
        if (inner := left.pop()) not in found:
            found.add(inner)
            left += granted.get(inner, [])
    grantees = tuple(f"'{name}'@'{host}'" for name, host in found)
    rows = connection.exec_driver_sql(
        "SELECT '*' FROM information_schema.user_privileges WHERE grantee IN %(g)s AND privilege_type <> 'USAGE'"
        " UNION SELECT table_schema FROM information_schema.schema_privileges WHERE grantee IN %(g)s"
        " UNION SELECT table_schema FROM information_schema.table_privileges WHERE grantee IN %(g)s"
        " UNION SELECT table_schema FROM information_schema.column_privileges WHERE grantee IN %(g)s"
        " UNION SELECT Db FROM mysql.procs_priv WHERE (User, Host) IN %(a)s",
        {"g": grantees, "a": tuple(found)},
    )
    return {str(schema) for (schema,) in rows}


def _listed(schemas: Iterable[str]) -> str:
    return ", ".join("the whole server" if one == "*" else one for one in sorted(schemas))
