"""The adapter of each engine: ours over PyDAL's, with the few differences between the engines."""

from typing import Any

from pydal.adapters import adapters
from pydal.adapters.mysql import MySQL
from pydal.adapters.postgres import PostgrePsyco
from pydal.adapters.sqlite import SQLite
from pydal.objects import Expression, Field

from ringfence.runtime.dal.adapter import RingfenceAdapter
from ringfence.runtime.dal.decode_errors import read_key
from ringfence.runtime.dal.dialects import MySQLDialect, PostgreSQLDialect, SQLiteDialect
from ringfence.runtime.dal.sequence_defaults import drawn_key, sequence_of
from ringfence.runtime.dal.types import uniform

# DB_TYPE -> the name under which PyDAL finds our adapter.
URIS = {
    "postgresql": "ringfence_postgresql://",
    "mysql": "ringfence_mysql://",
    "sqlite": "ringfence_sqlite://",
}


@adapters.register_for("ringfence_postgresql")
class PostgreSQLAdapter(RingfenceAdapter, PostgrePsyco):  # type: ignore[misc]  # pydal is untyped
    """PostgreSQL's adapter: keys come from RETURNING, where the account may read them."""

    def _load_dependencies(self) -> None:
        super()._load_dependencies()
        self.dialect = PostgreSQLDialect(self)

    def _config_json(self) -> None:
        """Do nothing: the codecs read and write JSON."""

    def _returning(self, table: Any, fields: Any) -> tuple[str, ...]:
        given = {field.name for field, value in fields if not isinstance(value, Expression)}
        columns = table._mirror.columns
        keys = [columns.get(name) for name in table._mirror.primary_key]
        if "select" not in table._mirror.verbs or not all(key and key.selectable for key in keys):
            return ()
        missing = [self.dialect.quote(key.name) for key in keys if key.field not in given]
        return (", ".join(missing),) if missing else ()

    def _insert_empty(self, table: Any) -> str:
        returning = self._returning(table, ())
        return super()._insert_empty(table) + (f" RETURNING {returning[0]}" if returning else "")

    def inserted_key(self, table: Any, fields: Any) -> Any:
        """Return the key of the row just inserted; RETURNING gave those parts that the server generated."""
        made: list[Any] = []

        def read(field: Any) -> Any:
            if not made:
                made.extend(self.fetchone() or [None])
            return read_key(field, made.pop(0))

        return self.key_of(table, fields, read)

    def lastrowid(self, table: Any) -> Any:
        """Return the first column that RETURNING gave, or None."""
        row = self.fetchone()
        return row[0] if row else None


@adapters.register_for("ringfence_mysql")
class MySQLAdapter(RingfenceAdapter, MySQL):  # type: ignore[misc]  # pydal is untyped
    """The adapter of MySQL, MariaDB and Galera."""

    def _load_dependencies(self) -> None:
        super()._load_dependencies()
        self.dialect = MySQLDialect(self)

    def _insert_empty(self, table: Any) -> str:
        return f"INSERT INTO {table._relation('insert')} () VALUES ()"

    def lastrowid(self, table: Any) -> Any:
        """Return the AUTO_INCREMENT key, or the last value this session drew from the key's sequence."""
        key = drawn_key(table)
        drawn = (
            self.backend.last_value(*sequence_of(key.default)) if key is not None and key.default else None
        )
        if drawn is None:
            return super().lastrowid(table)
        self.execute(f"SELECT {drawn}")
        return self.fetchone()[0]


@adapters.register_for("ringfence_sqlite")
class SQLiteAdapter(RingfenceAdapter, SQLite):  # type: ignore[misc]  # pydal is untyped
    """SQLite's adapter: a session that may write locks the whole database, so FOR UPDATE is omitted."""

    def _load_dependencies(self) -> None:
        super()._load_dependencies()
        self.dialect = SQLiteDialect(self)

    def _expand(
        self, expression: Any, field_type: Any = None, colnames: bool = False, query_env: Any = None
    ) -> str:
        sql: str = super()._expand(expression, field_type, colnames, query_env or {})
        if colnames or not isinstance(expression, Field) or (written := uniform(expression)) is None:
            return sql
        return str(written.form(sql))

    def _geoexpand(self, field: Any, query_env: Any) -> str:
        """Return a selected column; one normalized for comparison keeps its name as an alias, for an outer select."""
        sql = str(super()._geoexpand(field, query_env))
        formed = isinstance(field, Field) and uniform(field) is not None
        return f"{sql} AS {field._rname}" if formed else sql

    def select(self, query: Any, fields: Any, attributes: dict[str, Any]) -> Any:
        """Run a select without `for_update`, for which PyDAL would begin a transaction."""
        return super().select(query, fields, {**attributes, "for_update": False})

    def iterselect(self, query: Any, fields: Any, attributes: dict[str, Any]) -> Any:
        """Run a select in batches, without `for_update` as in `select`."""
        return super().iterselect(query, fields, {**attributes, "for_update": False})
