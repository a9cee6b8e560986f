"""The parts of a table as Python source: columns, constraints and indexes, or the reason why one is left out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from ringfence.schema.comparison.snapshot import Facets, Name


class LeftOut(ValueError):
    """An object that cannot be written so that the server would make the same; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table, or of a view."""

    name: str
    kind: TypeEngine[Any]
    """The type that produces exactly the declaration that the server has."""
    nullable: bool = True
    counted: bool = False
    """Whether the server auto-increments it."""
    counted_alone: bool = False
    """Whether the server auto-increments it if it is the only column of the primary key."""
    default: str | None = None
    """The server default, as SQL."""
    fills_itself: bool = False
    """Whether the declared type has a default of its own."""
    more: tuple[str, ...] = ()
    """The sources of an Identity or a Computed."""
    words: Mapping[str, str] = field(default_factory=dict)
    """Keyword arguments of the column, as sources."""
    checks: tuple[str, ...] = ()
    """The sources of CHECKs that are declared in the column."""
    of_table: Mapping[str, str] = field(default_factory=dict)
    """Keyword arguments of the column's table, as sources."""


@dataclass(frozen=True, slots=True)
class Item:
    """A constraint or an index: its source, its columns, and the key of the table that it refers to."""

    source: str
    columns: tuple[str, ...] = ()
    target: str | None = None
    at_column: bool = False
    """Whether it is declared in its only column, and not in the table."""


@dataclass(slots=True)
class Options:
    """The options of a table: keyword arguments as sources, and the options that cannot be written."""

    words: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    """The keys of tables that must be created before it, though no foreign key refers to them."""


class Translator(Protocol):
    """Converts the entries of an engine's catalog to arguments for SQLAlchemy.

    Each method that writes an object raises LeftOut for an object that cannot be written. `name` identifies the object,
    and `facets` is what the catalog says of it.
    """

    def prepare(self, connection: sa.Connection, found: Mapping[Name, Facets]) -> None:
        """Read what the translator needs and the snapshot does not hold.

        Args:
            connection: A connection of the admin account.
            found: The objects of the snapshot.
        """
        ...

    def type_source(self, name: Name, facets: Facets) -> tuple[str, str]:
        """Write an enum type or a sequence that tables use.

        Returns:
            Its source, and the name of the variable to which it is assigned.
        """
        ...

    def column(self, name: Name, facets: Facets) -> Column:
        """Write a column of a table."""
        ...

    def serial(self, column: Column) -> Column | None:
        """Write an auto-incrementing column that is in no key, with a declaration that makes it auto-increment.

        Args:
            column: What `column` returned for it.

        Returns:
            The column; None where the engine has no such declaration.
        """
        ...

    def item(self, name: Name, facets: Facets) -> Item:
        """Write a constraint or an index."""
        ...

    def options(self, name: Name, facets: Facets) -> Options:
        """Write the options of a table."""
        ...

    def view_columns(
        self, connection: sa.Connection, name: Name
    ) -> list[tuple[str, TypeEngine[Any] | None, str]]:
        """Read the columns of a view.

        Args:
            connection: A connection of the admin account.
            name: The view.

        Returns:
            Each column with its type, or None where SQLAlchemy has none, and the server's name of the type.
        """
        ...
