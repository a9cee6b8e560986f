"""Find views, functions and triggers that were replaced by hand, and so may expose more than the manifest gives."""

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext

from ringfence.schema.autogenerate.options import Comparison
from ringfence.schema.comparison.deployment_diff import models_of
from ringfence.schema.comparison.model_objects import ModelLookup
from ringfence.schema.comparison.model_statements import model_statements
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend, Exposure
from ringfence.schema.privileges import definitions
from ringfence.schema.revisions.selection import scripts_of

_KINDS = frozenset({"view", "function", "trigger"})
_RESOLUTION = (
    "run the statement of the models again (`ringfence revision` writes it), or bring the models up to what the"
    " database has"
)


def replaced_objects(backend: Backend, deployment: Deployment) -> list[Exposure]:
    """Find views, functions and triggers that differ from the models or from the state that the last job recorded.

    Objects of the models are compared only in a database at head, because a pending migration may still change them.
    Objects that no model defines are compared with the recorded state.

    Args:
        backend: the server.
        deployment: its models and migrations.

    Returns:
        An exposure for each object, with how to resolve it; an apply refuses to begin while there are any.
    """
    with backend.engine().connect() as connection:
        by_hand = definitions.replaced_since_last_job(connection, backend)
    return [
        *_beside_models(backend, deployment),
        *(
            Exposure(
                one.name.kind,
                None,
                str(one),
                resolution=one.resolution,
                refuses=True,
                finding="missing" if one.missing else "excess",
            )
            for one in by_hand
        ),
    ]


def _beside_models(backend: Backend, deployment: Deployment) -> list[Exposure]:
    if backend.accounts is None:
        return []
    # On its own connection: the comparison creates the models' objects in a transaction that is rolled back.
    with backend.engine().connect() as connection:
        if not _makes_any(connection, deployment) or not _at_head(connection, deployment):
            return []
        found = Comparison(deployment, backend).compare(connection)
    return [
        Exposure(
            each.name.kind,
            None,
            f"{each.name} is not there, and the models make it"
            if each.missing
            else f"{each.name} is not as the models make it: {str(each).partition(': ')[2]}",
            resolution=_RESOLUTION,
            refuses=True,
            finding="missing" if each.missing else "excess",
        )
        for each in found.missing
        if each.name.kind in _KINDS
    ]


def _makes_any(connection: sa.Connection, deployment: Deployment) -> bool:
    """Whether the models define any view, function or trigger; if not, the slow comparison is skipped."""
    models = models_of(deployment.metadata, dict(deployment.tables))
    modelled = ModelLookup(models, connection.dialect)
    return any(
        made.kind in _KINDS for each in model_statements(modelled, connection) for made in each.creates
    )


def _at_head(connection: sa.Connection, deployment: Deployment) -> bool:
    if not deployment.migrations.is_dir():
        return False
    heads = MigrationContext.configure(connection).get_current_heads()
    return set(heads) == set(scripts_of(deployment).get_heads())
