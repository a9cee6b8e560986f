"""The operations of generated revisions, beside Alembic's own."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic.ddl.postgresql import CreateExcludeConstraintOp
from alembic.operations import ops

from ringfence.schema.operations.foreign_key_indexes import IndexForeignKeyOp

ONLINE_IMPORT = "from ringfence.schema.revisions import online"
"""The line by which a revision imports the functions that run these operations."""


class _EnumOp(ops.MigrateOperation):
    """The base of operations on a native enum type."""

    def __init__(self, name: str, labels: Sequence[str], schema: str | None = None) -> None:
        self.name = name
        self.labels = list(labels)
        self.schema = schema


class CreateEnumOp(_EnumOp):
    """Creates a native enum type, unless it exists, on engines that have such types; elsewhere it does nothing.

    Args:
        name: The name of the type.
        labels: Its labels, in order.
        schema: The schema of the type; None is the default one.
    """

    def reverse(self) -> ops.MigrateOperation:
        """Drop the type."""
        return DropEnumOp(self.name, self.labels, self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what `alembic check` shows."""
        return ("add_enum", self.schema, self.name)


class DropEnumOp(_EnumOp):
    """Drops a native enum type on engines that have such types; elsewhere it does nothing.

    Args:
        name: The name of the type.
        labels: Its labels, in order; a downgrade creates the type with them.
        schema: The schema of the type; None is the default one.
    """

    def reverse(self) -> ops.MigrateOperation:
        """Create the type again."""
        return CreateEnumOp(self.name, self.labels, self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what `alembic check` shows."""
        return ("remove_enum", self.schema, self.name)


class AddEnumLabelOp(ops.MigrateOperation):
    """Adds a label to a native enum type on engines that have such types; elsewhere it does nothing.

    On PostgreSQL the label cannot be used before its transaction commits. So generated revisions add it in a revision
    of its own, before those that may use it.

    Args:
        name: The name of the type.
        label: The new label.
        before: The label that it precedes. Without `before` and `after`, it is added at the end.
        after: The label that it follows; only one of the two may be given.
        schema: The schema of the type; None is the default one.
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
        """Drop the label; it is refused while rows hold it."""
        return DropEnumLabelOp(
            self.name, self.label, before=self.before, after=self.after, schema=self.schema
        )

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what `alembic check` shows."""
        return ("add_enum_label", self.schema, self.name, self.label)


class DropEnumLabelOp(AddEnumLabelOp):
    """Drops a label of a native enum type by creating the type anew; it is refused while rows hold the label."""

    def reverse(self) -> ops.MigrateOperation:
        """Add the label again, at its former position."""
        return AddEnumLabelOp(self.name, self.label, before=self.before, after=self.after, schema=self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what `alembic check` shows."""
        return ("remove_enum_label", self.schema, self.name, self.label)


class ReplaceEnumOp(ops.MigrateOperation):
    """Creates a native enum type anew with other labels or another order; refused while rows hold a dropped label.

    Args:
        name: The name of the type.
        labels: The new labels.
        existing_labels: The present labels.
        schema: The schema of the type; None is the default one.
    """

    def __init__(
        self, name: str, labels: Sequence[str], existing_labels: Sequence[str], *, schema: str | None = None
    ) -> None:
        self.name = name
        self.labels = list(labels)
        self.existing_labels = list(existing_labels)
        self.schema = schema

    def reverse(self) -> ops.MigrateOperation:
        """Restore the former labels."""
        return ReplaceEnumOp(self.name, self.existing_labels, self.labels, schema=self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what `alembic check` shows."""
        return ("modify_enum", self.schema, self.name)


class ChangeLabelsOp(ops.MigrateOperation):
    """Changes the labels of an enum column where they are in the column's type or in a CHECK, not in a native type.

    It also changes a Boolean or an enum that gains or loses its CHECK.

    MySQL and MariaDB keep the labels in the column's type. For an enum that is not native, the CHECK with its name is
    replaced on every engine. On PostgreSQL it does nothing for a native enum: `AddEnumLabelOp` and `ReplaceEnumOp` do
    that.

    Args:
        table_name: The table.
        column_name: The column.
        type_: The enum with the new labels.
        existing_type: The enum with the present labels.
        existing_nullable: Whether the column allows NULL.
        existing_server_default: Its default; None for no default.
        existing_comment: Its comment; None for no comment.
        schema: The schema of the table; None is the default one.
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
        """Restore the former labels; it is refused while rows hold a label that is dropped."""
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
        """Return what `alembic check` shows."""
        return ("modify_labels", self.schema, self.table_name, self.column_name)


def removed_labels(change: ChangeLabelsOp) -> list[str]:
    """Return the labels that a column loses.

    Args:
        change: The operation that changes the labels.
    """
    old, new = (getattr(kind, "enums", ()) for kind in (change.existing_type, change.type_))
    return [label for label in old if label not in new]


class CreateSequenceOp(ops.MigrateOperation):
    """Creates a sequence, unless it exists, on engines that have sequences; elsewhere it does nothing.

    Args:
        name: The name of the sequence.
        schema: The schema of the sequence; None is the default one.
        options: Those of `sqlalchemy.Sequence`: start, increment, minvalue, maxvalue, cycle, cache, data_type.
    """

    def __init__(self, name: str, *, schema: str | None = None, **options: Any) -> None:
        self.name = name
        self.schema = schema
        self.options = {word: value for word, value in options.items() if value is not None}

    def reverse(self) -> ops.MigrateOperation:
        """Drop the sequence."""
        return DropSequenceOp(self.name, schema=self.schema, **self.options)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what `alembic check` shows."""
        return ("add_sequence", self.schema, self.name)


class DropSequenceOp(CreateSequenceOp):
    """Drops a sequence on engines that have sequences; elsewhere it does nothing.

    A downgrade creates it with the options that are given here.
    """

    def reverse(self) -> ops.MigrateOperation:
        """Create the sequence again; it starts from its first value."""
        return CreateSequenceOp(self.name, schema=self.schema, **self.options)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what `alembic check` shows."""
        return ("remove_sequence", self.schema, self.name)


class CreateExcludeOp(ops.MigrateOperation):
    """Adds an EXCLUDE constraint on engines that have them; Alembic's own operation supports no expressions.

    Args:
        constraint_name: The constraint.
        table_name: Its table.
        elements: Pairs of a column or an expression, and the operator that must not hold between two rows.
        schema: The schema of the table; None is the default one.
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
    """Drops an EXCLUDE constraint on engines that have such constraints; elsewhere it does nothing.

    Alembic's own `CreateExcludeConstraintOp` adds it in a generated revision.

    Args:
        constraint_name: The constraint.
        table_name: Its table.
        schema: The schema of the table; None is the default one.
        create: The operation that adds it, for the downgrade.
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
        """Add the constraint again.

        Raises:
            ValueError: The operation was made without `create`.
        """
        if self.create is None:
            raise ValueError(f"nothing records how {self.constraint_name} of {self.table_name} was made")
        return OnlineOp(self.create)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what `alembic check` shows."""
        return ("remove_exclude", self.schema, self.table_name, self.constraint_name)


class IrreversibleOp(ops.MigrateOperation):
    """The downgrade of an operation that cannot be reversed: the revision raises an error, which a person replaces.

    Args:
        what: What the person must write.
    """

    def __init__(self, what: str) -> None:
        self.what = what

    def reverse(self) -> ops.MigrateOperation:
        """Return no operation."""
        return ops.OpContainer([])


class OnlineOp(ops.MigrateOperation):
    """One of Alembic's operations, written in a revision as a call of `ringfence.schema.revisions.online`.

    Args:
        inner: Alembic's operation.
    """

    def __init__(self, inner: ops.MigrateOperation) -> None:
        self.inner = inner

    def reverse(self) -> ops.MigrateOperation:
        """Reverse the operation, as a call of the same module; an `IrreversibleOp` where Alembic cannot reverse it."""
        if isinstance(self.inner, CreateExcludeConstraintOp):
            return DropExcludeOp(
                str(self.inner.constraint_name),
                self.inner.table_name,
                schema=self.inner.schema,
                create=self.inner,
            )
        try:
            return OnlineOp(self.inner.reverse())
        except ValueError:  # the operation does not know what it dropped
            return IrreversibleOp(f"{getattr(self.inner, 'constraint_name', 'it')}: write how it was made")

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return what `alembic check` shows."""
        found: tuple[Any, ...] = self.inner.to_diff_tuple()
        return found


class SetNotNullOp(OnlineOp):
    """Declares a column NOT NULL."""

    inner: ops.AlterColumnOp

    def reverse(self) -> ops.MigrateOperation:
        """Allow NULL again."""
        back = self.inner.reverse()
        return ops.ModifyTableOps(self.inner.table_name, [back], schema=self.inner.schema)


class DropNotNullOp(ops.ModifyTableOps):
    """Allows NULL in a column; its downgrade is a call of `ringfence.schema.revisions.online`."""

    def reverse(self) -> ops.MigrateOperation:  # type: ignore[override]
        """Declare the column NOT NULL again."""
        return SetNotNullOp(self.ops[0].reverse())


class ValidateOp(OnlineOp):
    """Validates the rows that existed before a constraint was added; a downgrade does nothing."""

    inner: ops.AddConstraintOp

    def reverse(self) -> ops.MigrateOperation:
        """Return no operation."""
        return ops.OpContainer([])


ONLINE_OPERATIONS = (
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
