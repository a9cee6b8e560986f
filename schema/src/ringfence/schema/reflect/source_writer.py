"""Write the source of a reflected file: enum types, sequences, tables and views, as SQLAlchemy objects."""

import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from alembic.runtime.migration import MigrationContext
from sqlalchemy.types import TypeEngine

from ringfence.schema import alembic_compat, sqlalchemy_compat
from ringfence.schema.autogenerate.hooks import render_item
from ringfence.schema.comparison.snapshot import Facets, Name, Snapshot
from ringfence.schema.reflect.result import Reflected
from ringfence.schema.rendering.model_types import portable_source
from ringfence.schema.rendering.table_parts import Column, Item, LeftOut, Translator
from ringfence.schema.sql.parsing import as_text, call

_TEXT = re.compile(r"'(?:[^']|'')*'")
_ITEMS = ("primary key", "unique", "check", "exclude", "foreign key", "index")
_WORDS = {"sqlalchemy_module_prefix": "sa.", "alembic_module_prefix": "op.", "user_module_prefix": None}


class SourceWriter:
    """Writes the objects of a snapshot as Python source; what cannot be written is recorded as left out.

    Args:
        connection: a connection of the admin account.
        snapshot: the snapshot of the database.
        translator: translates catalog entries of the engine to SQLAlchemy source.
        engines: the engines of the deployment.
        known: the keys of the tables to which foreign keys may refer.
        found: records what was left out, and columns that are not portable.
    """

    def __init__(
        self,
        connection: sa.Connection,
        snapshot: Snapshot,
        translator: Translator,
        engines: tuple[str, ...],
        known: Iterable[str],
        found: Reflected,
    ) -> None:
        self._connection, self._snapshot, self._translator = connection, snapshot, translator
        self._engines, self._known, self._found = engines, frozenset(known), found
        migration = MigrationContext.configure(connection, opts={**_WORDS, "render_item": render_item})
        self._context = AutogenContext(migration, metadata=sa.MetaData(), autogenerate=False)
        self._context.imports = set()
        self._variables: dict[tuple[str, str | None], str] = {}
        self._heads: dict[Name, str] = {}
        self._used: set[Name] = set()
        self._taken: set[str] = set()
        self.targets: set[str] = set()
        """The keys of the tables to which the written foreign keys refer."""
        self.order: list[tuple[str, str]] = []
        """(table, another table that must be created before it)."""
        self.not_written: set[Name] = set()
        """Enum types and sequences that cannot be written."""

    @property
    def imports(self) -> set[str]:
        """The import lines that the file needs."""
        return {"import sqlalchemy as sa", *self._context.imports}

    def name_types(self, names: Iterable[Name]) -> None:
        """Choose the variable of each enum type and sequence, by which tables refer to it.

        Args:
            names: names of enum types and sequences in the snapshot.
        """
        for each in names:
            try:
                source, variable = self._translator.type_source(each, self._snapshot.items[each])
            except ValueError as reason:
                self._heads[each] = self._left_out(each, str(reason))
                self.not_written.add(each)
                continue
            variable = self._variable(variable)
            self._heads[each] = f"{variable} = {source}"
            if each.kind == "enum":
                self._variables[each.name, each.schema or None] = variable

    def type_definitions(self) -> str:
        """Return the assignments of enum types and sequences, after all tables were written.

        Types that no written table uses are left out, because no revision would create them.
        """
        lines = []
        for each, line in self._heads.items():
            if each.kind == "enum" and each not in self.not_written | self._used:
                self.not_written.add(each)
                lines.append(self._left_out(each, "no table that is written has a column of it"))
            else:
                lines.append(line)
        return "\n".join([*lines, ""]) if lines else ""

    def _variable(self, wanted: str) -> str:
        """Return a valid Python identifier that no other type or sequence has.

        Args:
            wanted: a name that ends in `_type` or `_sequence`, so it is neither a keyword nor another name of the file.
        """
        # Python normalizes identifiers by NFKC: https://docs.python.org/3/reference/lexical_analysis.html
        plain = unicodedata.normalize("NFKC", wanted)
        found = re.sub(
            r"\A(?=\d)", "_", "".join(sign if f"a{sign}".isidentifier() else "_" for sign in plain)
        )
        while found in self._taken:
            found += "_"
        self._taken.add(found)
        return found

    def table(self, each: Name) -> str:
        """Return the source of a table with its constraints and indexes.

        Args:
            each: name of the table.
        """
        comments: list[str] = []
        left_out: list[str] = []
        kept: dict[str, Column] = {}
        for name, facets in self._snapshot.of("column", each.schema, each.table):
            try:
                kept[name.name] = self._translator.column(name, facets)
            except ValueError as reason:
                left_out.append(name.name)
                comments.append(self._left_out(name, str(reason)))
        comments += self._computed_from(each, kept, left_out)
        key = self._key(each)
        at_columns = self._checks_of_columns(each, kept)
        lines = []
        for column in tuple(kept.values()):
            try:
                lines.append(self._column(each, column, key))
            except ValueError as reason:
                del kept[column.name]
                left_out.append(column.name)
                name = Name("column", each.schema, each.table, column.name)
                comments.append(self._left_out(name, str(reason)))
        for item, source in self._items(each, kept, left_out, at_columns):
            if source is None:
                comments.append(item)
            else:
                lines.append(source)
        options = self._translator.options(each, self._snapshot.items[each])
        self._found.left_out += [f"{each}: {text}" for text in options.left_out]
        comments += map(_comment, options.left_out)
        for trigger, _ in self._snapshot.of("trigger", each.schema, each.table):
            comments.append(self._left_out(trigger, "a migration makes it"))
        self.order += [(each.key, before) for before in options.after if before in self._known]
        for column in kept.values():
            options.words |= column.of_table
        words = options.words | ({"info": repr({"left_out": left_out})} if left_out else {})
        return _table(each, comments, lines, words)

    def _computed_from(self, each: Name, kept: dict[str, Column], left_out: list[str]) -> list[str]:
        """Leave out columns that are computed from left-out columns; return the comments about them."""
        comments = []
        for name, facets in self._snapshot.of("column", each.schema, each.table):
            if name.name in kept and (needed := _mentioned(facets.get("computed"), left_out)):
                del kept[name.name]
                left_out.append(name.name)
                comments.append(
                    self._left_out(name, f"it is computed from the column {needed}, which is left out")
                )
        return comments

    def order_statements(self) -> str:
        """Return the statements that set the creation order of tables that no foreign key determines."""
        lines = (
            f"metadata.tables[{key!r}].add_is_dependent_on(metadata.tables[{before!r}])"
            for key, before in self.order
        )
        return "".join(f"{line}\n" for line in lines)

    def view(self, each: Name) -> str:
        """Return the source of a view by its columns only; a migration creates the view itself.

        Args:
            each: name of the view.
        """
        comments: list[str] = []
        left_out: list[str] = []
        lines = []
        for name, kind, spelled in self._translator.view_columns(self._connection, each):
            if kind is None:
                left_out.append(name)
                column = Name("column", each.schema, each.table, name)
                comments.append(
                    self._left_out(column, f"SQLAlchemy has no type for {spelled or 'what has none'}")
                )
            else:
                lines.append(call("sa.Column", repr(name), self._type(kind, key=False)[0]))
        info = {"view": True} | ({"left_out": left_out} if left_out else {})
        return _table(each, comments, lines, {"info": repr(info)})

    def _checks_of_columns(self, each: Name, kept: dict[str, Column]) -> set[Name]:
        """Add the CHECKs that were defined at a column to that column; return their names."""
        found = set()
        for name, facets in self._snapshot.of("check", each.schema, each.table):
            try:
                item = self._translator.item(name, facets)
            except ValueError:
                continue  # `_items` records it as left out
            column = kept.get(item.columns[0]) if item.at_column else None
            if column is not None:
                kept[column.name] = replace(column, checks=(*column.checks, item.source))
                found.add(name)
        return found

    def _key(self, each: Name) -> tuple[str, ...]:
        for name, facets in self._snapshot.of("primary key", each.schema, each.table):
            try:
                return self._translator.item(name, facets).columns
            except ValueError:
                break
        return ()

    def _column(self, each: Name, column: Column, key: tuple[str, ...]) -> str:
        in_key = column.name in key
        whole = sqlalchemy_compat.is_integer(column.kind)
        bare = column.default is None and not column.more and not column.fills_itself
        if column.counted and not in_key:
            column = self._translator.serial(column) or column
        kind, problems = self._type(column.kind, key=in_key)
        self._found.unportable += [f"{each.key}.{column.name}: {problem}" for problem in problems]
        words = dict(column.words)
        if in_key and whole and bare:
            by_itself = len(key) == 1 and not self._refers(each, column.name)
            counted = column.counted or (column.counted_alone and len(key) == 1)
            if counted != by_itself:
                words["autoincrement"] = str(counted)
        if column.default is not None:
            words["server_default"] = as_text(column.default)
        elif column.fills_itself:
            words["server_default"] = "sa.FetchedValue()"
        words["nullable"] = str(column.nullable)
        return call("sa.Column", repr(column.name), kind, *column.more, *column.checks, **words)

    def _refers(self, each: Name, column: str) -> bool:
        for name, facets in self._snapshot.of("foreign key", each.schema, each.table):
            try:
                if column in self._translator.item(name, facets).columns:
                    return True
            except ValueError:
                continue
        return False

    def _type(self, exact: TypeEngine[Any], *, key: bool) -> tuple[str, tuple[str, ...]]:
        kind, problems = portable_source(exact, self._connection.dialect, self._engines, key=key)
        array = isinstance(kind, sa.ARRAY)
        item = kind.item_type if isinstance(kind, sa.ARRAY) else kind
        variable = self._variables.get((str(item.name), item.schema)) if isinstance(item, sa.Enum) else None
        text = alembic_compat.render_type(kind, self._context)
        if variable is not None and isinstance(item, sa.Enum):
            self._used.add(Name("enum", item.schema or "", "", str(item.name)))
            text = f"postgresql.ARRAY({variable})" if array else variable
        return text, problems

    def _items(
        self, each: Name, kept: Mapping[str, Column], left_out: Iterable[str], at_columns: Collection[Name]
    ) -> Iterator[tuple[str, str | None]]:
        """Yield ("", source) of each constraint and index, or (comment, None) if it is left out."""
        for kind in _ITEMS:
            for name, facets in sorted(self._snapshot.of(kind, each.schema, each.table)):
                if name in at_columns:
                    continue
                try:
                    yield "", self._item(name, facets, kept, set(left_out))
                except ValueError as reason:
                    yield self._left_out(name, str(reason)), None

    def _item(self, name: Name, facets: Facets, kept: Mapping[str, Column], left_out: set[str]) -> str:
        item: Item = self._translator.item(name, facets)
        if missing := [column for column in item.columns if column not in kept]:
            why = "which is left out" if missing[0] in left_out else "which is inherited"
            raise LeftOut(f"it needs the column {missing[0]}, {why}")
        if name.kind in ("check", "index", "exclude"):
            for text in facets.values():
                if needed := _mentioned(text, left_out):
                    raise LeftOut(f"it needs the column {needed}, which is left out")
        if item.target is not None and item.target not in self._known:
            raise LeftOut(
                f"it refers to {item.target}, which is not among the models: name its schema with --schema"
            )
        if item.target is not None:
            self.targets.add(item.target)
        if item.source.startswith("postgresql."):
            self._context.imports.add("from sqlalchemy.dialects import postgresql")
        return item.source

    def _left_out(self, name: Name, reason: str) -> str:
        text = f"{name}: {reason}"
        self._found.left_out.append(text)
        self._found.names_left_out.add(name)
        return _comment(text)


def _mentioned(sql: object, columns: Iterable[str]) -> str | None:
    """Return the first of these columns that an expression may use; string literals are ignored."""
    words = _TEXT.sub("''", str(sql or ""))
    return next(
        (one for one in columns if re.search(rf"(?<!\w){re.escape(one)}(?!\w)", words, re.IGNORECASE)), None
    )


def _comment(text: str) -> str:
    """Return a comment in one line, since names and definitions of a database may contain line breaks."""
    return f"# left out: {' '.join(text.split())}"


def _table(each: Name, comments: Iterable[str], lines: Iterable[str], words: Mapping[str, str]) -> str:
    given = {"schema": repr(each.schema)} if each.schema else {}
    arguments = [
        repr(each.table),
        "metadata",
        *lines,
        *(f"{w}={v}" for w, v in (dict(words) | given).items()),
    ]
    return "\n".join([*comments, "sa.Table(", *(f"    {argument}," for argument in arguments), ")", ""])
