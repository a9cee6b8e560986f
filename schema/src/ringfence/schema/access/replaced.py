"""Views, functions and triggers of the models that the database has otherwise: replaced by hand, they may show more."""

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext

from ringfence.schema.backends import Backend, Exposure
from ringfence.schema.comparison.attached import attached
from ringfence.schema.comparison.deployed import models_of
from ringfence.schema.comparison.modelled import Modelled
from ringfence.schema.deployment import Deployment
from ringfence.schema.migrate.comparing import Comparison
from ringfence.schema.migrate.lint.selection import scripts_of

_KINDS = frozenset({"view", "function", "trigger"})
_WAY_OUT = (
    "run the statement of the models again (`ringfence revision` writes it), or bring the models up to what the"
    " database has"
)


def replaced(backend: Backend, deployment: Deployment) -> list[Exposure]:
    """What is not as the models make it, in a database at head; before that a migration may still be to come.

    What a migration makes in its own words is in no model, and nothing says what it should be.

    Args:
        backend: the server.
        deployment: its models and migrations.
    """
    if backend.accounts is None:
        return []
    # A connection of its own: the models are made in a transaction that is rolled back.
    with backend.engine().connect() as connection:
        if not _makes_any(connection, deployment) or not _at_head(connection, deployment):
            return []
        found = Comparison(deployment, backend).look(connection)
    return [
        Exposure(
            each.name.kind,
            None,
            f"{each.name} is not there, and the models make it"
            if each.missing
            else f"{each.name} is not as the models make it: {str(each).partition(': ')[2]}",
            way_out=_WAY_OUT,
            refuses=True,
            finding="missing" if each.missing else "excess",
        )
        for each in found.lacking
        if each.name.kind in _KINDS
    ]


def _makes_any(connection: sa.Connection, deployment: Deployment) -> bool:
    """Whether the models make any view, function or trigger: a comparison takes its time."""
    models = models_of(deployment.metadata, dict(deployment.tables))
    modelled = Modelled(models, connection.dialect)
    return any(made.kind in _KINDS for each in attached(modelled, connection) for made in each.makes)


def _at_head(connection: sa.Connection, deployment: Deployment) -> bool:
    if not deployment.migrations.is_dir():
        return False
    heads = MigrationContext.configure(connection).get_current_heads()
    return set(heads) == set(scripts_of(deployment).get_heads())
