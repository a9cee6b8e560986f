"""What stands on columns whose type PostgreSQL is to change: put aside, the columns altered, and made again.

PostgreSQL binds the operators of a CHECK, of a foreign key, and of an index over expressions or with a WHERE to the
types that their columns have. It finds no operator between a type and the one that takes its place, and refuses.
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
"""  # noqa: S608 - our own words
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
"""  # noqa: S608 - our own words
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
"""Runs one statement, as it stands."""


@dataclass(frozen=True)
class Aside:
    """What stands on the columns of one type, by the statements that drop it and that make it again."""

    drops: tuple[str, ...]
    makes: tuple[str, ...]


def standing_on(bind: sa.Connection, kind: str) -> Aside:
    """The constraints and indexes that are bound to a type by a column.

    An index of plain columns, and a unique constraint, is not among them: the server builds it anew by itself.

    Args:
        bind: the connection of the revision.
        kind: the type, quoted where it must be.
    """
    drops: list[str] = []
    makes: list[str] = []
    for row in bind.execute(sa.text(_INDEXES), {"type": kind}):
        drops.append(f"DROP INDEX {row.whole}")
        # Of a partitioned table the server prints what makes the index without those of the partitions.
        makes.append(row.definition.replace(" ON ONLY ", " ON ", 1) if row.of_parts else row.definition)
        if row.comment:
            makes.append(f"COMMENT ON INDEX {row.whole} IS {row.comment}")
    for row in bind.execute(sa.text(_CONSTRAINTS), {"type": kind}):
        drops.insert(0, f"ALTER TABLE {row.whole} DROP CONSTRAINT {row.name}")
        makes.append(f"ALTER TABLE {row.whole} ADD CONSTRAINT {row.name} {row.definition}")
        if row.comment:
            makes.append(f"COMMENT ON CONSTRAINT {row.name} ON {row.whole} IS {row.comment}")
    return Aside(tuple(drops), tuple(makes))


@dataclass
class Altering:
    """One column that is to be altered: what must be done before and after Alembic's own statements.

    Args:
        bind: the connection of the revision.
        table: quoted where it must be, with its schema.
        column: its name.
        dialect: in whose words types are written.
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
        """The words by which the values become those of another type; None where the server finds a way itself.

        Text is read as the new type reads it, and an enum by its labels, so that a value that does not fit is an
        error. What would change a value in silence, as a number that becomes a Boolean, is not written by itself.
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
        """Statements before and after a change of the type by `using`: no default is carried over by it.

        Args:
            kind: the new type.
            stays: whether the column is to keep its default, if that is a literal.
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
        """Statements before and after a change of how the column is counted up, and the identity that stays.

        A column that goes from SERIAL to IDENTITY, or back, is counted on from where it was.

        Args:
            default: what is to be: an `Identity`, a default, or None.
            by_sequence: whether a column without a default is counted up all the same, as SERIAL is.

        Returns:
            What runs before, what runs after, and the identity that the column has and keeps, with other options;
            None where it has none then.
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
        """The table's schema and its name."""
        row = self.bind.execute(sa.text(_NAMES), {"table": self.table}).one()
        return row.nspname, row.relname

    def _last(self) -> tuple[int, bool]:
        """The last number of the sequence, and whether it was given out."""
        sequence = getattr(self._is, "sequence", None)
        row = self.bind.execute(
            verbatim(f"SELECT last_value, is_called FROM {sequence}")  # noqa: S608 - as the server quotes it
        ).one()
        return row.last_value, row.is_called

    def _set(self, last: tuple[int, bool] | None, name: str) -> list[str]:
        """What lets a sequence go on from there; one that gave out nothing begins as it is made."""
        return [f"SELECT pg_catalog.setval({name}, {last[0]})"] if last is not None and last[1] else []
