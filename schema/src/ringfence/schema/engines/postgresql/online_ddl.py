"""DDL on PostgreSQL that lets services go on using the table."""

import re
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from alembic.operations import Operations
from sqlalchemy.types import TypeEngine

from ringfence.schema.engines.online_ddl import OnlineDDL, checks_of, name_of, refuse_labels_in_use
from ringfence.schema.engines.postgresql import ddl
from ringfence.schema.engines.postgresql.catalog import PARTITIONED_NOT_VALID, is_since
from ringfence.schema.errors import JobFailed
from ringfence.schema.operations.operations import AddEnumLabelOp, ChangeLabelsOp, CreateExcludeOp
from ringfence.schema.sql.text import identifier, single_percents, verbatim

_PARTITIONED = """
    SELECT c.relkind IN ('p', 'I') FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = :name AND n.nspname = coalesce(:schema, current_schema())
"""


def is_invalid(name: str, schema: str | None) -> bool:
    """Return whether an invalid index of this name exists, which a failed build leaves.

    Args:
        name: the index.
        schema: its schema; None is the default one.
    """
    if op.get_context().as_sql:
        return False
    return ddl.schema_of_invalid_index(op.get_bind(), name, schema) is not None


def is_partitioned(name: str, schema: str | None) -> bool:
    """Return whether a table, or the table of an index, is partitioned: its indexes cannot be built concurrently.

    Args:
        name: the table or the index.
        schema: its schema; None is the default one.
    """
    return bool(_ask(_PARTITIONED, name, schema))


def send(statement: str) -> None:
    """Run a statement unchanged: a colon in it starts no bind parameter.

    Args:
        statement: the SQL.
    """
    op.execute(verbatim(statement))


_IDENTIFIER = r'(?:"(?:[^"]|"")+"|\w+)'
_VALIDATES = re.compile(
    rf"\s*ALTER\s+TABLE\s+(?:ONLY\s+)?(?:({_IDENTIFIER})\.)?({_IDENTIFIER})\s+VALIDATE\s+CONSTRAINT\s+({_IDENTIFIER})"
    r"\s*;?\s*\Z",
    re.IGNORECASE,
)


def validated_constraint(statement: str) -> tuple[str | None, str, str] | None:
    """Return the constraint that a VALIDATE CONSTRAINT statement names.

    Args:
        statement: any SQL statement.

    Returns:
        Schema (None where the statement names none), table and constraint; None for another statement.
    """
    if (found := _VALIDATES.match(statement)) is None:
        return None
    schema, table, name = (_plain(part) for part in found.groups())
    return schema, table or "", name or ""


def _plain(identifier: str | None) -> str | None:
    if identifier is None or not identifier.startswith('"'):
        return identifier and identifier.lower()
    return identifier[1:-1].replace('""', '"')


def _ask(query: str, name: str, schema: str | None) -> Any:
    if op.get_context().as_sql:
        return None
    return op.get_bind().execute(sa.text(query), {"name": name, "schema": schema}).scalar()


class PostgreSQLOnlineDDL(OnlineDDL):
    """Builds indexes concurrently, and adds constraints NOT VALID to validate them later."""

    def create_index(
        self, name: str | None, table: str, columns: Sequence[Any], schema: str | None, **more: Any
    ) -> None:
        """Build an index concurrently, outside a transaction.

        An invalid index of that name, which a failed build left, is dropped first. On a partitioned table the index is
        built with a lock, because the server cannot build it concurrently.
        """
        if is_partitioned(table, schema):  # the server builds none of these concurrently
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
        """Drop an index concurrently; with a lock on a partitioned table."""
        if is_partitioned(name, schema):
            op.drop_index(name, table_name=table, schema=schema, **more)
            return
        more = {"postgresql_concurrently": True, "if_exists": True} | more
        with op.get_context().autocommit_block():
            op.drop_index(name, table_name=table, schema=schema, **more)

    def create_unique(
        self, name: str, table: str, columns: Sequence[str], schema: str | None, **more: Any
    ) -> None:
        """Add a unique constraint on an index that was built concurrently.

        On a partitioned table the constraint is added with a lock.
        """
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
        """Add a foreign key NOT VALID: it binds new rows now, and `validate` checks the existing ones.

        Before PostgreSQL 18 the server cannot add it NOT VALID to a partitioned table; there the existing rows are
        checked with a lock.
        """
        local, remote = more.pop("local"), more.pop("remote")
        checked_at_once = is_partitioned(source, schema) and not is_since(
            op.get_bind(), PARTITIONED_NOT_VALID
        )
        later: dict[str, Any] = {} if checked_at_once else {"postgresql_not_valid": True}
        op.create_foreign_key(name, source, referent, local, remote, source_schema=schema, **later, **more)

    def create_check(self, name: str, table: str, condition: Any, schema: str | None) -> None:
        """Add a CHECK NOT VALID: it binds new rows now, and `validate` checks the existing ones."""
        op.create_check_constraint(name, table, condition, schema=schema, postgresql_not_valid=True)

    def validate(self, name: str, table: str, schema: str | None) -> None:
        """Check the existing rows against a constraint, while services read and write."""
        send(f"ALTER TABLE {self._table(table, schema)} VALIDATE CONSTRAINT {self._quoted(name)}")

    def set_not_null(
        self, table: str, column: str, type_: TypeEngine[Any], schema: str | None, **more: Any
    ) -> None:
        """Set NOT NULL, preceded by a validated CHECK that spares SET NOT NULL the scan of the table.

        Each step commits, so that no lock is held while the rows are checked. A migration that was interrupted starts
        again from the first step.
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
        """Create the enum type, unless it exists with the same labels."""
        ddl.create_enum(operations, name, labels, schema)

    def drop_enum(self, operations: Operations, name: str, schema: str | None) -> None:
        """Drop the enum type if it exists."""
        ddl.drop_enum(operations, name, schema)

    def add_enum_label(self, operations: Operations, added: AddEnumLabelOp) -> None:
        """Add a label in the revision's transaction; it can be used after the commit."""
        ddl.add_label(operations, added.name, added.label, added.before, added.after, added.schema)

    def drop_enum_label(self, operations: Operations, dropped: AddEnumLabelOp) -> None:
        """Remove a label by recreating the type."""
        ddl.drop_label(operations, dropped.name, dropped.label, dropped.schema)

    def replace_enum(
        self, operations: Operations, name: str, labels: Sequence[str], schema: str | None
    ) -> None:
        """Recreate the type with other labels."""
        ddl.replace_enum(operations, name, labels, schema)

    def change_labels(self, operations: Operations, change: ChangeLabelsOp) -> None:
        """Change the labels of an enum that is not native, by replacing its CHECK.

        The new CHECK binds new rows first, and the existing rows are checked after a commit. Nothing is done for a
        native enum.
        """
        kinds = (change.type_, change.existing_type)
        if all(isinstance(kind, sa.Enum) and kind.native_enum for kind in kinds):
            return
        refuse_labels_in_use(operations, change)
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
        """Add an EXCLUDE constraint; writers wait while its index is built, as the server has no other way.

        Raises:
            JobFailed: the constraint has an option that cannot be written.
        """
        options = dict(create.options)
        elements = ", ".join(f"{_compiled(one)} WITH {operator}" for one, operator in create.elements)
        statement = (
            f"ALTER TABLE {self._table(create.table_name, create.schema)} ADD CONSTRAINT"
            f" {self._quoted(create.constraint_name)} EXCLUDE USING {options.pop('using', None) or 'gist'} ({elements})"
        )
        if (where := options.pop("where", None)) is not None:
            statement += f" WHERE ({_compiled(where)})"
        if options.pop("deferrable", None):
            statement += " DEFERRABLE"
        if initially := options.pop("initially", None):
            statement += f" INITIALLY {initially}"
        if unknown := sorted(word for word, value in options.items() if value is not None):
            raise JobFailed(
                f"{create.constraint_name}: an EXCLUDE constraint is written without {', '.join(unknown)}"
            )
        operations.execute(verbatim(statement))

    def drop_exclude(self, name: str, table: str, schema: str | None) -> None:
        """Drop an EXCLUDE constraint."""
        op.drop_constraint(name, table, schema=schema)

    def _quoted(self, name: str) -> str:
        return identifier(op.get_context().dialect, name)

    def _table(self, table: str, schema: str | None) -> str:
        quoted = self._quoted(table)
        return f"{self._quoted(schema)}.{quoted}" if schema else quoted


def _compiled(element: Any) -> str:
    """Return an element or condition of an EXCLUDE constraint as SQL."""
    if isinstance(element, str):
        return element
    dialect = op.get_context().dialect
    text = str(
        element.compile(dialect=dialect, compile_kwargs={"literal_binds": True, "include_table": False})
    )
    return single_percents(text, dialect)  # they are doubled again when the whole statement is compiled
