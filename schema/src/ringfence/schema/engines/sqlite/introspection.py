"""Reads what an SQLite file holds, and what SQLite makes of the models in memory, from the same CREATE statements."""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from ringfence.schema.comparison.scratch import creating_models
from ringfence.schema.comparison.snapshot import Models, Snapshot, unnamed
from ringfence.schema.engines.sqlite.create_statements import (
    TableText,
    canonical,
    read_index,
    read_table,
    read_view,
)
from ringfence.schema.engines.sqlite.reflection import SQLiteTranslator
from ringfence.schema.rendering.table_parts import Translator
from ringfence.schema.state.columns import ColumnPath

_MASTER = "SELECT type, name, tbl_name, sql FROM {}sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"
_OURS = ("ringfence_", "sqlite_", "_alembic_tmp_")


class SQLiteCatalog:
    """Reads `sqlite_master`, whose statements are the schema; the scratch database is in memory."""

    def schemas(self, connection: sa.Connection, models: Models) -> set[str | None]:
        """Return the schemas of the models."""
        return models.schemas

    def read(self, connection: sa.Connection, schemas: Collection[str | None]) -> Snapshot:
        """Read the main database, for the schema None, and attached databases by their names."""
        snapshot = Snapshot()
        attached = {row[1] for row in connection.exec_driver_sql("PRAGMA database_list")}
        for schema in sorted(schemas, key=lambda name: name or ""):
            if schema is None or schema in attached:
                _read(connection, schema, snapshot)
        return snapshot

    def definitions(self, connection: sa.Connection, schemas: Collection[str | None]) -> Snapshot:
        """Read the views and triggers."""
        found = self.read(connection, schemas)
        return Snapshot(
            {name: facets for name, facets in found.items.items() if name.kind in ("view", "trigger")}
        )

    def spelled_by(self, connection: sa.Connection) -> str:
        """Return an empty text: a file keeps each statement as it was written, on every version."""
        return ""

    def reference(self, connection: sa.Connection, models: Models) -> Snapshot:
        """Create the models in a database in memory, with one attached for each schema, and read that."""
        engine = sa.create_engine("sqlite+pysqlite://", poolclass=StaticPool)
        try:
            return self._make(engine, models)
        finally:
            engine.dispose()

    def _make(self, engine: sa.Engine, models: Models) -> Snapshot:
        with engine.connect() as scratch:
            quote = scratch.dialect.identifier_preparer.quote
            for schema in sorted(filter(None, models.schemas)):
                scratch.exec_driver_sql(f"ATTACH ':memory:' AS {quote(schema)}")
            for metadata in models.metadata:
                tables = [table for key, table in models.tables.items() if metadata.tables.get(key) is table]
                views = [table for table in metadata.tables.values() if table.is_view]
                with creating_models(scratch):
                    metadata.create_all(scratch, tables=[*tables, *views])
            return self.read(scratch, models.schemas)


def _read(connection: sa.Connection, schema: str | None, snapshot: Snapshot) -> None:
    label = schema or ""
    prefix = f"{connection.dialect.identifier_preparer.quote(schema)}." if schema else ""
    found = [
        row
        for row in connection.exec_driver_sql(_MASTER.format(prefix))
        if not row.tbl_name.startswith(_OURS) and row.tbl_name != "alembic_version"
    ]
    tables = {row.name: read_table(row.sql) for row in found if row.type == "table"}
    keys = {name.lower(): _key(table) for name, table in tables.items()}
    for name, table in tables.items():
        _table(snapshot, label, name, table, keys)
    for row in found:
        if row.type == "index":
            unique = "yes" if canonical(row.sql).startswith("create unique") else None
            columns, where = read_index(row.sql)
            facets = {"columns": columns, "where": where, "unique": unique}
            snapshot.add("index", label, row.tbl_name, row.name, **facets)
        elif row.type == "view":
            columns, body = read_view(row.sql)
            snapshot.add("view", label, row.name, row.name, definition=body, columns=columns or None)
        elif row.type == "trigger" and not row.name.startswith(_OURS):
            snapshot.add("trigger", label, row.tbl_name, row.name, definition=canonical(row.sql))


def _key(table: TableText) -> tuple[str, ...]:
    return next((item.columns for item in table.constraints if item.kind == "primary key"), ())


def _table(
    snapshot: Snapshot, schema: str, name: str, table: TableText, keys: Mapping[str, tuple[str, ...]]
) -> None:
    snapshot.add("table", schema, name, name, options=table.options or None)
    key = _key(table)
    for column in table.columns:
        # In a primary key, too, SQLite allows NULL unless the column is INTEGER or declared NOT NULL.
        facets: dict[str, Any] = {"type": column.type, "null": "no" if column.not_null else "yes"}
        facets["on conflict"] = column.conflict or None
        if (column.name.lower(),) == key and column.type == "INTEGER":
            facets["null"] = "no"
        snapshot.add(
            "column",
            schema,
            name,
            column.name,
            **facets,
            default=None if column.default == "null" else column.default,
            collation=None if column.collation in (None, "binary") else column.collation,
            computed=column.computed,
            autoincrement="yes" if column.autoincrement else None,
        )
    for item in table.constraints:
        columns = ", ".join(item.columns)
        definition = item.definition
        if item.kind == "foreign key":
            target = definition.partition(" (")[0]
            if " ()" in definition:
                definition = definition.replace(" ()", f" ({', '.join(keys.get(target, ()))})", 1)
            definition = f"({columns}) references {definition}"
        elif item.kind != "check":
            definition = f"({columns}){f' {definition}' if definition else ''}"
        label = "" if item.kind == "primary key" else item.name or unnamed(definition)
        conflict = {"on conflict": item.conflict or None}
        snapshot.add(item.kind, schema, name, label, definition=definition, **conflict)


class SQLiteIntrospection:
    """What one database file holds."""

    def __init__(self) -> None:
        self.catalog = SQLiteCatalog()

    def translator(self, connection: sa.Connection) -> Translator:
        """Return the translator from SQLite's catalog to the source of models."""
        return SQLiteTranslator()

    def columns(self, connection: sa.Connection) -> frozenset[ColumnPath]:
        """Read the columns of every table and view of the main database."""
        rows = connection.exec_driver_sql(
            "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c"
            " WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        )
        return frozenset((None, table, column) for table, column in rows)

    def tables_without_rollback(self, connection: sa.Connection) -> frozenset[tuple[str | None, str]]:
        """Return no table: a rollback undoes every change."""
        return frozenset()

    def broken_references(self, connection: sa.Connection) -> Mapping[str, int]:
        """Count them for every table: SQLite checks no foreign key while they are switched off for a migration.

        A table whose foreign key refers to columns that are not unique cannot be checked, and is left out; the models
        have no such foreign key.
        """
        broken: Counter[str] = Counter()
        quote = connection.dialect.identifier_preparer.quote
        for table in sa.inspect(connection).get_table_names():
            try:
                rows = connection.exec_driver_sql(f"PRAGMA foreign_key_check({quote(table)})").all()
            except sa.exc.OperationalError as error:
                if "foreign key mismatch" not in str(error.orig):
                    raise
            else:
                broken.update(row[0] for row in rows)
        return broken
