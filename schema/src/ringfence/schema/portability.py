"""Checks the models, and what accounts are granted of them, against the limits of the engines and of PyDAL."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from ringfence.runtime.errors import BadMirror
from ringfence.runtime.mirror import VERBS, names
from ringfence.schema import sqlalchemy_compat
from ringfence.schema.errors import Mistake
from ringfence.schema.features import FEATURES
from ringfence.schema.manifest.model import Account, Grant, Origin
from ringfence.schema.manifest.resolution import RESERVED_PREFIX, is_view
from ringfence.schema.manifest.sequences import unreadable_sequence_problem
from ringfence.schema.models.conditional import applies
from ringfence.schema.models.key_lengths import too_long_keys
from ringfence.schema.models.object_names import constraint_name, name_conflicts, named_items, too_long
from ringfence.schema.models.password_columns import wrong_marks
from ringfence.schema.models.sequences import missing_sequence_problem
from ringfence.schema.models.source_lines import SourceLines
from ringfence.schema.models.types import DIALECTS, Portable, portable
from ringfence.schema.sql.table_keys import referred_column, referred_table

_WRITES = frozenset(VERBS) - {"select"}
_EVERY = frozenset(VERBS)


@dataclass(frozen=True)
class Problem:
    """Why some verbs cannot be granted on a table or on one of its columns."""

    verbs: frozenset[str]
    message: str


def check_models(
    tables: Mapping[str, sa.Table], engines: Sequence[str], source_lines: SourceLines
) -> list[Mistake]:
    """Check the models independently of any grant: reserved names, foreign keys, password marks.

    Args:
        tables: the models' tables, by `table` or `schema.table`.
        engines: the names of the deployment's engines.
        source_lines: finds the source lines of the models.

    Returns:
        Every mistake, with the line of its table or column.
    """
    mistakes = []
    for key, table in tables.items():
        if table.name.startswith(RESERVED_PREFIX):
            text = (
                f"{key}: names that start with {RESERVED_PREFIX!r} are reserved for Ringfence's own tables; rename it,"
                " or leave it out"
            )
            mistakes.append(source_lines.mistake(table, None, f"{text} in ringfence.toml"))
        for reference in table.foreign_keys:
            target = referred_table(reference)
            if target not in table.metadata.tables:
                name = reference.parent.name
                text = f"{key}.{name} refers to {target!r}, which is not in its models"
                mistakes.append(source_lines.mistake(table, name, text))
        wrong = (*_unmakeable(key, table, engines), *wrong_marks(key, table, engines))
        mistakes += [source_lines.mistake(table, name, text) for name, text in wrong]
    return mistakes


def _unmakeable(key: str, table: sa.Table, engines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The foreign keys to columns without a unique key, as the first referring column and the message."""
    for constraint in table.foreign_key_constraints:
        pairs = [(each.parent.name, referred_column(each)) for each in constraint.elements]
        target = table.metadata.tables.get(referred_table(constraint.elements[0]))
        if target is None or is_view(target):
            continue
        referred = {name for _, name in pairs}
        where = [
            engine
            for engine in engines
            if FEATURES[engine].references_unique_keys
            and applies(constraint, engine)
            and not any(referred == each for each in _keys(target, engine))
        ]
        if where:
            named = ", ".join(sorted(referred))
            yield (
                pairs[0][0],
                f"{key}.{', '.join(name for name, _ in pairs)} refers to {target.key} ({named}), and nothing makes that"
                f" unique: {', '.join(where)} cannot make such a foreign key; add a unique constraint there, or"
                f' leave_out = ["{key}"] in ringfence.toml',
            )


def _keys(table: sa.Table, engine: str) -> Iterator[set[str]]:
    """The sets of columns, by SQLAlchemy's keys, that a primary key, unique constraint or whole unique index covers."""
    for constraint in table.constraints:
        if isinstance(constraint, sa.PrimaryKeyConstraint | sa.UniqueConstraint):
            yield {str(column.key) for column in constraint.columns}
    for index in table.indexes:
        bare = [_bare(each) for each in index.expressions]
        whole = index.dialect_options[DIALECTS[engine]].get("where") is None
        if index.unique and whole and all(isinstance(each, sa.Column) for each in bare):
            yield {str(column.key) for column in bare if isinstance(column, sa.Column)}


def check_grants(
    tables: Mapping[str, sa.Table],
    accounts: Iterable[Account],
    engines: Sequence[str],
    source_lines: SourceLines,
) -> tuple[list[Mistake], list[Mistake]]:
    """Check that every engine of the deployment, and PyDAL, can do what the accounts are granted.

    Args:
        tables: the models' tables, by `table` or `schema.table`.
        accounts: with their grants.
        engines: the names of the deployment's engines.
        source_lines: finds the source lines of the models.

    Returns:
        The mistakes, each with the line of the manifest that grants it and the line of the models; and notes on granted
        columns of which services see another value than the models' own programs, each note once.
    """
    check = _Check(tables, tuple(engines), source_lines)
    mistakes = [mistake for account in accounts for mistake in check.account(account)]
    return mistakes, list(check.notes.values())


class _Check:
    """Checks accounts, examining each table and column once, however many accounts have it."""

    def __init__(
        self, tables: Mapping[str, sa.Table], engines: tuple[str, ...], source_lines: SourceLines
    ) -> None:
        self._tables = tables
        self._engines = engines
        self._source_lines = source_lines
        self._kinds: dict[sa.Column[Any], Portable] = {}
        self._seen: dict[str, list[Problem]] = {}
        self.notes: dict[str, Mistake] = {}

    @cached_property
    def _conflicts(self) -> Mapping[str, Sequence[str]]:
        return name_conflicts(self._tables, self._engines)

    def account(self, account: Account) -> Iterator[Mistake]:
        """Check the grants of one account; verbs with the same problem are reported together."""
        found: dict[tuple[Origin, str, str | None, str], list[str]] = {}
        called: dict[str, str] = {}
        for key, grants in account.grants_by_table().items():
            for problem in self._of_table(key, called):
                for verb in VERBS:
                    if verb in problem.verbs and verb in grants:
                        found.setdefault((grants[verb].origin, key, None, problem.message), []).append(verb)
            for column, verb, message in self._of_columns(key, grants):
                found.setdefault((grants[verb].origin, key, column, message), []).append(verb)
        for (origin, key, name, message), verbs in found.items():
            file, line = self._source_lines.find(self._tables[key], name)
            what = f"{key}.{name}" if name else key
            where = (
                f"{account.service!r} gets {', '.join(verbs)} on {what} ({file}{f':{line}' if line else ''})"
            )
            yield Mistake(origin.file, origin.line, f"{where}: {message}")

    def _of_table(self, key: str, called: dict[str, str]) -> Iterator[Problem]:
        """The problems of a table; `called` maps PyDAL's table name to the key of the account's table that has it."""
        if key not in self._seen:
            self._seen[key] = list(_of_table(self._tables[key], self._engines))
            self._seen[key] += [Problem(_EVERY, text) for text in self._conflicts.get(key, ())]
        yield from self._seen[key]
        table = self._tables[key]
        try:
            name = names.table_name(table.name, table.schema)
        except BadMirror as error:
            yield Problem(_EVERY, str(error))
            return
        if (other := called.setdefault(name, key)) != key:
            yield Problem(
                _EVERY, f"{key} and {other} are both {name!r} in PyDAL: rename one, or grant one of them"
            )

    def _of_columns(self, key: str, grants: Mapping[str, Grant]) -> Iterator[tuple[str, str, str]]:
        """The problems of a table's columns, each as column, verb and message."""
        fields: dict[str, str] = {}
        for column in self._tables[key].columns:
            name = str(column.name)
            if (text := unreadable_sequence_problem(column, grants, self._engines)) is not None:
                yield name, "insert", text
            verbs = [
                v for v, g in grants.items() if v != "delete" and (g.columns is None or name in g.columns)
            ]
            if not verbs:
                continue
            for problem in self._of_column(column):
                yield from ((name, verb, problem.message) for verb in verbs if verb in problem.verbs)
            try:
                field = names.field_name(name)
            except BadMirror as error:
                yield name, verbs[0], str(error)
                continue
            if (other := fields.setdefault(field, name)) != name:
                text = f"{name} and {other} are both {field!r} in PyDAL: rename one, or leave one out in ringfence.toml"
                yield name, verbs[0], text

    def _of_column(self, column: sa.Column[Any]) -> Iterator[Problem]:
        if column not in self._kinds:
            kind = self._kinds[column] = portable(column.type, self._engines)
            for note in kind.notes:
                if note not in self.notes:
                    self.notes[note] = self._source_lines.mistake(
                        column.table,
                        str(column.name),
                        f"{column}: {note}; `types` of ringfence.toml may map it",
                    )
        kind = self._kinds[column]
        yield from (Problem(_EVERY, text) for text in kind.problems)
        yield from (Problem(_WRITES, text) for text in kind.writing)
        if (text := missing_sequence_problem(column, self._engines)) is not None:
            yield Problem(frozenset({"insert"}), text)


def _of_table(table: sa.Table, engines: Sequence[str]) -> Iterator[Problem]:
    """The problems of a table as a whole: no primary key, names that are too long, keys that are too long."""
    without = [engine for engine in engines if FEATURES[engine].needs_primary_keys]
    if without and not table.primary_key.columns and not is_view(table):
        yield Problem(_WRITES, f"it has no primary key, which {', '.join(without)} cannot do without")
    named = [("table", str(table.name)), *(("column", str(column.name)) for column in table.columns)]
    named += [
        (type(item).__name__, constraint_name(item, shortens=False) or "") for item in named_items(table)
    ]
    for what, name in named:
        if where := [engine for engine in engines if too_long(name, engine)]:
            yield Problem(
                _EVERY, f"the {what} name {name!r} is longer than {', '.join(where)} takes: shorten it"
            )
    yield from (Problem(_EVERY, text) for text in too_long_keys(table, engines))


def is_unconditional_unique(index: sa.Index) -> bool:
    """Whether an index makes its columns unique for every row on every engine, so that they identify a row.

    A unique index with a WHERE, over expressions or over prefixes of texts does not, and one with a condition
    (`ddl_if`) may not exist.
    """
    if sqlalchemy_compat.condition(index) is not None:
        return False
    plain = all(isinstance(_bare(each), sa.Column) for each in index.expressions)
    options = [
        given for each in index.dialect_options.values() for given in (each.get("where"), each.get("length"))
    ]
    return index.unique and plain and all(given is None for given in options)


def _bare(expression: object) -> object:
    """Strip ASC, DESC and NULLS FIRST or LAST, which do not change which values are equal."""
    while isinstance(expression, sa.UnaryExpression) and expression.modifier is not None:
        expression = expression.element
    return expression
