"""The operations that arranged revisions are written with, beside Alembic's own."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic.ddl.postgresql import CreateExcludeConstraintOp
from alembic.operations import ops

from ringfence.schema.operations.foreign_key_indexes import IndexForeignKeyOp


class _EnumOp(ops.MigrateOperation):
    """About a native enum type, with all that makes it."""

    def __init__(self, name: str, labels: Sequence[str], schema: str | None = None) -> None:
        self.name = name
        self.labels = list(labels)
        self.schema = schema


class CreateEnumOp(_EnumOp):
    """Makes a native enum type where the engine has such, unless it is there; elsewhere it does nothing.

    Args:
        name: of the type.
        labels: in their order.
        schema: of the type; None is the default one.
    """

    def reverse(self) -> ops.MigrateOperation:
        """The type goes."""
        return DropEnumOp(self.name, self.labels, self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """For `alembic check`."""
        return ("add_enum", self.schema, self.name)


class DropEnumOp(_EnumOp):
    """Drops a native enum type where the engine has such; elsewhere it does nothing.

    Args:
        name: of the type.
        labels: in their order; the way back makes the type with them.
        schema: of the type; None is the default one.
    """

    def reverse(self) -> ops.MigrateOperation:
        """The type comes back."""
        return CreateEnumOp(self.name, self.labels, self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """For `alembic check`."""
        return ("remove_enum", self.schema, self.name)


class AddEnumLabelOp(ops.MigrateOperation):
    """Adds a label to a native enum type where the engine has such; elsewhere it does nothing.

    PostgreSQL lets nobody use the label before the transaction is committed: so it is arranged into a revision of its
    own, before those that may use it.

    Args:
        name: of the type.
        label: the new one.
        before: the label that it comes before, if not at the end.
        after: the label that it comes after; give one of the two.
        schema: of the type; None is the default one.
    """

    def __init__(
        self,
        name: str,
        label: str,
        *,
        before: str | None = None,
        after: str | None = None,
        schema: str | None = None,
    ) -> None:
        self.name = name
        self.label = label
        self.before = before
        self.after = after
        self.schema = schema

    def reverse(self) -> ops.MigrateOperation:
        """The label goes, when no row holds it."""
        return DropEnumLabelOp(
            self.name, self.label, before=self.before, after=self.after, schema=self.schema
        )

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """For `alembic check`."""
        return ("add_enum_label", self.schema, self.name, self.label)


class DropEnumLabelOp(AddEnumLabelOp):
    """Takes a label out of a native enum type, by making the type anew; refused while rows hold the label."""

    def reverse(self) -> ops.MigrateOperation:
        """The label comes back to its place."""
        return AddEnumLabelOp(self.name, self.label, before=self.before, after=self.after, schema=self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """For `alembic check`."""
        return ("remove_enum_label", self.schema, self.name, self.label)


class ReplaceEnumOp(ops.MigrateOperation):
    """Makes a native enum type anew with other labels, or in another order; refused while rows hold one that goes.

    Args:
        name: of the type.
        labels: as they are to be.
        existing_labels: as they are.
        schema: of the type; None is the default one.
    """

    def __init__(
        self, name: str, labels: Sequence[str], existing_labels: Sequence[str], *, schema: str | None = None
    ) -> None:
        self.name = name
        self.labels = list(labels)
        self.existing_labels = list(existing_labels)
        self.schema = schema

    def reverse(self) -> ops.MigrateOperation:
        """The labels from before."""
        return ReplaceEnumOp(self.name, self.existing_labels, self.labels, schema=self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """For `alembic check`."""
        return ("modify_enum", self.schema, self.name)


class ChangeLabelsOp(ops.MigrateOperation):
    """A column of an enum takes other labels, where those stand in the column or in a CHECK: not in a native type.

    A Boolean, or an enum, that gains or loses its CHECK is changed likewise.

    MySQL and MariaDB keep them in the column's type. For an enum that is not native, the CHECK of its name is replaced
    on every engine. On PostgreSQL it does nothing for a native enum: `AddEnumLabelOp` and `ReplaceEnumOp` do that.

    Args:
        table_name: the table.
        column_name: the column.
        type_: the enum with the labels that are to be.
        existing_type: the enum with the labels that are.
        existing_nullable: whether the column takes NULL.
        existing_server_default: its default; None where it has none.
        existing_comment: its comment; None where it has none.
        schema: of the table; None is the default one.
    """

    def __init__(
        self,
        table_name: str,
        column_name: str,
        type_: sa.Enum | sa.Boolean,
        existing_type: sa.Enum | sa.Boolean,
        *,
        existing_nullable: bool,
        existing_server_default: Any = None,
        existing_comment: str | None = None,
        schema: str | None = None,
    ) -> None:
        self.table_name = table_name
        self.column_name = column_name
        self.type_ = type_
        self.existing_type = existing_type
        self.existing_nullable = existing_nullable
        self.existing_server_default = existing_server_default
        self.existing_comment = existing_comment
        self.schema = schema

    def reverse(self) -> ops.MigrateOperation:
        """The labels from before; refused while rows hold one that goes."""
        return ChangeLabelsOp(
            self.table_name,
            self.column_name,
            self.existing_type,
            self.type_,
            existing_nullable=self.existing_nullable,
            existing_server_default=self.existing_server_default,
            existing_comment=self.existing_comment,
            schema=self.schema,
        )

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """For `alembic check`."""
        return ("modify_labels", self.schema, self.table_name, self.column_name)


def labels_gone(change: ChangeLabelsOp) -> list[str]:
    """The labels that a column loses.

    Args:
        change: the operation.
    """
    old, new = (getattr(kind, "enums", ()) for kind in (change.existing_type, change.type_))
    return [label for label in old if label not in new]


class CreateSequenceOp(ops.MigrateOperation):
    """Makes a sequence where the engine has such, unless it is there; elsewhere it does nothing.

    Args:
        name: of the sequence.
        schema: of the sequence; None is the default one.
        options: what `sqlalchemy.Sequence` takes: start, increment, minvalue, maxvalue, cycle, cache, data_type.
    """

    def __init__(self, name: str, *, schema: str | None = None, **options: Any) -> None:
        self.name = name
        self.schema = schema
        self.options = {word: value for word, value in options.items() if value is not None}

    def reverse(self) -> ops.MigrateOperation:
        """The sequence goes."""
        return DropSequenceOp(self.name, schema=self.schema, **self.options)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """For `alembic check`."""
        return ("add_sequence", self.schema, self.name)


class DropSequenceOp(CreateSequenceOp):
    """Drops a sequence where the engine has such; elsewhere it does nothing. The way back makes it from its options."""

    def reverse(self) -> ops.MigrateOperation:
        """The sequence comes back; its counter begins anew."""
        return CreateSequenceOp(self.name, schema=self.schema, **self.options)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """For `alembic check`."""
        return ("remove_sequence", self.schema, self.name)


class CreateExcludeOp(ops.MigrateOperation):
    """Adds an EXCLUDE constraint where the engine has such; Alembic's own operation knows no expressions.

    Args:
        constraint_name: the constraint.
        table_name: its table.
        elements: pairs of a column or an expression and the operator that may not hold.
        schema: of the table; None is the default one.
        options: `using`, `where`, `deferrable`, `initially`.
    """

    def __init__(
        self,
        constraint_name: str,
        table_name: str,
        elements: Sequence[tuple[Any, str]],
        *,
        schema: str | None = None,
        **options: Any,
    ) -> None:
        self.constraint_name = constraint_name
        self.table_name = table_name
        self.elements = list(elements)
        self.schema = schema
        self.options = options


class DropExcludeOp(ops.MigrateOperation):
    """Drops an EXCLUDE constraint where the engine has such; elsewhere it does nothing.

    It is added by Alembic's own `CreateExcludeConstraintOp`.

    Args:
        constraint_name: the constraint.
        table_name: its table.
        schema: of the table; None is the default one.
        create: what makes it, for the way back.
    """

    def __init__(
        self,
        constraint_name: str,
        table_name: str,
        *,
        schema: str | None = None,
        create: ops.MigrateOperation | None = None,
    ) -> None:
        self.constraint_name = constraint_name
        self.table_name = table_name
        self.schema = schema
        self.create = create

    def reverse(self) -> ops.MigrateOperation:
        """The constraint comes back."""
        if self.create is None:
            raise ValueError(f"nothing says how {self.constraint_name} of {self.table_name} was made")
        return OnlineOp(self.create)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """For `alembic check`."""
        return ("remove_exclude", self.schema, self.table_name, self.constraint_name)


class IrreversibleOp(ops.MigrateOperation):
    """The way back of what nobody can say how it was made: written as an error, for a person to replace.

    Args:
        what: what is missing.
    """

    def __init__(self, what: str) -> None:
        self.what = what

    def reverse(self) -> ops.MigrateOperation:
        """Nothing."""
        return ops.OpContainer([])


class OnlineOp(ops.MigrateOperation):
    """An operation of Alembic's that is written as a call of `ringfence.schema.revisions.online`."""

    def __init__(self, inner: ops.MigrateOperation) -> None:
        self.inner = inner

    def reverse(self) -> ops.MigrateOperation:
        """The way back, by the safe path too."""
        if isinstance(self.inner, CreateExcludeConstraintOp):
            return DropExcludeOp(
                str(self.inner.constraint_name),
                self.inner.table_name,
                schema=self.inner.schema,
                create=self.inner,
            )
        try:
            return OnlineOp(self.inner.reverse())
        except ValueError:  # nothing says what was dropped
            return IrreversibleOp(f"{getattr(self.inner, 'constraint_name', 'it')}: write how it was made")

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


WRITTEN = (
    OnlineOp,
    CreateEnumOp,
    DropEnumOp,
    AddEnumLabelOp,
    ReplaceEnumOp,
    ChangeLabelsOp,
    CreateSequenceOp,
    DropExcludeOp,
    IndexForeignKeyOp,
)
"""The operations that are written as calls of `ringfence.schema.revisions.online`."""
