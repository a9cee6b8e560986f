"""Exposures on the MySQL family: how others reach more than the manifest gives, or an account less, beside grants."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.runtime.settings import Secret
from ringfence.schema.engines.exposures import Exposure
from ringfence.schema.engines.mysql import hosts as mysql_hosts
from ringfence.schema.engines.mysql import login_state, memberships
from ringfence.schema.engines.mysql import routines as mysql_routines
from ringfence.schema.engines.mysql.admin_rights import Rights, literally, matches, unescaped
from ringfence.schema.engines.mysql.definers import definers
from ringfence.schema.engines.mysql.login_state import PASSWORDS, State
from ringfence.schema.engines.mysql.other_databases import elsewhere, others
from ringfence.schema.engines.mysql.row_security import definer
from ringfence.schema.engines.types import PasswordComparison
from ringfence.schema.grants.difference import Difference, Privilege, batches, bundles
from ringfence.schema.state import releases

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment
    from ringfence.schema.engines.mysql.roles import FamilyAccounts

_DEFINER_HOST = "localhost"
_STRONG = (
    "SELECT CONCAT('''', User, '''@''', Host, '''') FROM mysql.user"
    " WHERE 'Y' IN (Super_priv, Grant_priv, Create_user_priv, Shutdown_priv, File_priv)"
)
_PUBLIC = (
    "SELECT 'database', table_schema, '', privilege_type, '' FROM information_schema.schema_privileges"
    " WHERE grantee = '''PUBLIC''@'''''",
    "SELECT 'table', table_schema, table_name, privilege_type, '' FROM information_schema.table_privileges"
    " WHERE grantee = '''PUBLIC''@''''' AND table_schema IN %(schemas)s",
    "SELECT 'table', table_schema, table_name, privilege_type, column_name FROM information_schema.column_privileges"
    " WHERE grantee = '''PUBLIC''@''''' AND table_schema IN %(schemas)s",
)


def gathered(
    accounts: "FamilyAccounts", connection: sa.Connection, deployment: "Deployment", logins: tuple[str, ...]
) -> list[Exposure]:
    """Return the exposures of the logins and of the deployment's databases.

    Args:
        accounts: writes the engine's statements for accounts and grants.
        connection: the admin's.
        deployment: its accounts, tables and protected logins.
        logins: the accounts that are ours, also those that are no longer declared.
    """
    database = accounts.database(connection)
    schemas = frozenset({database, *(str(t.schema) for t in deployment.tables.values() if t.schema)})
    if mysql_hosts.has_table(connection, releases.retired.name):
        schemas |= releases.schemas_retired(connection)
    ours: dict[tuple[str, str], str | None] = {
        (login, host): login for login, hosts in mysql_hosts.ours(connection).items() for host in hosts
    }
    ours |= {pair: pair[0] for pair in accounts.pairs(logins) if pair[0] in logins}
    ours[definer(database), _DEFINER_HOST] = None
    declared = {account.login for account in deployment.accounts.values()}
    mine = tuple(login for login in logins if login in declared)
    rights = Rights.read(connection)
    found = [*anonymous(connection)]
    found += accounts.granted_to_all(connection, ours, schemas)
    found += memberships.proxies(connection, ours)
    found += memberships.members(accounts, connection, ours, schemas)
    found += _above(accounts, connection, mine)
    found += login_state.exposures(accounts, connection, states(accounts, connection, mine))
    found += elsewhere(accounts, connection, mine, schemas, rights)
    strong = {str(one) for (one,) in connection.exec_driver_sql(_STRONG)}
    named = {f"'{login}'@'{host}'" for login, host in ours} | {rights.account} | strong
    protected = {"mysql.sys", "mysql.session", "mysql.infoschema", "mariadb.sys", "PUBLIC", ""}
    protected |= set(deployment.policy.protected)

    def known(grantee: str) -> bool:
        return grantee in named or grantee[1:].partition("'@'")[0] in protected

    found += others(connection, known, schemas)
    return [*found, *definers(connection, deployment, schemas, rights.account)]


def states(accounts: "FamilyAccounts", connection: sa.Connection, logins: tuple[str, ...]) -> list[State]:
    """Return what the server stores about some accounts.

    Args:
        accounts: the query, and the host of each login.
        connection: the admin's.
        logins: user names.
    """
    rows = connection.exec_driver_sql(accounts.states, {"accounts": accounts.pairs(logins)})
    return [
        State(
            login=str(login),
            expired=bool(expired),
            lifetime=None if lifetime is None else int(lifetime),
            ends=None if ends is None else str(ends),
            plugin=str(plugin),
            stored=str(stored),
            second=bool(second),
            factors=int(factors),
            attempts=int(attempts),
            tls=str(tls or ""),
            limits=tuple(float(limit or 0) for limit in limits),
        )
        for login, expired, lifetime, ends, plugin, stored, second, factors, attempts, tls, *limits in rows
    ]


def _above(
    accounts: "FamilyAccounts", connection: sa.Connection, logins: tuple[str, ...]
) -> Iterator[Exposure]:
    """Yield the roles and global privileges that our accounts hold; no attempt on a table would show them."""
    for p in sorted(accounts.held_privileges(connection, logins, ())):
        if p.kind == "role":
            says = f"{p.login} was granted the role {p.name}, and may take on all its rights"
        elif p.kind == "server":
            says = f"{p.login} was granted {p.verb.upper()} on the whole server"
        else:
            continue
        yield Exposure(
            "membership" if p.kind == "role" else "server right",
            p.login,
            says,
            resolution=f"apply revokes it where the admin may, else who granted it: {_sent(accounts, p)}",
        )


def beyond(accounts: "FamilyAccounts", connection: sa.Connection, difference: Difference) -> list[str]:
    """Return a message for each revoke that the admin may not send, with who may.

    Args:
        accounts: writes the engine's statements for accounts and grants.
        connection: the admin's.
        difference: of it, the roles, global and database privileges that are to be revoked.
    """
    above = [p for p in difference.revoke if p.kind in ("server", "role", "database")]
    if not above:
        return []
    rights = Rights.read(connection)
    found = []
    for p in above:
        if p.kind == "role":
            if not accounts.may_revoke_role(connection, *memberships.parted(p.name)):
                found.append(
                    f"{p}: only who holds that role with the admin option can take it away: {_sent(accounts, p)}"
                )
        elif not rights.may_revoke(p.verb, p.schema if p.kind == "database" else None):
            found.append(f"{p}: only an administrator of the server can take that away: {_sent(accounts, p)}")
    return found


def _sent(accounts: "FamilyAccounts", privilege: Privilege) -> str:
    """Return the statement that revokes a privilege."""
    (batch,) = batches([privilege], things=False)
    return str(accounts.revoke(batch))


def compared(
    accounts: "FamilyAccounts", connection: sa.Connection, passwords: Mapping[str, Secret]
) -> PasswordComparison:
    """Return which accounts have another password than the one given, and for which this is unknown.

    A login can be refused for other reasons than its password; such an account keeps its password.

    Args:
        accounts: knows the host of each login.
        connection: the admin's.
        passwords: login -> the password to compare.
    """
    found = PasswordComparison()
    same = mysql_hosts.same_passwords(accounts, connection, passwords)
    kept = {state.login: state for state in states(accounts, connection, tuple(passwords))}
    for login, password in passwords.items():
        if login in same:
            found.other |= set() if same[login] else {login}
            continue
        state = kept.get(login)
        if state is not None and state.plugin not in PASSWORDS:
            continue  # its authentication plugin is an exposure of its own
        refusal = accounts.backend.refused_login(login, password)
        if refusal is None:
            continue
        if refusal.password and not (state is not None and state.tls):
            found.other.add(login)
        else:
            why = f"it is let in over TLS alone ({refusal.why})" if refusal.password else refusal.why
            found.unknown.append(f"whether {login} has the password that is given could not be learnt: {why}")
    return found


def public(
    accounts: "FamilyAccounts", connection: sa.Connection, schemas: frozenset[str]
) -> Iterator[Exposure]:
    """Yield what MariaDB's PUBLIC was granted.

    Args:
        accounts: writes the engine's statements for accounts and grants.
        connection: the admin's.
        schemas: the databases of the deployment.
    """
    rights = Rights.read(connection)
    found = set()
    for query in _PUBLIC:
        for kind, schema, name, verb, column in connection.exec_driver_sql(
            query, {"schemas": tuple(schemas)}
        ):
            if verb.upper() != "USAGE":
                found.add(Privilege("", kind, schema, name, verb.lower(), column))
    routines = mysql_routines.held(connection, (memberships.PUBLIC,), tuple(schemas))
    for bundle in bundles(found | {replace(routine, login="") for routine in routines}):
        on = accounts.what(bundle)
        says, revoke = f"everybody has {on}", f"REVOKE {on} FROM PUBLIC"
        within = bundle.kind != "database"
        here = [schema for schema in schemas if within or matches(bundle.schema, schema)]
        if not here:
            yield Exposure("public", None, says, resolution=f"if that is not meant: {revoke}", finding=None)
        elif (within or unescaped(bundle.schema) in schemas) and all(
            rights.may_revoke(verb, literally(bundle.schema) if within else bundle.schema)
            for verb, _ in bundle.verbs
        ):
            yield Exposure("public", None, says, repair=accounts.statement(revoke))
        else:
            resolution = f"as an administrator of the server: {revoke}"
            yield Exposure("public", None, says, resolution=resolution, refuses=True)
    access = connection.exec_driver_sql(
        "SELECT JSON_VALUE(Priv, '$.access') FROM mysql.global_priv WHERE User = 'PUBLIC' AND Host = ''"
    ).scalar()
    if int(access or 0):
        for (line,) in connection.exec_driver_sql("SHOW GRANTS FOR PUBLIC"):
            verbs, given, _ = str(line).partition(" ON *.* ")
            if given and verbs != "GRANT USAGE":
                on = f"{verbs.removeprefix('GRANT ')} ON *.*"
                resolution = f"as an administrator of the server: REVOKE {on} FROM PUBLIC"
                yield Exposure("public", None, f"everybody has {on}", resolution=resolution, refuses=True)


def anonymous(connection: sa.Connection) -> Iterator[Exposure]:
    """Yield the account without a user name, with which any unknown name can log in."""
    for (host,) in connection.exec_driver_sql("SELECT Host FROM mysql.user WHERE User = '' AND Host = '%%'"):
        account = f"''@{mysql_hosts.text(host)}"
        yield Exposure(
            "anonymous account",
            None,
            f"any name without an account logs in as {account}",
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
        f" {mysql_hosts.text(pattern)}; FLUSH PRIVILEGES"
        for (pattern,) in connection.exec_driver_sql(
            "SELECT DISTINCT Db FROM mysql.db WHERE User = '' AND DATABASE() LIKE Db"
        )
    ]
