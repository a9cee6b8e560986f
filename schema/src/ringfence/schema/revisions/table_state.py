"""The state of tables, columns, CHECKs, indexes and views after a series of recorded operations."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from alembic.operations import MigrateOperation, ops
from sqlalchemy.types import TypeEngine

from ringfence.schema import sqlalchemy_compat
from ringfence.schema.models.enums import native_enums
from ringfence.schema.operations.operations import (
    AddEnumLabelOp,
    ChangeLabelsOp,
    DropEnumLabelOp,
    ReplaceEnumOp,
)
from ringfence.schema.revisions.serving_indexes import Serving
from ringfence.schema.revisions.views import Views
from ringfence.schema.sql.table_keys import key_of

_NOT_NULL = re.compile(r"(?:\w+\.)?[\"`]?(?P<column>\w+)[\"`]?\s+IS\s+NOT\s+NULL", re.IGNORECASE)
_VALIDATE = re.compile(
    r"ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?(?P<table>\S+)\s+VALIDATE\s+CONSTRAINT\s+(?P<name>\S+)",
    re.IGNORECASE,
)
_ADDS_LABEL = re.compile(
    r"\s*ALTER\s+TYPE\s+(?P<name>\S+)\s+ADD\s+VALUE\s+(?:IF\s+NOT\s+EXISTS\s+)?'(?P<label>(?:[^']|'')*)'"
    r"(?:\s+(?P<where>BEFORE|AFTER)\s+'(?P<other>(?:[^']|'')*)')?",
    re.IGNORECASE,
)


def validated(sql: str) -> tuple[str, str] | None:
    """Return the table and the constraint that a VALIDATE CONSTRAINT statement names; None for any other SQL.

    Only PostgreSQL has this statement, and Alembic has no operation for it.
    """
    match = _VALIDATE.search(sql)
    return (match["table"].replace('"', ""), match["name"].strip('";')) if match else None


@dataclass(frozen=True)
class Known:
    """One column as operations defined it last; its type is None if no operation gave one."""

    type: TypeEngine[Any] | None
    nullable: bool | None
    default: bool | None
    """Whether the server fills the column in; None if no operation said so."""
    server_default: Any = None
    """The declared server default, if there is one."""


@dataclass
class Check:
    """A CHECK (column IS NOT NULL), and whether it has been validated for all rows."""

    column: str
    valid: bool


@dataclass
class Schema:
    """The tables that operations created, by key, and the columns of each."""

    tables: dict[str, dict[str, Known]] = field(default_factory=dict)
    checks: dict[str, dict[str, Check]] = field(default_factory=dict)
    serving: Serving = field(default_factory=Serving)
    views: Views = field(default_factory=Views)

    def column(self, key: str, name: str) -> Known | None:
        """Return what is known of a column; None if nothing is.

        Args:
            key: the table, as from `key_of`.
            name: the column.
        """
        return self.tables.get(key, {}).get(name)

    def types(self) -> dict[str, dict[str, TypeEngine[Any]]]:
        """Return the types of columns by table, as far as operations gave them."""
        return {
            key: {name: known.type for name, known in columns.items() if known.type is not None}
            for key, columns in self.tables.items()
        }

    def defaults(self) -> dict[str, dict[str, Any]]:
        """Return the server defaults of columns by table, as far as operations gave them; None means no default."""
        return {
            key: {name: known.server_default for name, known in columns.items() if known.default is not None}
            for key, columns in self.tables.items()
        }

    def never_null(self, key: str, name: str) -> bool:
        """Return whether a validated CHECK guarantees that a column is never NULL."""
        return any(check.column == name and check.valid for check in self.checks.get(key, {}).values())

    def apply(self, operation: MigrateOperation) -> None:
        """Apply the changes of one operation."""
        self._tables(operation)
        self._columns(operation)
        self._labels(operation)
        self.serving.apply(operation)
        self.views.apply(operation)
        self._checks(operation)

    def _tables(self, operation: MigrateOperation) -> None:
        match operation:
            case ops.CreateTableOp():
                columns = {c.name: _known(c) for c in operation.columns if isinstance(c, sa.Column)}
                self.tables[key_of(operation.schema, operation.table_name)] = columns
            case ops.DropTableOp():
                key = key_of(operation.schema, operation.table_name)
                self.tables.pop(key, None)
                self.checks.pop(key, None)
            case ops.RenameTableOp():
                old, new = (
                    key_of(operation.schema, name)
                    for name in (operation.table_name, operation.new_table_name)
                )
                self.tables[new] = self.tables.pop(old, {})
                self.checks[new] = self.checks.pop(old, {})
            case _:
                pass

    def _columns(self, operation: MigrateOperation) -> None:
        match operation:
            case ops.AddColumnOp():
                self._of(operation)[operation.column.name] = _known(operation.column)
            case ops.DropColumnOp():
                self._of(operation).pop(operation.column_name, None)
            case ops.AlterColumnOp():
                self._alter(operation)
            case _:
                pass

    def _labels(self, operation: MigrateOperation) -> None:
        match operation:
            case DropEnumLabelOp():
                self._relabel(operation.schema, operation.name, lambda old: _without(old, operation.label))
            case AddEnumLabelOp():
                self._relabel(
                    operation.schema,
                    operation.name,
                    lambda old: _with(old, operation.label, operation.before, operation.after),
                )
            case ReplaceEnumOp():
                self._relabel(operation.schema, operation.name, lambda old: list(operation.labels))
            case ChangeLabelsOp():
                columns = self.tables.setdefault(key_of(operation.schema, operation.table_name), {})
                known = columns.get(operation.column_name) or Known(None, operation.existing_nullable, None)
                columns[operation.column_name] = replace(known, type=operation.type_)
            case ops.ExecuteSQLOp() if found := _ADDS_LABEL.match(str(operation.sqltext)):
                schema, _, name = found["name"].replace('"', "").rpartition(".")
                label, other = (found[word] and found[word].replace("''", "'") for word in ("label", "other"))
                first = (found["where"] or "").upper() == "BEFORE"
                before, after = (other, None) if first else (None, other)
                self._relabel(schema or None, name, lambda old: _with(old, label, before, after))
            case _:
                pass

    def _relabel(self, schema: str | None, name: str, change: Callable[[list[str]], list[str]]) -> None:
        """Change the labels of a native enum in every column that uses it."""
        for columns in self.tables.values():
            for column, known in columns.items():
                if known.type is not None and any(
                    (kind.schema, kind.name) == (schema, name) for kind in native_enums(known.type)
                ):
                    columns[column] = replace(known, type=_relabelled(known.type, change))

    def _checks(self, operation: MigrateOperation) -> None:
        match operation:
            case ops.CreateCheckConstraintOp() if match := _NOT_NULL.fullmatch(
                str(operation.condition).strip().strip("()")
            ):
                valid = not operation.kw.get("postgresql_not_valid")
                key = key_of(operation.schema, operation.table_name)
                self.checks.setdefault(key, {})[str(operation.constraint_name)] = Check(
                    match["column"], valid
                )
            case ops.DropConstraintOp():
                key = key_of(operation.schema, operation.table_name)
                self.checks.get(key, {}).pop(str(operation.constraint_name), None)
            case ops.ExecuteSQLOp() if found := validated(str(operation.sqltext)):
                if check := self.checks.get(found[0], {}).get(found[1]):
                    check.valid = True
            case _:
                pass

    def _of(self, operation: ops.AlterTableOp) -> dict[str, Known]:
        return self.tables.setdefault(key_of(operation.schema, operation.table_name), {})

    def _alter(self, operation: ops.AlterColumnOp) -> None:
        columns = self._of(operation)
        known = columns.pop(operation.column_name, None) or Known(
            operation.existing_type, operation.existing_nullable, None
        )
        if operation.modify_type is not None:
            known = replace(known, type=operation.modify_type)
        if operation.modify_nullable is not None:
            known = replace(known, nullable=operation.modify_nullable)
        if operation.modify_server_default is not False:
            said = operation.modify_server_default
            known = replace(known, default=said is not None, server_default=said)
        columns[operation.modify_name or operation.column_name] = known


def _known(column: sa.Column[Any]) -> Known:
    return Known(column.type, bool(column.nullable), fills_itself(column), column.server_default)


def fills_itself(column: sa.Column[Any]) -> bool:
    """Return whether the server gives a column a value when an insert omits it."""
    return (
        column.server_default is not None
        or column.computed is not None
        or column.identity is not None
        or (
            column.primary_key
            and column.autoincrement in {True, "auto"}
            and isinstance(column.type, sa.Integer)
        )
    )


def _relabelled(kind: TypeEngine[Any], change: Callable[[list[str]], list[str]]) -> TypeEngine[Any]:
    """Return the type with other labels: of an enum, of an array's items, or of the variants for single dialects."""
    made = kind
    if isinstance(kind, sa.ARRAY):
        made = type(kind)(_relabelled(kind.item_type, change), dimensions=kind.dimensions)
    elif isinstance(kind, sa.Enum):
        words: dict[str, Any] = {"name": kind.name, "create_constraint": kind.create_constraint}
        words |= {"schema": kind.schema} if kind.schema else {}
        made = sa.Enum(*change(list(kind.enums)), native_enum=kind.native_enum, **words)
    for dialect, variant in sqlalchemy_compat.variants(kind).items():
        made = made.with_variant(_relabelled(variant, change), dialect)
    return made


def _with(labels: list[str], label: str, before: str | None, after: str | None) -> list[str]:
    if label in labels:
        return labels
    place = len(labels)
    if before in labels:
        place = labels.index(str(before))
    elif after in labels:
        place = labels.index(str(after)) + 1
    return [*labels[:place], label, *labels[place:]]


def _without(labels: list[str], label: str) -> list[str]:
    return [one for one in labels if one != label]
