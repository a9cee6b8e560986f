"""What the catalog says of a database at one time, to be compared with what it says at another."""

from collections.abc import Iterable

import sqlalchemy as sa

from ringfence.schema.comparison.attached import STAYS
from ringfence.schema.comparison.deployment_diff import OWN_WORDS, models_of
from ringfence.schema.comparison.differences import Difference, compare
from ringfence.schema.comparison.model_objects import Modelled
from ringfence.schema.comparison.snapshot import Facets, Snapshot
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend

_VALIDATED = ("not validated",)
"""Nothing takes back that the rows under a constraint were looked at."""


def shape(backend: Backend, deployment: Deployment) -> Snapshot:
    """Every object of the deployment's schemas, tables of our own and Alembic's aside.

    Args:
        backend: the engine.
        deployment: its models and engines.
    """
    models = models_of(deployment.metadata, dict(deployment.tables))
    with backend.engine().connect() as connection:
        return backend.catalog.read(connection, backend.catalog.schemas(connection, models))


def difference(
    backend: Backend, deployment: Deployment, one: Snapshot, other: Snapshot, first: str, second: str
) -> list[str]:
    """What is not the same in both, in words.

    Args:
        backend: of the database.
        deployment: whose models say which constraints have a name of their own.
        one: the catalog at a time.
        other: the same later, or otherwise made.
        first: what to call the first, as `before it`.
        second: what to call the second.
    """
    with backend.engine().connect() as connection:
        modelled = Modelled(models_of(deployment.metadata, dict(deployment.tables)), connection.dialect)
    return [
        f"{each.name}: {_shown(each, each.found)} {first}, {_shown(each, each.wanted)} {second}"
        for each in compare(other, one, modelled.named)
        if each.changed != _VALIDATED and each.name.kind not in STAYS
    ]


def without_own_words(one: Snapshot, other: Snapshot, left_out: Iterable[sa.Table] = ()) -> Snapshot:
    """A catalog without what migrations make in their own words, where the models do not make it.

    Args:
        one: as the migrations left it.
        other: as `create_all` left it.
        left_out: the tables that the deployment leaves out; migrations may have made them all the same.
    """
    aside = {(table.schema or "", str(table.name)) for table in left_out}
    kept = {
        name: facets
        for name, facets in one.items.items()
        if (name.kind not in OWN_WORDS and (name.schema, name.table) not in aside) or name in other.items
    }
    return Snapshot(kept)


def _shown(difference: Difference, facets: Facets | None) -> str:
    """An object as it is on one side: the facets that are not the same on the other."""
    if facets is None:
        return "absent"
    changed = difference.changed or tuple(facets)
    return ", ".join(f"{word} {facets.get(word) or 'none'}" for word in changed) or "there"
