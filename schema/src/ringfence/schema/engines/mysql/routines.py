"""Routines of the MySQL family, and the objects that run with their definer's privileges."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.comparison.model_statements import statements
from ringfence.schema.comparison.snapshot import Models
from ringfence.schema.engines.exposures import Exposure
from ringfence.schema.engines.mysql.quoting import quoted
from ringfence.schema.grants.difference import Privilege
from ringfence.schema.manifest.model import Account

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

# information_schema has no view of the privileges on routines.
_HELD = """
    SELECT User, LOWER(Routine_type), Db, LOWER(Routine_name), Proc_priv FROM mysql.procs_priv
    WHERE (User, Host) IN %(accounts)s AND Db IN %(schemas)s
"""
_WORDS = {"Execute": "execute", "Alter Routine": "alter routine", "Grant": "grant option"}
_DEFINER_OBJECTS = (
    "SELECT 'view', v.table_name, v.definer, GROUP_CONCAT(DISTINCT p.grantee ORDER BY 1 SEPARATOR ', '), 'read it'"
    " FROM information_schema.views v JOIN information_schema.table_privileges p"
    " ON p.table_schema = v.table_schema AND p.table_name = v.table_name"
    " WHERE v.table_schema = DATABASE() AND v.security_type = 'DEFINER' AND v.table_name NOT LIKE 'ringfence\\_%%'"
    " AND p.grantee IN %(grantees)s GROUP BY v.table_name, v.definer",
    "SELECT 'routine', r.routine_name, r.definer, GROUP_CONCAT(DISTINCT p.User ORDER BY 1 SEPARATOR ', '), 'execute it'"
    " FROM information_schema.routines r JOIN mysql.procs_priv p"
    " ON p.Db = r.routine_schema AND p.Routine_name = r.routine_name AND p.Routine_type = r.routine_type"
    " WHERE r.routine_schema = DATABASE() AND r.security_type = 'DEFINER' AND (p.User, p.Host) IN %(accounts)s"
    " GROUP BY r.routine_name, r.definer",
    "SELECT 'trigger', t.trigger_name, t.definer, GROUP_CONCAT(DISTINCT p.grantee ORDER BY 1 SEPARATOR ', '),"
    " CONCAT('write to ', t.event_object_table)"
    " FROM information_schema.triggers t JOIN information_schema.table_privileges p"
    " ON p.table_schema = t.trigger_schema AND p.table_name = t.event_object_table AND p.privilege_type <> 'SELECT'"
    " WHERE t.trigger_schema = DATABASE() AND t.trigger_name NOT LIKE 'ringfence\\_%%' AND p.grantee IN %(grantees)s"
    " GROUP BY t.trigger_name, t.definer, t.event_object_table",
)


def held(
    connection: sa.Connection, accounts: tuple[tuple[str, str], ...], schemas: tuple[str, ...]
) -> set[Privilege]:
    """Return the privileges of accounts on routines.

    Args:
        connection: the admin's.
        accounts: (login, host) pairs.
        schemas: the databases of the routines.
    """
    rows = connection.exec_driver_sql(_HELD, {"accounts": accounts, "schemas": schemas})
    return {
        Privilege(login, kind, schema, name, _WORDS[word])
        for login, kind, schema, name, words in rows
        for word in (words.split(",") if isinstance(words, str) else words)
        if word in _WORDS
    }


def definer_objects(
    connection: sa.Connection, accounts: tuple[tuple[str, str], ...], grantees: tuple[str, ...]
) -> list[str]:
    """Return a message for each view, routine and trigger that accounts may use and that runs as its definer.

    Args:
        connection: the admin's.
        accounts: (login, host) pairs.
        grantees: the same accounts as 'login'@'host'.
    """
    given = {"accounts": accounts, "grantees": grantees}
    return [
        f"the {kind} {name} runs with the rights of {definer}, not of {who}, who may {do}"
        for query in _DEFINER_OBJECTS
        for kind, name, definer, who, do in connection.exec_driver_sql(query, given)
    ]


def declared_routines(
    connection: sa.Connection, accounts: Iterable[Account], database: str
) -> tuple[set[Privilege], list[str]]:
    """Return the EXECUTE privileges that the manifest gives, and a message for each name that no routine has.

    A name has one function and one procedure at most, because these servers have no overloading.

    Args:
        connection: the admin's.
        accounts: those of the manifest.
        database: the schema of names without one.
    """
    asked = [(account, function) for account in accounts for function in account.functions]
    if not asked:
        return set(), []
    rows = connection.exec_driver_sql(
        "SELECT LOWER(routine_type), routine_schema, LOWER(routine_name) FROM information_schema.routines"
    )
    known: dict[tuple[str, str], list[str]] = {}
    for kind, schema, name in rows:
        known.setdefault((schema, name), []).append(kind)
    privileges = set()
    obstacles = []
    for account, function in asked:
        schema, _, name = function.name.lower().rpartition(".")
        key = (schema or database, name)
        if key not in known:
            obstacles.append(
                f"{function.origin}: the database has no routine {function.name}; is a migration missing?"
            )
        for kind in known.get(key, ()):
            privileges.add(Privilege(account.login, kind, *key, "execute"))
    return privileges, obstacles


_DEFINERS = """
    SELECT 'view', table_schema, table_name, definer, '' FROM information_schema.views
    WHERE table_schema IN %(schemas)s AND security_type = 'DEFINER' AND LEFT(table_name, 10) <> 'ringfence_'
    UNION ALL
    SELECT LOWER(routine_type), routine_schema, routine_name, definer, '' FROM information_schema.routines
    WHERE routine_schema IN %(schemas)s AND security_type = 'DEFINER' AND LEFT(routine_name, 10) <> 'ringfence_'
    UNION ALL
    SELECT 'trigger', trigger_schema, trigger_name, definer, event_object_table FROM information_schema.triggers
    WHERE event_object_schema IN %(schemas)s AND LEFT(trigger_name, 10) <> 'ringfence_'
    UNION ALL
    SELECT 'event', event_schema, event_name, definer, '' FROM information_schema.events
    WHERE event_schema IN %(schemas)s AND status <> 'DISABLED'
"""
_BY_ITSELF = frozenset({"trigger", "event"})
"""Kinds that run without a privilege on them."""


def undeclared_definers(
    connection: sa.Connection, deployment: "Deployment", schemas: frozenset[str], admin: str
) -> Iterator[Exposure]:
    """Yield triggers and events that no migration and no model names, and objects whose definer is not the admin.

    Triggers and events that the server hides from the admin are not found.

    Args:
        connection: the admin's.
        deployment: its migrations and models.
        schemas: its databases.
        admin: 'login'@'host' of the account with which the job creates objects.
    """
    rows = connection.exec_driver_sql(_DEFINERS, {"schemas": tuple(schemas)}).all()
    if not rows:
        return
    known = _known_text(connection, deployment)
    for kind, schema, name, definer, table in sorted(map(tuple, rows)):
        login, _, host = str(definer).rpartition("@")
        what = f"the {kind} {schema}.{name}{f' of {table}' if table else ''}"
        runs = f"'{login}'@'{host}'"
        by_hand = kind in _BY_ITSELF and name.lower() not in known
        if by_hand:
            says = f"no migration and no model names {what}, which runs with the rights of {runs}"
            resolution = f"let a migration create it, or DROP {kind.upper()} {quoted(schema)}.{quoted(name)}"
        elif runs != admin:
            says = f"{what} runs with the rights of {runs}, and not of {admin}, with which the job creates objects"
            resolution = "let a migration create it again, if it was changed by hand"
        else:
            continue
        yield Exposure(kind, None, says, resolution=resolution, finding=None)


def _known_text(connection: sa.Connection, deployment: "Deployment") -> str:
    """Return the text of all migrations and of the models' DDL, in lower case."""
    files = sorted(deployment.migrations.rglob("*.py")) if deployment.migrations.is_dir() else []
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in files]
    models = Models(tuple(deployment.metadata), deployment.tables)
    texts += [statement.sql for statement in statements(models, connection)]
    return "\n".join(texts).lower()
