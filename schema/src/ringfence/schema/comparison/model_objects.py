"""Find the object of the models that a name in a snapshot stands for."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import DOMAIN, ExcludeConstraint
from sqlalchemy.types import TypeEngine

from ringfence.schema.comparison.snapshot import Models, Name

_CLASSES: tuple[tuple[type[sa.Constraint], str], ...] = (
    (sa.PrimaryKeyConstraint, "primary key"),
    (sa.ForeignKeyConstraint, "foreign key"),
    (sa.UniqueConstraint, "unique"),
    (ExcludeConstraint, "exclude"),
    (sa.CheckConstraint, "check"),
)
_COLUMNS = re.compile(r"\(([^()]*)\)")


@dataclass
class ModelLookup:
    """The models, looked up by the names that the server's catalog gives their objects.

    Args:
        models: the models from which the reference was made.
        dialect: the dialect of the connection: it decides how long names are truncated, and the default schema.
    """

    models: Models
    dialect: sa.Dialect
    _tables: dict[tuple[str, str], sa.Table] = field(init=False)

    def __post_init__(self) -> None:
        self._tables = {
            (self.schema(table.schema), str(table.name)): table for table in self.models.tables.values()
        }

    def schema(self, schema: str | None) -> str:
        """Return a schema as snapshots name it: "" for the default one, whether or not the models name it.

        Args:
            schema: as a model or a foreign key names it; None is the default one.
        """
        return "" if schema in (None, self.dialect.default_schema_name) else str(schema)

    def table(self, name: Name) -> sa.Table | None:
        """Return the table that an object belongs to; None if the models have no such table.

        Args:
            name: the object's name in a snapshot.
        """
        return self._tables.get((name.schema, name.table))

    def column(self, name: Name) -> sa.Column[Any] | None:
        """Return the column of this name; None if the models have none.

        Args:
            name: the column's name in a snapshot.
        """
        table = self.table(name)
        return None if table is None else next((c for c in table.columns if c.name == name.name), None)

    def named(self, name: Name) -> bool:
        """Whether the models name this constraint, explicitly or by a naming convention.

        Args:
            name: the constraint's name in a snapshot.
        """
        return name.name in {label for label, _ in self._constraints(name)}

    def created_separately(self, name: Name) -> bool:
        """Whether an object of a table is created by DDL of the models, and not by CREATE TABLE or CREATE INDEX.

        Args:
            name: the object's name in the reference.
        """
        if name.kind in ("trigger", "view", "function"):
            return True
        if self.table(name) is None or name.kind == "primary key":
            return False
        if name.kind == "column":
            return self.column(name) is None
        if name.kind == "index":
            return self.index(name) is None
        # A constraint that has no name in the models may have any name in the database.
        labels = [label for label, _ in self._constraints(name)]
        return (
            name.name not in labels
            and None not in labels
            and not (name.kind == "unique" and self.index(name))
        )

    def constraint(self, name: Name, facets: Mapping[str, str | None]) -> sa.Constraint | None:
        """Return the constraint of this name; if the server chose the name, the unnamed one over the same columns.

        Args:
            name: the constraint's name in the reference.
            facets: the constraint's facets in the reference.
        """
        found = list(self._constraints(name))
        for label, constraint in found:
            if label == name.name or name.kind == "primary key":
                return constraint
        unnamed = [constraint for label, constraint in found if label is None]
        if len(unnamed) == 1 or name.kind == "check":
            return unnamed[0] if len(unnamed) == 1 else None
        columns = _listed(facets)
        return next(
            (each for each in unnamed if [str(c.name) for c in getattr(each, "columns", ())] == columns), None
        )

    def index(self, name: Name) -> sa.Index | None:
        """Return the index of this name; None if the models have none.

        Args:
            name: the index's name in a snapshot.
        """
        table = self.table(name)
        for index in () if table is None else table.indexes:
            if self._label(index) == name.name:
                return index
        return None

    def unique(self, name: Name, facets: Mapping[str, str | None]) -> sa.Constraint | sa.Index | None:
        """Return the unique index or unique constraint of this name: some servers do not distinguish them.

        Args:
            name: its name in the reference.
            facets: its facets in the reference.
        """
        return self.index(name) or self.constraint(name, facets)

    def enum(self, name: Name) -> sa.Enum | None:
        """Return the native enum type of this name; None if the models have none.

        Args:
            name: the type's name in a snapshot.
        """
        return next(
            (
                kind
                for kind in self.enums()
                if kind.name == name.name and self.schema(kind.schema) == name.schema
            ),
            None,
        )

    def domain(self, name: Name) -> DOMAIN | None:
        """Return the domain of this name that a column or the items of an array have; None if the models have none.

        Args:
            name: the domain's name in a snapshot.
        """
        for _, kind in self._kinds():
            if isinstance(kind, DOMAIN) and (self.schema(kind.schema), kind.name) == (name.schema, name.name):
                return kind
        return None

    def used_in_array(self, name: Name) -> bool:
        """Whether a column is an array of the domain of this name.

        Args:
            name: the domain's name in a snapshot.
        """
        return any(
            isinstance(column.type.dialect_impl(self.dialect), sa.ARRAY)
            and str(getattr(kind, "name", None)) == name.name
            for column, kind in self._kinds()
        )

    @cached_property
    def sequences(self) -> dict[tuple[str, str], sa.Sequence]:
        """The sequences of the models, by schema ("" for the default one) and name."""
        return {(self.schema(each.schema), str(each.name)): each for each in self.models.sequences}

    def enums(self) -> Iterator[sa.Enum]:
        """Yield every native enum of the columns, including those in arrays and variants."""
        for _, kind in self._kinds():
            if isinstance(kind, sa.Enum) and kind.native_enum and kind.name:
                yield kind

    def _kinds(self) -> Iterator[tuple[sa.Column[Any], TypeEngine[Any]]]:
        """Yield every column with its type on this dialect; for an array, the type of its items."""
        for table in self.models.tables.values():
            for column in table.columns:
                kind: TypeEngine[Any] = column.type.dialect_impl(self.dialect)
                while isinstance(kind, sa.ARRAY):
                    kind = kind.item_type.dialect_impl(self.dialect)
                yield column, kind

    def _constraints(self, name: Name) -> Iterator[tuple[str | None, sa.Constraint]]:
        table = self.table(name)
        if table is None:
            return
        own = (item for column in table.columns for item in column.constraints)
        for item in (*table.constraints, *own):
            kind = next((kind for cls, kind in _CLASSES if isinstance(item, cls)), None)
            if kind == name.kind:
                yield self._label(item), item

    def _label(self, item: sa.Constraint | sa.Index) -> str | None:
        """Return the name that is sent to the server: with the naming convention applied, and truncated if too long."""
        if item.name is None:
            return None
        label = self.dialect.identifier_preparer.format_constraint(item, _alembic_quote=False)
        return None if label is None else str(label)


def _listed(facets: Mapping[str, str | None]) -> list[str]:
    """Return the columns in the first parentheses of a definition."""
    found = _COLUMNS.search(facets.get("columns") or facets.get("definition") or "")
    return [part.strip().strip('"`') for part in found[1].split(",")] if found else []
