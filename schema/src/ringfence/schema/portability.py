"""What the models ask for that an engine, or PyDAL, could not keep: found before the first statement runs."""

import inspect
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ringfence.runtime import names
from ringfence.runtime.errors import BadMirror
from ringfence.schema.access.wanted import OURS, is_view
from ringfence.schema.defaults import Refused, default, on_update
from ringfence.schema.errors import Mistake
from ringfence.schema.types import MYSQL_FAMILY, needs_integer_key, portable

NAME_BYTES = 63
"""The longest name that every engine keeps whole (PostgreSQL's; MySQL takes 64)."""

# InnoDB's limits for a key or an index, with characters of utf8mb4.
KEY_BYTES = 3072
BYTES_PER_CHARACTER = 4
WITHOUT_LENGTH = frozenset({"text", "bytes", "json"})

# The engines that cannot replicate a table without a primary key.
KEY_NEEDED = frozenset({"galera"})


def check_models(root: Path, tables: Mapping[str, sa.Table], engines: Sequence[str]) -> list[Mistake]:
    """Every mistake in the models, with the file and line of the class or column where they are known."""
    places = _Places(root)
    mistakes: list[Mistake] = []
    keys: dict[str, str] = {}
    named: dict[tuple[str | None, str], str] = {}
    for key, table in tables.items():
        for column, message in _table(key, table, engines):
            mistakes.append(places.mistake(table, column, message))
        for item in _named(table):
            label = constraint_name(item)
            if label is not None and (other := named.setdefault((table.schema, label), key)) != key:
                mistakes.append(
                    places.mistake(table, None, f"{key} and {other} both have a {label!r}: rename one")
                )
        try:
            name = names.table_name(table.name, table.schema)
        except BadMirror as error:
            mistakes.append(places.mistake(table, None, str(error)))
            continue
        if (other := keys.setdefault(name, key)) != key:
            mistakes.append(
                places.mistake(table, None, f"{key} and {other} are both {name!r} in PyDAL: rename one")
            )
    return mistakes


def _table(key: str, table: sa.Table, engines: Sequence[str]) -> Iterable[tuple[str | None, str]]:
    if table.name.startswith(OURS):
        yield None, f"{key}: names that start with {OURS!r} are kept for our own tables; rename it"
    if (
        not table.primary_key.columns
        and not is_view(table)
        and (where := [engine for engine in engines if engine in KEY_NEEDED])
    ):
        yield None, f"{key} has no primary key, which {', '.join(where)} cannot do without"
    yield from _names(key, table)
    yield from _references(key, table)
    if where := [engine for engine in engines if engine in MYSQL_FAMILY]:
        yield from ((None, f"{key}: {told}, on {', '.join(where)}") for told in _too_long(table))
    fields: dict[str, str] = {}
    for column in table.columns:
        place = f"{key}.{column.name}"
        kind = portable(column.type, engines)
        yield from ((column.name, f"{place}: {problem}") for problem in kind.problems)
        if needs_integer_key(column, engines):
            yield (
                column.name,
                f"{place}: SQLite counts up INTEGER keys alone: use ringfence.schema.models.BigKey",
            )
        for read in (partial(default, engines=engines), on_update):
            try:
                read(column, kind)
            except Refused as error:
                yield column.name, f"{place}: {error}"
        try:
            field = names.field_name(column.name)
        except BadMirror as error:
            yield column.name, f"{place}: {error}"
            continue
        if (other := fields.setdefault(field, column.name)) != column.name:
            yield column.name, f"{place} and {other} are both {field!r} in PyDAL: rename one"


def _names(key: str, table: sa.Table) -> Iterable[tuple[str | None, str]]:
    named = [("table", table.name), *(("column", column.name) for column in table.columns)]
    for item in _named(table):
        name = constraint_name(item)
        if name is None and not isinstance(item, sa.PrimaryKeyConstraint) and _counts(item):
            what = type(item).__name__
            yield (
                None,
                f"{key}: a {what} has no name: give the MetaData ringfence.schema.models.NAMING, or name it",
            )
        named.append((type(item).__name__, name or ""))
    for what, text in named:
        if len(text.encode()) > NAME_BYTES:
            yield None, f"{key}: the {what} name {text!r} is longer than {NAME_BYTES} bytes: name it yourself"


def _references(key: str, table: sa.Table) -> Iterable[tuple[str | None, str]]:
    for reference in table.foreign_keys:
        target = reference.target_fullname.rpartition(".")[0]
        if target not in table.metadata.tables:
            yield (
                reference.parent.name,
                f"{key}.{reference.parent.name} refers to {target!r}, which is not in its models",
            )


def _too_long(table: sa.Table) -> Iterable[str]:
    """Keys and indexes that InnoDB refuses."""
    items = [
        item for item in table.constraints if isinstance(item, sa.PrimaryKeyConstraint | sa.UniqueConstraint)
    ]
    for item in [*items, *table.indexes]:
        size = 0
        for column in item.columns:
            kind = portable(column.type, ("mysql",))
            if kind.type in WITHOUT_LENGTH:
                yield f"the key {item.name!r} holds {column.name!r}, a {kind.type} without a length: use String(length)"
            size += kind.params.get("length", 0) * BYTES_PER_CHARACTER if kind.type == "string" else 0
        if size > KEY_BYTES:
            yield f"the key {item.name!r} takes {size} bytes, and {KEY_BYTES} is the most: shorten its strings"


def constraint_name(item: sa.Constraint | sa.Index) -> str | None:
    """The name in the database, by the naming convention; None where the database makes one up."""
    return str(item.name) if isinstance(item.name, str) else None


def decides(index: sa.Index) -> bool:
    """Whether a unique index is one over whole columns of every row, on every engine: a key to find a record by.

    One with a WHERE, of expressions or of the beginnings of texts refuses rows too, and no column of it is unique.
    """
    plain = all(isinstance(_bare(each), sa.Column) for each in index.expressions)
    options = [
        given for each in index.dialect_options.values() for given in (each.get("where"), each.get("length"))
    ]
    return index.unique and plain and all(given is None for given in options)


def _bare(expression: object) -> object:
    """Without a direction or an order of NULLs, which change nothing of what is equal."""
    while isinstance(expression, sa.UnaryExpression) and expression.modifier is not None:
        expression = expression.element
    return expression


def constraints(table: sa.Table) -> Iterable[sa.Constraint]:
    """Every constraint of a table, with the CHECKs that are written at a column."""
    yield from table.constraints
    for column in table.columns:
        yield from column.constraints


def _named(table: sa.Table) -> tuple[sa.Constraint | sa.Index, ...]:
    return (*constraints(table), *table.indexes)


def _counts(item: Any) -> bool:
    """Whether a constraint exists in the database; a Boolean's or Enum's CHECK may exist on paper alone."""
    return not getattr(item, "_type_bound", False)


class _Places:
    """Finds the class and line in which a table, or a column of it, is written."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.classes: dict[int, type[Any]] = {}
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if file and Path(file).is_relative_to(root):
                for value in list(vars(module).values()):
                    table = getattr(value, "__table__", None) if inspect.isclass(value) else None
                    if isinstance(table, sa.Table):
                        self.classes.setdefault(id(table), value)

    def mistake(self, table: sa.Table, column: str | None, message: str) -> Mistake:
        """A mistake with as good a place as can be found."""
        cls = self.classes.get(id(table))
        if cls is None:
            return Mistake("models", None, message)
        try:
            file = Path(inspect.getsourcefile(cls) or "")
            lines, first = inspect.getsourcelines(cls)
        except (OSError, TypeError):
            return Mistake(cls.__module__, None, message)
        name = str(file.relative_to(self.root)) if file.is_relative_to(self.root) else str(file)
        pattern = re.compile(rf"\s+{re.escape(column)}\s*[:=]") if column else None
        offset = next((n for n, line in enumerate(lines) if pattern and pattern.match(line)), 0)
        return Mistake(name, first + offset, message)
