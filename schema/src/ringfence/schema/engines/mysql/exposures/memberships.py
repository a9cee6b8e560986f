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


def proxies(connection: sa.Connection, ours: Mapping[AccountAt, str | None]) -> Iterator[Exposure]:
    """Yield the PROXY grants by which others can act as our accounts, or our accounts as others.

    Args:
        connection: the admin's.
        ours: our accounts -> the login that is reported; None for the account that views run as.
    """
    rows = connection.exec_driver_sql(_PROXIES).all()
    logins = {login for login, _ in ours}
    passing = {
        (login, host) for _, _, login, host, passes_on, _, mine in rows if mine and passes_on
    }  # ('', '') stands for every account
    for user, host, proxied, at, _, strong, _ in rows:
        whose = (user, host)
        if proxied not in logins and whose not in ours and proxied:
            continue
        if not proxied and strong:
            continue  # an administrator's, which the installation of the server makes
        who, whom = account(user, host), account(proxied, at)
        sql = f"REVOKE PROXY ON {whom} FROM {who}"
        may = bool(proxied) and bool({("", ""), (proxied, at)} & passing)
        login = (
            ours.get(whose)
            if whose in ours
            else next((t for (u, _), t in ours.items() if u == proxied), None)
        )
        says = f"{who} may act as {whom if proxied else 'any account'} (PROXY), and then has all its rights"
        if may:
            yield Exposure("proxy", login, says, repair=Statement.plain(sql))
        else:
            yield Exposure(
                "proxy",
                login,
                says,
                resolution=f"an account that holds PROXY on it WITH GRANT OPTION can take it away: {sql}",
                refuses=True,
            )


def members(
    accounts: "FamilyAccounts",
    connection: sa.Connection,
    ours: Mapping[AccountAt, str | None],
    schemas: frozenset[str],
) -> Iterator[Exposure]:
    """Yield the accounts that were granted one of ours as a role, and the roles that PUBLIC was granted.

    Args:
        accounts: writes the engine's statements for accounts and roles.
        connection: the admin's.
        ours: our accounts -> the login that is reported; None for the account that views run as.
        schemas: the databases of the deployment.
    """
    for role, at, user, host, _ in connection.exec_driver_sql(accounts.memberships).all():
        login = ours.get((role, at))
        if (user, host) == PUBLIC:
            yield from _public_role(accounts, connection, (role, at), schemas)
        elif (role, at) in ours and (user, host) not in ours:
            name, who = accounts.role_name(role, at), account(user, host)
            says, sql = (
                f"{who} was granted {name} as a role, and so has all its rights",
                f"REVOKE {name} FROM {who}",
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
    here = {one for one in reaches if one == "*" or any(matches(one, schema) for schema in schemas)}
    name = accounts.role_name(*role)
    says = f"every account of the server may take on the role {name}, which reaches {_listed(reaches) or 'nothing'}"
    sql = f"REVOKE {name} FROM PUBLIC"
    if (
        here
        and {unescaped(one) for one in reaches} <= schemas
        and accounts.may_revoke_role(connection, *role)
    ):
        yield Exposure("membership", None, says, repair=Statement.plain(sql))
    elif here:
        resolution = f"as who granted it, who knows whom else that serves: {sql}"
        yield Exposure("membership", None, says, resolution=resolution, refuses=True)
    elif reaches:
        yield Exposure("membership", None, says, resolution=f"if that is not meant: {sql}", finding=None)


def mandatory(
    accounts: "FamilyAccounts",
    connection: sa.Connection,
    roles: Iterable[AccountAt],
    ours: Mapping[AccountAt, str | None],
    schemas: frozenset[str],
) -> Iterator[Exposure]:
    """Yield the roles that MySQL gives every account by the variable `mandatory_roles`.

    Args:
        accounts: the query of the granted roles.
        connection: the admin's.
        roles: the roles of the variable.
        ours: our accounts -> the login that is reported; None for the account that views run as.
        schemas: the databases of the deployment.
    """
    for role in roles:
        reaches = holdings(accounts, connection, role)
        if not reaches and role not in ours:
            continue
        here = (
            role in ours
            or "*" in reaches
            or any(matches(one, schema) for one in reaches for schema in schemas)
        )
        yield Exposure(
            "membership",
            ours.get(role),
            f"every account of the server has the role {account(*role)} (mandatory_roles), which reaches"
            f" {_listed(reaches) or 'nothing yet'}",
            resolution="as an administrator of the server: SET PERSIST mandatory_roles, without it",
            refuses=here,
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
