"""The operations that arranged revisions are written with, beside Alembic's own, and how each is written."""

from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import _render_server_default, _repr_type, _user_defined_render
from alembic.operations import ops


class DropEnumOp(ops.MigrateOperation):
    """Drops a native enum type where the engine has such; elsewhere it does nothing."""

    def __init__(self, name: str, schema: str | None) -> None:
        self.name = name
        self.schema = schema


class CreateEnumOp(ops.MigrateOperation):
    """Makes the native type of a new column where the engine has such; elsewhere it does nothing."""

    def __init__(self, kind: sa.Enum) -> None:
        self.kind = kind

    def reverse(self) -> ops.MigrateOperation:
        """The type goes with the column."""
        return DropEnumOp(str(self.kind.name), self.kind.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """For `alembic check`."""
        return ("add_enum", self.kind.name)


class OnlineOp(ops.MigrateOperation):
    """An operation of Alembic's that is written as a call of `ringfence.schema.migrate.online`."""

    def __init__(self, inner: ops.MigrateOperation) -> None:
        self.inner = inner

    def reverse(self) -> ops.MigrateOperation:
        """The way back, by the safe path too."""
        return OnlineOp(self.inner.reverse())

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """For `alembic check`."""
        found: tuple[Any, ...] = self.inner.to_diff_tuple()
        return found


class SetNotNullOp(OnlineOp):
    """A column refuses NULL from now on."""

    inner: ops.AlterColumnOp

    def reverse(self) -> ops.MigrateOperation:
        """NULL is taken again."""
        back = self.inner.reverse()
        return ops.ModifyTableOps(self.inner.table_name, [back], schema=self.inner.schema)


class RelaxOp(ops.ModifyTableOps):
    """A column takes NULL from now on; the way back is the safe path."""

    def reverse(self) -> ops.MigrateOperation:  # type: ignore[override]
        """NULL is refused again."""
        return SetNotNullOp(self.ops[0].reverse())


class ValidateOp(OnlineOp):
    """The rows that were there before a constraint are looked at; nothing takes that back."""

    inner: ops.AddConstraintOp

    def reverse(self) -> ops.MigrateOperation:
        """Nothing."""
        return ops.OpContainer([])


@renderers.dispatch_for(OnlineOp)
def _render_online(context: AutogenContext, operation: OnlineOp) -> str:
    if isinstance(operation, SetNotNullOp):
        return _not_null(context, operation.inner)
    if isinstance(operation, ValidateOp):
        constraint: Any = operation.inner.to_constraint()
        table = constraint.table
        more = f", schema={table.schema!r}" if table.schema else ""
        return f"online.validate({str(constraint.name)!r}, {str(table.name)!r}{more})"
    given = renderers.dispatch(operation.inner)(context, operation.inner)
    text = given if isinstance(given, str) else "\n".join(given)
    return "online." + text.removeprefix(context.opts["alembic_module_prefix"])


@renderers.dispatch_for(DropEnumOp)
def _render_drop_enum(context: AutogenContext, operation: DropEnumOp) -> str:
    schema = f", schema={operation.schema!r}" if operation.schema else ""
    return f"sa.Enum(name={operation.name!r}{schema}).drop(op.get_bind(), checkfirst=True)"


@renderers.dispatch_for(CreateEnumOp)
def _render_create_enum(context: AutogenContext, operation: CreateEnumOp) -> str:
    return f"{_type(context, operation.kind)}.create(op.get_bind(), checkfirst=True)"


@renderers.dispatch_for(ops.OpContainer)
def _render_container(context: AutogenContext, operation: ops.OpContainer) -> list[str]:
    lines: list[str] = []
    for one in operation.ops:
        given = renderers.dispatch(one)(context, one)
        lines += [given] if isinstance(given, str) else given
    return lines


def _not_null(context: AutogenContext, inner: ops.AlterColumnOp) -> str:
    kind = _type(context, inner.existing_type)
    words = [repr(inner.table_name), repr(inner.column_name), f"existing_type={kind}"]
    default = inner.existing_server_default
    if default is not None and default is not False:
        words.append(f"existing_server_default={_render_server_default(default, context)}")
    if inner.schema:
        words.append(f"schema={inner.schema!r}")
    return f"online.set_not_null({', '.join(words)})"


def _type(context: AutogenContext, kind: Any) -> str:
    given = _user_defined_render("type", kind, context)
    return _repr_type(kind, context) if given is False else str(given)
