"""Columns that a contract to come retires: until it runs, who holds them keeps them, and nobody else gets them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext

from ringfence.schema.access.diff import Privilege
from ringfence.schema.backends.base import Going
from ringfence.schema.deployment import Deployment
from ringfence.schema.migrate.contract import contract_of
from ringfence.schema.migrate.lint.selection import ordered, scripts_of
from ringfence.schema.migrate.releases import ancestors

_BY_COLUMN = frozenset({"select", "insert", "update"})


def leaving(connection: sa.Connection, deployment: Deployment) -> Going:
    """(schema, table) as the models name it -> the columns that a revision to come retires, and no model has."""
    if not deployment.migrations.is_dir():
        return {}
    scripts = scripts_of(deployment)
    heads = MigrationContext.configure(connection).get_current_heads()
    if set(heads) == set(scripts.get_heads()):
        return {}
    revisions = ordered(scripts)
    if not set(heads) <= {script.revision for script in revisions}:
        return {}  # the database is ahead of this checkout, which knows of no contract after that
    done = set(ancestors(scripts, heads))
    found: dict[tuple[str | None, str], frozenset[str]] = {}
    for script in revisions:
        retires = {} if script.revision in done else contract_of(script).retires
        for key, columns in retires.items():
            if (table := deployment.tables.get(key)) is not None and columns:
                place = (table.schema, str(table.name))
                gone = frozenset(columns) - {str(column.name) for column in table.columns}
                found[place] = found.get(place, frozenset()) | gone
    return {place: columns for place, columns in found.items() if columns}


def until_then(
    wanted: Iterable[Privilege],
    held: Iterable[Privilege],
    going: Going,
    there: Iterable[tuple[str | None, str, str]],
    default: str,
    views: Mapping[tuple[str, str], tuple[str, str]],
) -> set[Privilege]:
    """What is wanted while old services and new ones run beside each other.

    A right on the whole of such a table would reach the column that goes, which may be a sensitive one: so it is given
    for the other columns, to whom does not hold it yet.

    Args:
        wanted: what the manifest gives.
        held: what the catalogs say.
        going: see `leaving`.
        there: (schema, table, column) of the database.
        default: the schema of a table that names none.
        views: (schema, view) -> (schema, table): through what accounts reach such a table where an engine wants that.
    """
    gone = {(schema or default, table): columns for (schema, table), columns in going.items()}
    stays: dict[tuple[str, str], list[str]] = {}
    for schema, table, column in there:
        place = (schema or default, table)
        if place in gone and column not in gone[place]:
            stays.setdefault(place, []).append(column)
    have: set[Privilege] = set(held)
    found: set[Privilege] = set()
    for p in wanted:
        whole = p.kind == "table" and not p.column and p.verb in _BY_COLUMN
        if whole and p not in have and (p.schema, p.name) in gone:
            found |= {replace(p, column=column) for column in stays.get((p.schema, p.name), ())}
        else:
            found.add(p)
    things = {(p.login, p.schema, p.name) for p in found}
    verbs = {(p.login, *views.get((p.schema, p.name), (p.schema, p.name)), p.verb) for p in found}
    asked = {(p.schema, p.name) for p in found}

    def stays_until(p: Privilege) -> bool:
        table = views.get((p.schema, p.name), (p.schema, p.name))
        if (p.schema, p.name) in views and (p.schema, p.name) not in asked:
            return (p.login, *table, p.verb) in verbs
        column = p.verb in _BY_COLUMN and p.column in gone.get(table, ())
        return column and (p.login, p.schema, p.name) in things

    return found | {p for p in have if p.kind == "table" and stays_until(p)}
