"""How PostgreSQL changes a table while services use it."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.operations import Operations
from sqlalchemy.types import TypeEngine

from ringfence.schema.engines.online_ddl import OnlineDDL, checks_of, name_of, refuse_held
from ringfence.schema.engines.postgresql import online_enums
from ringfence.schema.engines.postgresql.online_checks import is_invalid, is_partitioned, send
from ringfence.schema.operations.operations import AddEnumLabelOp, ChangeLabelsOp, CreateExcludeOp
from ringfence.schema.sql.text import identifier, verbatim


class PostgreSQLOnlineDDL(OnlineDDL):
    """Concurrent indexes, and constraints that are added first and validated later."""

    def create_index(
        self, name: str | None, table: str, columns: Sequence[Any], schema: str | None, **more: Any
    ) -> None:
        """Concurrently. What a build that failed left behind is dropped first: it is marked as invalid."""
        if is_partitioned(table, schema):  # the server has no other way for one; nor for a foreign key of it
            op.create_index(name, table, columns, schema=schema, **more)
            return
        with op.get_context().autocommit_block():
            if name is not None and is_invalid(name, schema):
                op.drop_index(
                    name, table_name=table, schema=schema, postgresql_concurrently=True, if_exists=True
                )
            more = {"postgresql_concurrently": True, "if_not_exists": True} | more
            op.create_index(name, table, columns, schema=schema, **more)

    def drop_index(self, name: str, table: str | None, schema: str | None, **more: Any) -> None:
        """Concurrently."""
        if is_partitioned(name, schema):
            op.drop_index(name, table_name=table, schema=schema, **more)
            return
        more = {"postgresql_concurrently": True, "if_exists": True} | more
        with op.get_context().autocommit_block():
            op.drop_index(name, table_name=table, schema=schema, **more)

    def create_unique(
        self, name: str, table: str, columns: Sequence[str], schema: str | None, **more: Any
    ) -> None:
        """From an index that was made concurrently."""
        if is_partitioned(table, schema):
            op.create_unique_constraint(name, table, list(columns), schema=schema, **more)
            return
        waits = [" DEFERRABLE"] if more.pop("deferrable", None) else []
        waits += [f" INITIALLY {initially}"] if (initially := more.pop("initially", None)) else []
        self.create_index(name, table, columns, schema, unique=True, **more)
        whole, index = self._table(table, schema), self._quoted(name)
        send(f"ALTER TABLE {whole} ADD CONSTRAINT {index} UNIQUE USING INDEX {index}{''.join(waits)}")

    def create_foreign_key(
        self, name: str, source: str, referent: str, schema: str | None, **more: Any
    ) -> None:
        """Binds new rows at once; the old ones are looked at by `validate`."""
        local, remote = more.pop("local"), more.pop("remote")
        later: dict[str, Any] = {} if is_partitioned(source, schema) else {"postgresql_not_valid": True}
        op.create_foreign_key(name, source, referent, local, remote, source_schema=schema, **later, **more)

    def create_check(self, name: str, table: str, condition: Any, schema: str | None) -> None:
        """Binds new rows at once; the old ones are looked at by `validate`."""
        op.create_check_constraint(name, table, condition, schema=schema, postgresql_not_valid=True)

    def validate(self, name: str, table: str, schema: str | None) -> None:
        """Look at the rows that were there before, while others read and write."""
        send(f"ALTER TABLE {self._table(table, schema)} VALIDATE CONSTRAINT {self._quoted(name)}")

    def set_not_null(
        self, table: str, column: str, type_: TypeEngine[Any], schema: str | None, **more: Any
    ) -> None:
        """By a CHECK that is validated while others read and write: SET NOT NULL then believes it.

        Each step ends its transaction, so that no lock is held while the rows are read; a run that broke off is begun
        again from the start.
        """
        check = f"nn_{table}_{column}"[:63]
        with op.get_context().autocommit_block():
            op.drop_constraint(check, table, type_="check", schema=schema, if_exists=True)
            condition = verbatim(f"{self._quoted(column)} IS NOT NULL")
            op.create_check_constraint(check, table, condition, schema=schema, postgresql_not_valid=True)
            self.validate(check, table, schema)
        op.alter_column(table, column, existing_type=type_, nullable=False, schema=schema, **more)
        op.drop_constraint(check, table, type_="check", schema=schema)

    def drop_constraint(self, name: str, table: str, kind: str | None, schema: str | None) -> None:
        """Drop a constraint."""
        op.drop_constraint(name, table, type_=kind, schema=schema)

    def create_enum(
        self, operations: Operations, name: str, labels: Sequence[str], schema: str | None
    ) -> None:
        """Make the type."""
        online_enums.create_enum(operations, name, labels, schema)

    def drop_enum(self, operations: Operations, name: str, schema: str | None) -> None:
        """Drop the type."""
        online_enums.drop_enum(operations, name, schema)

    def add_enum_label(self, operations: Operations, added: AddEnumLabelOp) -> None:
        """In the revision's transaction: the label can be used when that is committed."""
        online_enums.add_label(operations, added.name, added.label, added.before, added.after, added.schema)

    def drop_enum_label(self, operations: Operations, dropped: AddEnumLabelOp) -> None:
        """By making the type anew."""
        online_enums.drop_label(operations, dropped.name, dropped.label, dropped.schema)

    def replace_enum(
        self, operations: Operations, name: str, labels: Sequence[str], schema: str | None
    ) -> None:
        """Make the type anew."""
        online_enums.replace_enum(operations, name, labels, schema)

    def change_labels(self, operations: Operations, change: ChangeLabelsOp) -> None:
        """Of an enum that is not native: its CHECK binds new rows first, and then the old ones are looked at."""
        kinds = (change.type_, change.existing_type)
        if all(isinstance(kind, sa.Enum) and kind.native_enum for kind in kinds):
            return
        refuse_held(operations, change)
        impl: Any = operations.impl
        for check in checks_of(operations, change, change.existing_type):
            impl.drop_constraint(check, if_exists=True)
        dialect = operations.get_context().dialect
        texts = {kind.compile(dialect=dialect) for kind in (change.type_, change.existing_type)}
        if len(texts) > 1:
            impl.alter_column(
                change.table_name,
                change.column_name,
                type_=change.type_,
                schema=change.schema,
                existing_type=change.existing_type,
            )
        checks = checks_of(operations, change, change.type_)
        for check in checks:
            check.dialect_options["postgresql"]["not_valid"] = True
            impl.add_constraint(check)
        if checks:
            with operations.get_context().autocommit_block():
                for check in checks:
                    self.validate(name_of(check, dialect), change.table_name, change.schema)

    def create_exclude(self, operations: Operations, create: CreateExcludeOp) -> None:
        """Add the constraint: its index is built while others wait, for the server has no other way."""
        online_enums.create_exclude(operations, create)

    def drop_exclude(self, name: str, table: str, schema: str | None) -> None:
        """Drop the constraint."""
        op.drop_constraint(name, table, schema=schema)

    def _quoted(self, name: str) -> str:
        return identifier(op.get_context().dialect, name)

    def _table(self, table: str, schema: str | None) -> str:
        quoted = self._quoted(table)
        return f"{self._quoted(schema)}.{quoted}" if schema else quoted
