"""A catalog of the objects that migrations created, filled by replaying them without a database."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ringfence.schema.sql.identifiers import NameRules

Key = tuple[str | None, str]
"""(schema, name); None is the default schema."""

# A constraint that an index enforces shares the index's name; on MySQL a foreign key shares that of its index, too.
_ALSO = {
    "index": ("unique", "primary key", "exclude", "foreign key"),
    "unique": ("index",),
    "exclude": ("index",),
}
ON_TABLES = frozenset({"index", "unique", "primary key", "foreign key", "check", "exclude", "trigger"})


@dataclass(frozen=True)
class Unnamed:
    """A constraint or an index that was created without a name."""

    kind: str
    table: str
    """The table's name when it was created."""
    columns: tuple[str, ...]


@dataclass
class Table:
    """What was created in one table."""

    columns: set[str] = field(default_factory=set)
    named: set[tuple[str, str]] = field(default_factory=set)
    """(kind, name) of constraints, indexes and triggers."""
    unnamed: list[Unnamed] = field(default_factory=list)
    parent: Key | None = None
    """The table that it is a partition of."""


@dataclass
class Objects:
    """Every object that was created and not dropped since."""

    spelling: NameRules
    default: str | None = None
    """The schema of names without one."""
    tables: dict[Key, Table] = field(default_factory=dict)
    others: dict[str, set[Key]] = field(default_factory=dict)
    """kind -> objects that belong to no table."""

    def key(self, kind: str, schema: str | None, name: str) -> Key:
        """Return the key under which an object is stored.

        Args:
            kind: the object's kind.
            schema: its own schema or its table's; None is the default one.
            name: its own name.
        """
        schema = self._schema(schema)
        return schema, self.spelling.key(kind, name)

    def _schema(self, schema: str | None) -> str | None:
        if not schema or schema in (self.default, self.spelling.default):
            return None
        return self.spelling.key("schema", schema)

    # Created objects.

    def table(self, schema: str | None, name: str) -> Table:
        """Return a table's entry for adding to it; for an unknown table, a new one, which `has` does not report.

        Args:
            schema: the table's schema; None is the default one.
            name: the table's name.
        """
        return self.tables.setdefault(self.key("table", schema, name), Table())

    def make(self, kind: str, schema: str | None, name: str) -> None:
        """Add a table or an object that belongs to no table.

        Args:
            kind: the object's kind.
            schema: its schema; None is the default one.
            name: its own name.
        """
        self.others.setdefault(kind, set()).add(self.key(kind, schema, name))

    def make_column(self, schema: str | None, table: str, name: str) -> None:
        """Add a column.

        Args:
            schema: the table's schema; None is the default one.
            table: the table's name.
            name: the column's name.
        """
        self.table(schema, table).columns.add(self.spelling.key("column", name))

    def make_on(
        self, kind: str, schema: str | None, table: str, name: str | None, columns: Sequence[str] = ()
    ) -> None:
        """Add a constraint, an index or a trigger.

        Args:
            kind: one of `ON_TABLES`.
            schema: the table's schema; None is the default one.
            table: the table's name.
            name: its name; None if the server chooses one.
            columns: for one without a name, the columns that the server names it after.
        """
        found = self.table(schema, table)
        if name:
            found.named.add((kind, self.spelling.key(kind, name)))
        else:
            found.unnamed.append(Unnamed(kind, table, tuple(columns)))

    # Dropped objects.

    def drop(self, kind: str, schema: str | None, name: str) -> None:
        """Remove a table or an object that belongs to no table; a schema is removed with everything in it.

        Args:
            kind: the object's kind.
            schema: its schema; None is the default one.
            name: its own name.
        """
        key = self.key(kind, schema, name)
        self.others.get(kind, set()).discard(key)
        if kind == "table":
            self.tables.pop(key, None)
        if kind == "schema":
            inside = self._schema(name)
            self.tables = {one: table for one, table in self.tables.items() if one[0] != inside}
            for keys in self.others.values():
                keys.difference_update({one for one in keys if one[0] == inside})

    def drop_column(self, schema: str | None, table: str, name: str) -> None:
        """Remove a column.

        Args:
            schema: the table's schema; None is the default one.
            table: the table's name.
            name: the column's name.
        """
        self.table(schema, table).columns.discard(self.spelling.key("column", name))

    def drop_on(self, schema: str | None, table: str | None, name: str, kinds: Iterable[str]) -> None:
        """Remove a constraint, an index or a trigger.

        Args:
            schema: the table's schema; None is the default one.
            table: the table's name; None for every table of the schema.
            name: its own name.
            kinds: the kinds that share one namespace.
        """
        kinds = tuple(kinds)
        for found in self._tables(schema, table):
            found.named.difference_update((kind, self.spelling.key(kind, name)) for kind in kinds)

    def _tables(self, schema: str | None, table: str | None) -> Iterator[Table]:
        if table is not None:
            yield self.table(schema, table)
            return
        yield from (found for key, found in self.tables.items() if key[0] == self._schema(schema))

    # Renamed objects.

    def rename(self, kind: str, schema: str | None, old: str, new: str, to: str | None = None) -> None:
        """Rename a table or an object that belongs to no table, or move it to another schema.

        Args:
            kind: the object's kind.
            schema: its former schema; None is the default one.
            old: its former name.
            new: its new name.
            to: its new schema; None is the default one.
        """
        before, after = self.key(kind, schema, old), self.key(kind, to, new)
        kept = self.others.get(kind, set())
        if before in kept:
            kept.discard(before)
            kept.add(after)
        if kind == "table":
            if before in self.tables:
                self.tables[after] = self.tables.pop(before)
            for table in self.tables.values():
                if table.parent == before:
                    table.parent = after
        if kind == "schema":
            self._rename_schema(self._schema(old), self._schema(new))

    def _rename_schema(self, old: str | None, new: str | None) -> None:
        self.tables = {(new if key[0] == old else key[0], key[1]): t for key, t in self.tables.items()}
        self.others = {
            kind: {(new if key[0] == old else key[0], key[1]) for key in keys}
            for kind, keys in self.others.items()
        }

    def rename_column(self, schema: str | None, table: str, old: str, new: str) -> None:
        """Rename a column.

        Args:
            schema: the table's schema; None is the default one.
            table: the table's name.
            old: its former name.
            new: its new name.
        """
        columns = self.table(schema, table).columns
        if self.spelling.key("column", old) in columns:
            self.drop_column(schema, table, old)
            self.make_column(schema, table, new)

    def rename_on(
        self, schema: str | None, table: str | None, old: str, new: str, kinds: Iterable[str]
    ) -> None:
        """Rename a constraint, an index or a trigger.

        Args:
            schema: the table's schema; None is the default one.
            table: the table's name; None for every table of the schema.
            old: its former name.
            new: its new name.
            kinds: the kinds that share one namespace.
        """
        for found in self._tables(schema, table):
            for kind in kinds:
                before = (kind, self.spelling.key(kind, old))
                if before in found.named:
                    found.named.remove(before)
                    found.named.add((kind, self.spelling.key(kind, new)))

    # Queries.

    def has(self, kind: str, schema: str | None, name: str) -> bool:
        """Return whether a table or an object that belongs to no table was created.

        Args:
            kind: the object's kind.
            schema: its schema; None is the default one.
            name: its own name.
        """
        return self.key(kind, schema, name) in self.others.get(kind, ())

    def has_column(self, schema: str | None, table: str, name: str) -> bool:
        """Return whether a column was created.

        Args:
            schema: the table's schema; None is the default one.
            table: the table's name.
            name: the column's name.
        """
        found = self.tables.get(self.key("table", schema, table))
        return found is not None and self.spelling.key("column", name) in found.columns

    def has_on(self, kind: str, schema: str | None, table: str, name: str) -> bool:
        """Return whether a constraint, an index or a trigger was created, with this name or without one.

        Args:
            kind: one of `ON_TABLES`.
            schema: the table's schema; None is the default one.
            table: the table's name.
            name: its name in the database's catalog.
        """
        found = self.tables.get(self.key("table", schema, table))
        if found is None:
            return False
        kinds = (kind, *_ALSO.get(kind, ()))
        if any((one, self.spelling.key(one, name)) in found.named for one in kinds):
            return True
        if any(one in kinds and name in self.spelling.shortened(given) for one, given in found.named):
            return True
        # The server stores no name for it, even if it was created with one; the catalog shows its definition in
        # parentheses.
        if not name or name == self.spelling.primary or name.startswith("("):
            return any(one == kind for one, _ in found.named) or any(u.kind == kind for u in found.unnamed)
        unnamed = [one for one in found.unnamed if one.kind in kinds]
        count = Counter(one.kind for one in unnamed)
        return any(
            self.spelling.is_given(one.kind, spelled, one.columns, count[one.kind], name)
            for one in unnamed
            for spelled in dict.fromkeys((one.table, table))
        )
