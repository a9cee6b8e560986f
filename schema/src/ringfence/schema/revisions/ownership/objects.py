"""What migrations made, object by object: a catalog that is filled by replaying them, without a database."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from ringfence.schema.sql.identifiers import Spelling

Key = tuple[str | None, str]
"""(schema, name); None is the default schema."""

# A constraint that is kept by an index shares its name, and on MySQL a foreign key does too.
_ALSO = {
    "index": ("unique", "primary key", "exclude", "foreign key"),
    "unique": ("index",),
    "exclude": ("index",),
}
ON_TABLES = frozenset({"index", "unique", "primary key", "foreign key", "check", "exclude", "trigger"})


@dataclass(frozen=True)
class Unnamed:
    """A constraint or an index that was made without a name."""

    kind: str
    table: str
    """The table's name at that time."""
    columns: tuple[str, ...]


@dataclass
class Table:
    """What was made of one table."""

    columns: set[str] = field(default_factory=set)
    named: set[tuple[str, str]] = field(default_factory=set)
    """(kind, name) of constraints, indexes and triggers."""
    unnamed: list[Unnamed] = field(default_factory=list)
    parent: Key | None = None
    """The table that it is a partition of."""


@dataclass
class Objects:
    """Every object that was made and not dropped since."""

    spelling: Spelling
    default: str | None = None
    """The schema that names without one are in."""
    tables: dict[Key, Table] = field(default_factory=dict)
    others: dict[str, set[Key]] = field(default_factory=dict)
    """kind -> objects that belong to no table."""

    def key(self, kind: str, schema: str | None, name: str) -> Key:
        """An object as it is kept.

        Args:
            kind: of the object.
            schema: its own or its table's; None is the default one.
            name: its own name.
        """
        schema = self._schema(schema)
        return schema, self.spelling.key(kind, name)

    def _schema(self, schema: str | None) -> str | None:
        if not schema or schema in (self.default, self.spelling.default):
            return None
        return self.spelling.key("schema", schema)

    # What was made.

    def table(self, schema: str | None, name: str) -> Table:
        """A table to add to; one that nobody made is not kept, but what is added to it is.

        Args:
            schema: its own or its table's; None is the default one.
            name: its own name.
        """
        return self.tables.setdefault(self.key("table", schema, name), Table())

    def make(self, kind: str, schema: str | None, name: str) -> None:
        """Keep an object that belongs to no table; a table is one too.

        Args:
            kind: of the object.
            schema: its own or its table's; None is the default one.
            name: its own name.
        """
        self.others.setdefault(kind, set()).add(self.key(kind, schema, name))

    def make_column(self, schema: str | None, table: str, name: str) -> None:
        """Keep a column.

        Args:
            schema: its own or its table's; None is the default one.
            table: the table's name.
            name: its own name.
        """
        self.table(schema, table).columns.add(self.spelling.key("column", name))

    def make_on(
        self, kind: str, schema: str | None, table: str, name: str | None, columns: Sequence[str] = ()
    ) -> None:
        """Keep a constraint, an index or a trigger.

        Args:
            kind: one of `ON_TABLES`.
            schema: of the table.
            table: its table.
            name: its name; None where the server gives it one.
            columns: of what has no name: what the server names it after.
        """
        found = self.table(schema, table)
        if name:
            found.named.add((kind, self.spelling.key(kind, name)))
        else:
            found.unnamed.append(Unnamed(kind, table, tuple(columns)))

    # What is no more.

    def drop(self, kind: str, schema: str | None, name: str) -> None:
        """Forget an object that belongs to no table; a schema with all that is in it.

        Args:
            kind: of the object.
            schema: its own or its table's; None is the default one.
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
        """Forget a column.

        Args:
            schema: its own or its table's; None is the default one.
            table: the table's name.
            name: its own name.
        """
        self.table(schema, table).columns.discard(self.spelling.key("column", name))

    def drop_on(self, schema: str | None, table: str | None, name: str, kinds: Iterable[str]) -> None:
        """Forget a constraint, an index or a trigger; of any table of the schema when `table` is None.

        Args:
            schema: its own or its table's; None is the default one.
            table: the table's name.
            name: its own name.
            kinds: those that share names there.
        """
        kinds = tuple(kinds)
        for found in self._tables(schema, table):
            found.named.difference_update((kind, self.spelling.key(kind, name)) for kind in kinds)

    def _tables(self, schema: str | None, table: str | None) -> Iterator[Table]:
        if table is not None:
            yield self.table(schema, table)
            return
        yield from (found for key, found in self.tables.items() if key[0] == self._schema(schema))

    # What has another name.

    def rename(self, kind: str, schema: str | None, old: str, new: str, to: str | None = None) -> None:
        """Follow an object that belongs to no table, to another name or another schema.

        Args:
            kind: of the object.
            schema: where it was.
            old: its name then.
            new: its name now.
            to: the schema it is in now.
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
        """Follow a column to another name.

        Args:
            schema: its own or its table's; None is the default one.
            table: the table's name.
            old: its name before.
            new: its name after.
        """
        columns = self.table(schema, table).columns
        if self.spelling.key("column", old) in columns:
            self.drop_column(schema, table, old)
            self.make_column(schema, table, new)

    def rename_on(
        self, schema: str | None, table: str | None, old: str, new: str, kinds: Iterable[str]
    ) -> None:
        """Follow a constraint, an index or a trigger to another name.

        Args:
            schema: its own or its table's; None is the default one.
            table: the table's name.
            old: its name before.
            new: its name after.
            kinds: those that share names there.
        """
        for found in self._tables(schema, table):
            for kind in kinds:
                before = (kind, self.spelling.key(kind, old))
                if before in found.named:
                    found.named.remove(before)
                    found.named.add((kind, self.spelling.key(kind, new)))

    # The answer.

    def has(self, kind: str, schema: str | None, name: str) -> bool:
        """Whether an object that belongs to no table, or a table, was made.

        Args:
            kind: of the object.
            schema: its own or its table's; None is the default one.
            name: its own name.
        """
        return self.key(kind, schema, name) in self.others.get(kind, ())

    def has_column(self, schema: str | None, table: str, name: str) -> bool:
        """Whether a column was made.

        Args:
            schema: its own or its table's; None is the default one.
            table: the table's name.
            name: its own name.
        """
        found = self.tables.get(self.key("table", schema, table))
        return found is not None and self.spelling.key("column", name) in found.columns

    def has_on(self, kind: str, schema: str | None, table: str, name: str) -> bool:
        """Whether a constraint, an index or a trigger was made: by this name, or without one.

        Args:
            kind: of the object.
            schema: its own or its table's; None is the default one.
            table: the table's name.
            name: its own name.
        """
        found = self.tables.get(self.key("table", schema, table))
        if found is None:
            return False
        kinds = (kind, *_ALSO.get(kind, ()))
        if any((one, self.spelling.key(one, name)) in found.named for one in kinds):
            return True
        if any(one in kinds and name in self.spelling.cut(given) for one, given in found.named):
            return True
        # The server keeps no name for it, whatever it was made with; a catalog shows its definition, in parentheses.
        if not name or name == self.spelling.primary or name.startswith("("):
            return any(one == kind for one, _ in found.named) or any(u.kind == kind for u in found.unnamed)
        unnamed = [one for one in found.unnamed if one.kind in kinds]
        count = Counter(one.kind for one in unnamed)
        return any(
            self.spelling.is_given(one.kind, spelled, one.columns, count[one.kind], name)
            for one in unnamed
            for spelled in dict.fromkeys((one.table, table))
        )
