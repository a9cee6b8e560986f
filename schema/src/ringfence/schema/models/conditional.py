"""Indexes and constraints that are made on some dialects alone (`ddl_if`), and indexes that are made on none."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import _render_constraint, render_op
from alembic.operations import MigrateOperation, ops
from alembic.util import CommandError
from sqlalchemy.sql.ddl import DDLIf

from ringfence.schema.errors import Mistake
from ringfence.schema.models.source_lines import Places
from ringfence.schema.models.types import DIALECTS
from ringfence.schema.sql.dialects import unconnected

_NAMES = tuple(dict.fromkeys(DIALECTS.values()))
_CONDITION = "ringfence_condition"
_passed_over: WeakKeyDictionary[sa.Table, list[str]] = WeakKeyDictionary()
"""What was taken out of a table, which may be looked at again in the same process."""
_OF_INDEXES = (ops.CreateIndexOp, ops.DropIndexOp)
_OF_CONSTRAINTS = (ops.AddConstraintOp, ops.DropConstraintOp)
Key = tuple[str | None, str, str]
"""The schema, the table, and the name of an index or a constraint."""


def dialects_of(item: Any) -> tuple[str, ...] | None:
    """The dialects on which an index or a constraint is made; None where it is made on all.

    Args:
        item: an index or a constraint of the models.

    Raises:
        CommandError: its condition asks a server, and no revision can say that.
    """
    given: DDLIf | None = getattr(item, "_ddl_if", None)
    return None if given is None else tuple(name for name in _NAMES if _holds(given, item, name))


def applies(item: Any, engine: str) -> bool:
    """Whether an index or a constraint may be made on an engine; one whose condition asks the server, may.

    Args:
        item: an index or a constraint of the models.
        engine: one of the deployment's, by its name.
    """
    try:
        names = dialects_of(item)
    except CommandError:
        return True
    return names is None or DIALECTS[engine] in names


def _holds(given: DDLIf, item: Any, name: str) -> bool:
    dialect = unconnected(name)
    # An AddConstraint would keep its constraint out of CREATE TABLE from then on.
    ddl: Any = (
        sa.schema.CreateIndex(item) if isinstance(item, sa.Index) else sa.schema.CreateTable(item.table)
    )
    compiler = dialect.ddl_compiler(dialect, None)  # type: ignore[arg-type]  # one without a statement, as SQLAlchemy's own
    try:
        return bool(given._should_execute(ddl, item, None, compiler=compiler, checkfirst=False))  # noqa: SLF001 - no public way to ask
    except Exception as error:
        raise CommandError(
            f"the condition of {item.name!r} on {item.table.fullname} asks more than the dialect's name"
            f" ({type(error).__name__}: {error}), which no revision can say: write ddl_if(dialect=…), or make it in a"
            " revision of your own and leave it out of the models"
        ) from error


class ConditionalOp(MigrateOperation):
    """An operation that is carried out on some dialects alone.

    Args:
        inner: the operation.
        dialects: SQLAlchemy's names of them.
    """

    def __init__(self, inner: MigrateOperation, dialects: tuple[str, ...]) -> None:
        self.inner = inner
        self.dialects = dialects

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """For `alembic check`."""
        return self.inner.to_diff_tuple()

    def reverse(self) -> "ConditionalOp":
        """What takes it back, on the same dialects."""
        return ConditionalOp(self.inner.reverse(), self.dialects)


@renderers.dispatch_for(ConditionalOp)
def _render(context: AutogenContext, operation: ConditionalOp) -> list[str]:
    prefix = context.opts["alembic_module_prefix"] or ""
    # An empty line ends the block: Alembic's printer indents by the colon.
    return [
        f"if {prefix}get_context().dialect.name in {operation.dialects!r}:",
        *render_op(context, operation.inner),
        "",
    ]


def put_conditions(container: ops.OpContainer, metadata: Iterable[sa.MetaData]) -> None:
    """Put what makes or drops a conditional index or constraint of the models under its condition, in place.

    Args:
        container: what a revision does, arranged.
        metadata: the models'.
    """
    conditions: dict[Key, tuple[str, ...]] = {}
    for table in (table for one in metadata for table in one.tables.values()):
        items: list[Any] = [*table.indexes, *table.constraints]
        for item in items:
            if (names := dialects_of(item)) is not None:
                if item.name is not None:
                    conditions[table.schema, str(table.name), str(item.name)] = names
                item.info[_CONDITION] = names  # which a copy within CREATE TABLE keeps: see render_condition
    if conditions:
        _put(container, conditions)


def _put(container: ops.OpContainer, conditions: Mapping[Key, tuple[str, ...]]) -> None:
    for place, operation in enumerate(container.ops):
        if isinstance(operation, ops.OpContainer):
            _put(operation, conditions)
        key = _key(getattr(operation, "inner", operation))
        if key is not None and key in conditions:
            container.ops[place] = ConditionalOp(operation, conditions[key])


def render_condition(item: Any, context: AutogenContext) -> str | Literal[False]:
    """A conditional constraint within CREATE TABLE; False leaves any other item to Alembic.

    Args:
        item: an index or a constraint of the models.
        context: takes the imports.
    """
    names = item.info.get(_CONDITION) if isinstance(item, sa.Constraint) else None
    if names is None:
        return False
    del item.info[_CONDITION]
    try:
        text = _render_constraint(item, context, sa.MetaData())
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


def pass_over_empty(tables: Iterable[sa.Table], places: Places) -> list[Mistake]:
    """Take indexes without a column out of the models: no engine makes one, nor does SQLAlchemy know how.

    Args:
        tables: of the models; they are changed.
        places: where the models are written, for the notes.

    Returns:
        A note for each.
    """
    notes = []
    for table in tables:
        for index in [each for each in table.indexes if not list(each.expressions)]:
            table.indexes.discard(index)
            _passed_over.setdefault(table, []).append(str(index.name))
        for name in _passed_over.get(table, ()):
            message = f"{table.fullname}: the index {name!r} names no column, and is passed over"
            notes.append(places.mistake(table, None, message))
    return notes
