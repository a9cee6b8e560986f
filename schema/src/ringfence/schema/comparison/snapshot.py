"""A snapshot of the objects of a database, with their properties as the server's catalog spells them."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import sqlalchemy as sa

from ringfence.schema import sqlalchemy_compat
from ringfence.schema.sql.table_keys import key_of

KINDS = (
    "schema",
    "extension",
    "enum",
    "type",
    "sequence",
    "table",
    "column",
    "primary key",
    "unique",
    "check",
    "exclude",
    "foreign key",
    "index",
    "view",
    "function",
    "trigger",
)
"""The kinds of objects that are compared, in the order in which they can be created."""

Facets = Mapping[str, str | None]
"""The compared properties of an object, such as a column's `type`, `null` and `default`, as the server spells them.

A facet that is None is the same as one that is absent.
"""


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """Identifies an object: kind, schema ("" for the default one), table ("" for kinds without one) and name."""

    kind: str
    schema: str
    table: str
    name: str

    @property
    def key(self) -> str:
        """The table, as the models and the manifest name it."""
        return key_of(self.schema, self.table)

    def __str__(self) -> str:
        """Return a readable form, such as `table song`, `column song.title` or `check song.ck_song_length`."""
        owner = [part for part in (self.schema, self.table) if part]
        inner = [] if self.kind in ("table", "view") else [self.name or "(unnamed)"]
        return f"{self.kind} {'.'.join([*owner, *inner])}"


@dataclass(slots=True)
class Snapshot:
    """Every object of some schemas, with its facets.

    A table is `Name("table", schema, table, table)`, and a view likewise. Columns, constraints, indexes and triggers
    have their table and their own name. Enums, other types and sequences have the table "". Extensions have the
    schema "".
    """

    items: dict[Name, dict[str, str | None]] = field(default_factory=dict)

    def add(self, kind: str, schema: str, table: str, name: str, **facets: str | None) -> None:
        """Add an object; facets that are None are left out.

        Args:
            kind: one of `KINDS`.
            schema: "" for the default one.
            table: "" for kinds that have none.
            name: the object's own name; for a table, the table's name again.
            **facets: the object's properties.
        """
        self.items[Name(kind, schema, table, name)] = {
            word: value for word, value in facets.items() if value is not None
        }

    def of(self, kind: str, schema: str, table: str) -> Iterator[tuple[Name, dict[str, str | None]]]:
        """Yield the objects of one kind of one table, with their facets.

        Args:
            kind: one of `KINDS`.
            schema: "" for the default one.
            table: "" for kinds that have none.
        """
        for name, facets in self.items.items():
            if (name.kind, name.schema, name.table) == (kind, schema, table):
                yield name, facets


@dataclass(frozen=True, slots=True)
class Models:
    """The models from which the reference is made.

    `tables` has the tables to create, by `table` or `schema.table`, in the order of the metadata, without views and
    without tables that the deployment leaves out.
    """

    metadata: tuple[sa.MetaData, ...]
    tables: Mapping[str, sa.Table]

    @property
    def schemas(self) -> set[str | None]:
        """The schemas of the tables and of the views that the models create, and the default one (None)."""
        views = (table for one in self.metadata for table in one.tables.values() if table.is_view)
        return {table.schema for table in (*self.tables.values(), *views)} | {None}

    @property
    def sequences(self) -> list[sa.Sequence]:
        """The sequences that `create_all` would create, each once: independent ones and those of table columns."""
        made = {id(table) for table in self.tables.values()}
        found: dict[tuple[str | None, str], sa.Sequence] = {}
        for metadata in self.metadata:
            for sequence in sqlalchemy_compat.sequences(metadata):
                if sequence.column is None or id(sequence.column.table) in made:
                    found[sequence.schema, str(sequence.name)] = sequence
        return list(found.values())


class Catalog(Protocol):
    """Reads the catalog of one engine, and lets the server create the models to see how it spells them."""

    def schemas(self, connection: sa.Connection, models: Models) -> set[str | None]:
        """Return the schemas in which the models create objects on this engine; None is the default one.

        Args:
            connection: a connection of the admin account to the database.
            models: the tables and metadata.
        """
        ...

    def read(self, connection: sa.Connection, schemas: Collection[str | None]) -> Snapshot:
        """Return a snapshot of these schemas.

        Ringfence's own tables (`ringfence_*`), Alembic's version table, and objects that belong to an extension of the
        server are left out.

        Args:
            connection: a connection of the admin account to the database.
            schemas: names of schemas; None is the default one.
        """
        ...

    def definitions(self, connection: sa.Connection, schemas: Collection[str | None]) -> Snapshot:
        """Return only the views, functions, procedures and triggers, with everything that decides their behaviour.

        Args:
            connection: a connection of the admin account to the database.
            schemas: names of schemas; None is the default one.
        """
        ...

    def spelled_by(self, connection: sa.Connection) -> str:
        """Return what decides how the server spells definitions; if it differs, definitions cannot be compared.

        Args:
            connection: a connection of the admin account to the database.
        """
        ...

    def reference(self, connection: sa.Connection, models: Models) -> Snapshot:
        """Return the snapshot that the database would have after `MetaData.create_all` of the models.

        The models are created in a scratch and read as `read` does. Nothing remains in the database or in the session,
        and no object of the database is locked or changed.

        Args:
            connection: a connection of the admin account to the database.
            models: the tables and metadata.

        Raises:
            JobFailed: the server refuses a table of the models; the message has its name and the server's message.
        """
        ...


def unnamed(definition: str) -> str:
    """Return the substitute name of a constraint that has none: its definition in parentheses.

    Args:
        definition: as the server spells it.
    """
    return f"({definition})"
