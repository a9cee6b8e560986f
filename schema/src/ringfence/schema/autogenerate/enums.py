"""Changes of enum types and labels, from the operations of a script, the models and the declared types."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops
from sqlalchemy.types import TypeEngine

from ringfence.schema.autogenerate.declared_types import Declared, Defaults, as_default
from ringfence.schema.autogenerate.type_checks import named_type
from ringfence.schema.models.enums import native_enums
from ringfence.schema.operations.operations import (
    AddEnumLabelOp,
    ChangeLabelsOp,
    CreateEnumOp,
    DropEnumLabelOp,
    DropEnumOp,
    ReplaceEnumOp,
)
from ringfence.schema.sql.identifiers import spelling
from ringfence.schema.sql.table_keys import key_of

Checked = sa.Enum | sa.Boolean
_Key = tuple[str | None, str]
_DEFAULT_SCHEMA = spelling("postgresql").default
"""Only PostgreSQL has native enum types."""
_OF_TYPES = (CreateEnumOp, DropEnumOp, AddEnumLabelOp, DropEnumLabelOp, ReplaceEnumOp, ChangeLabelsOp)


@dataclass
class Enums:
    """The operations on enums, grouped by the time at which they must run."""

    created: list[ops.MigrateOperation] = field(default_factory=list)
    """Creations of types, before the tables and columns that use them."""
    added: list[ops.MigrateOperation] = field(default_factory=list)
    """New labels of native types, in a separate revision."""
    widened: list[ops.MigrateOperation] = field(default_factory=list)
    """Changes of columns that accept more labels."""
    narrowed: list[ops.MigrateOperation] = field(default_factory=list)
    """Changes that remove or reorder labels, in the contract revision."""
    dropped: list[ops.MigrateOperation] = field(default_factory=list)
    """Drops of types that are no longer used, after the drops of what used them."""
    handled: set[tuple[str, str]] = field(default_factory=set)
    """(table, column) whose labels are changed by these operations, so that no other needs to change the type."""


def enums_of(
    found: Sequence[ops.MigrateOperation],
    metadata: Iterable[sa.MetaData],
    declared: Declared,
    defaults: Defaults = MappingProxyType({}),
) -> Enums:
    """Collect the operations on enums that a script needs.

    Args:
        found: the operations of the script, flattened by `ordering.flat`.
        metadata: the models.
        declared: the types that the migrations declared; columns that are missing in it are compared by `found` only.
        defaults: the server defaults that the migrations declared.
    """
    looked = _EnumChanges(found, metadata, declared, defaults)
    enums = Enums()
    looked.types(enums)
    looked.labels(enums)
    looked.columns(enums)
    looked.existing_operations(enums)
    return enums


def labels_changed(metadata: Iterable[sa.MetaData], declared: Declared) -> list[ops.MigrateOperation]:
    """Return the operations that change the labels of declared enums to those of the models.

    Args:
        metadata: the models.
        declared: the types that the migrations declared.
    """
    enums = enums_of((), metadata, declared)
    return [*enums.added, *enums.widened, *enums.narrowed]


def type_checks(
    found: Iterable[ops.MigrateOperation],
    models: Mapping[str, sa.Table],
    declared: Declared,
    handled: Collection[tuple[str, str]],
) -> set[tuple[str, str]]:
    """Return (table, name) of the CHECKs that are created and dropped with a column or its type, without an operation.

    Args:
        found: the operations of the script.
        models: the tables of the models, by `table` or `schema.table`.
        declared: the types that the migrations declared.
        handled: (table, column) of the columns whose labels are changed by a separate operation.
    """
    names: set[tuple[str, str]] = set()
    for key, column in [*handled, *_columns_of(found)]:
        table = models.get(key)
        kinds = [declared.get(key, {}).get(column)]
        kinds += [table.columns[column].type] if table is not None and column in table.columns else []
        given = {
            str(kind.name) for kind in kinds if isinstance(kind, Checked) and _checked(kind) and kind.name
        }
        names |= {(key, name) for name in given}
        if table is not None and given:  # by the naming convention
            metadata = sa.MetaData(naming_convention=table.metadata.naming_convention)
            bare = sa.Table(table.name, metadata, *(sa.CheckConstraint("1 = 1", name=name) for name in given))
            names |= {(key, str(check.name)) for check in bare.constraints if check.name}
    return names


def _columns_of(found: Iterable[ops.MigrateOperation]) -> Iterator[tuple[str, str]]:
    for one in found:
        if isinstance(one, ops.AddColumnOp):
            yield key_of(one.schema, one.table_name), one.column.name
        elif isinstance(one, ops.DropColumnOp) or (
            isinstance(one, ops.AlterColumnOp) and one.modify_type is not None
        ):
            yield key_of(one.schema, one.table_name), one.column_name


def is_of_types(operation: ops.MigrateOperation) -> bool:
    """Whether an operation only changes an enum type or its labels.

    Args:
        operation: an operation of a script.
    """
    return isinstance(operation, _OF_TYPES)


@dataclass
class _EnumChanges:
    found: Sequence[ops.MigrateOperation]
    metadata: Iterable[sa.MetaData]
    declared: Declared
    defaults: Defaults
    model: dict[str, sa.Table] = field(default_factory=dict)
    new: set[tuple[str, str]] = field(default_factory=set)
    """(table, column) that the script adds, or whose type it changes to an enum that the column did not have."""
    used: dict[_Key, sa.Enum] = field(default_factory=dict)
    """The native enum types of the models."""
    old: dict[_Key, list[str]] = field(default_factory=dict)
    """The labels of the native enum types that exist before the script."""

    def __post_init__(self) -> None:
        self.model = {key: table for one in self.metadata for key, table in one.tables.items()}
        self.new = set(self._new())
        for table in self.model.values():
            for column in table.columns:
                for kind in native_enums(column.type):
                    self.used.setdefault(_key(kind), kind)
        for columns in self.declared.values():
            for given in columns.values():
                for kind in native_enums(given):
                    self.old.setdefault(_key(kind), list(kind.enums))
        for _, _, given in self._gone():
            for kind in native_enums(given):
                self.old.setdefault(_key(kind), list(kind.enums))

    def types(self, enums: Enums) -> None:
        """Add the creation and the drop of types."""
        stays = {
            _key(kind)
            for key, table in self.model.items()
            for column in table.columns
            if (key, column.name) not in self.new
            for kind in native_enums(column.type)
        }
        enums.created += [
            CreateEnumOp(str(kind.name), kind.enums, kind.schema)
            for key, kind in self.used.items()
            if key not in stays and key not in self.old
        ]
        leaving = {(key, name) for key, name, _ in self._gone()}
        elsewhere = {
            _key(kind)
            for key, columns in self.declared.items()
            for name, given in columns.items()
            if (key, name) not in leaving
            for kind in native_enums(given)
        }
        gone: dict[_Key, ops.MigrateOperation] = {}
        for _, _, given in self._gone():
            for kind in native_enums(given):
                if _key(kind) not in self.used and _key(kind) not in elsewhere:
                    gone[_key(kind)] = DropEnumOp(str(kind.name), kind.enums, kind.schema)
        enums.dropped += gone.values()

    def labels(self, enums: Enums) -> None:
        """Add changes of labels of native types."""
        for key, kind in self.used.items():
            old, new = self.old.get(key), list(kind.enums)
            if old is None or old == new:
                continue
            both, added = _has_new_and_old_labels(old, new)
            name, schema = str(kind.name), kind.schema
            enums.added += [AddEnumLabelOp(name, label, schema=schema, **at) for label, at in added]
            if both != new:
                enums.narrowed.append(ReplaceEnumOp(name, new, both, schema=schema))

    def columns(self, enums: Enums) -> None:
        """Add changes of columns that store the labels in their own type or CHECK."""
        for key, table in self.model.items():
            for column in table.columns:
                old = self.declared.get(key, {}).get(column.name)
                kind = named_type(column)
                if (key, column.name) in self.new or old is None:
                    continue
                if _checked(old) != _checked(kind) and type(old) is type(kind) is sa.Boolean:
                    enums.handled.add((key, column.name))
                    enums.widened.append(self._widening(table, column, kind, old))
                    continue
                if (
                    not (isinstance(old, sa.Enum) and isinstance(kind, sa.Enum))
                    or old.native_enum != kind.native_enum
                    or (list(old.enums) == list(kind.enums) and _checked(old) == _checked(kind))
                ):
                    continue
                enums.handled.add((key, column.name))
                both, _ = _has_new_and_old_labels(old.enums, kind.enums)
                between = kind if both == list(kind.enums) else _with_labels(kind, both)
                if both != list(old.enums) or both == list(kind.enums):
                    enums.widened.append(self._widening(table, column, between, old))
                if between is not kind:
                    first = old if both == list(old.enums) else between
                    enums.narrowed.append(_change(table, column, kind, first))

    def _widening(
        self, table: sa.Table, column: sa.Column[Any], kind: Checked, old: Checked
    ) -> ChangeLabelsOp:
        """Return the change of labels, with the old default and nullability: it runs before their changes."""
        change = _change(table, column, kind, old)
        key = key_of(table.schema, table.name)
        declared = self.defaults.get(key, {})
        if column.name in declared:
            change.existing_server_default = as_default(declared[column.name])
        for one in self.found:
            if (
                isinstance(one, ops.AlterColumnOp)
                and (key_of(one.schema, one.table_name), one.column_name) == (key, column.name)
                and one.modify_nullable is not None
            ):
                change.existing_nullable = not one.modify_nullable
        return change

    def existing_operations(self, enums: Enums) -> None:
        """Add operations on enums that the script already contains and the other methods did not produce."""
        parts: tuple[tuple[type[Any], list[ops.MigrateOperation]], ...] = (
            (CreateEnumOp, enums.created),
            (DropEnumOp, enums.dropped),
            (DropEnumLabelOp, enums.narrowed),
            (AddEnumLabelOp, enums.added),
            (ReplaceEnumOp, enums.narrowed),
            (ChangeLabelsOp, enums.widened),
        )
        known = {_what(one) for part in (*vars(enums).values(),) if isinstance(part, list) for one in part}
        for one in self.found:
            for kind, part in parts:
                if isinstance(one, kind):
                    if _what(one) not in known:
                        part.append(one)
                    break

    def _new(self) -> Iterator[tuple[str, str]]:
        for one in self.found:
            if isinstance(one, ops.CreateTableOp):
                key = key_of(one.schema, one.table_name)
                yield from ((key, c.name) for c in one.columns if isinstance(c, sa.Column))
            elif isinstance(one, ops.AddColumnOp):
                yield key_of(one.schema, one.table_name), one.column.name
            elif isinstance(one, ops.AlterColumnOp) and one.modify_type is not None:
                key = key_of(one.schema, one.table_name)
                old = self.declared.get(key, {}).get(one.column_name, one.existing_type)
                wanted = {_key(kind) for kind in native_enums(one.modify_type)}
                # On an engine without native types, only the migrations know the old type.
                known = self.declared.get(key, {}).get(one.column_name) is not None
                if known and old is not None and not wanted <= {_key(kind) for kind in native_enums(old)}:
                    yield key, one.column_name

    def _gone(self) -> Iterator[tuple[str, str, TypeEngine[Any]]]:
        """Yield (table, column, old type) of columns that the script drops or whose type it changes."""
        for one in self.found:
            if isinstance(one, ops.DropTableOp):
                key = key_of(one.schema, one.table_name)
                for column in one.to_table().columns:
                    yield key, column.name, self.declared.get(key, {}).get(column.name, column.type)
            elif isinstance(one, ops.DropColumnOp):
                key = key_of(one.schema, one.table_name)
                kind = one.to_column().type
                yield key, one.column_name, self.declared.get(key, {}).get(one.column_name, kind)
            elif isinstance(one, ops.AlterColumnOp) and one.modify_type is not None:
                key = key_of(one.schema, one.table_name)
                old = self.declared.get(key, {}).get(one.column_name, one.existing_type)
                if old is not None:
                    yield key, one.column_name, old


def _key(kind: sa.Enum) -> _Key:
    """Return the identity of an enum type; the default schema is None, whether or not the models name it."""
    return None if kind.schema == _DEFAULT_SCHEMA else kind.schema, str(kind.name)


def _has_new_and_old_labels(
    old: Sequence[str], new: Sequence[str]
) -> tuple[list[str], list[tuple[str, dict[str, str | None]]]]:
    """Merge old and new labels; also return each added label with its position (`after` or `before` another)."""
    both, added = list(old), []
    for index, label in enumerate(new):
        if label in both:
            continue
        after = new[index - 1] if index else None
        before = None if index else (both[0] if both else None)
        place = both.index(after) + 1 if after is not None else 0
        both.insert(place, label)
        added.append((label, {"after": after, "before": before}))
    return both, added


def _with_labels(kind: sa.Enum, labels: Sequence[str]) -> sa.Enum:
    """Return a copy of the type with other labels."""
    more: dict[str, Any] = {} if kind.native_enum else {"length": max(kind.length or 0, *map(len, labels))}
    if kind.schema:
        more["schema"] = kind.schema
    return sa.Enum(
        *labels,
        name=kind.name,
        native_enum=kind.native_enum,
        create_constraint=kind.create_constraint,
        **more,
    )


def _checked(kind: Any) -> bool:
    """Whether a type creates a CHECK constraint."""
    return bool(getattr(kind, "create_constraint", False))


def _change(table: sa.Table, column: sa.Column[Any], kind: Checked, old: Checked) -> ChangeLabelsOp:
    return ChangeLabelsOp(
        table.name,
        column.name,
        kind,
        old,
        existing_nullable=bool(column.nullable),
        existing_server_default=column.server_default,
        existing_comment=column.comment,
        schema=table.schema,
    )


def _what(one: Any) -> tuple[Any, ...]:
    """Return what an operation changes; operations with the same value are duplicates."""
    if isinstance(one, ChangeLabelsOp):
        return ("column", one.schema, one.table_name, one.column_name)
    kind = "label" if isinstance(one, AddEnumLabelOp) else type(one).__name__
    return (kind, one.schema, one.name, getattr(one, "label", None))
