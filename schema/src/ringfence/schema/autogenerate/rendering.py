"""Renderers for the operations of arranged revisions: the Python source in a revision's file."""

import ast
import copy
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from sqlalchemy.types import TypeEngine

from ringfence.schema import alembic_compat
from ringfence.schema.operations.foreign_key_indexes import IndexForeignKeyOp, UnindexForeignKeyOp
from ringfence.schema.operations.operations import (
    ONLINE_IMPORT,
    AddEnumLabelOp,
    ChangeLabelsOp,
    CreateEnumOp,
    CreateSequenceOp,
    DropEnumLabelOp,
    DropEnumOp,
    DropExcludeOp,
    DropSequenceOp,
    IrreversibleOp,
    OnlineOp,
    ReplaceEnumOp,
    SetNotNullOp,
    ValidateOp,
)


@alembic_compat.renderer(ops.CreateTableOp, replace=True)
def _render_table(context: AutogenContext, operation: ops.CreateTableOp) -> str:
    """Render CREATE TABLE as Alembic does, but only with literals in `info`: Alembic's repr may not be valid Python."""
    shown = copy.copy(operation)
    shown.info = _literals(operation.info)
    return alembic_compat.render_create_table(shown, context)


def _literals(info: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the entries that are Python literals; the others are irrelevant to a database and are dropped."""
    kept = {}
    for key, value in info.items():
        try:
            same = ast.literal_eval(repr((key, value))) == (key, value)
        except (ValueError, SyntaxError, TypeError):
            continue
        if same:
            kept[key] = value
    return kept


@alembic_compat.renderer(OnlineOp)
def _render_online(context: AutogenContext, operation: OnlineOp) -> str:
    if isinstance(operation, SetNotNullOp):
        return _not_null(context, operation.inner)
    if isinstance(operation, ValidateOp):
        constraint: Any = operation.inner.to_constraint()
        table = constraint.table
        more = f", schema={table.schema!r}" if table.schema else ""
        return f"online.validate({str(constraint.name)!r}, {str(table.name)!r}{more})"
    text = "\n".join(alembic_compat.render_operation(operation.inner, context))
    # Alembic may render a comment before the call.
    *comments, call = text.split("\n") if text.startswith("#") else [text]
    return "\n".join([*comments, "online." + call.removeprefix(context.opts["alembic_module_prefix"])])


@alembic_compat.renderer(CreateEnumOp)
@alembic_compat.renderer(DropEnumOp)
def _render_enum(context: AutogenContext, operation: CreateEnumOp | DropEnumOp) -> str:
    context.imports.add(
        ONLINE_IMPORT
    )  # drops of enums may be added after `Arranged.scripts` has set the imports
    verb = "create_enum" if isinstance(operation, CreateEnumOp) else "drop_enum"
    return f"online.{verb}({operation.name!r}, {operation.labels!r}{_keywords(schema=operation.schema)})"


@alembic_compat.renderer(AddEnumLabelOp)
@alembic_compat.renderer(DropEnumLabelOp)
def _render_label(context: AutogenContext, operation: AddEnumLabelOp) -> str:
    verb = "drop_enum_label" if isinstance(operation, DropEnumLabelOp) else "add_enum_label"
    position = (
        {}
        if isinstance(operation, DropEnumLabelOp)
        else {"before": operation.before, "after": operation.after}
    )
    return f"online.{verb}({operation.name!r}, {operation.label!r}{_keywords(**position, schema=operation.schema)})"


@alembic_compat.renderer(ReplaceEnumOp)
def _render_replace(context: AutogenContext, operation: ReplaceEnumOp) -> str:
    more = _keywords(existing_labels=operation.existing_labels, schema=operation.schema)
    return f"online.replace_enum({operation.name!r}, {operation.labels!r}{more})"


@alembic_compat.renderer(ChangeLabelsOp)
def _render_change(context: AutogenContext, operation: ChangeLabelsOp) -> str:
    words = [
        repr(operation.table_name),
        repr(operation.column_name),
        f"type_={_type(context, operation.type_)}",
        f"existing_type={_type(context, operation.existing_type)}",
        f"existing_nullable={operation.existing_nullable!r}",
    ]
    words += _existing_default(operation.existing_server_default, context)
    more = _keywords(existing_comment=operation.existing_comment, schema=operation.schema)
    return f"online.change_labels({', '.join(words)}{more})"


@alembic_compat.renderer(CreateSequenceOp)
@alembic_compat.renderer(DropSequenceOp)
def _render_sequence(context: AutogenContext, operation: CreateSequenceOp) -> str:
    verb = "drop_sequence" if isinstance(operation, DropSequenceOp) else "create_sequence"
    options = {
        word: _type(context, value) if isinstance(value, TypeEngine) else repr(value)
        for word, value in operation.options.items()
    }
    more = "".join(f", {word}={value}" for word, value in options.items())
    return f"online.{verb}({operation.name!r}{more}{_keywords(schema=operation.schema)})"


@alembic_compat.renderer(IrreversibleOp)
def _render_irreversible(context: AutogenContext, operation: IrreversibleOp) -> str:
    return f"raise NotImplementedError({operation.what!r})"


@alembic_compat.renderer(DropExcludeOp)
def _render_drop_exclude(context: AutogenContext, operation: DropExcludeOp) -> str:
    names = f"{operation.constraint_name!r}, {operation.table_name!r}"
    return f"online.drop_exclude_constraint({names}{_keywords(schema=operation.schema)})"


@alembic_compat.renderer(IndexForeignKeyOp)
@alembic_compat.renderer(UnindexForeignKeyOp)
def _render_key_index(context: AutogenContext, operation: IndexForeignKeyOp) -> str:
    verb = "unindex_foreign_key" if isinstance(operation, UnindexForeignKeyOp) else "index_foreign_key"
    names = f"{operation.name!r}, {operation.table_name!r}, {operation.columns!r}"
    return f"online.{verb}({names}{_keywords(schema=operation.schema)})"


def _keywords(**given: Any) -> str:
    """Render keyword arguments, without those that are None."""
    return "".join(f", {word}={value!r}" for word, value in given.items() if value is not None)


@alembic_compat.renderer(ops.AlterColumnOp, replace=True)
def _render_alter(context: AutogenContext, operation: ops.AlterColumnOp) -> str:
    """Render ALTER COLUMN as Alembic does, with the existing identity: without it, Alembic 1.20.1 adds a new one."""
    text = alembic_compat.render_alter_column(operation, context)
    was = operation.existing_server_default
    if isinstance(was, sa.Identity) and operation.modify_server_default is not False:
        return f"{text[:-1]},\n{' ' * 11}existing_server_default={alembic_compat.render_server_default(was, context)})"
    return text


@alembic_compat.renderer(ops.OpContainer)
def _render_container(context: AutogenContext, operation: ops.OpContainer) -> list[str]:
    lines: list[str] = []
    for one in operation.ops:
        lines += alembic_compat.render_operation(one, context)
    return lines


def _not_null(context: AutogenContext, inner: ops.AlterColumnOp) -> str:
    kind = _type(context, inner.existing_type)
    words = [repr(inner.table_name), repr(inner.column_name), f"existing_type={kind}"]
    words += _existing_default(inner.existing_server_default, context)
    if inner.schema:
        words.append(f"schema={inner.schema!r}")
    return f"online.set_not_null({', '.join(words)})"


def _existing_default(default: Any, context: AutogenContext) -> list[str]:
    """Return the keyword argument for the existing default of a column; nothing for a column without one."""
    if default is None or default is False:
        return []
    return [f"existing_server_default={alembic_compat.render_server_default(default, context)}"]


def _type(context: AutogenContext, kind: Any) -> str:
    given = alembic_compat.user_rendering("type", kind, context)
    return alembic_compat.render_type(kind, context) if given is False else given
