"""Grants across databases on the MySQL family: of managed accounts in others, and of other accounts in this one."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.engines.exposures import Exposure
from ringfence.schema.engines.mysql.privileges import (
    AdminPrivileges,
    escaped_pattern,
    matches,
    privileges_and_object,
    unescaped,
)
from ringfence.schema.engines.mysql.quoting import quoted
from ringfence.schema.engines.types import Statement
from ringfence.schema.grants.difference import Privilege, bundles
from ringfence.schema.state import releases

if TYPE_CHECKING:
    from ringfence.schema.engines.mysql.accounts import FamilyAccounts

_ELSEWHERE = (
    "SELECT grantee, 'database', table_schema, '', privilege_type, '', is_grantable"
    " FROM information_schema.schema_privileges WHERE grantee IN %(grantees)s",
    "SELECT grantee, 'table', table_schema, table_name, privilege_type, '', is_grantable"
    " FROM information_schema.table_privileges WHERE grantee IN %(grantees)s AND table_schema NOT IN %(schemas)s",
    "SELECT grantee, 'table', table_schema, table_name, privilege_type, column_name, is_grantable"
    " FROM information_schema.column_privileges WHERE grantee IN %(grantees)s AND table_schema NOT IN %(schemas)s",
)
_ROUTINES = (
    "SELECT User, Host, LOWER(Routine_type), Db, Routine_name, FIND_IN_SET('Execute', Proc_priv) > 0"
    " FROM mysql.procs_priv WHERE Db NOT IN %(schemas)s AND (User, Host) IN %(accounts)s"
)
_OTHERS = (
    "SELECT grantee, table_schema, '' FROM information_schema.schema_privileges GROUP BY grantee, table_schema"
    " UNION SELECT grantee, table_schema, table_name FROM information_schema.table_privileges"
    " WHERE table_schema IN %(schemas)s"
    " UNION SELECT grantee, table_schema, table_name FROM information_schema.column_privileges"
    " WHERE table_schema IN %(schemas)s"
    " UNION SELECT CONCAT('\\'', User, '\\'@\\'', Host, '\\''), Db, Routine_name FROM mysql.procs_priv"
    " WHERE Db IN %(schemas)s"
)


def elsewhere(
    accounts: "FamilyAccounts",
    connection: sa.Connection,
    logins: Iterable[str],
    schemas: frozenset[str],
    rights: AdminPrivileges,
) -> Iterator[Exposure]:
    """Yield what managed accounts were granted outside the databases of the deployment.

    Args:
        accounts: writes the engine's statements for accounts and grants.
        connection: the admin's.
        logins: the accounts that the manifest declares.
        schemas: the databases of the deployment.
        rights: the admin's, who may lack the privilege to revoke a grant.
    """
    held = _held(accounts, connection, tuple(logins), schemas)
    shared: dict[str, set[str] | None] = {}
    # GRANT OPTION comes first: once the privileges of a grant are revoked, it has no option to revoke.
    passing = {p for p in held if p.verb == "grant option"}
    for bundle in (*bundles(passing), *bundles(held - passing)):
        on, account = privileges_and_object(bundle), accounts.account(bundle.login)
        says = f"{account} was granted {on}, outside the deployment"
        where = bundle.schema
        if where not in shared:
            shared[where] = _accounts_of(connection, unescaped(where))
        served = shared[where]
        if served is None or bundle.login in served:
            yield Exposure(
                "grant elsewhere",
                bundle.login,
                f"{says}, in the database of another deployment, which manages it",
                resolution="give the account of each deployment a login of its own",
                finding=None,
            )
        elif all(
            rights.may_revoke(verb, where if bundle.kind == "database" else escaped_pattern(where))
            for verb, _ in bundle.verbs
        ):
            yield Exposure(
                "grant elsewhere",
                bundle.login,
                says,
                repair=Statement.plain(f"REVOKE {on} FROM {account}"),
                lasting_connections=((bundle.login, on),) if bundle.kind == "database" else (),
            )
        else:
            yield Exposure(
                "grant elsewhere",
                bundle.login,
                says,
                resolution="the admin may not revoke it; as an administrator of the server: REVOKE"
                f" {on} FROM {account}",
                refuses=True,
            )


def _held(
    accounts: "FamilyAccounts", connection: sa.Connection, logins: tuple[str, ...], schemas: frozenset[str]
) -> set[Privilege]:
    pairs = accounts.pairs(logins)
    names = {f"'{login}'@'{at}'": login for login, at in pairs}
    given = {"grantees": tuple(names), "schemas": tuple(schemas), "accounts": pairs}
    found = set()
    for query in _ELSEWHERE:
        for grantee, kind, schema, name, verb, column, grantable in connection.exec_driver_sql(query, given):
            # A pattern that also matches a database of the deployment is revoked with the grants on that.
            if kind == "database" and any(matches(schema, own) for own in schemas):
                continue
            if verb.upper() != "USAGE":
                found.add(Privilege(names[grantee], kind, schema, name, verb.lower(), column))
            if grantable == "YES":
                found.add(Privilege(names[grantee], kind, schema, name, "grant option"))
    for login, _, kind, schema, name, executes in connection.exec_driver_sql(_ROUTINES, given):
        found.add(Privilege(login, kind, schema, name, "execute" if executes else "alter routine"))
    return found


def _accounts_of(connection: sa.Connection, schema: str) -> set[str] | None:
    """Return the logins of the deployment in another database; none without a deployment, None if not readable."""
    is_deployment = connection.exec_driver_sql(
        "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = %s AND table_name = %s",
        (schema, releases.account.name),
    ).scalar_one()
    if not is_deployment:
        return set()
    table = f"{quoted(schema).replace('%', '%%')}.{releases.account.name}"
    try:
        rows = connection.exec_driver_sql(f"SELECT login FROM {table}")  # noqa: S608 - quoted
        return {str(login) for (login,) in rows}
    except sa.exc.DBAPIError:
        return None


def others(
    connection: sa.Connection,
    known: Callable[[str], bool],
    schemas: frozenset[str],
) -> Iterator[Exposure]:
    """Yield what other accounts were granted on the deployment's databases; such grants are reported, never revoked.

    Args:
        connection: the admin's.
        known: whether an account, as 'login'@'host', is managed, the admin, or named by the manifest.
        schemas: the databases of the deployment.
    """
    by_name: dict[str, set[str]] = {}
    for grantee, pattern, table in connection.exec_driver_sql(_OTHERS, {"schemas": tuple(schemas)}):
        reached = [schema for schema in sorted(schemas) if table or matches(pattern, schema)]
        if not reached or known(grantee):
            continue
        if table or pattern in schemas or unescaped(pattern) in schemas:
            by_name.setdefault(grantee, set()).add(f"{pattern}.{table}" if table else unescaped(pattern))
            continue
        yield Exposure(
            "wildcard grant",
            None,
            f"{grantee} was granted privileges on `{pattern}`.*, which also matches {', '.join(reached)}, because _ and"
            " % are wildcards there",
            resolution="as its grantor: grant it on the intended database, with \\_ and \\%, and revoke it on the"
            " pattern; or name its login under `protected:` if it is intended",
        )
    for grantee, objects in sorted(by_name.items()):
        yield Exposure(
            "grant",
            None,
            f"{grantee}, which is not an account of the manifest, was granted privileges on"
            f" {', '.join(sorted(objects))}",
            resolution="revoke them, or name its login under `protected:` if they are intended",
            finding=None,
        )


def drop_obstacles(
    accounts: "FamilyAccounts", connection: sa.Connection, logins: tuple[str, ...]
) -> dict[str, list[str]]:
    """Return why logins must not be dropped.

    The reasons are privileges in other databases, and views, routines, triggers and events that an account defined,
    which run with its privileges.

    Args:
        accounts: with the host of each login.
        connection: the admin's.
        logins: user names.

    Returns:
        login -> its reasons, for the logins that have any.
    """
    pairs = accounts.pairs(logins)
    names = {f"'{login}'@'{host}'": login for login, host in pairs}
    found: dict[str, list[str]] = {}
    for scope in ("schema", "table", "column"):
        for grantee, schema in connection.exec_driver_sql(
            f"SELECT DISTINCT grantee, table_schema FROM information_schema.{scope}_privileges"  # noqa: S608 - our words
            " WHERE grantee IN %(grantees)s AND NOT DATABASE() LIKE table_schema",
            {"grantees": tuple(names)},
        ):
            found.setdefault(names[grantee], []).append(f"was granted rights in {schema}")
    for login, schema in connection.exec_driver_sql(
        "SELECT DISTINCT User, Db FROM mysql.procs_priv WHERE (User, Host) IN %(accounts)s AND Db <> DATABASE()",
        {"accounts": pairs},
    ):
        found.setdefault(login, []).append(f"was granted rights in {schema}")
    definers = {f"{login}@{host}": login for login, host in pairs}
    for catalog, kind, schema, name in (
        ("views", "view", "table_schema", "table_name"),
        ("routines", "routine", "routine_schema", "routine_name"),
        ("triggers", "trigger", "trigger_schema", "trigger_name"),
        ("events", "event", "event_schema", "event_name"),
    ):
        for definer, where, what in connection.exec_driver_sql(
            f"SELECT definer, {schema}, {name} FROM information_schema.{catalog} WHERE definer IN %(definers)s",  # noqa: S608 - our words
            {"definers": tuple(definers)},
        ):
            found.setdefault(definers[definer], []).append(f"defined the {kind} {where}.{what}")
    return found
