"""How each engine changes a table while services use it; `ringfence.schema.migrate.online` is the face of it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

# Engines that can add a constraint now and look at the rows later, without a lock that others wait for.
_LATER = frozenset({"postgresql"})
_INVALID = """
    SELECT 1 FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = :name AND n.nspname = COALESCE(:schema, current_schema()) AND NOT i.indisvalid
"""


def looks_later(engines: Iterable[str]) -> bool:
    """Whether one of these engines adds a constraint in one revision and looks at the rows in another."""
    return not _LATER.isdisjoint(engines)


class Way:
    """Through a batch: the table is built anew where the engine cannot alter it, and it is a plain ALTER elsewhere."""

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


class FamilyWay(Way):
    """MySQL and MariaDB, where a unique constraint is a unique index."""

    def create_unique(
        self, name: str, table: str, columns: Sequence[str], schema: str | None, **more: Any
    ) -> None:
        """As an index."""
        self.create_index(name, table, columns, schema, unique=True)


class PostgreSQLWay(Way):
    """Concurrent indexes, and constraints that are added first and validated later."""

    def create_index(
        self, name: str | None, table: str, columns: Sequence[Any], schema: str | None, **more: Any
    ) -> None:
        """Concurrently. What a build that failed left behind is dropped first: it is marked as invalid."""
        context = op.get_context()
        with context.autocommit_block():
            if name is not None and not context.as_sql and self._is_invalid(name, schema):
                op.drop_index(
                    name, table_name=table, schema=schema, postgresql_concurrently=True, if_exists=True
                )
            more = {"postgresql_concurrently": True, "if_not_exists": True} | more
            op.create_index(name, table, columns, schema=schema, **more)

    def drop_index(self, name: str, table: str | None, schema: str | None, **more: Any) -> None:
        """Concurrently."""
        more = {"postgresql_concurrently": True, "if_exists": True} | more
        with op.get_context().autocommit_block():
            op.drop_index(name, table_name=table, schema=schema, **more)

    def create_unique(
        self, name: str, table: str, columns: Sequence[str], schema: str | None, **more: Any
    ) -> None:
        """From an index that was made concurrently."""
        self.create_index(name, table, columns, schema, unique=True)
        whole, index = self._table(table, schema), self._quoted(name)
        op.execute(f"ALTER TABLE {whole} ADD CONSTRAINT {index} UNIQUE USING INDEX {index}")

    def create_foreign_key(
        self, name: str, source: str, referent: str, schema: str | None, **more: Any
    ) -> None:
        """Binds new rows at once; the old ones are looked at by `validate`."""
        local, remote = more.pop("local"), more.pop("remote")
        op.create_foreign_key(
            name, source, referent, local, remote, source_schema=schema, postgresql_not_valid=True, **more
        )

    def create_check(self, name: str, table: str, condition: Any, schema: str | None) -> None:
        """Binds new rows at once; the old ones are looked at by `validate`."""
        op.create_check_constraint(name, table, condition, schema=schema, postgresql_not_valid=True)

    def validate(self, name: str, table: str, schema: str | None) -> None:
        """Look at the rows that were there before, while others read and write."""
        op.execute(f"ALTER TABLE {self._table(table, schema)} VALIDATE CONSTRAINT {self._quoted(name)}")

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
            condition = f"{self._quoted(column)} IS NOT NULL"
            op.create_check_constraint(check, table, condition, schema=schema, postgresql_not_valid=True)
            self.validate(check, table, schema)
        op.alter_column(table, column, existing_type=type_, nullable=False, schema=schema, **more)
        op.drop_constraint(check, table, type_="check", schema=schema)

    def drop_constraint(self, name: str, table: str, kind: str | None, schema: str | None) -> None:
        """Drop a constraint."""
        op.drop_constraint(name, table, type_=kind, schema=schema)

    def _is_invalid(self, name: str, schema: str | None) -> bool:
        found = op.get_bind().execute(sa.text(_INVALID), {"name": name, "schema": schema})
        return found.scalar() is not None

    def _quoted(self, name: str) -> str:
        return op.get_context().dialect.identifier_preparer.quote(name)

    def _table(self, table: str, schema: str | None) -> str:
        quoted = self._quoted(table)
        return f"{self._quoted(schema)}.{quoted}" if schema else quoted


_WAYS: Mapping[str, Way] = {"postgresql": PostgreSQLWay(), "mysql": FamilyWay(), "mariadb": FamilyWay()}
_ANY = Way()


def way(dialect: str) -> Way:
    """How tables are changed on a dialect of SQLAlchemy's."""
    return _WAYS.get(dialect, _ANY)
