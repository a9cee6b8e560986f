"""DDL on the MySQL family: defaults of an ALTER, and on MariaDB and Galera what is said for MySQL."""

from typing import Any, ClassVar

import sqlalchemy as sa
from alembic.ddl.mysql import MariaDBImpl, MySQLImpl
from sqlalchemy.dialects.mysql.base import MySQLDDLCompiler
from sqlalchemy.sql.elements import Grouping

from ringfence.schema.sql.mysql_options import HOLDS_ON, extend_statement


class _AlteringAsCreating:
    """Alembic's implementation, with the defaults of an ALTER as those of a CREATE TABLE.

    SQLAlchemy puts expressions in parentheses there, which MySQL wants for any function, and without which `b'101'`
    is a literal and not an expression; Alembic does not (1.20.1).
    """

    folds: ClassVar[bool] = False
    """Whether ALTER … SET DEFAULT makes a literal of (literal), where CREATE and MODIFY keep the expression."""
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
        """See Alembic's."""
        default, text = self._as_created(server_default)
        known = words.get("existing_type") is not None and words.get("existing_nullable") is not None
        if self.folds and text.startswith("(") and known and words.get("type_") is None:
            words["type_"] = words["existing_type"]  # so that the column is written whole
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
        """The default, in the parentheses that CREATE TABLE gives it, and as text; "" where it is no expression."""
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
        """The comment that a column has, which is written with it."""
        if self.connection is None or self.as_sql:
            return None
        found = self.connection.exec_driver_sql(
            "SELECT column_comment FROM information_schema.columns"
            " WHERE table_schema = COALESCE(%s, DATABASE()) AND table_name = %s AND column_name = %s",
            (schema, table, column),
        ).scalar()
        return str(found) if found else None


class AlteringImpl(_AlteringAsCreating, MySQLImpl):
    """Takes the place of Alembic's for MySQL by being defined.

    ALTER TABLE … ALTER … SET DEFAULT ('[]') is refused there for JSON and TEXT, and MODIFY … DEFAULT ('[]') is not
    (MySQL 9.7.4).
    """

    __dialect__ = "mysql"
    folds: ClassVar[bool] = True


class ExtendingImpl(_AlteringAsCreating, MariaDBImpl):
    """Alembic's implementation for MariaDB, which this one takes the place of by being defined.

    A migration that is printed (`--sql`) reaches no engine: it is extended here.
    """

    __dialect__ = "mariadb"

    def _exec(self, construct: Any, *arguments: Any, **options: Any) -> Any:
        extend_statement(construct)
        return super()._exec(construct, *arguments, **options)


class MariaDBDDLCompiler(MySQLDDLCompiler):
    """SQLAlchemy's, which gives MariaDB a NOT NULL that its grammar has not for a computed column (error 1064)."""

    def get_column_specification(self, column: sa.Column[Any], **kw: Any) -> str:
        """The column; one that is computed without that word: from columns that are never NULL no NULL is computed."""
        if column.computed is not None:
            kw["_force_column_to_nullable"] = True
        return super().get_column_specification(column, **kw)


def extend_engine(engine: sa.Engine) -> sa.Engine:
    """Let all DDL of an engine, `Table.create` and `MetaData.create_all` of a migration too, heed what is for MySQL."""

    def extend(connection: object, statement: object, *given: object) -> None:
        extend_statement(statement)

    if engine.dialect.name == HOLDS_ON:
        sa.event.listen(engine, "before_execute", extend)
        engine.dialect.ddl_compiler = MariaDBDDLCompiler
    return engine
