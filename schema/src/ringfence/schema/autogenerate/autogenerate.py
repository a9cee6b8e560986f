"""What autogenerate writes, made right: revisions that run on every engine, upwards and downwards."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import _render_check_constraint, _render_column, _repr_type
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy.sql.functions import next_value
from sqlalchemy.types import TypeEngine

import ringfence.schema.autogenerate.rendering
import ringfence.schema.rendering.sql  # noqa: F401  # Alembic takes what they define
from ringfence.schema.autogenerate.arrange import Arranger, Fill
from ringfence.schema.autogenerate.declared_types import Defaults
from ringfence.schema.autogenerate.renames import Ambiguous, Renames, Retires, counter
from ringfence.schema.comparison.declared_types import Declared
from ringfence.schema.engines.online_ddl import holds_keys_to_indexes, looks_later
from ringfence.schema.models.columns import copied
from ringfence.schema.models.conditional import put_conditions, render_condition
from ringfence.schema.models.timestamps import UtcNow
from ringfence.schema.models.type_checks import name_checks
from ringfence.schema.rendering.types import render_default, render_type

_CONSTRAINTS = frozenset({"check", "unique", "foreign_key", "primary_key"})
FOUND = "ringfence_found"
"""The attribute of Alembic's configuration that holds a `Found`."""


def render_item(type_: str, obj: Any, autogen_context: AutogenContext) -> str | Literal[False]:
    """Write into a migration what Alembic would write wrongly; for `context.configure(render_item=…)`.

    A type comes with its imports, and a server default stays what it is: see `rendering`.

    Returns:
        The source text, or False to leave it to Alembic.
    """
    if type_ == "type" and isinstance(obj, TypeEngine):
        return render_type(obj, autogen_context)
    if type_ == "server_default" and isinstance(obj, sa.DefaultClause) and isinstance(obj.arg, next_value):
        return f"{_sequence(obj.arg.sequence, autogen_context)}.next_value()"
    if type_ == "server_default" and isinstance(obj, sa.DefaultClause) and isinstance(obj.arg, UtcNow):
        autogen_context.imports.add("import ringfence.schema.models")
        return f"ringfence.schema.models.{obj.arg!r}"
    if type_ == "column" and isinstance(obj, sa.Column) and (said := _said_at(obj, autogen_context)):
        return _with(obj, said, autogen_context)
    if type_ in _CONSTRAINTS:
        return render_condition(obj, autogen_context)
    if type_ == "server_default":
        return render_default(obj, autogen_context)
    return False


def _said_at(column: sa.Column[Any], context: AutogenContext) -> list[str]:
    """What stands in a column and Alembic leaves out: its sequence, without which PostgreSQL makes a key SERIAL, and
    its CHECKs, which Alembic looks for at the table alone.
    """
    said = [_sequence(column.default, context)] if isinstance(column.default, sa.Sequence) else []
    checks = (each for each in column.constraints if isinstance(each, sa.CheckConstraint))
    rendered = (_render_check_constraint(each, context, None) for each in checks)
    return said + [text for text in rendered if text is not None]


def _with(column: sa.Column[Any], said: Sequence[str], context: AutogenContext) -> str:
    """A column with what stands in it."""
    bare = copied(column)
    bare.default = None if isinstance(column.default, sa.Sequence) else bare.default
    bare.constraints.clear()
    before = f"Column({str(column.name)!r}, {_repr_type(column.type, context)}, "
    text: str = _render_column(bare, context)
    return text.replace(before, f"{before}{', '.join(said)}, ", 1)


def _sequence(sequence: sa.Sequence, context: AutogenContext) -> str:
    words = [repr(str(sequence.name))]
    words += [f"schema={str(sequence.schema)!r}"] if sequence.schema else []
    words += ["optional=True"] if sequence.optional else []
    return f"{context.opts['sqlalchemy_module_prefix']}Sequence({', '.join(words)})"


@dataclass
class Found:
    """What the caller of autogenerate gives it, and what it gives back."""

    renames: Renames = field(default_factory=Renames)
    declared: Declared = field(default_factory=dict)
    defaults: Defaults = field(default_factory=dict)
    fills: list[Fill] = field(default_factory=list)
    """The columns that a backfill must give values to, before the last revision refuses NULL in them."""
    counts: bool = True
    """Whether the rows of the database are those of the deployment: not those of a scratch file."""
    left: str | None = None
    """What the database has beyond the models and is not ours, in one line."""


def tidy(engines: Iterable[str]) -> Callable[[MigrationContext, object, list[Any]], None]:
    """What mends and arranges what is to be written; for `context.configure(process_revision_directives=…)`.

    One revision becomes several where services, or engines, want that: see `arrange`.

    A table that is dropped takes its indexes with it: dropping them first fails on MySQL and MariaDB, where a foreign
    key needs them.
    """
    engines = tuple(engines)
    later, held = looks_later(engines), holds_keys_to_indexes(engines)

    def process(context: MigrationContext, revision: object, directives: list[Any]) -> None:
        given = context.opts.get("target_metadata") or ()
        metadata = (given,) if isinstance(given, sa.MetaData) else tuple(given)
        environment = context.environment_context
        asked = environment.config.attributes.get(FOUND) if environment is not None else None
        found = asked if isinstance(asked, Found) else Found()
        arranged = []
        for script in directives:
            # `alembic check`, which writes nothing, has no message: it shows a difference, and asks no question.
            choose = found.renames.choose if script.message else _nothing
            arranger = Arranger(metadata, found.declared, later, choose)
            arranger.held, arranger.defaults = held, found.defaults
            arranger.retire = _retiring(context, script, found if asked is not None else None)
            try:
                arranged += arranger.arrange(script)
            except Ambiguous as error:
                if asked is not None:
                    raise
                raise CommandError(str(error)) from error  # plain Alembic shows its own errors in one line
            found.fills += arranger.done.fills
        found.renames.refuse_unused()
        directives[:] = arranged
        for script in directives:
            for container in (script.upgrade_ops, script.downgrade_ops):
                if container is not None:
                    _tidy(container)
                    name_checks(container, metadata)
                    put_conditions(container, metadata)

    return process


def _retiring(
    context: MigrationContext, script: ops.MigrationScript, found: Found | None
) -> Callable[[Retires], Retires]:
    """What a contract may declare to retire: what a person confirms; plain Alembic asks nobody, so nothing."""

    def retire(retires: Retires) -> Retires:
        if found is None:
            return {}
        if script.message:
            rows = counter(context.connection) if found.counts else None
            found.renames.retire(retires, str(script.message), rows)
        return retires

    return retire


def _nothing(key: str, goes: Sequence[str], comes: Sequence[str]) -> Mapping[str, str]:
    return {}


def _tidy(container: ops.OpContainer) -> None:
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
