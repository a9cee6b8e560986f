"""How each engine changes a table while services use it; `ringfence.schema.revisions.online` is the face of it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import sqlalchemy as sa
from alembic import op
from alembic.operations import Operations
from sqlalchemy.schema import CreateSequence, DropSequence
from sqlalchemy.types import TypeEngine

from ringfence.schema.engines import online_enums
from ringfence.schema.engines.online_checks import is_invalid, is_partitioned, send
from ringfence.schema.errors import JobFailed, LabelHeld
from ringfence.schema.operations.operations import (
    AddEnumLabelOp,
    ChangeLabelsOp,
    CreateExcludeOp,
    labels_gone,
)
from ringfence.schema.sql.text import identifier, verbatim
from ringfence.schema.text import counted

# Engines that can add a constraint now and look at the rows later, without a lock that others wait for.
_LATER = frozenset({"postgresql"})
_HOLDING = frozenset({"mysql", "mariadb", "galera"})


def looks_later(engines: Iterable[str]) -> bool:
    """Whether one of these engines adds a constraint in one revision and looks at the rows in another.

    Args:
        engines: those of the deployment, by their names.
    """
    return not _LATER.isdisjoint(engines)


def holds_keys_to_indexes(engines: Iterable[str]) -> bool:
    """Whether one of these engines refuses to drop the last index that serves a foreign key.

    Args:
        engines: those of the deployment, by their names.
    """
    return not _HOLDING.isdisjoint(engines)


class Way:
    """Through a batch: the table is built anew where the engine cannot alter it, and it is a plain ALTER elsewhere.

    Its methods take the same everywhere: `name` is that of the index, constraint or type; `table` and `schema` are the
    table's, and None is the default schema; `operations` are those of the migration that runs; `more` is what the
    operation of Alembic's takes beside that. None of them returns anything.
    """

    # The flag speaks to PostgreSQL, and to the lint: the others build an index while rows are written, or are one file.
    concurrent: ClassVar[Mapping[str, Any]] = {"postgresql_concurrently": True}

    def create_index(
        self, name: str | None, table: str, columns: Sequence[Any], schema: str | None, **more: Any
    ) -> None:
        """Make an index."""
        op.create_index(name, table, columns, schema=schema, **(dict(self.concurrent) | more))

    def drop_index(self, name: str, table: str | None, schema: str | None, **more: Any) -> None:
        """Drop an index."""
        op.drop_index(name, table_name=table, schema=schema, **(dict(self.concurrent) | more))

    def create_unique(
        self, name: str, table: str, columns: Sequence[str], schema: str | None, **more: Any
    ) -> None:
        """Add a unique constraint."""
        with op.batch_alter_table(table, schema=schema) as batch:
            batch.create_unique_constraint(name, columns, **more)

    def create_foreign_key(
        self, name: str, source: str, referent: str, schema: str | None, **more: Any
    ) -> None:
        """Add a foreign key."""
        more["postgresql_not_valid"] = True
        with op.batch_alter_table(source, schema=schema) as batch:
            batch.create_foreign_key(name, referent, more.pop("local"), more.pop("remote"), **more)

    def create_check(self, name: str, table: str, condition: Any, schema: str | None) -> None:
        """Add a CHECK."""
        with op.batch_alter_table(table, schema=schema) as batch:
            batch.create_check_constraint(name, condition, postgresql_not_valid=True)

    def validate(self, name: str, table: str, schema: str | None) -> None:
        """Nothing: the rows were looked at when the constraint was added."""

    def set_not_null(
        self, table: str, column: str, type_: TypeEngine[Any], schema: str | None, **more: Any
    ) -> None:
        """Refuse NULL from now on."""
        with op.batch_alter_table(table, schema=schema) as batch:
            batch.alter_column(column, existing_type=type_, nullable=False, **more)

    def drop_constraint(self, name: str, table: str, kind: str | None, schema: str | None) -> None:
        """Drop a constraint."""
        with op.batch_alter_table(table, schema=schema) as batch:
            batch.drop_constraint(name, type_=kind)

    def create_enum(
        self, operations: Operations, name: str, labels: Sequence[str], schema: str | None
    ) -> None:
        """Nothing: an enum has no type of its own."""

    def drop_enum(self, operations: Operations, name: str, schema: str | None) -> None:
        """Nothing, see `create_enum`."""

    def add_enum_label(self, operations: Operations, added: AddEnumLabelOp) -> None:
        """Nothing, see `create_enum`."""

    def drop_enum_label(self, operations: Operations, dropped: AddEnumLabelOp) -> None:
        """Nothing, see `create_enum`."""

    def replace_enum(
        self, operations: Operations, name: str, labels: Sequence[str], schema: str | None
    ) -> None:
        """Nothing, see `create_enum`."""

    def change_labels(self, operations: Operations, change: ChangeLabelsOp) -> None:
        """Give the column its new type; and its new CHECK, where the labels stand in one."""
        _refuse_held(operations, change)
        dialect = operations.get_context().dialect
        texts = {kind.compile(dialect=dialect) for kind in (change.type_, change.existing_type)}
        if len(texts) == 1 and not (change.type_.create_constraint or change.existing_type.create_constraint):
            return  # the engine does not know the labels
        with operations.batch_alter_table(change.table_name, schema=change.schema) as batch:
            batch.alter_column(change.column_name, type_=change.type_, **_existing(change))

    def create_sequence(self, operations: Operations, sequence: sa.Sequence) -> None:
        """Where the engine has sequences."""
        if operations.get_context().dialect.supports_sequences:
            operations.execute(CreateSequence(sequence, if_not_exists=True))

    def drop_sequence(self, operations: Operations, sequence: sa.Sequence) -> None:
        """Where the engine has sequences."""
        if operations.get_context().dialect.supports_sequences:
            operations.execute(DropSequence(sequence, if_exists=True))

    def create_exclude(self, operations: Operations, create: CreateExcludeOp) -> None:
        """Nothing: the engine has no such constraint."""

    def drop_exclude(self, name: str, table: str, schema: str | None) -> None:
        """Nothing, see `create_exclude`."""

    def index_foreign_key(self, name: str, table: str, columns: Sequence[str], schema: str | None) -> None:
        """Nothing: a foreign key needs no index of its own table."""

    def unindex_foreign_key(self, operations: Operations, name: str, table: str, schema: str | None) -> None:
        """Nothing, see `index_foreign_key`."""


class FamilyWay(Way):
    """MySQL and MariaDB, where a unique constraint is a unique index."""

    def create_unique(
        self, name: str, table: str, columns: Sequence[str], schema: str | None, **more: Any
    ) -> None:
        """As an index."""
        self.create_index(name, table, columns, schema, unique=True)

    def change_labels(self, operations: Operations, change: ChangeLabelsOp) -> None:
        """In the column's type; and in the CHECK of its name, which Alembic does not drop here."""
        _refuse_held(operations, change)
        dialect, impl = operations.get_context().dialect, operations.impl
        for check in _checks(operations, change, change.existing_type):
            name = _name(check, dialect)
            operations.drop_constraint(name, change.table_name, type_="check", schema=change.schema)
        if change.type_.compile(dialect=dialect) != change.existing_type.compile(dialect=dialect):
            impl.alter_column(
                change.table_name,
                change.column_name,
                type_=change.type_,
                schema=change.schema,
                **_existing(change),
            )
        for check in _checks(operations, change, change.type_):
            impl.add_constraint(check)

    def index_foreign_key(self, name: str, table: str, columns: Sequence[str], schema: str | None) -> None:
        """As the server does by itself when a key is made that no index serves."""
        op.create_index(name, table, list(columns), schema=schema)

    def unindex_foreign_key(self, operations: Operations, name: str, table: str, schema: str | None) -> None:
        """Where it is there: one that the server made itself went when another came that serves the key."""
        context = operations.get_context()
        if context.as_sql:
            return
        found = sa.inspect(operations.get_bind()).get_indexes(table, schema=schema)
        if any(index["name"] == name for index in found):
            op.drop_index(name, table_name=table, schema=schema)


class PostgreSQLWay(Way):
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
        _refuse_held(operations, change)
        impl: Any = operations.impl
        for check in _checks(operations, change, change.existing_type):
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
        checks = _checks(operations, change, change.type_)
        for check in checks:
            check.dialect_options["postgresql"]["not_valid"] = True
            impl.add_constraint(check)
        if checks:
            with operations.get_context().autocommit_block():
                for check in checks:
                    self.validate(_name(check, dialect), change.table_name, change.schema)

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


def _existing(change: ChangeLabelsOp) -> dict[str, Any]:
    default = change.existing_server_default
    return {
        "existing_type": change.existing_type,
        "existing_nullable": change.existing_nullable,
        "existing_server_default": False if default is None else default,
        "existing_comment": change.existing_comment,
    }


def _checks(
    operations: Operations, change: ChangeLabelsOp, kind: sa.Enum | sa.Boolean
) -> list[sa.CheckConstraint]:
    """The CHECKs that a column of this type brings with it on the engine."""
    compiler = operations.impl.dialect.statement_compiler(operations.impl.dialect, None)
    column: sa.Column[Any] = sa.Column(change.column_name, kind)
    table = operations.schema_obj.table(change.table_name, column, schema=change.schema)
    return [
        one
        for one in table.constraints
        if isinstance(one, sa.CheckConstraint) and (one._create_rule is None or one._create_rule(compiler))  # noqa: SLF001 - as Alembic asks
    ]


def _name(check: sa.CheckConstraint, dialect: sa.Dialect) -> str:
    """The name as it is made, by the naming convention where there is one; not quoted."""
    formatted = dialect.identifier_preparer.format_constraint(check, _alembic_quote=False)
    if formatted is None:
        raise JobFailed(f"the CHECK of an enum has no name, and cannot be replaced: {check.sqltext}")
    return str(formatted)


def _refuse_held(operations: Operations, change: ChangeLabelsOp) -> None:
    """Raise LabelHeld while rows hold a label that goes: before anything was changed."""
    gone = labels_gone(change)
    if not gone or operations.get_context().as_sql:
        return
    cell: sa.ColumnClause[Any] = sa.column(change.column_name, sa.String())
    table = sa.table(change.table_name, schema=change.schema)
    rows = operations.get_bind().execute(
        sa.select(sa.func.count()).select_from(table).where(sa.cast(cell, sa.String(255)).in_(gone))
    )
    if count := rows.scalar_one():
        raise LabelHeld(
            f"{change.table_name}.{change.column_name}: {counted(count, 'row')} hold {', '.join(map(repr, gone))},"
            " which the enum is to lose: give these rows another value first, and run this again; nothing was changed"
        )


_WAYS: Mapping[str, Way] = {"postgresql": PostgreSQLWay(), "mysql": FamilyWay(), "mariadb": FamilyWay()}
_ANY = Way()


def way(dialect: str) -> Way:
    """How tables are changed on a dialect of SQLAlchemy's.

    Args:
        dialect: SQLAlchemy's name of it.
    """
    return _WAYS.get(dialect, _ANY)
