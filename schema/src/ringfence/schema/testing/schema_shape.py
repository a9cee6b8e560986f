"""Read and compare catalog snapshots of one database at different times."""

from collections.abc import Iterable

import sqlalchemy as sa

from ringfence.schema.comparison.deployment_diff import RAW_SQL_KINDS, models_of
from ringfence.schema.comparison.differences import Difference, compare
from ringfence.schema.comparison.model_objects import ModelLookup
from ringfence.schema.comparison.model_statements import NEVER_DROPPED
from ringfence.schema.comparison.snapshot import Facets, Snapshot
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend
from ringfence.schema.engines.base import Server

_VALIDATED = ("not validated",)
"""The facet of constraints that a downgrade does not restore: a validated constraint stays validated."""


def shape(backend: Backend, deployment: Deployment) -> Snapshot:
    """Read a snapshot of the deployment's schemas, without Ringfence's and Alembic's own tables.

    Args:
        backend: the engine and the database.
        deployment: its models decide which schemas are read.
    """
    models = models_of(deployment.metadata, dict(deployment.tables))
    with backend.engine().connect() as connection:
        return backend.introspection.catalog.read(
            connection, backend.introspection.catalog.schemas(connection, models)
        )


def difference(
    backend: Server, deployment: Deployment, one: Snapshot, other: Snapshot, first: str, second: str
) -> list[str]:
    """Describe the differences between two snapshots, one text for each object.

    Args:
        backend: the engine and the database.
        deployment: its models decide which constraints have an explicit name.
        one: the first snapshot.
        other: the second snapshot.
        first: label of the first snapshot in the texts, such as `before it`.
        second: label of the second snapshot.
    """
    with backend.engine().connect() as connection:
        modelled = ModelLookup(models_of(deployment.metadata, dict(deployment.tables)), connection.dialect)
    return [
        f"{each.name}: {_shown(each, each.found)} {first}, {_shown(each, each.wanted)} {second}"
        for each in compare(other, one, modelled.named)
        if each.changed != _VALIDATED and each.name.kind not in NEVER_DROPPED
    ]


def without_raw_sql_objects(one: Snapshot, other: Snapshot, left_out: Iterable[sa.Table] = ()) -> Snapshot:
    """Return a snapshot without objects that only migrations create, with their own SQL or for left-out tables.

    Args:
        one: the snapshot after the migrations.
        other: the snapshot after `create_all`.
        left_out: tables that the deployment leaves out of its models, but that migrations may create.
    """
    aside = {(table.schema or "", str(table.name)) for table in left_out}
    kept = {
        name: facets
        for name, facets in one.items.items()
        if (name.kind not in RAW_SQL_KINDS and (name.schema, name.table) not in aside) or name in other.items
    }
    return Snapshot(kept)


def _shown(difference: Difference, facets: Facets | None) -> str:
    """Describe an object on one side by the facets that differ from the other side."""
    if facets is None:
        return "absent"
    changed = difference.changed or tuple(facets)
    return ", ".join(f"{word} {facets.get(word) or 'none'}" for word in changed) or "present"
