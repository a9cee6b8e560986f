"""Constraints, indexes, defaults and sequences that must be dropped and recreated around ALTER COLUMN … TYPE.

PostgreSQL binds the operators of a CHECK, of a foreign key, and of an index with an expression or a WHERE to the types
of the columns. It finds no operator between the old and the new type, and refuses the change.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from ringfence.schema.sql.identifiers import serial_name
from ringfence.schema.sql.text import identifier, literal, verbatim

_OF_TYPE = """
    WITH changed AS (
      SELECT a.attrelid, a.attnum FROM pg_catalog.pg_type t
      JOIN pg_catalog.pg_attribute a ON a.atttypid IN (t.oid, t.typarray) AND NOT a.attisdropped AND a.attnum > 0
      WHERE t.oid = to_regtype(:type)
    ), standing AS (
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
      SELECT FROM standing WHERE
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
        SELECT FROM standing WHERE classid = 'pg_catalog.pg_class'::regclass AND objid = i.indexrelid
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


@dataclass(frozen=True)
class Dependents:
    """Statements that drop the constraints and indexes on the columns of one type, and that recreate them."""

    drops: tuple[str, ...]
    makes: tuple[str, ...]


def dependents_of(bind: sa.Connection, kind: str) -> Dependents:
    """Return the statements for the constraints and indexes that are bound to a type through a column.

    Indexes on plain columns and unique constraints are left out: the server rebuilds them itself.

    Args:
        bind: the connection of the revision.
        kind: the type as a statement has it, quoted where needed.
    """
    drops: list[str] = []
    makes: list[str] = []
    for row in bind.execute(sa.text(_INDEXES), {"type": kind}):
        drops.append(f"DROP INDEX {row.whole}")
        # For a partitioned table the server prints ON ONLY, which would leave out the indexes of the partitions.
        makes.append(row.definition.replace(" ON ONLY ", " ON ", 1) if row.of_parts else row.definition)
        if row.comment:
            makes.append(f"COMMENT ON INDEX {row.whole} IS {row.comment}")
    for row in bind.execute(sa.text(_CONSTRAINTS), {"type": kind}):
        drops.insert(0, f"ALTER TABLE {row.whole} DROP CONSTRAINT {row.name}")
        makes.append(f"ALTER TABLE {row.whole} ADD CONSTRAINT {row.name} {row.definition}")
        if row.comment:
            makes.append(f"COMMENT ON CONSTRAINT {row.name} ON {row.whole} IS {row.comment}")
    return Dependents(tuple(drops), tuple(makes))


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
        self._cell = identifier(self.dialect, self.column)
        self._is = self.bind.execute(
            sa.text(_COLUMN), {"table": self.table, "column": self.column}
        ).one_or_none()

    def _alter(self, what: str) -> str:
        return f"ALTER TABLE {self.table} ALTER COLUMN {self._cell} {what}"

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
            return f"{self._cell}::text{'[]' if self._is.several else ''}::{spelled}"
        return f"{self._cell}::{spelled}" if self._is.category == _BOOLEAN and row.context == "e" else None

    def default_aside(self, kind: TypeEngine[Any], *, stays: bool) -> tuple[list[str], list[str]]:
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

    def counted(
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
            return self._to_identity()
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
            f"CREATE SEQUENCE {name} OWNED BY {self.table}.{self._cell}",
            self._alter(f"SET DEFAULT nextval({literal(name)})"),
            *self._set(last, literal(name)),
        ]
        return before, after, None

    def _to_identity(self) -> tuple[list[str], list[str], sa.Identity | None]:
        if self._is is None:
            return [], [], None
        if self._is.identity:
            found = next(iter(self._options()), {})
            return [], [], sa.Identity(**found)
        if self._is.default is None:
            return [], [], None
        before = [self._alter("DROP DEFAULT")]
        if self._is.sequence is None or not _NEXT.match(self._is.default):
            return before, [], None
        before.append(f"DROP SEQUENCE {self._is.sequence}")
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
