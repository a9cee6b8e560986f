"""Options for the Alembic environment of a deployment: Ringfence's comparison and rendering instead of Alembic's."""

import logging
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.runtime.plugins import Plugin
from alembic.util import PriorityDispatchResult

from ringfence.schema.alembic_compat import on_install
from ringfence.schema.autogenerate.declared_types import Declared, retyped
from ringfence.schema.autogenerate.hooks import (
    RUN_ATTRIBUTE,
    AutogenerateRun,
    render_item,
    revision_arranger,
)
from ringfence.schema.comparison.deployment_diff import (
    ColumnKey,
    DeploymentDiff,
    compare_deployment,
    models_of,
    operations,
)
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend, needs_batch
from ringfence.schema.lint.check import states
from ringfence.schema.manifest.resolution import is_view
from ringfence.schema.models.adaptation import left_out_tables
from ringfence.schema.models.types import DIALECTS
from ringfence.schema.revisions.modelled_columns import modelled_columns
from ringfence.schema.revisions.ownership.ownership import Ownership, left_alone, ownership

PLUGIN = "ringfence.comparison"
_COMPARISON = "ringfence_comparison"
_log = logging.getLogger("ringfence.migrate")


@dataclass(frozen=True)
class Comparison:
    """Compares the models of a deployment with the database of one backend."""

    deployment: Deployment
    backend: Backend
    dropped_by_name: tuple[str, ...] = ()
    """Objects that may be dropped even if the deployment did not create them, as named by `--retire`."""

    @cached_property
    def _models(self) -> Any:
        return models_of(self.deployment.metadata, dict(self.deployment.tables))

    def ownership(self, connection: sa.Connection) -> Ownership:
        """Return which objects of the database belong to the deployment.

        Args:
            connection: a connection of the admin account.
        """
        dialect = connection.dialect
        return ownership(self.deployment, dialect.name, dialect.default_schema_name).naming(
            self.dropped_by_name
        )

    def compare(self, connection: sa.Connection) -> DeploymentDiff:
        """Compare the database with the models.

        Args:
            connection: a connection of the admin account.

        Raises:
            JobFailed: the server refuses a statement that creates the models.
        """
        left_out: set[ColumnKey] = {
            (table.schema, str(table.name), column)
            for table in self.deployment.tables.values()
            for column in table.info.get("left_out", ())
        }
        left_out |= {
            (table.schema, str(table.name), None)
            for table in left_out_tables(self.deployment.metadata)
            if table.key
            not in self.deployment.tables  # another MetaData may have the same table, not left out
        }
        return compare_deployment(
            connection, self.backend.introspection.catalog, self._models, self.ownership(connection), left_out
        )

    def foreign_objects(self, connection: sa.Connection, found: DeploymentDiff) -> str | None:
        """Describe in one line the objects that do not belong to the deployment, and how to declare them.

        Args:
            connection: a connection of the admin account.
            found: the result of the comparison.

        Returns:
            The line; None if the database has no such object.
        """
        return left_alone((each.name for each in found.foreign), self.ownership(connection))

    def operations(
        self, connection: sa.Connection, found: DeploymentDiff, declared: Declared
    ) -> list[ops.MigrateOperation]:
        """Return the operations of a revision, for this database and for the deployment's other engines.

        Args:
            connection: a connection of the admin account.
            found: the result of the comparison.
            declared: the types of columns as the migrations declared them.

        Raises:
            JobFailed: DDL of the models has a percent sign that SQLAlchemy takes for a placeholder.
        """
        known = {(each.name.key, each.name.name) for each in found.missing if each.name.kind == "column"}
        dialects = {DIALECTS[engine] for engine in self.deployment.engines} - {connection.dialect.name}
        return [
            *operations(connection, self._models, found),
            *retyped(self._models.tables, declared, dialects, known),
        ]


def _compare(context: AutogenContext, upgrade: ops.UpgradeOps) -> PriorityDispatchResult:
    """Comparator plugin of Alembic: fill the operations of a revision, or of `alembic check`."""
    comparison: Comparison = context.opts[_COMPARISON]
    if context.connection is None:
        raise AssertionError("a comparison is made on a connection")
    environment = context.migration_context.environment_context
    asked = None if environment is None else environment.config.attributes.get(RUN_ATTRIBUTE)
    if isinstance(asked, AutogenerateRun):
        comparison = replace(comparison, dropped_by_name=asked.renames.named_drops)
    found = comparison.compare(context.connection)
    foreign = comparison.foreign_objects(context.connection, found)
    if isinstance(asked, AutogenerateRun):
        asked.foreign_objects = foreign
    elif foreign:
        _log.warning(foreign)
    declared = asked.declared if isinstance(asked, AutogenerateRun) else _declared(comparison.deployment)
    upgrade.ops.extend(comparison.operations(context.connection, found, declared))
    return PriorityDispatchResult.STOP


def _declared(deployment: Deployment) -> Declared:
    """Return the types of columns as declared after all migrations."""
    return next(reversed(states(deployment).values()), {})


# https://alembic.sqlalchemy.org/en/latest/api/plugins.html
on_install(lambda: Plugin(PLUGIN).add_autogenerate_comparator(_compare, "autogenerate"))


def options(deployment: Deployment, backend: Backend) -> dict[str, Any]:
    """Return the keyword arguments for Alembic's `context.configure` that set comparison and rendering.

    Args:
        deployment: the deployment, with its models and engines.
        backend: the engine of the database to compare.
    """
    return {
        "target_metadata": list(deployment.metadata),
        "autogenerate_plugins": [PLUGIN],
        _COMPARISON: Comparison(deployment, backend),
        "render_as_batch": needs_batch(deployment.engines),
        "render_item": render_item,
        "process_revision_directives": revision_arranger(deployment.engines),
    }


def compare_with_models(deployment: Deployment, backend: Backend) -> tuple[DeploymentDiff, str | None]:
    """Compare the database with the models, as `alembic check` does.

    Args:
        deployment: the deployment, with its models and engines.
        backend: the engine and the database to compare.

    Returns:
        The differences, and one line about the objects that do not belong to the deployment; None if there are none.

    Raises:
        JobFailed: the server refuses a statement that creates the models.
    """
    comparison = Comparison(deployment, backend)
    with backend.engine().connect() as connection:
        found = comparison.compare(connection)
        return found, comparison.foreign_objects(connection, found)


def missing_views(deployment: Deployment, backend: Backend) -> list[str]:
    """List the missing views whose definition the models do not have, so that a person must write CREATE VIEW.

    Views that the models define are compared like all other objects and are not listed here.

    Args:
        deployment: the deployment, with its models and engines.
        backend: the engine and the database to look at.

    Returns:
        One message for each view.
    """
    wanted = {
        (table.schema, str(table.name)): key
        for key, table in deployment.tables.items()
        if is_view(table) and not table.is_view
    }
    if not wanted:
        return []
    with backend.engine().connect() as connection:
        existing = {
            (schema, table)
            for schema, table, _ in modelled_columns(deployment, backend.introspection, connection)
        }
    return [
        f"no migration makes the view {key} of the models: write CREATE VIEW, with op.execute, into a revision of"
        " `ringfence revision --empty -m …`"
        for owner, key in sorted(wanted.items(), key=lambda item: item[1])
        if owner not in existing
    ]
