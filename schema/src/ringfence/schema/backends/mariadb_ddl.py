"""DDL on MariaDB and Galera: what it says for MySQL holds there too."""

from typing import Any

import sqlalchemy as sa
from alembic.ddl.mysql import MariaDBImpl

from ringfence.schema.mysql_words import HOLDS_ON, extend_statement


class ExtendingImpl(MariaDBImpl):
    """Alembic's implementation for MariaDB, which this one takes the place of by being defined.

    A migration that is printed (`--sql`) reaches no engine: it is extended here.
    """

    __dialect__ = "mariadb"

    def _exec(self, construct: Any, *arguments: Any, **options: Any) -> Any:
        extend_statement(construct)
        return super()._exec(construct, *arguments, **options)


def extend_engine(engine: sa.Engine) -> sa.Engine:
    """Let all DDL of an engine, `Table.create` and `MetaData.create_all` of a migration too, heed what is for MySQL."""

    def extend(connection: object, statement: object, *given: object) -> None:
        extend_statement(statement)

    if engine.dialect.name == HOLDS_ON:
        sa.event.listen(engine, "before_execute", extend)
    return engine
