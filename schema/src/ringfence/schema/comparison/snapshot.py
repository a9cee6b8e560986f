"""What a database holds, object by object, in the words of its server's catalog."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import sqlalchemy as sa

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
"""The kinds of objects that are compared, in the order in which they can be made."""

Facets = Mapping[str, str | None]
"""What is compared of an object, such as a column's `type`, `null` and `default`, as the server spells it.

A facet that is None, and one that is absent, are the same.
"""


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """Which object: its kind, its schema ("" for the default one), its table ("" where it has none), its name."""

    kind: str
    schema: str
    table: str
    name: str

    @property
    def key(self) -> str:
        """The table, as the models and the manifest name it."""
        return f"{self.schema}.{self.table}" if self.schema else self.table

    def __str__(self) -> str:
        """`table song`, `column song.title`, `check song.ck_song_length`: for people."""
        owner = [part for part in (self.schema, self.table) if part]
        inner = [] if self.kind in ("table", "view") else [self.name or "(unnamed)"]
        return f"{self.kind} {'.'.join([*owner, *inner])}"


@dataclass(slots=True)
class Snapshot:
    """Every object of some schemas, with its facets.

    A table is `Name("table", schema, table, table)`, a view likewise; a column, constraint, index or trigger names its
    table and itself; an enum, another type or a sequence has the table "". An extension is in no schema.
    """

    items: dict[Name, dict[str, str | None]] = field(default_factory=dict)

    def add(self, kind: str, schema: str, table: str, name: str, **facets: str | None) -> None:
        """Put an object in; facets that are None are left out.

        Args:
            kind: one of `KINDS`.
            schema: "" for the default one.
            table: "" where the kind has none.
            name: its own; of a table, the table's.
        """
        self.items[Name(kind, schema, table, name)] = {
            word: value for word, value in facets.items() if value is not None
        }

    def of(self, kind: str, schema: str, table: str) -> Iterator[tuple[Name, dict[str, str | None]]]:
        """The objects of one kind of one table.

        Args:
            kind: one of `KINDS`.
            schema: "" for the default one.
            table: "" where the kind has none.
        """
        for name, facets in self.items.items():
            if (name.kind, name.schema, name.table) == (kind, schema, table):
                yield name, facets


@dataclass(frozen=True, slots=True)
class Models:
    """What the reference is made of.

    `tables` holds the tables that are to be made, by `table` or `schema.table`, in the order of the metadata: views,
    and tables that the deployment leaves out, are not among them.
    """

    metadata: tuple[sa.MetaData, ...]
    tables: Mapping[str, sa.Table]

    @property
    def schemas(self) -> set[str | None]:
        """The schemas that tables and the views that the models make name, and the default one (None)."""
        views = (table for one in self.metadata for table in one.tables.values() if table.is_view)
        return {table.schema for table in (*self.tables.values(), *views)} | {None}

    @property
    def sequences(self) -> list[sa.Sequence]:
        """The sequences that `create_all` would make, each once: their own, and those of the tables' columns."""
        made = {id(table) for table in self.tables.values()}
        found: dict[tuple[str | None, str], sa.Sequence] = {}
        for metadata in self.metadata:
            for sequence in metadata._sequences.values():  # noqa: SLF001 - SQLAlchemy lists them nowhere else
                if sequence.column is None or id(sequence.column.table) in made:
                    found[sequence.schema, str(sequence.name)] = sequence
        return list(found.values())


class Catalog(Protocol):
    """How one engine's catalog is read, and how the server is asked what it would make of the models."""

    def schemas(self, connection: sa.Connection, models: Models) -> set[str | None]:
        """The schemas in which the models make something on this engine; None is the default one.

        Args:
            connection: the admin's, of the database.
            models: which tables and metadata.
        """
        ...

    def read(self, connection: sa.Connection, schemas: Collection[str | None]) -> Snapshot:
        """What the database holds in these schemas; None is the default one.

        Tables of our own (`ringfence_*`), Alembic's version table, and what belongs to an extension of the server are
        left out.

        Args:
            connection: the admin's, of the database.
            schemas: by name; None is the default one.
        """
        ...

    def definitions(self, connection: sa.Connection, schemas: Collection[str | None]) -> Snapshot:
        """The views, functions, procedures and triggers of these schemas alone, with all that decides what they do.

        Args:
            connection: the admin's, of the database.
            schemas: by name; None is the default one.
        """
        ...

    def spelled_by(self, connection: sa.Connection) -> str:
        """What decides how the server spells a definition: where it differs, two definitions are not to be compared.

        Args:
            connection: the admin's, of the database.
        """
        ...

    def reference(self, connection: sa.Connection, models: Models) -> Snapshot:
        """What the database would hold, had `MetaData.create_all` made the models: read from a scratch as `read` does.

        Nothing of it stays, in the database or in the session, and no object of the database is locked or changed.

        Args:
            connection: the admin's, of the database.
            models: which tables and metadata.

        Raises:
            JobFailed: the server refuses a table of the models; the message names it, and what the server says.
        """
        ...


def unnamed(definition: str) -> str:
    """What stands for the name of a constraint that has none: its definition, in parentheses.

    Args:
        definition: as the server spells it.
    """
    return f"({definition})"
