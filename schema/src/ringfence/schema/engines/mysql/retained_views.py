"""Row security that is retained until a contract revision has run: view columns, views, triggers and functions."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ringfence.schema.engines.base import PendingDrops
from ringfence.schema.engines.mysql.views import View, key_of, view_name

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

Place = tuple[str, str]
"""The schema and name of a table or view."""
Named = tuple[str, str, str]
"""The kind, schema and name of an object that is recorded in `ringfence_fence`."""
VIEW, FUNCTION, TRIGGER = "view", "function", "trigger"


@dataclass
class Retained:
    """What is retained until the coming contract revisions have run."""

    unasked: dict[Place, Place] = field(default_factory=dict)
    """A view that the manifest no longer requires, and running services still use -> its table."""
    before: dict[Place, Place] = field(default_factory=dict)
    """Every view in front of a table that is dropped or loses columns -> the table."""
    whole: set[Named] = field(default_factory=set)
    """Objects of tables that are dropped, which cannot be created again: views, guard triggers and their functions."""
    tables: set[Place] = field(default_factory=set)
    """The tables that are dropped, behind these views."""
    warnings: list[str] = field(default_factory=list)

    @property
    def names(self) -> set[Named]:
        """Return all objects that are retained although the manifest no longer requires them."""
        return self.whole | {(VIEW, *place) for place in self.unasked}


def keep(
    connection: sa.Connection,
    deployment: "Deployment",
    database: str,
    views: Iterable[View],
    going: PendingDrops,
) -> Retained:
    """Keep the columns that contract revisions drop in the views that have them now, and find the views to retain.

    A view that does not have such a column yet does not get it. A view that is no longer required is retained for a
    verb that its account still has on the table; privileges that the account lost are revoked at once.

    Args:
        connection: the admin's.
        deployment: its accounts.
        database: the default schema.
        views: the views that are required; their columns are changed.
        going: the columns and tables that coming contract revisions drop.
    """
    kept = Retained()
    if not going.columns:
        return kept
    shown = _shown(connection, {schema or database for schema, _ in going.columns})
    for view in views:
        place = (view.schema or database, view.name)
        if gone := going.columns.get((view.schema, view.table)):
            kept.before[place] = (place[0], view.table)
            view.columns += tuple(name for name in shown.get(place, ()) if name in gone)
    for account in deployment.accounts.values():
        for grant in account.grants:
            if (grant.schema, grant.table) not in going.columns:
                continue
            place = (grant.schema or database, view_name(account.service, grant.key, grant.verb))
            if place in shown and place not in kept.before:
                kept.unasked[place] = (place[0], grant.table)
    kept.before |= kept.unasked
    return kept


def keep_whole(
    connection: sa.Connection,
    kept: Retained,
    deployment: "Deployment",
    database: str,
    standing: Mapping[Named, str],
    recorded: Mapping[Named, tuple[str, str, str]],
    going: PendingDrops,
) -> None:
    """Retain the views, triggers and functions of tables that contract revisions drop.

    They stay as they are, for the accounts that are still declared.

    Args:
        connection: the admin's.
        kept: it is extended.
        deployment: its accounts; its models no longer have these tables.
        database: the default schema.
        standing: each object that exists -> the digest of its stored definition.
        recorded: each object that was created -> its table, the digest of its statements and that of its stored
            definition.
        going: the columns and tables that coming contract revisions drop.
    """
    tables = {(schema or database, name): (schema, name) for schema, name in going.tables}
    names = {
        view_name(account.service, key_of(*place), verb)
        for account in deployment.accounts.values()
        for place in tables.values()
        for verb in ("select", "insert", "update", "delete")
    }
    before = {
        named: (named[1], table)
        for named, (table, _, _) in recorded.items()
        if named in standing and (named[1], table) in tables
    }
    views = {named: table for named, table in before.items() if named[0] == VIEW and named[2] in names}
    if not views:
        return
    kept.tables |= set(views.values())
    kept.before |= {named[1:]: table for named, table in views.items()}
    kept.whole |= set(views)
    kept.whole |= {named for named, table in before.items() if named[0] == TRIGGER and table in kept.tables}
    words = _words(connection, kept.whole)
    functions = [named for named in recorded if named[0] == FUNCTION and named in standing]
    kept.whole |= {named for named in functions if f"`{named[2]}`" in words}
    kept.warnings += [
        f"the {kind} {schema}.{name} was changed, and stays so until {table} is retired: the models no longer have that"
        " table, so it cannot be made again"
        for kind, schema, name in sorted(kept.whole)
        if recorded[kind, schema, name][2] != standing[kind, schema, name]
        for table in [recorded[kind, schema, name][0]]
        if kind != FUNCTION
    ]


def _words(connection: sa.Connection, kept: Iterable[Named]) -> str:
    """Return the definitions of these views and triggers, as one text."""
    queries = {
        VIEW: "SELECT view_definition FROM information_schema.views WHERE (table_schema, table_name) IN %(places)s",
        TRIGGER: "SELECT action_statement FROM information_schema.triggers"
        " WHERE (trigger_schema, trigger_name) IN %(places)s",
    }
    said: list[str] = []
    for kind, query in queries.items():
        if places := tuple(named[1:] for named in kept if named[0] == kind):
            said += connection.exec_driver_sql(query, {"places": places}).scalars()
    return "\n".join(said)


def _shown(connection: sa.Connection, schemas: Iterable[str]) -> dict[Place, list[str]]:
    """Return the columns of each view named `ringfence_*`, in their order."""
    rows = connection.exec_driver_sql(
        "SELECT c.table_schema, c.table_name, c.column_name FROM information_schema.columns c"
        " JOIN information_schema.views v ON v.table_schema = c.table_schema AND v.table_name = c.table_name"
        " WHERE c.table_schema IN %(schemas)s AND LEFT(c.table_name, 10) = 'ringfence_' ORDER BY c.ordinal_position",
        {"schemas": tuple(schemas)},
    )
    found: dict[Place, list[str]] = {}
    for schema, name, column in rows:
        found.setdefault((schema, name), []).append(column)
    return found
