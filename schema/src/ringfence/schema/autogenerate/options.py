"""What Alembic's environment of a deployment is given: our comparison in the place of Alembic's, and how it writes."""

import logging
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.runtime.plugins import Plugin
from alembic.util import PriorityDispatchResult

from ringfence.schema.autogenerate.autogenerate import FOUND, Found, render_item, tidy
from ringfence.schema.comparison.declared_types import Declared, retyped
from ringfence.schema.comparison.deployment_diff import ColumnKey, Compared, look, models_of, operations
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
    """A deployment's models beside the database of one backend."""

    deployment: Deployment
    backend: Backend
    named: tuple[str, ...] = ()
    """What a person names now, as `--retire` does: it may be dropped, whoever made it."""

    @cached_property
    def _models(self) -> Any:
        return models_of(self.deployment.metadata, dict(self.deployment.tables))

    def owned(self, connection: sa.Connection) -> Ownership:
        """Whose the objects of the database are.

        Args:
            connection: the admin's.
        """
        dialect = connection.dialect
        return ownership(self.deployment, dialect.name, dialect.default_schema_name).naming(self.named)

    def look(self, connection: sa.Connection) -> Compared:
        """What differs.

        Args:
            connection: the admin's.

        Raises:
            JobFailed: when the server refuses what the models would make.
        """
        left_out: set[ColumnKey] = {
            (table.schema, str(table.name), column)
            for table in self.deployment.tables.values()
            for column in table.info.get("left_out", ())
        }
        left_out |= {
            (table.schema, str(table.name), None)
            for table in left_out_tables(self.deployment.metadata)
            if table.key not in self.deployment.tables  # one of two that are the same in two MetaData
        }
        return look(connection, self.backend.catalog, self._models, self.owned(connection), left_out)

    def left(self, connection: sa.Connection, found: Compared) -> str | None:
        """In one line, what the database has that is not ours, and how to say whose it is; None when nothing is.

        Args:
            connection: the admin's.
            found: what differs.
        """
        return left_alone((each.name for each in found.others), self.owned(connection))

    def operations(
        self, connection: sa.Connection, found: Compared, declared: Declared
    ) -> list[ops.MigrateOperation]:
        """What a revision must do about what was found, and about what other engines of the deployment would show.

        Args:
            connection: the admin's.
            found: what differs.
            declared: the types of columns as the migrations declared them.
        """
        known = {(each.name.key, each.name.name) for each in found.lacking if each.name.kind == "column"}
        dialects = {DIALECTS[engine] for engine in self.deployment.engines} - {connection.dialect.name}
        return [
            *operations(connection, self._models, found),
            *retyped(self._models.tables, declared, dialects, known),
        ]


def _compare(context: AutogenContext, upgrade: ops.UpgradeOps) -> PriorityDispatchResult:
    """Alembic's plugin: fill a revision, or what `alembic check` shows."""
    comparison: Comparison = context.opts[_COMPARISON]
    if context.connection is None:
        raise AssertionError("a comparison is made on a connection")
    environment = context.migration_context.environment_context
    asked = None if environment is None else environment.config.attributes.get(FOUND)
    if isinstance(asked, Found):
        comparison = replace(comparison, named=asked.renames.named)
    found = comparison.look(context.connection)
    left = comparison.left(context.connection, found)
    if isinstance(asked, Found):
        asked.left = left
    elif left:
        _log.warning(left)
    declared = asked.declared if isinstance(asked, Found) else _declared(comparison.deployment)
    upgrade.ops.extend(comparison.operations(context.connection, found, declared))
    return PriorityDispatchResult.STOP


def _declared(deployment: Deployment) -> Declared:
    """The types of columns as the migrations declared them, all together."""
    return next(reversed(states(deployment).values()), {})


# https://alembic.sqlalchemy.org/en/latest/api/plugins.html
Plugin(PLUGIN).add_autogenerate_comparator(_compare, "autogenerate")


@dataclass(frozen=True)
class Differences:
    """How the database differs from the models, each in words."""

    lacking: tuple[str, ...]
    """What the models have and the database has not, or has in another way."""
    beyond: tuple[str, ...]
    """What the database has alone, made by this deployment: a contract that is still to come."""
    left: str | None = None
    """What the database has alone, and is not this deployment's: it is left alone."""


def options(deployment: Deployment, backend: Backend) -> dict[str, Any]:
    """What is compared, and how a revision is written: for Alembic's `context.configure`.

    Args:
        deployment: its models and engines.
        backend: the engine.
    """
    return {
        "target_metadata": list(deployment.metadata),
        "autogenerate_plugins": [PLUGIN],
        _COMPARISON: Comparison(deployment, backend),
        "render_as_batch": needs_batch(deployment.engines),
        "render_item": render_item,
        "process_revision_directives": tidy(deployment.engines),
    }


def differences(deployment: Deployment, backend: Backend) -> Differences:
    """Compare the database with the models, as `alembic check` does.

    Args:
        deployment: its models and engines.
        backend: the engine.
    """
    comparison = Comparison(deployment, backend)
    with backend.engine().connect() as connection:
        found = comparison.look(connection)
        left = comparison.left(connection, found)
    return Differences(tuple(map(str, found.lacking)), tuple(map(str, found.beyond)), left)


def missing_views(deployment: Deployment, backend: Backend) -> list[str]:
    """In words, each view that the database lacks, and the models only mark: nothing says its text.

    One that the models make is compared like everything else.

    Args:
        deployment: its models and engines.
        backend: the engine.
    """
    wanted = {
        (table.schema, str(table.name)): key
        for key, table in deployment.tables.items()
        if is_view(table) and not table.is_view
    }
    if not wanted:
        return []
    with backend.engine().connect() as connection:
        existing = {(schema, table) for schema, table, _ in modelled_columns(deployment, backend, connection)}
    return [
        f"no migration makes the view {key} of the models: write CREATE VIEW, with op.execute, into a revision of"
        " `ringfence revision --empty -m …`"
        for owner, key in sorted(wanted.items(), key=lambda item: item[1])
        if owner not in existing
    ]
