"""Compare the models of a deployment with one database: what to create, what to drop, and what is not its own."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

import sqlalchemy as sa
from alembic.operations import ops

from ringfence.schema.comparison.differences import Difference, compare
from ringfence.schema.comparison.model_objects import ModelLookup
from ringfence.schema.comparison.name_case import match_case
from ringfence.schema.comparison.operation_writer import OperationWriter
from ringfence.schema.comparison.snapshot import Catalog, Models, Name
from ringfence.schema.manifest.resolution import is_view
from ringfence.schema.sql.identifiers import spelling

VERSIONS = "alembic_version"
RAW_SQL_KINDS = frozenset({"enum", "extension", "function", "sequence", "trigger", "type", "view"})
"""Kinds of objects that a migration may create with its own SQL: they are compared only if the models create them."""


ColumnKey = tuple[str | None, str, str | None]
"""(schema, table, column): the schema is None for the default one, the column is None for the whole table."""


class ObjectOwnership(Protocol):
    """Which objects of a database belong to this deployment; see `ringfence.schema.revisions.ownership.ownership`."""

    def may_drop(self, kind: str, schema: str | None, table: str | None, name: str) -> bool:
        """Whether the migrations created the object, or it was explicitly named for dropping.

        Args:
            kind: one of `comparison.snapshot.KINDS`.
            schema: the object's schema; None or "" is the default one.
            table: the object's table; None or "" for kinds that have none.
            name: the object's own name.
        """
        ...

    def is_ignored(self, kind: str, schema: str | None, table: str | None, name: str) -> bool:
        """Whether the object was explicitly declared not to belong to this deployment.

        Args:
            kind: one of `comparison.snapshot.KINDS`.
            schema: the object's schema; None or "" is the default one.
            table: the object's table; None or "" for kinds that have none.
            name: the object's own name.
        """
        ...


@dataclass(slots=True)
class DeploymentDiff:
    """How a database differs from the models."""

    missing: list[Difference] = field(default_factory=list)
    """Objects of the models that the database does not have, or has with other properties."""
    obsolete: list[Difference] = field(default_factory=list)
    """Objects that only the database has and that the deployment created."""
    foreign: list[Difference] = field(default_factory=list)
    """Objects that only the database has and that the deployment did not create: they are not changed."""


def models_of(metadata: Collection[sa.MetaData], tables: dict[str, sa.Table]) -> Models:
    """Collect the models to compare: all tables except Alembic's own and views that the models only declare.

    Args:
        metadata: every MetaData of the deployment.
        tables: the deployment's tables, by `table` or `schema.table`.
    """
    kept = {key: table for key, table in tables.items() if not is_view(table) and table.name != VERSIONS}
    return Models(tuple(metadata), kept)


def compare_deployment(
    connection: sa.Connection,
    catalog: Catalog,
    models: Models,
    owned: ObjectOwnership,
    left_out: Collection[ColumnKey] = (),
) -> DeploymentDiff:
    """Compare a database with the models.

    Args:
        connection: a connection of the admin account.
        catalog: reads the catalog of the connection's engine.
        models: the models of the deployment.
        owned: decides which objects belong to the deployment.
        left_out: tables and columns that the deployment configures to be left out of the comparison.

    Raises:
        JobFailed: the server refuses a statement that creates the models.
    """
    modelled = ModelLookup(models, connection.dialect)
    wanted = catalog.reference(connection, models)
    read = catalog.read(connection, catalog.schemas(connection, models))
    found = match_case(read, wanted, spelling(connection.dialect.name))
    aside = {(modelled.schema(schema), table, column) for schema, table, column in left_out}
    result = DeploymentDiff()
    for each in compare(wanted, found, modelled.named, modelled.created_separately):
        if not each.extra:
            result.missing.append(each)
        elif not _left_out(each.name, aside):
            _sort_extra(each, modelled, owned, result)
    return result


def _left_out(name: Name, left_out: Collection[ColumnKey]) -> bool:
    whole = name.schema, name.table, None
    return whole in left_out or (name.kind == "column" and (*whole[:2], name.name) in left_out)


def _sort_extra(
    each: Difference, modelled: ModelLookup, owned: ObjectOwnership, result: DeploymentDiff
) -> None:
    """Add an object that only the database has to `obsolete` or to `foreign`, or skip it."""
    name = each.name
    key = (name.kind, name.schema or None, name.table or None, name.name)
    if owned.is_ignored(*key):
        return
    made = owned.may_drop(*key)
    if name.kind in RAW_SQL_KINDS:
        foreign_table = name.kind == "trigger" and modelled.table(name) is None
        if not made and not foreign_table and name.kind != "function":
            result.foreign.append(each)
    elif made:
        result.obsolete.append(each)
    else:
        result.foreign.append(each)


def operations(
    connection: sa.Connection, models: Models, compared: DeploymentDiff
) -> list[ops.MigrateOperation]:
    """Return the operations of a revision: create or alter what `missing` lists, and drop what `obsolete` lists.

    Args:
        connection: a connection of the admin account to the compared database.
        models: the models that were compared.
        compared: the result of the comparison.
    """
    writer = OperationWriter(ModelLookup(models, connection.dialect), connection)
    return writer.operations([*compared.missing, *compared.obsolete])
