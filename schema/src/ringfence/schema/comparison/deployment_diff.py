"""The models of a deployment beside one database: what differs, what is to be dropped, and what is not ours."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

import sqlalchemy as sa
from alembic.operations import ops

from ringfence.schema.comparison.differences import Difference, compare
from ringfence.schema.comparison.folding import spelled_alike
from ringfence.schema.comparison.model_objects import Modelled
from ringfence.schema.comparison.operations import Writer
from ringfence.schema.comparison.snapshot import Catalog, Models, Name
from ringfence.schema.manifest.resolution import is_view
from ringfence.schema.sql.identifiers import spelling

VERSIONS = "alembic_version"
OWN_WORDS = frozenset({"enum", "extension", "function", "sequence", "trigger", "type", "view"})
"""What a migration may make in its own words: it is not compared unless the models make it."""


ColumnKey = tuple[str | None, str, str | None]
"""Schema (None is the default one), table, and column; None in place of a column is the whole table."""


class Owned(Protocol):
    """What a database holds by the will of this deployment: see `ringfence.schema.revisions.ownership.ownership`."""

    def made(self, kind: str, schema: str | None, table: str | None, name: str) -> bool:
        """Whether the migrations made the object, or a person said that it may be dropped.

        Args:
            kind: of the object, one of `comparison.snapshot.KINDS`.
            schema: its schema; None or "" is the default one.
            table: its table; None or "" where the kind has none.
            name: its own name.
        """
        ...

    def ignored(self, kind: str, schema: str | None, table: str | None, name: str) -> bool:
        """Whether a person said that it is somebody else's.

        Args:
            kind: of the object, one of `comparison.snapshot.KINDS`.
            schema: its schema; None or "" is the default one.
            table: its table; None or "" where the kind has none.
            name: its own name.
        """
        ...


@dataclass(slots=True)
class Compared:
    """How a database differs from the models."""

    lacking: list[Difference] = field(default_factory=list)
    """What the models have and the database has not, or has in another way."""
    beyond: list[Difference] = field(default_factory=list)
    """What the database has alone, and the deployment made."""
    others: list[Difference] = field(default_factory=list)
    """What the database has alone, and nobody here made: left alone."""


def models_of(metadata: Collection[sa.MetaData], tables: dict[str, sa.Table]) -> Models:
    """What is made of models: every table that is none of Alembic's and no view that the models only name.

    Args:
        metadata: every MetaData of the deployment.
        tables: by `table` or `schema.table`.
    """
    kept = {key: table for key, table in tables.items() if not is_view(table) and table.name != VERSIONS}
    return Models(tuple(metadata), kept)


def look(
    connection: sa.Connection,
    catalog: Catalog,
    models: Models,
    owned: Owned,
    left_out: Collection[ColumnKey] = (),
) -> Compared:
    """Compare a database with the models.

    Args:
        connection: the admin's.
        catalog: of its engine.
        models: those of the deployment.
        owned: whose the objects are.
        left_out: what the models know of and leave out.

    Raises:
        JobFailed: the server refuses what the models would make.
    """
    modelled = Modelled(models, connection.dialect)
    wanted = catalog.reference(connection, models)
    read = catalog.read(connection, catalog.schemas(connection, models))
    found = spelled_alike(read, wanted, spelling(connection.dialect.name))
    aside = {(modelled.schema(schema), table, column) for schema, table, column in left_out}
    result = Compared()
    for each in compare(wanted, found, modelled.named, modelled.apart):
        if not each.extra:
            result.lacking.append(each)
        elif not _left_out(each.name, aside):
            _sort_extra(each, modelled, owned, result)
    return result


def _left_out(name: Name, left_out: Collection[ColumnKey]) -> bool:
    whole = name.schema, name.table, None
    return whole in left_out or (name.kind == "column" and (*whole[:2], name.name) in left_out)


def _sort_extra(each: Difference, modelled: Modelled, owned: Owned, result: Compared) -> None:
    """Put what only the database has where it belongs."""
    name = each.name
    key = (name.kind, name.schema or None, name.table or None, name.name)
    if owned.ignored(*key):
        return
    made = owned.made(*key)
    if name.kind in OWN_WORDS:
        foreign_table = name.kind == "trigger" and modelled.table(name) is None
        if not made and not foreign_table and name.kind != "function":
            result.others.append(each)
    elif made:
        result.beyond.append(each)
    else:
        result.others.append(each)


def operations(connection: sa.Connection, models: Models, compared: Compared) -> list[ops.MigrateOperation]:
    """What a revision must do: everything that lacks, and the drop of what is ours and no longer wanted.

    Args:
        connection: the admin's, of the database.
        models: which tables and metadata.
        compared: what differs.
    """
    writer = Writer(Modelled(models, connection.dialect), connection)
    return writer.operations([*compared.lacking, *compared.beyond])
