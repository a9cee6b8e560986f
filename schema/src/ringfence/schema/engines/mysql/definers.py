"""Objects of the MySQL family that run with their definer's privileges and that the deployment does not declare."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.comparison.model_statements import statements
from ringfence.schema.comparison.snapshot import Models
from ringfence.schema.engines.exposures import Exposure
from ringfence.schema.engines.mysql.scope_conditions import quoted

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

_RUNS = """
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


def definers(
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
    rows = connection.exec_driver_sql(_RUNS, {"schemas": tuple(schemas)}).all()
    if not rows:
        return
    known = _words(connection, deployment)
    for kind, schema, name, definer, table in sorted(map(tuple, rows)):
        login, _, host = str(definer).rpartition("@")
        what = f"the {kind} {schema}.{name}{f' of {table}' if table else ''}"
        runs = f"'{login}'@'{host}'"
        by_hand = kind in _BY_ITSELF and name.lower() not in known
        if by_hand:
            says = f"no migration and no model names {what}, which runs with the rights of {runs}"
            resolution = f"let a migration make it, or DROP {kind.upper()} {quoted(schema)}.{quoted(name)}"
        elif runs != admin:
            says = f"{what} runs with the rights of {runs}, and not of {admin}, as whom the job makes what it makes"
            resolution = "let a migration make it again, when that was done by hand"
        else:
            continue
        yield Exposure(kind, None, says, resolution=resolution, finding=None)


def _words(connection: sa.Connection, deployment: "Deployment") -> str:
    """Return the text of all migrations and of the models' DDL, in lower case."""
    files = sorted(deployment.migrations.rglob("*.py")) if deployment.migrations.is_dir() else []
    said = [file.read_text(encoding="utf-8", errors="replace") for file in files]
    models = Models(tuple(deployment.metadata), deployment.tables)
    said += [statement.sql for statement in statements(models, connection)]
    return "\n".join(said).lower()
