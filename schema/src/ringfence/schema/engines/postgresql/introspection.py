"""Reads PostgreSQL's catalog: the state of a database, and the state that the models would have on the server.

Each query takes the list `schemas`. Left out are members of extensions, Ringfence's own tables, Alembic's version
table, and what a partition or a child table inherits. Names of objects on the search_path are printed without their
schema, as the server's functions do.
"""

import json
import re
import secrets
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.ddl import CheckFirst

from ringfence.schema.comparison.model_statements import catalog_name, statements
from ringfence.schema.comparison.scratch import creating_models
from ringfence.schema.comparison.snapshot import Models, Snapshot
from ringfence.schema.engines.postgresql.reflection import PostgreSQLTranslator
from ringfence.schema.errors import JobFailed
from ringfence.schema.models.enums import native_enums
from ringfence.schema.rendering.table_parts import Translator
from ringfence.schema.state.columns import ColumnPath

_CONSTRAINT_KINDS = {"p": "primary key", "u": "unique", "c": "check", "f": "foreign key", "x": "exclude"}
_GENERATED = {"s": "STORED", "v": "VIRTUAL"}
_IDENTITY = {"a": "always", "d": "by default"}

_OURS = r"(c.relname LIKE 'ringfence\_%%' OR c.relname = 'alembic_version')"


def _no_member(catalog: str, oid: str) -> str:
    return (
        "NOT EXISTS (SELECT FROM pg_catalog.pg_depend e"
        f" WHERE e.classid = 'pg_catalog.{catalog}'::regclass AND e.objid = {oid} AND e.deptype = 'e')"
    )


_SCHEMAS = "SELECT nspname FROM pg_catalog.pg_namespace WHERE nspname = ANY(%(schemas)s) ORDER BY nspname"

_TABLE = f"""
    c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname = ANY(%(schemas)s) AND NOT {_OURS}
    AND {_no_member("pg_class", "c.oid")}
"""

_TABLES = f"""
    SELECT n.nspname AS schema, c.relname AS table,
      CASE c.relpersistence WHEN 'u' THEN 'yes' END AS unlogged,
      pg_catalog.pg_get_partkeydef(c.oid) AS partition_by,
      (SELECT string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno)
       FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid) AS inherits,
      pg_catalog.obj_description(c.oid, 'pg_class') AS comment
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE {_TABLE} ORDER BY 1, 2
"""

_COLUMNS = f"""
    SELECT n.nspname AS schema, c.relname AS table, a.attname AS name,
      pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS not_null,
      a.attidentity::text AS identity, a.attgenerated::text AS generated,
      pg_catalog.pg_get_expr(d.adbin, d.adrelid, true) AS expression,
      EXISTS (
        SELECT FROM pg_catalog.pg_depend o JOIN pg_catalog.pg_sequence q ON q.seqrelid = o.objid
        WHERE o.classid = 'pg_catalog.pg_class'::regclass AND o.deptype = 'a'
          AND o.refclassid = 'pg_catalog.pg_class'::regclass AND o.refobjid = c.oid AND o.refobjsubid = a.attnum
      ) AS owned_sequence,
      CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END AS collation,
      pg_catalog.col_description(c.oid, a.attnum) AS comment,
      s.seqstart AS start, s.seqincrement AS increment, s.seqmin AS minimum, s.seqmax AS maximum,
      s.seqcache AS cache, s.seqcycle AS cycle
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    LEFT JOIN pg_catalog.pg_depend i ON a.attidentity <> '' AND i.deptype = 'i'
      AND i.classid = 'pg_catalog.pg_class'::regclass AND i.refclassid = 'pg_catalog.pg_class'::regclass
      AND i.refobjid = c.oid AND i.refobjsubid = a.attnum
    LEFT JOIN pg_catalog.pg_sequence s ON s.seqrelid = i.objid
    WHERE {_TABLE} AND a.attnum > 0 AND NOT a.attisdropped AND a.attislocal
    ORDER BY 1, 2, a.attnum
"""

_CONSTRAINTS = f"""
    SELECT n.nspname AS schema, c.relname AS table, k.conname AS name, k.contype::text AS type,
      pg_catalog.pg_get_constraintdef(k.oid, true) AS definition,
      pg_catalog.obj_description(k.oid, 'pg_constraint') AS comment
    FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE {_TABLE} AND k.contype IN ('p', 'u', 'c', 'f', 'x') AND k.conislocal AND k.conparentid = 0
    ORDER BY 1, 2, 3
"""

_INDEXES = f"""
    SELECT n.nspname AS schema, c.relname AS table, x.relname AS name,
      pg_catalog.pg_get_indexdef(i.indexrelid, 0, true) AS definition,
      i.indisunique AS is_unique, i.indisvalid AS is_valid,
      pg_catalog.obj_description(i.indexrelid, 'pg_class') AS comment
    FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
    WHERE {_TABLE} AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_constraint k
      WHERE k.conindid = i.indexrelid AND k.conrelid = i.indrelid AND k.contype IN ('p', 'u', 'x')
    )
    ORDER BY 1, 2, 3
"""

_ENUMS = f"""
    SELECT n.nspname AS schema, t.typname AS name,
      (SELECT array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_catalog.pg_enum e
       WHERE e.enumtypid = t.oid) AS labels
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typtype = 'e' AND n.nspname = ANY(%(schemas)s) AND {_no_member("pg_type", "t.oid")}
    ORDER BY 1, 2
"""

_EXTENSIONS = "SELECT extname FROM pg_catalog.pg_extension ORDER BY 1"

# Domains, composite types and ranges. Row types of tables and multiranges are created with another object.
_TYPES = f"""
    SELECT n.nspname AS schema, t.typname AS name, t.typtype::text AS type, t.typnotnull AS not_null,
      CASE t.typtype
        WHEN 'd' THEN pg_catalog.format_type(t.typbasetype, t.typtypmod)
        WHEN 'r' THEN (SELECT pg_catalog.format_type(r.rngsubtype, NULL) FROM pg_catalog.pg_range r
                       WHERE r.rngtypid = t.oid)
        ELSE (SELECT string_agg(quote_ident(a.attname) || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod), ', '
                ORDER BY a.attnum)
              FROM pg_catalog.pg_attribute a
              WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
      END AS definition,
      t.typdefault AS default,
      CASE WHEN t.typtype = 'd' AND t.typcollation <> b.typcollation THEN t.typcollation::regcollation::text END
        AS collation,
      (SELECT array_agg(k.conname || ' ' || pg_catalog.pg_get_constraintdef(k.oid, true) ORDER BY k.conname)
       FROM pg_catalog.pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c') AS checks
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
    LEFT JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype
    WHERE (t.typtype IN ('d', 'r') OR (t.typtype = 'c' AND c.relkind = 'c')) AND n.nspname = ANY(%(schemas)s)
      AND {_no_member("pg_type", "t.oid")}
    ORDER BY 1, 2
"""
_TYPE_KINDS = {"d": "domain", "r": "range", "c": "composite"}

# A sequence that a column owns is read with that column.
_SEQUENCES = rf"""
    SELECT n.nspname AS schema, c.relname AS name, s.seqstart AS start, s.seqincrement AS increment,
      s.seqmin AS minimum, s.seqmax AS maximum, s.seqcache AS cache, s.seqcycle AS cycle
    FROM pg_catalog.pg_sequence s
    JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY(%(schemas)s) AND c.relname NOT LIKE 'ringfence\_%%'
      AND {_no_member("pg_class", "c.oid")} AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend o
        WHERE o.classid = 'pg_catalog.pg_class'::regclass AND o.objid = c.oid AND o.deptype IN ('a', 'i')
          AND o.refclassid = 'pg_catalog.pg_class'::regclass
      )
    ORDER BY 1, 2
"""

_VIEWS = rf"""
    SELECT n.nspname AS schema, c.relname AS table, pg_catalog.pg_get_viewdef(c.oid, true) AS definition,
      CASE c.relkind WHEN 'm' THEN 'yes' END AS materialized, c.reloptions AS options
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('v', 'm') AND n.nspname = ANY(%(schemas)s) AND c.relname NOT LIKE 'ringfence\_%%'
      AND {_no_member("pg_class", "c.oid")}
    ORDER BY 1, 2
"""

_FUNCTIONS = rf"""
    SELECT n.nspname AS schema,
      p.proname || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')' AS name,
      concat_ws(' ', p.prokind, pg_catalog.pg_get_function_arguments(p.oid), '->',
        pg_catalog.pg_get_function_result(p.oid), l.lanname, p.provolatile, p.prosecdef::text, p.proisstrict::text,
        p.proparallel, array_to_string(p.proconfig, ', ')) AS header,
      coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc) AS body
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_catalog.pg_language l ON l.oid = p.prolang
    WHERE n.nspname = ANY(%(schemas)s) AND p.prokind IN ('f', 'p', 'w') AND p.proname NOT LIKE 'ringfence\_%%'
      AND {_no_member("pg_proc", "p.oid")}
    ORDER BY 1, 2
"""

_TRIGGERS = rf"""
    SELECT n.nspname AS schema, c.relname AS table, g.tgname AS name,
      pg_catalog.pg_get_triggerdef(g.oid, true) AS definition,
      CASE g.tgenabled WHEN 'O' THEN NULL ELSE g.tgenabled::text END AS enabled
    FROM pg_catalog.pg_trigger g
    JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE {_TABLE} AND NOT g.tgisinternal AND g.tgname NOT LIKE 'ringfence\_%%'
    ORDER BY 1, 2, 3
"""
# Triggers on views, partitions and foreign tables too, without those that a partition inherits.
_ALL_TRIGGERS = _TRIGGERS.replace(
    f"WHERE {_TABLE}",
    "WHERE n.nspname = ANY(%(schemas)s) AND c.relkind IN ('r', 'p', 'v', 'f') AND g.tgparentid = 0"
    f" AND {_no_member('pg_class', 'c.oid')}",
)


_SCRATCH = "ringfence_scratch_"
_NOT_VALID = " NOT VALID"
_RIGHTS = """
    SELECT current_database(), current_user, has_database_privilege(current_database(), 'CREATE'),
      has_database_privilege(current_database(), 'TEMPORARY')
"""
_COLUMN_PATHS = """
    SELECT CASE WHEN n.nspname = current_schema() THEN NULL ELSE n.nspname END, c.relname, a.attname
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped
      AND n.nspname <> 'information_schema' AND left(n.nspname, 3) <> 'pg_'
"""


class PostgreSQLCatalog:
    """Reads `pg_catalog`; the scratch is a set of schemas created in a transaction that is rolled back.

    Args:
        engine: returns an engine of the admin account.
    """

    def __init__(self, engine: Callable[[], sa.Engine]) -> None:
        self._engine = engine

    def schemas(self, connection: sa.Connection, models: Models) -> set[str | None]:
        """Return the schemas of the models' tables, types, sequences and DDL; None is the default one."""
        default = _default_schema(connection)
        return models.schemas | (ModelObjects.of(models, connection, default).schemas - {default})

    def read(self, connection: sa.Connection, schemas: Collection[str | None]) -> Snapshot:
        """Return a snapshot of these schemas, and of the default one."""
        default = _default_schema(connection)
        labels = {schema or default: schema or "" for schema in schemas} | {default: ""}
        return _Reader(connection, labels, {}).read()

    def definitions(self, connection: sa.Connection, schemas: Collection[str | None]) -> Snapshot:
        """Return the views, functions and triggers of these schemas."""
        default = _default_schema(connection)
        labels = {schema or default: "" if schema in (None, default) else str(schema) for schema in schemas}
        # The server omits schemas on the search_path from its texts; with an empty path every session gets the same.
        path = connection.exec_driver_sql(
            "SELECT current_setting('search_path'), set_config('search_path', '', false)"
        ).scalar_one()
        found = _Reader(
            connection, labels, {}
        ).definitions()  # after an error, the rollback restores the setting
        connection.exec_driver_sql("SELECT set_config('search_path', %s, false)", (path,))
        return found

    def spelled_by(self, connection: sa.Connection) -> str:
        """Return the server version, the default schema, the OID of the database and the identifier of the cluster.

        A database restored from a dump prints some expressions in another form than the original, so the identity
        counts too.
        """
        ask = connection.exec_driver_sql
        words = ask(
            "SELECT current_setting('server_version_num'), current_schema(), d.oid,"
            " has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')"
            " FROM pg_catalog.pg_database d WHERE d.datname = current_database()"
        ).one()
        *known, may = words
        cluster = ask("SELECT system_identifier FROM pg_catalog.pg_control_system()").scalar() if may else ""
        return " ".join(map(str, (*known, cluster)))

    def reference(self, connection: sa.Connection, models: Models) -> Snapshot:
        """Return the snapshot that the database would have after `MetaData.create_all` of the models.

        The admin account must be able to create schemas in the database, or temporary tables if the models use one
        schema.

        Raises:
            JobFailed: it can do neither, or no schema of its search_path exists.
        """
        with self._engine().connect() as scratch:
            try:
                return self._make(scratch, models)
            finally:
                scratch.rollback()

    def _make(self, connection: sa.Connection, models: Models) -> Snapshot:
        default = _default_schema(connection)
        # DDL of the models may name an object of the database, and would hold its lock until this transaction ends.
        connection.exec_driver_sql("SET LOCAL lock_timeout = '10s'")
        # A function's body may name objects that are created later or are not in the scratch.
        connection.exec_driver_sql("SET LOCAL check_function_bodies = off")
        known = ModelObjects.of(models, connection, default)
        schemas = models.schemas | (known.schemas - {default})
        wanted = {schema or default for schema in schemas}
        scratch = _schemas(connection, wanted)
        path = connection.exec_driver_sql("SELECT current_schemas(false)").scalar_one()
        quote = connection.dialect.identifier_preparer.quote
        quoted = [quote(schema) for schema in (scratch[default], *path)]
        connection.exec_driver_sql(f"SET LOCAL search_path = {', '.join(quoted)}")
        translated = {schema: scratch[schema or default] for schema in schemas | {default}}
        making_on = connection.execution_options(schema_translate_map=translated)
        for metadata in models.metadata:
            tables = [table for key, table in models.tables.items() if metadata.tables.get(key) is table]
            views = [table for table in metadata.tables.values() if table.is_view]
            names = dict.fromkeys(scratch.values(), "")
            with creating_models(making_on, names, lambda statement: known.with_schemas(statement, scratch)):
                # Two MetaData objects may share a type or a sequence.
                checked = CheckFirst.TYPES | CheckFirst.SEQUENCES
                metadata.create_all(making_on, tables=[*tables, *views], checkfirst=checked)
        labels = {made: "" if schema == default else schema for schema, made in scratch.items()}
        return _Reader(connection, labels, {made: quote(label) for made, label in labels.items()}).read()


def _default_schema(connection: sa.Connection) -> str:
    found = connection.exec_driver_sql("SELECT current_schema()").scalar_one()
    if found is None:
        raise JobFailed(
            "no schema of the admin's search_path exists, so tables cannot be created: create one, such as"
            " CREATE SCHEMA public, or set the role's search_path"
        )
    return str(found)


def lacks_scratch(connection: sa.Connection, schemas: Collection[str]) -> str | None:
    """Return which privilege the admin account lacks to create a scratch, and how to grant it; None if it can.

    Args:
        connection: a connection of the admin account.
        schemas: the real names of the models' schemas, including the default one.
    """
    database, me, create, temporary = connection.exec_driver_sql(_RIGHTS).one()
    if create or (temporary and len(schemas) == 1):
        return None
    quote = connection.dialect.identifier_preparer.quote
    return (
        f"{me} may not create a schema, which comparing models and database needs within one transaction:"
        f" GRANT CREATE ON DATABASE {quote(database)} TO {quote(me)}"
    )


def _schemas(connection: sa.Connection, wanted: Collection[str]) -> dict[str, str]:
    """Create a scratch schema for each schema, or use the session's temporary schema if the admin may create none.

    Returns:
        Schema -> its scratch schema.

    Raises:
        JobFailed: the admin account may do neither.
    """
    if lacks := lacks_scratch(connection, wanted):
        raise JobFailed(lacks)
    _, _, create, _ = connection.exec_driver_sql(_RIGHTS).one()
    if create:
        token = secrets.token_hex(4)
        quote = connection.dialect.identifier_preparer.quote
        made = {schema: f"{_SCRATCH}{token}_{n}" for n, schema in enumerate(sorted(wanted))}
        for name in made.values():
            connection.exec_driver_sql(f"CREATE SCHEMA {quote(name)}")
        return made
    # The server creates the temporary schema with the session's first temporary table.
    connection.exec_driver_sql(f"CREATE TEMPORARY TABLE {_SCRATCH}begin () ON COMMIT DROP")
    temporary_schema = connection.exec_driver_sql(
        "SELECT nspname FROM pg_catalog.pg_namespace WHERE oid = pg_catalog.pg_my_temp_schema()"
    ).scalar_one()
    connection.exec_driver_sql(f"DROP TABLE {_SCRATCH}begin")
    return dict.fromkeys(wanted, str(temporary_schema))


class _Texts:
    """Replaces the names of scratch schemas in texts of the catalog by those of the schemas that they stand for.

    Args:
        quoted: scratch schema -> quoted name of the schema; empty for the default one.
    """

    def __init__(self, quoted: Mapping[str, str]) -> None:
        self._pairs = [
            (f"{made}.", f"{label}." if label not in ("", '""') else "") for made, label in quoted.items()
        ]

    def __call__(self, text: str | None) -> str | None:
        if text is not None:
            for made, label in self._pairs:
                text = text.replace(made, label)
        return text


class _Reader:
    """Fills a snapshot; each method reads some kinds of objects.

    Args:
        connection: a connection of the admin account.
        labels: real schema -> the schema's name in the snapshot.
        quoted: scratch schema -> quoted name of the schema that it stands for; empty outside a scratch.
    """

    def __init__(
        self, connection: sa.Connection, labels: Mapping[str, str], quoted: Mapping[str, str]
    ) -> None:
        self._connection, self._labels, self._text = connection, labels, _Texts(quoted)
        self._snapshot = Snapshot()

    def read(self) -> Snapshot:
        """Read everything in the schemas."""
        for look in (
            self._schemas,
            self._tables,
            self._columns,
            self._constraints,
            self._indexes,
            self._types,
            self._views,
            self._routines,
            self._triggers,
        ):
            look()
        return self._snapshot

    def definitions(self) -> Snapshot:
        """Read the views, functions and triggers of the schemas."""
        self._views()
        self._routines()
        self._triggers(_ALL_TRIGGERS)
        return self._snapshot

    def _rows(self, query: str) -> Iterator[Any]:
        yield from self._connection.exec_driver_sql(query, {"schemas": list(self._labels)})

    def _add(self, kind: str, row: Any, name: str, **facets: str | None) -> None:
        table = getattr(row, "table", "")
        self._snapshot.add(kind, self._labels[row.schema], table, name, **facets)

    def _schemas(self) -> None:
        for (schema,) in self._rows(_SCHEMAS):
            if label := self._labels[schema]:
                self._snapshot.add("schema", label, "", label)

    def _tables(self) -> None:
        for row in self._rows(_TABLES):
            facets = {"partition by": self._text(row.partition_by), "inherits": self._text(row.inherits)}
            self._add("table", row, row.table, unlogged=row.unlogged, comment=row.comment, **facets)

    def _columns(self) -> None:
        for row in self._rows(_COLUMNS):
            expression = self._text(row.expression)
            default = expression
            if row.owned_sequence and "nextval(" in str(expression):
                # The name of a column's own sequence does not count: it stays when the table is renamed.
                default = "serial"
            self._add(
                "column",
                row,
                row.name,
                type=self._text(row.type),
                null="no" if row.not_null else "yes",
                default=None if row.generated else default,
                computed=f"{expression} {_GENERATED[row.generated]}" if row.generated else None,
                identity=_IDENTITY[row.identity] if row.identity else None,
                sequence=json.dumps(_options(row)) if row.identity else None,
                collation=self._text(row.collation),
                comment=row.comment,
            )

    def _constraints(self) -> None:
        for row in self._rows(_CONSTRAINTS):
            definition = str(self._text(row.definition))
            validated = definition.removesuffix(_NOT_VALID)
            waits = {"not validated": None if validated == definition else "yes"}
            kind = _CONSTRAINT_KINDS[row.type]
            self._add(kind, row, row.name, definition=validated, comment=row.comment, **waits)

    def _indexes(self) -> None:
        for row in self._rows(_INDEXES):
            self._add(
                "index",
                row,
                row.name,
                # The part before USING only names the index and its table.
                definition=str(self._text(row.definition)).partition(" USING ")[2],
                unique="yes" if row.is_unique else None,
                invalid=None if row.is_valid else "yes",
                comment=row.comment,
            )

    def _types(self) -> None:
        for row in self._rows(_ENUMS):
            self._add("enum", row, row.name, labels=json.dumps(row.labels or [], ensure_ascii=False))
        for (extension,) in self._rows(_EXTENSIONS):
            self._snapshot.add("extension", "", "", extension)
        for row in self._rows(_TYPES):
            self._snapshot.add(
                "type",
                self._labels[row.schema],
                "",
                row.name,
                of=_TYPE_KINDS[row.type],
                definition=self._text(row.definition),
                null="no" if row.not_null else None,
                default=self._text(row.default),
                collation=self._text(row.collation),
                checks=self._text(json.dumps(row.checks, ensure_ascii=False)) if row.checks else None,
            )
        for row in self._rows(_SEQUENCES):
            self._add("sequence", row, row.name, **_options(row))

    def _views(self) -> None:
        for row in self._rows(_VIEWS):
            self._add(
                "view",
                row,
                row.table,
                definition=self._text(row.definition),
                materialized=row.materialized,
                options=", ".join(sorted(row.options)) if row.options else None,
            )

    def _routines(self) -> None:
        for row in self._rows(_FUNCTIONS):
            name = str(self._text(row.name))
            self._add("function", row, name, header=self._text(row.header), body=self._text(row.body))

    def _triggers(self, query: str = _TRIGGERS) -> None:
        for row in self._rows(query):
            definition = self._text(row.definition)
            self._add("trigger", row, row.name, definition=definition, enabled=row.enabled)


def _options(row: Any) -> dict[str, str | None]:
    words = ("start", "increment", "minimum", "maximum", "cache", "cycle")
    return {word: str(getattr(row, word)) for word in words}


_WORD = r"(?:[^\W\d][\w$]*|\"(?:[^\"]|\"\")+\")"
_QUALIFIED = re.compile(rf"({_WORD})(\s*\.\s*)({_WORD})")
# Quoted texts, comments and bodies of functions are skipped, except for the name of a sequence in a text.
_PART = re.compile(
    rf"""
      (?P<before> \b(?:nextval|currval)\s*\(\s* )? '(?P<named> {_WORD}\.{_WORD} )' (?P<after> \s*::\s*regclass )?
    | [eE]'(?:[^'\\]|''|\\.)*' | '(?:[^']|'')*' | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$ | --[^\n]* | /\*.*?\*/
    | (?P<path> {_WORD} (?:\s*\.\s*{_WORD})+ )
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ModelObjects:
    """The objects that the models create, with their schemas.

    Args:
        objects: schema and name of each table, view, sequence, type, function or index.
    """

    objects: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, models: Models, connection: sa.Connection, default: str) -> "ModelObjects":
        """Collect the objects of the models.

        Args:
            models: the tables and metadata.
            connection: a connection of the admin account, on which conditions of DDL (`execute_if`) are evaluated.
            default: the schema of objects that are named without one.
        """
        found: set[tuple[str | None, str]] = set()
        for table in models.tables.values():
            found.add((table.schema, str(table.name)))
            found |= {
                (kind.schema, str(kind.name))
                for column in table.columns
                for kind in native_enums(column.type)
            }
        for metadata in models.metadata:
            found |= {(view.schema, str(view.name)) for view in metadata.tables.values() if view.is_view}
        found |= {(sequence.schema, str(sequence.name)) for sequence in models.sequences}
        for statement in statements(models, connection):
            found |= {(made.schema, made.name) for made in statement.makes(lowers=True)}
        return cls(frozenset((schema or default, name) for schema, name in found))

    @property
    def schemas(self) -> set[str]:
        """The schemas of the objects."""
        return {schema for schema, _ in self.objects}

    def with_schemas(self, statement: str, schemas: Mapping[str, str]) -> str:
        """Return a statement with the schemas of these objects replaced.

        Args:
            statement: the statement as the models have it.
            schemas: schema in the statement -> schema to replace it with.
        """

        def path(text: str) -> str:
            return _QUALIFIED.sub(lambda found: self._replaced(found, schemas), text, count=1)

        def part(found: re.Match[str]) -> str:
            if found["path"]:
                return path(found["path"])
            if found["named"] and (found["before"] or found["after"]):
                return f"{found['before'] or ''}'{path(found['named'])}'{found['after'] or ''}"
            return found[0]

        return _PART.sub(part, statement)

    def _replaced(self, found: re.Match[str], schemas: Mapping[str, str]) -> str:
        schema, name = (catalog_name(word, lowers=True) for word in (found[1], found[3]))
        if (schema, name) not in self.objects or schema not in schemas:
            return found[0]
        return f"{schemas[schema]}{found[2]}{found[3]}"


class PostgreSQLIntrospection:
    """What one database holds.

    Args:
        engine: returns an engine of the admin account.
    """

    def __init__(self, engine: Callable[[], sa.Engine]) -> None:
        self.catalog = PostgreSQLCatalog(engine)

    def translator(self, connection: sa.Connection) -> Translator:
        """Return the translator that writes catalog objects as models, for the current schema."""
        return PostgreSQLTranslator(str(connection.exec_driver_sql("SELECT current_schema()").scalar_one()))

    def columns(self, connection: sa.Connection) -> frozenset[ColumnPath]:
        """Return every column of the tables and views outside the system schemas."""
        rows = connection.exec_driver_sql(_COLUMN_PATHS)
        return frozenset((schema, table, column) for schema, table, column in rows)

    def tables_without_rollback(self, connection: sa.Connection) -> frozenset[tuple[str | None, str]]:
        """Return nothing: a rollback undoes changes to every table."""
        return frozenset()

    def broken_references(self, connection: sa.Connection) -> Mapping[str, int]:
        """Return no rows for any table: the server always checks foreign keys itself."""
        return defaultdict(int)
