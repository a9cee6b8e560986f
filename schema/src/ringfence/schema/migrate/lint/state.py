"""What the revisions before an operation made: tables with their columns, as far as operations tell."""

import re
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa
from alembic.operations import MigrateOperation, ops
from sqlalchemy.types import TypeEngine

_NOT_NULL = re.compile(r"(?:\w+\.)?[\"`]?(?P<column>\w+)[\"`]?\s+IS\s+NOT\s+NULL", re.IGNORECASE)
_VALIDATE = re.compile(
    r"ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?(?P<table>\S+)\s+VALIDATE\s+CONSTRAINT\s+(?P<name>\S+)",
    re.IGNORECASE,
)


def key_of(schema: str | None, table: str) -> str:
    """A table as `Deployment.tables` names it."""
    return f"{schema}.{table}" if schema else table


def validated(sql: str) -> tuple[str, str] | None:
    """The table and the constraint that a statement validates; PostgreSQL alone has such, and Alembic no operation."""
    match = _VALIDATE.search(sql)
    return (match["table"].replace('"', ""), match["name"].strip('";')) if match else None


@dataclass(frozen=True)
class Known:
    """One column as it was last said to be; the type is None where no operation told it."""

    type: TypeEngine[Any] | None
    nullable: bool | None
    default: bool | None
    """Whether the server fills it in; None where no operation told."""


@dataclass
class Check:
    """A CHECK (column IS NOT NULL), and whether all rows were looked at."""

    column: str
    valid: bool


@dataclass
class Schema:
    """The tables that operations made, by key, and the columns of each."""

    tables: dict[str, dict[str, Known]] = field(default_factory=dict)
    checks: dict[str, dict[str, Check]] = field(default_factory=dict)

    def column(self, key: str, name: str) -> Known | None:
        """What is known of a column; None when nothing is."""
        return self.tables.get(key, {}).get(name)

    def never_null(self, key: str, name: str) -> bool:
        """Whether a validated CHECK holds that a column is never NULL."""
        return any(check.column == name and check.valid for check in self.checks.get(key, {}).values())

    def apply(self, operation: MigrateOperation) -> None:
        """Take over what one operation changes."""
        self._tables(operation)
        self._columns(operation)
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
            known = replace(known, default=operation.modify_server_default is not None)
        columns[operation.modify_name or operation.column_name] = known


def _known(column: sa.Column[Any]) -> Known:
    return Known(column.type, bool(column.nullable), fills_itself(column))


def fills_itself(column: sa.Column[Any]) -> bool:
    """Whether the server gives a column a value when an insert names none."""
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
