"""DDL on MariaDB and Galera: what it says for MySQL holds there too."""

from typing import Any

import sqlalchemy as sa
from alembic.ddl.mysql import MariaDBImpl
from sqlalchemy.dialects.mysql.base import MySQLDDLCompiler

from ringfence.schema.mysql_words import HOLDS_ON, extend_statement


class ExtendingImpl(MariaDBImpl):
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
