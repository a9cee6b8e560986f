"""What a table is written from: its columns, constraints and indexes, as Python source, or a reason against it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from ringfence.schema.comparison.snapshot import Facets, Name


class LeftOut(ValueError):
    """Something that cannot be written so that the same comes back; the message says why."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, or of a view."""

    name: str
    kind: TypeEngine[Any]
    """The type that gives back what the server has, to the letter."""
    nullable: bool = True
    counted: bool = False
    """Whether the server counts it up, as it does with an automatic key."""
    counted_alone: bool = False
    """Whether it does so where the column is the whole key."""
    default: str | None = None
    """SQL."""
    fills_itself: bool = False
    """Whether the declared type brings a default of its own."""
    more: tuple[str, ...] = ()
    """The sources of an Identity or a Computed."""
    words: Mapping[str, str] = field(default_factory=dict)
    """Keyword arguments, as sources."""
    checks: tuple[str, ...] = ()
    """The sources of checks that stand at the column itself."""
    of_table: Mapping[str, str] = field(default_factory=dict)
    """Keyword arguments of its table, as sources."""


@dataclass(frozen=True, slots=True)
class Item:
    """A constraint or an index: its source, the columns that it needs, and the table that it refers to, by its key."""

    source: str
    columns: tuple[str, ...] = ()
    target: str | None = None
    at_column: bool = False
    """Whether it stands at the one column that it needs, and not at the table."""


@dataclass(slots=True)
class Options:
    """What is said of a table as a whole: keyword arguments as sources, and what cannot be said."""

    words: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    """The keys of tables that must be made before it, though no foreign key says so."""


class Translator(Protocol):
    """Turns what an engine's catalog says into arguments for SQLAlchemy. Each method may raise LeftOut."""

    def prepare(self, connection: sa.Connection, found: Mapping[Name, Facets]) -> None:
        """Look up what the snapshot, which is `found`, does not hold.

        Args:
            connection: the admin's, of the database.
            found: the objects of the snapshot.
        """
        ...

    def head(self, name: Name, facets: Facets) -> tuple[str, str]:
        """The source of an enum type or a sequence that tables use, and the name of the variable that holds it.

        Args:
            name: of the object.
            facets: what the catalog says of it.
        """
        ...

    def column(self, name: Name, facets: Facets) -> Column:
        """A column of a table.

        Args:
            name: of the object.
            facets: what the catalog says of it.
        """
        ...

    def serial(self, column: Column) -> Column | None:
        """A column that is counted up and is in no key, declared so that it is; None where there is no such thing.

        Args:
            column: as `column` gave it.
        """
        ...

    def item(self, name: Name, facets: Facets) -> Item:
        """A constraint or an index.

        Args:
            name: of the object.
            facets: what the catalog says of it.
        """
        ...

    def options(self, name: Name, facets: Facets) -> Options:
        """What is said of a table as a whole.

        Args:
            name: of the object.
            facets: what the catalog says of it.
        """
        ...

    def view_columns(
        self, connection: sa.Connection, name: Name
    ) -> list[tuple[str, TypeEngine[Any] | None, str]]:
        """Each column of a view, its type or None, and the server's own word for that.

        Args:
            connection: the admin's, of the database.
            name: of the object.
        """
        ...
