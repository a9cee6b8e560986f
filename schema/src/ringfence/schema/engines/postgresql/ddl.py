"""DDL on PostgreSQL: native enum types, and the change of a column's type, default and sequence.

Alembic's implementation is replaced, because it creates a column's enum type with every table that uses it, and because
a change of type needs more statements here. PostgreSQL binds the operators of a CHECK, of a foreign key, and of an
index with an expression or a WHERE to the types of the columns. It finds no operator between the old and the new type,
and refuses the change; so these are dropped before and recreated after it.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from alembic.ddl.postgresql import PostgresqlImpl
from alembic.operations import Operations
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.named_types import CreateEnumType
from sqlalchemy.types import TypeEngine

from ringfence.schema.alembic_compat import ddl_implementation
from ringfence.schema.engines.base import Statement
from ringfence.schema.engines.ddl_attempts import NEW, Attempt, transactional_attempts
from ringfence.schema.errors import JobFailed, LabelInUse
from ringfence.schema.models.enums import native_enums
from ringfence.schema.sql.identifiers import serial_name
from ringfence.schema.sql.table_keys import key_of
from ringfence.schema.sql.text import identifier, literal, verbatim
from ringfence.schema.text import counted

_OF_TYPE = """
    WITH changed AS (
      SELECT a.attrelid, a.attnum FROM pg_catalog.pg_type t
      JOIN pg_catalog.pg_attribute a ON a.atttypid IN (t.oid, t.typarray) AND NOT a.attisdropped AND a.attnum > 0
      WHERE t.oid = to_regtype(:type)
    ), dependent AS (
      SELECT DISTINCT d.classid, d.objid FROM pg_catalog.pg_depend d
      JOIN changed ON d.refobjid = changed.attrelid AND d.refobjsubid = changed.attnum
      WHERE d.refclassid = 'pg_catalog.pg_class'::regclass
    )
"""
_CONSTRAINTS = f"""
    {_OF_TYPE}
    SELECT k.conrelid::regclass::text AS whole, quote_ident(k.conname) AS name, k.contype = 'f' AS refers,
      pg_catalog.pg_get_constraintdef(k.oid) AS definition,
      quote_literal(pg_catalog.obj_description(k.oid, 'pg_constraint')) AS comment
    FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
    WHERE k.contype IN ('c', 'f', 'x') AND k.conislocal AND k.conparentid = 0 AND EXISTS (
      SELECT FROM dependent WHERE
        (classid = 'pg_catalog.pg_constraint'::regclass AND objid = k.oid)
        OR (k.contype = 'x' AND classid = 'pg_catalog.pg_class'::regclass AND objid = k.conindid)
    )
    ORDER BY refers, 1, 2
"""  # noqa: S608 - constant SQL
_INDEXES = f"""
    {_OF_TYPE}
    SELECT i.indexrelid::regclass::text AS whole, c.relkind = 'I' AS of_parts,
      pg_catalog.pg_get_indexdef(i.indexrelid) AS definition,
      quote_literal(pg_catalog.obj_description(i.indexrelid, 'pg_class')) AS comment
    FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
    WHERE (i.indpred IS NOT NULL OR i.indexprs IS NOT NULL) AND NOT c.relispartition
      AND EXISTS (
        SELECT FROM dependent WHERE classid = 'pg_catalog.pg_class'::regclass AND objid = i.indexrelid
      )
      AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
      )
    ORDER BY 1
"""  # noqa: S608 - constant SQL
_COLUMN = """
    SELECT t.oid AS type, coalesce(e.oid, t.oid) AS element, coalesce(e.typcategory, t.typcategory) AS category,
      e.oid IS NOT NULL AS several, pg_catalog.pg_get_expr(d.adbin, d.adrelid) AS default,
      a.attidentity <> '' AS identity, s.oid::regclass::text AS sequence
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    LEFT JOIN pg_catalog.pg_class s ON s.oid = to_regclass(
      pg_catalog.pg_get_serial_sequence(a.attrelid::regclass::text, a.attname)
    )
    WHERE a.attrelid = to_regclass(:table) AND a.attname = :column AND a.attgenerated = ''
"""
_CAST = """
    SELECT n.oid AS type, coalesce(e.oid, n.oid) AS element, coalesce(e.typcategory, n.typcategory) AS category,
      (SELECT k.castcontext::text FROM pg_catalog.pg_cast k
       WHERE k.castsource = CAST(:old AS oid) AND k.casttarget = coalesce(e.oid, n.oid)) AS context
    FROM pg_catalog.pg_type n LEFT JOIN pg_catalog.pg_type e ON e.oid = n.typelem AND n.typcategory = 'A'
    WHERE n.oid = to_regtype(:new)
"""
_NAMES = """
    SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = to_regclass(:table)
"""
_LITERAL = re.compile(r"(?P<text>'(?:[^']|'')*')::[^:()']+(?:\([\d,]+\))?(?:\[\])?\Z")
_NEXT = re.compile(r"\s*nextval\('(?P<name>(?:[^']|'')+)'(?:::regclass)?\)\s*\Z", re.IGNORECASE)
_STRING, _ENUM, _BOOLEAN = "S", "E", "B"

Send = Callable[[str], Any]
"""Runs one statement unchanged."""
_DROP_ROUTINES = r"""
    SELECT 'DROP MATERIALIZED VIEW ' || c.oid::pg_catalog.regclass
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relkind = 'm' AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )
    UNION ALL
    SELECT 'DROP SEQUENCE ' || c.oid::pg_catalog.regclass
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relkind = 'S' AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'e', 'i')
    )
    UNION ALL
    SELECT 'DROP TYPE ' || t.oid::pg_catalog.regtype
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
    WHERE n.nspname = current_schema() AND (t.typtype IN ('d', 'r', 'e') OR (t.typtype = 'c' AND c.relkind = 'c'))
      AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e'
    )
    UNION ALL
    SELECT 'DROP EXTENSION ' || quote_ident(extname) FROM pg_catalog.pg_extension
    WHERE extname <> 'plpgsql' -- every database has it
    UNION ALL
    SELECT 'DROP SCHEMA ' || n.oid::pg_catalog.regnamespace FROM pg_catalog.pg_namespace n
    WHERE n.nspname NOT LIKE 'pg\_%%' AND n.nspname NOT IN ('information_schema', current_schema())
    UNION ALL
    SELECT 'DROP ROUTINE ' || p.oid::pg_catalog.regprocedure
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = current_schema() AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    )
"""
_INVALID_INDEX = """
    SELECT n.nspname
    FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = :name AND n.nspname = coalesce(:schema, current_schema()) AND NOT i.indisvalid
"""


@dataclass(frozen=True)
class Dependents:
    """Statements that drop the constraints and indexes on the columns of one type, and that recreate them."""

    drops: tuple[str, ...]
    creates: tuple[str, ...]


def dependents_of(bind: sa.Connection, kind: str) -> Dependents:
    """Return the statements for the constraints and indexes that are bound to a type through a column.

    Indexes on plain columns and unique constraints are left out: the server rebuilds them itself.

    Args:
        bind: the connection of the revision.
        kind: the type as a statement has it, quoted where needed.
    """
    drops: list[str] = []
    creates: list[str] = []
    for row in bind.execute(sa.text(_INDEXES), {"type": kind}):
        drops.append(f"DROP INDEX {row.whole}")
        # For a partitioned table the server prints ON ONLY, which would leave out the indexes of the partitions.
        creates.append(row.definition.replace(" ON ONLY ", " ON ", 1) if row.of_parts else row.definition)
        if row.comment:
            creates.append(f"COMMENT ON INDEX {row.whole} IS {row.comment}")
    for row in bind.execute(sa.text(_CONSTRAINTS), {"type": kind}):
        drops.insert(0, f"ALTER TABLE {row.whole} DROP CONSTRAINT {row.name}")
        creates.append(f"ALTER TABLE {row.whole} ADD CONSTRAINT {row.name} {row.definition}")
        if row.comment:
            creates.append(f"COMMENT ON CONSTRAINT {row.name} ON {row.whole} IS {row.comment}")
    return Dependents(tuple(drops), tuple(creates))


@dataclass
class ColumnChange:
    """A column that is to be altered: the statements needed before and after Alembic's own.

    Args:
        bind: the connection of the revision.
        table: the table as a statement has it, with its schema, quoted where needed.
        column: the column's name.
        dialect: the dialect in which types are written.
    """

    bind: sa.Connection
    table: str
    column: str
    dialect: sa.Dialect

    def __post_init__(self) -> None:
        self._quoted_column = identifier(self.dialect, self.column)
        self._is = self.bind.execute(
            sa.text(_COLUMN), {"table": self.table, "column": self.column}
        ).one_or_none()

    def _alter(self, what: str) -> str:
        return f"ALTER TABLE {self.table} ALTER COLUMN {self._quoted_column} {what}"

    def using(self, kind: TypeEngine[Any]) -> str | None:
        """Return the USING expression that converts the values to another type; None where the server needs none.

        A text is parsed as the new type and an enum by its labels, so a value that does not fit raises an error. A
        conversion that would change values silently, such as a number to a Boolean, is not written.

        Args:
            kind: the new type.
        """
        if self._is is None:
            return None
        spelled = kind.compile(dialect=self.dialect)
        row = self.bind.execute(sa.text(_CAST), {"old": self._is.element, "new": spelled}).one_or_none()
        if row is None or row.element == self._is.element or row.category == _STRING:
            return None
        if row.context in ("a", "i"):
            return None
        if self._is.category in (_STRING, _ENUM):
            return f"{self._quoted_column}::text{'[]' if self._is.several else ''}::{spelled}"
        return (
            f"{self._quoted_column}::{spelled}"
            if self._is.category == _BOOLEAN and row.context == "e"
            else None
        )

    def default_steps(self, kind: TypeEngine[Any], *, stays: bool) -> tuple[list[str], list[str]]:
        """Return statements before and after a change of type with USING, which does not convert the default.

        Args:
            kind: the new type.
            stays: whether the column is to keep its default; it is restored only if it is a literal.
        """
        if self._is is None or self._is.default is None:
            return [], []
        found = _LITERAL.match(self._is.default)
        if not stays:
            return [self._alter("DROP DEFAULT")], []
        if found is None:
            return [], []
        again = f"SET DEFAULT {found['text']}::{kind.compile(dialect=self.dialect)}"
        return [self._alter("DROP DEFAULT")], [self._alter(again)]

    def sequence_steps(
        self, default: Any, *, by_sequence: bool | None
    ) -> tuple[list[str], list[str], sa.Identity | None]:
        """Return statements before and after a change between SERIAL, IDENTITY and neither.

        The new sequence continues after the last value of the old one.

        Args:
            default: the new default: an `Identity`, another default, or None.
            by_sequence: whether a column without a default is to be a SERIAL column.

        Returns:
            The statements before, the statements after, and the identity that the column has and keeps with other
            options; None where it has none.
        """
        if self._is is None:
            return [], [], None
        if isinstance(default, sa.Identity):
            return self._to_identity(self._is)
        before, last = [], None
        if self._is.identity:
            before, last = [self._alter("DROP IDENTITY")], self._last()
        elif self._is.default is not None and self._is.sequence is not None:
            before = [self._alter("DROP DEFAULT"), f"DROP SEQUENCE {self._is.sequence}"]
            last = self._last()
        if default is not None or not by_sequence:
            return before, [], None
        schema, table = self._names()
        name = identifier(self.dialect, schema, serial_name(table, self.column))
        after = [
            f"CREATE SEQUENCE {name} OWNED BY {self.table}.{self._quoted_column}",
            self._alter(f"SET DEFAULT nextval({literal(name)})"),
            *self._set(last, literal(name)),
        ]
        return before, after, None

    def _to_identity(self, column: sa.Row[Any]) -> tuple[list[str], list[str], sa.Identity | None]:
        if column.identity:
            found = next(iter(self._options()), {})
            return [], [], sa.Identity(**found)
        if column.default is None:
            return [], [], None
        before = [self._alter("DROP DEFAULT")]
        if column.sequence is None or not _NEXT.match(column.default):
            return before, [], None
        before.append(f"DROP SEQUENCE {column.sequence}")
        owned = f"pg_catalog.pg_get_serial_sequence({literal(self.table)}, {literal(self.column)})"
        return before, self._set(self._last(), owned), None

    def _options(self) -> Iterator[dict[str, Any]]:
        schema, table = self._names()
        for each in sa.inspect(self.bind).get_columns(table, schema):
            if each["name"] == self.column and each.get("identity"):
                yield dict(each["identity"])

    def _names(self) -> tuple[str, str]:
        """Return the table's schema and name."""
        row = self.bind.execute(sa.text(_NAMES), {"table": self.table}).one()
        return row.nspname, row.relname

    def _last(self) -> tuple[int, bool]:
        """Return the last value of the sequence, and whether it was already returned by nextval()."""
        sequence = getattr(self._is, "sequence", None)
        row = self.bind.execute(
            verbatim(f"SELECT last_value, is_called FROM {sequence}")  # noqa: S608 - as the server quotes it
        ).one()
        return row.last_value, row.is_called

    def _set(self, last: tuple[int, bool] | None, name: str) -> list[str]:
        """Return the statement by which a sequence continues after a value.

        Args:
            last: as `_last` returns it; None, or a value not yet returned, needs no statement.
            name: an SQL expression for the name of the sequence.
        """
        return [f"SELECT pg_catalog.setval({name}, {last[0]})"] if last is not None and last[1] else []


_DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
_MEMO = "pg_enum"  # SQLAlchemy's key in `memo`, for the enum types that a run has created
_LABELS = """
    SELECT e.enumlabel FROM pg_catalog.pg_enum e WHERE e.enumtypid = to_regtype(:type) ORDER BY e.enumsortorder
"""
_COLUMNS = """
    SELECT n.nspname, c.relname, a.attname, a.atttypid <> t.oid AS several, pg_get_expr(d.adbin, d.adrelid)
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_attribute a ON a.atttypid IN (t.oid, t.typarray) AND NOT a.attisdropped AND a.attinhcount = 0
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'f')
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE t.oid = to_regtype(:type) ORDER BY 1, 2, a.attnum
"""


@ddl_implementation("postgresql")
class EnumAwareImpl(PostgresqlImpl):
    """Alembic's implementation for PostgreSQL, in place of its own.

    Alembic creates a column's enum type with every table that uses it, so a second table or a second run fails.
    """

    def create_table(self, table: sa.Table, **kw: Any) -> None:
        """Create a table, with those enum types of its columns that do not exist yet.

        Args:
            table: the table with its columns.
            kw: further arguments of Alembic.
        """
        if not self.as_sql and self.connection is not None:
            for column in table.columns:
                for kind in native_enums(column.type):
                    if _labels(self.connection, str(kind.name), kind.schema) is not None:
                        self.memo.setdefault(_MEMO, set()).add((kind.schema, kind.name))
        super().create_table(table, **kw)

    def alter_column(
        self, table_name: str, column_name: str, *, schema: str | None = None, **kw: Any
    ) -> None:
        """Alter a column, adding the USING of a change of type and the steps between SERIAL and IDENTITY.

        Args:
            table_name: the table.
            column_name: the column.
            schema: the table's schema; None is the default one.
            kw: further arguments of Alembic.
        """
        before: list[str] = []
        after: list[str] = []
        kind, default = kw.get("type_"), kw.get("server_default", False)
        if kind is not None:
            kind = kw["type_"] = sa.types.to_instance(kind)  # Alembic accepts a class too
        if not self.as_sql and self.connection is not None:
            whole = _quoted(table_name, schema)
            column = ColumnChange(self.connection, whole, str(column_name), self.dialect)
            if kind is not None and kw.get("postgresql_using") is None and (using := column.using(kind)):
                kw["postgresql_using"] = using
                before, after = column.default_steps(kind, stays=default is False)
            if default is not False:
                first, last, identity = column.sequence_steps(
                    default, by_sequence=kw.pop("autoincrement", None)
                )
                before, after = before + first, after + last
                was_declared = isinstance(kw.get("existing_server_default"), sa.Identity)
                if was_declared is (identity is None):
                    kw["existing_server_default"] = identity
        for statement in before:
            self._exec(_statement(statement))
        super().alter_column(table_name, column_name, schema=schema, **kw)
        for statement in after:
            self._exec(_statement(statement))


def create_enum(operations: Operations, name: str, labels: Sequence[str], schema: str | None) -> None:
    """Create a type, unless it exists with the same labels.

    Args:
        operations: the operations of the running migration.
        name: the type's name.
        labels: its labels in their order.
        schema: the type's schema; None is the default one.

    Raises:
        JobFailed: the type exists with other labels.
    """
    context = operations.get_context()
    found = None if context.as_sql else _labels(operations.get_bind(), name, schema)
    if found is None:
        operations.execute(CreateEnumType(postgresql.ENUM(*labels, name=name, schema=schema)))
    elif found != list(labels):
        raise JobFailed(
            f"the type {_shown(name, schema)} exists already, with the labels {_listed(found)}; the revision creates it"
            f" with {_listed(labels)}: give one of the two another name, or drop the existing type if nothing uses it"
        )
    context.impl.memo.setdefault(_MEMO, set()).add((schema, name))


def drop_enum(operations: Operations, name: str, schema: str | None) -> None:
    """Drop a type if it exists.

    Args:
        operations: the operations of the running migration.
        name: the type's name.
        schema: the type's schema; None is the default one.
    """
    context = operations.get_context()
    _send(operations, f"DROP TYPE IF EXISTS {_quoted(name, schema)}")
    context.impl.memo.setdefault(_MEMO, set()).discard((schema, name))


def add_label(
    operations: Operations, name: str, label: str, before: str | None, after: str | None, schema: str | None
) -> None:
    """Add a label to a type, unless it has the label; without `before` and `after` it becomes the last one.

    Args:
        operations: the operations of the running migration.
        name: the type's name.
        label: the new label.
        before: the existing label that it precedes.
        after: the existing label that it follows.
        schema: the type's schema; None is the default one.
    """
    where = ""
    if before is not None or after is not None:
        word, neighbour = ("BEFORE", before) if before is not None else ("AFTER", after)
        where = f" {word} {literal(str(neighbour))}"
    _send(operations, f"ALTER TYPE {_quoted(name, schema)} ADD VALUE IF NOT EXISTS {literal(label)}{where}")


def drop_label(operations: Operations, name: str, label: str, schema: str | None) -> None:
    """Remove a label from a type, if it has the label.

    Args:
        operations: the operations of the running migration.
        name: the type's name.
        label: the label to remove.
        schema: the type's schema; None is the default one.

    Raises:
        LabelInUse: rows still hold the label.
        JobFailed: the migration only prints SQL.
    """
    _refuse_printing(operations, name, schema)
    found = _labels(operations.get_bind(), name, schema) or []
    if label in found:
        replace_enum(operations, name, [one for one in found if one != label], schema)


def replace_enum(operations: Operations, name: str, labels: Sequence[str], schema: str | None) -> None:
    """Recreate a type with other labels, and change every column of the old type to it.

    Args:
        operations: the operations of the running migration.
        name: the type's name.
        labels: the new labels in their order.
        schema: the type's schema; None is the default one.

    Raises:
        LabelInUse: rows hold a label that is not among the new ones; nothing was changed.
        JobFailed: the type does not exist, or the migration only prints SQL.
    """
    _refuse_printing(operations, name, schema)
    bind = operations.get_bind()
    found = _labels(bind, name, schema)
    if found is None:
        raise JobFailed(f"the type {_shown(name, schema)} is to get other labels, and does not exist")
    if found == list(labels):
        return
    columns = [_Column(*row) for row in bind.execute(sa.text(_COLUMNS), {"type": _quoted(name, schema)})]
    for column in columns:
        _refuse_held(bind, column, [label for label in found if label not in labels])
    whole, old = _quoted(name, schema), f"{name[:55]}__old"
    dependents = dependents_of(bind, whole)
    for statement in dependents.drops:
        _send(operations, statement)
    _send(operations, f"ALTER TYPE {whole} RENAME TO {_quoted(old, None)}")
    operations.execute(CreateEnumType(postgresql.ENUM(*labels, name=name, schema=schema)))
    for column in columns:
        kind = f"{whole}[]" if column.several else whole
        cell = _quoted(column.name, None)
        text = f"{cell}::text{'[]' if column.several else ''}"
        parts = [f"ALTER COLUMN {cell} TYPE {kind} USING {text}::{kind}"]
        if column.default is not None:
            parts.insert(0, f"ALTER COLUMN {cell} DROP DEFAULT")
            parts.append(f"ALTER COLUMN {cell} SET DEFAULT {column.default}")
        _send(operations, f"ALTER TABLE {_quoted(column.table, column.schema)} {', '.join(parts)}")
    for statement in dependents.creates:
        _send(operations, statement)
    _send(operations, f"DROP TYPE {_quoted(old, schema)}")


@dataclass(frozen=True)
class _Column:
    """A column of the enum type, or of an array of it."""

    schema: str
    table: str
    name: str
    several: bool
    """Whether the column is an array of the type."""
    default: str | None


def _refuse_held(bind: sa.Connection, column: _Column, gone: Sequence[str]) -> None:
    if not gone:
        return
    cell = _quoted(column.name, None)
    condition = f"{cell}::text[] && CAST(:gone AS text[])" if column.several else f"{cell}::text = ANY(:gone)"
    query = f"SELECT count(*) FROM {_quoted(column.table, column.schema)} WHERE {condition}"  # noqa: S608 - quoted names
    if rows := bind.execute(sa.text(query), {"gone": list(gone)}).scalar_one():
        raise LabelInUse(
            f"{column.table}.{column.name}: {counted(rows, 'row')} hold {_listed(gone)}, which the enum loses:"
            " give these rows another value first, and run this again; nothing was changed"
        )


def _labels(bind: sa.Connection, name: str, schema: str | None) -> list[str] | None:
    """Return the labels of a type in their order; None if the type does not exist."""
    found = bind.execute(sa.text(_LABELS), {"type": _quoted(name, schema)}).scalars().all()
    return list(found) or None


def _refuse_printing(operations: Operations, name: str, schema: str | None) -> None:
    if operations.get_context().as_sql:
        raise JobFailed(
            f"how the type {_shown(name, schema)} is recreated depends on the columns that have it, and cannot be"
            " printed as SQL: run the revision on the database"
        )


def _send(operations: Operations, statement: str) -> None:
    operations.execute(_statement(statement))


def _statement(text: str) -> sa.DDL:
    """Build DDL from a text; `sa.DDL` formats percent signs, and leaves colons alone."""
    return sa.DDL(text.replace("%", "%%"))  # type: ignore[no-untyped-call] # SQLAlchemy has no types for it


def _quoted(name: str, schema: str | None) -> str:
    return identifier(_DIALECT, schema, name)


def _shown(name: str, schema: str | None) -> str:
    return key_of(schema, name)


def _listed(labels: Iterable[str]) -> str:
    return ", ".join(map(repr, labels))


def schema_of_invalid_index(connection: sa.Connection, index: str, schema: str | None) -> str | None:
    """Return the schema of an invalid index, which a failed CREATE INDEX CONCURRENTLY leaves; None if there is none.

    Args:
        connection: a connection of the admin account.
        index: the name of the index.
        schema: its schema; None is the default one.
    """
    found = connection.execute(sa.text(_INVALID_INDEX), {"name": index, "schema": schema}).scalar()
    return None if found is None else str(found)


class PostgreSQLDDL:
    """DDL statements of PostgreSQL."""

    def drop_standalone_objects(self, connection: sa.Connection) -> list[str]:
        """Return DROP statements for objects that belong to no table.

        These are the routines, materialized views, sequences and types of the default schema, every extension but
        plpgsql and every other schema. Members of an extension and sequences of a column are left out. Nothing is
        dropped with CASCADE, so a statement fails while another object depends on its object.
        """
        return list(connection.exec_driver_sql(_DROP_ROUTINES).scalars())

    def drop_incomplete_index(
        self, connection: sa.Connection, schema: str | None, index: str
    ) -> Statement | None:
        """Return the DROP of an invalid index, which a failed CREATE INDEX CONCURRENTLY leaves."""
        found = schema_of_invalid_index(connection, index, schema)
        if found is None:
            return None
        quote = connection.dialect.identifier_preparer.quote_identifier
        return Statement(f"DROP INDEX CONCURRENTLY IF EXISTS {quote(found)}.{quote(index)}")

    def attempts(self, tables: Sequence[tuple[str, str]], readable: str) -> Iterator[Attempt]:
        """Yield DDL that a service must be refused; a rollback undoes it if the server allows it.

        CREATE TRIGGER locks its table before it checks privileges, so it is tried on a table of Ringfence's own
        (`readable`).
        """
        yield from transactional_attempts(tables)
        for key, name in tables:
            yield "create index", key, f"CREATE INDEX ON {name} ((1))"
            yield "truncate", key, f"TRUNCATE {name}"
        trigger = "FOR EACH ROW EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()"
        yield "create trigger", None, f"CREATE TRIGGER {NEW} BEFORE UPDATE ON {readable} {trigger}"
        yield "create schema", None, f"CREATE SCHEMA {NEW}"
