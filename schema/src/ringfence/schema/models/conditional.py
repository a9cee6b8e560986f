"""Indexes and constraints that exist only on some dialects (`ddl_if`), and indexes that exist on none."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from alembic.operations import MigrateOperation, ops
from alembic.util import CommandError
from sqlalchemy.sql.ddl import DDLIf

from ringfence.schema import alembic_compat, sqlalchemy_compat
from ringfence.schema.errors import Mistake
from ringfence.schema.models.source_lines import SourceLines
from ringfence.schema.models.types import DIALECTS
from ringfence.schema.sql.dialects import unconnected

_NAMES = tuple(dict.fromkeys(DIALECTS.values()))
_CONDITION = "ringfence_condition"
_passed_over: WeakKeyDictionary[sa.Table, list[str]] = WeakKeyDictionary()
"""The indexes that were removed from each table, kept so that a second load in this process reports them again."""
_OF_INDEXES = (ops.CreateIndexOp, ops.DropIndexOp)
_OF_CONSTRAINTS = (ops.AddConstraintOp, ops.DropConstraintOp)
Key = tuple[str | None, str, str]
"""Schema, table, and the name of an index or a constraint."""


def dialects_of(item: Any) -> tuple[str, ...] | None:
    """The dialects on which an index or a constraint is created; None where it is created on all.

    Args:
        item: an index or a constraint of the models.

    Raises:
        CommandError: its condition needs a connection, which a revision cannot express.
    """
    given = sqlalchemy_compat.condition(item)
    return None if given is None else tuple(name for name in _NAMES if _holds(given, item, name))


def applies(item: Any, engine: str) -> bool:
    """Whether an index or a constraint may be created on an engine; True where its condition needs a connection.

    Args:
        item: an index or a constraint of the models.
        engine: the name of one of the deployment's engines.
    """
    try:
        names = dialects_of(item)
    except CommandError:
        return True
    return names is None or DIALECTS[engine] in names


def _holds(given: DDLIf, item: Any, name: str) -> bool:
    dialect = unconnected(name)
    # CreateTable, as constructing an AddConstraint would exclude the constraint from CREATE TABLE from then on.
    ddl: Any = (
        sa.schema.CreateIndex(item) if isinstance(item, sa.Index) else sa.schema.CreateTable(item.table)
    )
    compiler = dialect.ddl_compiler(dialect, None)  # type: ignore[arg-type]  # a compiler without a statement, as SQLAlchemy itself makes it
    try:
        return sqlalchemy_compat.holds(given, ddl, item, None, compiler=compiler, checkfirst=False)
    except Exception as error:
        raise CommandError(
            f"the condition of {item.name!r} on {item.table.fullname} asks more than the dialect's name"
            f" ({type(error).__name__}: {error}), which no revision can express: write ddl_if(dialect=…), or make it in"
            " a revision of your own and leave it out of the models"
        ) from error


class ConditionalOp(MigrateOperation):
    """A migration operation that is executed only on some dialects.

    Args:
        inner: the operation.
        dialects: SQLAlchemy's names of the dialects.
    """

    def __init__(self, inner: MigrateOperation, dialects: tuple[str, ...]) -> None:
        self.inner = inner
        self.dialects = dialects

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Describe the inner operation for `alembic check`."""
        return self.inner.to_diff_tuple()

    def reverse(self) -> "ConditionalOp":
        """Reverse the inner operation, on the same dialects."""
        return ConditionalOp(self.inner.reverse(), self.dialects)


@alembic_compat.renderer(ConditionalOp)
def _render(context: AutogenContext, operation: ConditionalOp) -> list[str]:
    prefix = context.opts["alembic_module_prefix"] or ""
    # An empty line ends the block: Alembic's printer begins a level of indentation at the colon.
    return [
        f"if {prefix}get_context().dialect.name in {operation.dialects!r}:",
        *alembic_compat.render_operation(operation.inner, context),
        "",
    ]


def make_conditional(container: ops.OpContainer, metadata: Iterable[sa.MetaData]) -> None:
    """Make the operations on conditional indexes and constraints conditional, in place.

    Args:
        container: the operations of a revision, in their final order; they are changed.
        metadata: of the models.

    Raises:
        CommandError: a condition needs a connection; see `dialects_of`.
    """
    conditions: dict[Key, tuple[str, ...]] = {}
    for table in (table for one in metadata for table in one.tables.values()):
        items: list[Any] = [*table.indexes, *table.constraints]
        for item in items:
            if (names := dialects_of(item)) is not None:
                if item.name is not None:
                    conditions[table.schema, str(table.name), str(item.name)] = names
                item.info[_CONDITION] = names  # a copy in CREATE TABLE keeps `info`: see render_condition
    if conditions:
        _put(container, conditions)


def _put(container: ops.OpContainer, conditions: Mapping[Key, tuple[str, ...]]) -> None:
    for position, operation in enumerate(container.ops):
        if isinstance(operation, ops.OpContainer):
            _put(operation, conditions)
        key = _key(getattr(operation, "inner", operation))
        if key is not None and key in conditions:
            container.ops[position] = ConditionalOp(operation, conditions[key])


def render_condition(item: Any, context: AutogenContext) -> str | Literal[False]:
    """Render a constraint inside CREATE TABLE with its condition.

    Args:
        item: an index or a constraint of the models, after `make_conditional`.
        context: Alembic's, which collects the imports of the revision.

    Returns:
        The Python code; False, which leaves the item to Alembic, where it has no condition or is no constraint.
    """
    names = item.info.get(_CONDITION) if isinstance(item, sa.Constraint) else None
    if names is None:
        return False
    del item.info[_CONDITION]
    try:
        text = alembic_compat.render_constraint(item, context)
    finally:
        item.info[_CONDITION] = names
    return f"{text}.ddl_if(dialect={names!r})"


def _key(operation: MigrateOperation) -> Key | None:
    if isinstance(operation, _OF_INDEXES):
        return operation.schema, str(operation.table_name), str(operation.index_name)
    if isinstance(operation, _OF_CONSTRAINTS):
        named: Any = operation
        table = getattr(named, "table_name", None) or getattr(named, "source_table", None)
        schema = getattr(named, "schema", None) or getattr(named, "kw", {}).get("source_schema")
        return schema, str(table), str(named.constraint_name)
    return None


def remove_empty_indexes(tables: Iterable[sa.Table], source_lines: SourceLines) -> list[Mistake]:
    """Remove indexes without a column from the models: neither an engine nor SQLAlchemy can create one.

    Args:
        tables: of the models; they are changed.
        source_lines: finds the source lines of the models.

    Returns:
        A note for each such index, also for those that an earlier load removed.
    """
    notes = []
    for table in tables:
        for index in [each for each in table.indexes if not list(each.expressions)]:
            table.indexes.discard(index)
            _passed_over.setdefault(table, []).append(str(index.name))
        for name in _passed_over.get(table, ()):
            message = f"{table.fullname}: the index {name!r} names no column, and is passed over"
            notes.append(source_lines.mistake(table, None, message))
    return notes
