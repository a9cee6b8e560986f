"""Hooks for Alembic's autogenerate, so that revisions run on every engine, in upgrade and downgrade."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy.sql.functions import next_value
from sqlalchemy.types import TypeEngine

import ringfence.schema.autogenerate.rendering
import ringfence.schema.rendering.sql  # noqa: F401  # Alembic takes what they define
from ringfence.schema import alembic_compat
from ringfence.schema.autogenerate.arranger import Arranger, Fill
from ringfence.schema.autogenerate.declared_types import Declared, Defaults
from ringfence.schema.autogenerate.renames import Ambiguous, Drops, Renames, row_counter
from ringfence.schema.autogenerate.type_checks import name_checks
from ringfence.schema.features import engines_where
from ringfence.schema.models.columns import copied
from ringfence.schema.models.conditional import make_conditional, render_condition
from ringfence.schema.models.timestamps import UtcNow
from ringfence.schema.rendering.types import render_default, render_type

_CONSTRAINTS = frozenset({"check", "unique", "foreign_key", "primary_key"})
RUN_ATTRIBUTE = "ringfence_found"
"""The attribute of Alembic's configuration that holds a `Found`."""


def render_item(type_: str, obj: Any, autogen_context: AutogenContext) -> str | Literal[False]:
    """Render the items that Alembic would render wrongly; for `context.configure(render_item=…)`.

    A type is rendered with its imports, and a server default unchanged: see `ringfence.schema.rendering`.

    Args:
        type_: the kind of the item, as Alembic names it: `type`, `server_default`, `column`, `check`, …
        obj: the item: a type, a column, a constraint or a server default.
        autogen_context: collects the imports of the revision.

    Returns:
        The Python source, or False to leave the item to Alembic.
    """
    if type_ == "type" and isinstance(obj, TypeEngine):
        return render_type(obj, autogen_context)
    if type_ == "server_default" and isinstance(obj, sa.DefaultClause) and isinstance(obj.arg, next_value):
        return f"{_sequence(obj.arg.sequence, autogen_context)}.next_value()"
    if type_ == "server_default" and isinstance(obj, sa.DefaultClause) and isinstance(obj.arg, UtcNow):
        autogen_context.imports.add("import ringfence.schema.models")
        return f"ringfence.schema.models.{obj.arg!r}"
    if (
        type_ == "column"
        and isinstance(obj, sa.Column)
        and (arguments := _missing_arguments(obj, autogen_context))
    ):
        return _render_with_arguments(obj, arguments, autogen_context)
    if type_ in _CONSTRAINTS:
        return render_condition(obj, autogen_context)
    if type_ == "server_default":
        return render_default(obj, autogen_context)
    return False


def _missing_arguments(column: sa.Column[Any], context: AutogenContext) -> list[str]:
    """Return the parts of a column that Alembic does not render: its sequence and its CHECK constraints.

    Without the sequence PostgreSQL would make a key SERIAL; Alembic looks for CHECK constraints only at the table.
    """
    arguments = [_sequence(column.default, context)] if isinstance(column.default, sa.Sequence) else []
    checks = (each for each in column.constraints if isinstance(each, sa.CheckConstraint))
    rendered = (alembic_compat.render_check(each, context) for each in checks)
    return arguments + [text for text in rendered if text is not None]


def _render_with_arguments(column: sa.Column[Any], arguments: Sequence[str], context: AutogenContext) -> str:
    """Render a column with these additional arguments after its type."""
    bare = copied(column)
    bare.default = None if isinstance(column.default, sa.Sequence) else bare.default
    bare.constraints.clear()
    before = f"Column({str(column.name)!r}, {alembic_compat.render_type(column.type, context)}, "
    text = alembic_compat.render_column(bare, context)
    return text.replace(before, f"{before}{', '.join(arguments)}, ", 1)


def _sequence(sequence: sa.Sequence, context: AutogenContext) -> str:
    words = [repr(str(sequence.name))]
    words += [f"schema={str(sequence.schema)!r}"] if sequence.schema else []
    words += ["optional=True"] if sequence.optional else []
    return f"{context.opts['sqlalchemy_module_prefix']}Sequence({', '.join(words)})"


@dataclass
class AutogenerateRun:
    """Input and output of one autogenerate run: the caller sets the first fields, the run sets `fills` and `left`."""

    renames: Renames = field(default_factory=Renames)
    declared: Declared = field(default_factory=dict)
    defaults: Defaults = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    """The columns that a backfill must fill before the last revision makes them NOT NULL."""
    count_rows: bool = True
    """Whether the database holds the rows of the deployment, so that counting them is useful; False for a scratch."""
    foreign_objects: str | None = None
    """The objects of the database that do not belong to the deployment, in one line; None if it has none."""


def revision_arranger(engines: Iterable[str]) -> Callable[[MigrationContext, object, list[Any]], None]:
    """Return the hook that arranges autogenerated revisions; for `context.configure(process_revision_directives=…)`.

    The hook splits a revision into several where running services or the engines require it: see `arrange`. It removes
    the index drops of dropped tables: on MySQL and MariaDB they fail if a foreign key needs the index, and DROP TABLE
    drops the indexes anyway.

    Args:
        engines: the engines of the deployment.

    Returns:
        The hook. It raises `Ambiguous`, `BadRename` or `Unconfirmed` if renames or drops are not declared; under plain
        Alembic, `CommandError` instead of `Ambiguous`.
    """
    engines = tuple(engines)
    later = bool(engines_where(lambda engine: engine.validates_later, engines))
    held = bool(engines_where(lambda engine: engine.holds_keys_to_indexes, engines))

    def process(context: MigrationContext, revision: object, directives: list[Any]) -> None:
        given = context.opts.get("target_metadata") or ()
        metadata = (given,) if isinstance(given, sa.MetaData) else tuple(given)
        environment = context.environment_context
        asked = environment.config.attributes.get(RUN_ATTRIBUTE) if environment is not None else None
        found = asked if isinstance(asked, AutogenerateRun) else AutogenerateRun()
        arranged = []
        for script in directives:
            # `alembic check` has no message: it writes no revision and only lists differences, so it asks nothing.
            choose = found.renames.choose if script.message else _no_renames
            arranger = Arranger(metadata, found.declared, later, choose)
            arranger.keys_need_indexes, arranger.defaults = held, found.defaults
            arranger.confirm_drops = _drop_confirmation(context, script, found if asked is not None else None)
            try:
                arranged += arranger.arrange(script)
            except Ambiguous as error:
                if asked is not None:
                    raise
                raise CommandError(
                    str(error)
                ) from error  # plain Alembic prints its own errors without a traceback
            found.fills += arranger.done.fills
        found.renames.refuse_unused()
        directives[:] = arranged
        for script in directives:
            for container in (script.upgrade_ops, script.downgrade_ops):
                if container is not None:
                    _remove_redundant_index_drops(container)
                    name_checks(container, metadata)
                    make_conditional(container, metadata)

    return process


def _drop_confirmation(
    context: MigrationContext, script: ops.MigrationScript, found: AutogenerateRun | None
) -> Callable[[Drops], Drops]:
    """Return the function that has drops confirmed; under plain Alembic, which cannot ask, it confirms nothing."""

    def retire(retires: Drops) -> Drops:
        if found is None:
            return {}
        if script.message:
            rows = row_counter(context.connection) if found.count_rows else None
            found.renames.confirm_drops(retires, str(script.message), rows)
        return retires

    return retire


def _no_renames(key: str, removed: Sequence[str], added: Sequence[str]) -> Mapping[str, str]:
    return {}


def _remove_redundant_index_drops(container: ops.OpContainer) -> None:
    dropped = {(op.schema, op.table_name): op for op in container.ops if isinstance(op, ops.DropTableOp)}
    kept: list[ops.MigrateOperation] = []
    for operation in container.ops:
        if isinstance(operation, ops.ModifyTableOps) and (operation.schema, operation.table_name) in dropped:
            operation.ops = [op for op in operation.ops if not isinstance(op, ops.DropIndexOp)]
            if operation.ops:
                kept.append(operation)
        elif (
            not isinstance(operation, ops.DropIndexOp)
            or (operation.schema, operation.table_name) not in dropped
        ):
            kept.append(operation)
    container.ops = kept
