"""DDL on the MySQL family: defaults in ALTER TABLE, and the use of MySQL's options on MariaDB and Galera."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import sqlalchemy as sa
from alembic.ddl.mysql import MariaDBImpl, MySQLImpl
from sqlalchemy.dialects.mysql.base import MySQLDDLCompiler
from sqlalchemy.sql.elements import Grouping

from ringfence.schema.alembic_compat import ddl_implementation
from ringfence.schema.engines.base import Statement
from ringfence.schema.engines.ddl_attempts import Attempt, ineffective_attempts
from ringfence.schema.sql.mysql_options import HOLDS_ON, extend_statement


class _AlteringAsCreating:
    """Mixin for Alembic's implementations: ALTER writes a default as CREATE TABLE does.

    In CREATE TABLE, SQLAlchemy puts expressions in parentheses. MySQL requires these for any function, and without them
    `b'101'` is a literal instead of an expression. Alembic does not write them (1.20.1).
    """

    folds: ClassVar[bool] = False
    """Whether ALTER … SET DEFAULT turns (literal) into a literal, where CREATE and MODIFY keep the expression."""
    dialect: sa.Dialect
    connection: sa.Connection | None
    as_sql: bool

    def alter_column(
        self,
        table_name: str,
        column_name: str,
        *,
        server_default: Any = False,
        existing_server_default: Any = None,
        **words: Any,
    ) -> None:
        """Alter a column as Alembic does, with defaults written as in CREATE TABLE.

        Args:
            table_name: the table.
            column_name: the column.
            server_default: the new default; None drops it, False leaves it as it is.
            existing_server_default: the present default.
            words: Alembic's other arguments.
        """
        default, text = self._as_created(server_default)
        known = words.get("existing_type") is not None and words.get("existing_nullable") is not None
        if self.folds and text.startswith("(") and known and words.get("type_") is None:
            words["type_"] = words["existing_type"]  # lets Alembic write MODIFY, with the whole column
            if words.get("existing_comment") is None:
                words["existing_comment"] = self._comment(table_name, column_name, words.get("schema"))
        alter: Any = getattr(super(), "alter_column")  # noqa: B009 - of the class that this one is mixed with
        alter(
            table_name,
            column_name,
            server_default=default,
            existing_server_default=self._as_created(existing_server_default)[0],
            **words,
        )

    def _as_created(self, default: Any) -> tuple[Any, str]:
        """Return the default in the parentheses of CREATE TABLE, and its text; "" where it is no expression."""
        expression: Any = default.arg if isinstance(default, sa.DefaultClause) else default
        if not isinstance(expression, sa.ClauseElement):
            return default, ""
        compiler = self.dialect.ddl_compiler(self.dialect, None)  # type: ignore[arg-type] # one without a statement, as SQLAlchemy's own
        column: sa.Column[Any] = sa.Column("x", sa.Integer, server_default=expression)  # type: ignore[arg-type] # an expression
        text = str(compiler.get_column_default_string(column))
        if not compiler.get_column_specification(column).endswith(f"DEFAULT ({text})"):
            return default, text
        whole: Any = Grouping(expression)  # type: ignore[arg-type] # likewise
        return sa.DefaultClause(whole), f"({text})"

    def _comment(self, table: str, column: str, schema: str | None) -> str | None:
        """Return the comment of a column, which the whole definition of the column must repeat."""
        if self.connection is None or self.as_sql:
            return None
        found = self.connection.exec_driver_sql(
            "SELECT column_comment FROM information_schema.columns"
            " WHERE table_schema = COALESCE(%s, DATABASE()) AND table_name = %s AND column_name = %s",
            (schema, table, column),
        ).scalar()
        return str(found) if found else None


@ddl_implementation("mysql")
class AlteringImpl(_AlteringAsCreating, MySQLImpl):
    """Alembic's implementation for MySQL, in place of its own.

    The server refuses ALTER TABLE … ALTER … SET DEFAULT ('[]') for JSON and TEXT, and accepts MODIFY … DEFAULT ('[]')
    (MySQL 9.7.4).
    """

    folds: ClassVar[bool] = True


@ddl_implementation("mariadb")
class ExtendingImpl(_AlteringAsCreating, MariaDBImpl):
    """Alembic's implementation for MariaDB, in place of its own.

    The statements of a migration that is printed (`--sql`) do not pass through an engine, so they are extended here.
    """

    def _exec(self, construct: Any, *arguments: Any, **options: Any) -> Any:
        extend_statement(construct)
        return super()._exec(construct, *arguments, **options)


class MariaDBDDLCompiler(MySQLDDLCompiler):
    """SQLAlchemy's compiler without NOT NULL on computed columns, which MariaDB's grammar lacks (error 1064)."""

    def get_column_specification(self, column: sa.Column[Any], **kw: Any) -> str:
        """Return the definition of a column, for a computed one without NOT NULL.

        An expression over columns that are never NULL yields no NULL, so that nothing is lost.
        """
        if column.computed is not None:
            kw["_force_column_to_nullable"] = True
        return super().get_column_specification(column, **kw)


def extend_engine(engine: sa.Engine) -> sa.Engine:
    """Apply MySQL's options to all DDL of a MariaDB engine.

    This includes `Table.create` and `MetaData.create_all` in a migration.

    Args:
        engine: it is changed and returned; engines of other dialects stay as they are.
    """

    def extend(connection: object, statement: object, *given: object) -> None:
        extend_statement(statement)

    if engine.dialect.name == HOLDS_ON:
        sa.event.listen(engine, "before_execute", extend)
        engine.dialect.ddl_compiler = MariaDBDDLCompiler
    return engine


class FamilyDDL:
    """DDL statements of the MySQL family."""

    def drop_standalone_objects(self, connection: sa.Connection) -> list[str]:
        """Return the statements that drop each function and procedure of the default database."""
        rows = connection.exec_driver_sql(
            "SELECT routine_type, routine_name FROM information_schema.routines WHERE routine_schema = DATABASE()"
        )
        quote = connection.dialect.identifier_preparer.quote_identifier
        return [f"DROP {kind} {quote(name)}" for kind, name in rows]

    def drop_incomplete_index(
        self, connection: sa.Connection, schema: str | None, index: str
    ) -> Statement | None:
        """Return None: a DDL statement takes effect as a whole or not at all."""
        return None

    def attempts(self, tables: Sequence[tuple[str, str]], readable: str) -> Iterator[Attempt]:
        """Yield the DDL that a proof tries as a service; none of it leaves anything behind."""
        yield from ineffective_attempts(tables, readable)
