"""Translates PostgreSQL's catalog into arguments of SQLAlchemy whose DDL reproduces the same catalog entries."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from ringfence.schema.comparison.snapshot import Facets, Name
from ringfence.schema.models.columns import DeclaredAs
from ringfence.schema.rendering.table_parts import Column, Item, LeftOut, Options
from ringfence.schema.sql.parsing import as_text, call, escaped, inside, name, names, quoted, split

_PLAIN: Mapping[str, Callable[[], TypeEngine[Any]]] = {
    "smallint": sa.SmallInteger,
    "integer": sa.Integer,
    "bigint": sa.BigInteger,
    "real": sa.REAL,
    "double precision": sa.Double,
    "numeric": sa.Numeric,
    "boolean": sa.Boolean,
    "text": sa.Text,
    "character varying": sa.String,
    "bytea": postgresql.BYTEA,
    "date": sa.Date,
    "uuid": sa.Uuid,
    "json": sa.JSON,
    "jsonb": postgresql.JSONB,
    "inet": postgresql.INET,
    "cidr": postgresql.CIDR,
    "macaddr": postgresql.MACADDR,
    "macaddr8": postgresql.MACADDR8,
    "money": postgresql.MONEY,
    "oid": postgresql.OID,
    "regclass": postgresql.REGCLASS,
    "citext": postgresql.CITEXT,
    "hstore": postgresql.HSTORE,
    "tsvector": postgresql.TSVECTOR,
    "tsquery": postgresql.TSQUERY,
    "interval": postgresql.INTERVAL,
    "bit varying": lambda: postgresql.BIT(varying=True),
    "int4range": postgresql.INT4RANGE,
    "int8range": postgresql.INT8RANGE,
    "numrange": postgresql.NUMRANGE,
    "daterange": postgresql.DATERANGE,
    "tsrange": postgresql.TSRANGE,
    "tstzrange": postgresql.TSTZRANGE,
    "int4multirange": postgresql.INT4MULTIRANGE,
    "int8multirange": postgresql.INT8MULTIRANGE,
    "nummultirange": postgresql.NUMMULTIRANGE,
    "datemultirange": postgresql.DATEMULTIRANGE,
    "tsmultirange": postgresql.TSMULTIRANGE,
    "tstzmultirange": postgresql.TSTZMULTIRANGE,
}
_SIZED: Mapping[str, Callable[..., TypeEngine[Any]]] = {
    "character varying": sa.String,
    "character": sa.CHAR,
    "numeric": sa.Numeric,
    "bit": postgresql.BIT,
    "bit varying": lambda length: postgresql.BIT(length, varying=True),
}
_TIMED = re.compile(r"(timestamp|time)(?:\((\d)\))? (with|without) time zone\Z")
_INTERVAL = re.compile(r"interval(?: ([a-z ]+?))?(?:\((\d)\))?\Z")
_SIZES = re.compile(r"([a-z ]+)\((-?\d+(?:,-?\d+)*)\)\Z")


def plain_type(spelled: str) -> TypeEngine[Any] | None:
    """Return the SQLAlchemy type of a printed type name; None for arrays, the database's own types and unknown ones.

    Args:
        spelled: the type as `format_type` prints it.
    """
    if spelled in _PLAIN:
        return _PLAIN[spelled]()
    if timed := _TIMED.match(spelled):
        cls: Any = postgresql.TIMESTAMP if timed[1] == "timestamp" else postgresql.TIME
        kind: TypeEngine[Any] = cls(
            timezone=timed[3] == "with", precision=int(timed[2]) if timed[2] else None
        )
        return kind
    if interval := _INTERVAL.match(spelled):
        return postgresql.INTERVAL(
            fields=interval[1].upper() if interval[1] else None,
            precision=int(interval[2]) if interval[2] else None,
        )
    sized = _SIZES.match(spelled)
    if sized and sized[1] in _SIZED:
        return _SIZED[sized[1]](*map(int, sized[2].split(",")))
    return None


_LARGEST = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}
_WHOLE: Mapping[str, Callable[[], TypeEngine[Any]]] = {"smallint": sa.SmallInteger, "integer": sa.Integer}
_LABEL = r"'(?:[^']|'')*'::character varying"
# `column IN (…)` of a varchar as the server prints it. Sent back as printed, it would gain a cast of each label.
_IN = re.compile(
    r'(?P<open>\()?(?P<column>"(?:[^"]|"")+"|\b\w+)(?(open)\))::text (?P<word>= ANY|<> ALL) '
    rf"\((?P<more>\()?ARRAY\[(?P<labels>{_LABEL}(?:, {_LABEL})*)\](?(more)\))::text\[\]\)"
)
_FOREIGN = re.compile(
    r"(?: MATCH (?P<match>FULL|PARTIAL|SIMPLE))?"
    r"(?: ON UPDATE (?P<onupdate>NO ACTION|RESTRICT|CASCADE|SET NULL|SET DEFAULT))?"
    r"(?: ON DELETE (?P<ondelete>NO ACTION|RESTRICT|CASCADE|(?:SET NULL|SET DEFAULT)(?: \([^)]*\))?))?"
)
_LITERAL = re.compile(r"('(?:[^']|'')*')::([^':]+)\Z")
_WAITING = re.compile(r"(?P<deferrable> DEFERRABLE)?(?: INITIALLY (?P<initially>DEFERRED|IMMEDIATE))?\Z")


class PostgreSQLTranslator:
    """Translates snapshot entries of PostgreSQL into source code of SQLAlchemy models.

    Args:
        default_schema: the real name of the default schema.
    """

    def __init__(self, default_schema: str) -> None:
        self._default = default_schema
        self._enums: dict[str, tuple[Name, list[str]]] = {}
        self._sequence_types: dict[tuple[str, str], str] = {}

    def prepare(self, connection: sa.Connection, found: Mapping[Name, Facets]) -> None:
        """Remember the enum types of the snapshot, and read the integer type of every sequence."""
        for each, facets in found.items():
            if each.kind == "enum":
                spelled = ".".join(_ident(part) for part in (each.schema, each.name) if part)
                self._enums[spelled] = each, json.loads(facets["labels"] or "[]")
        rows = connection.exec_driver_sql(
            "SELECT n.nspname, c.relname, pg_catalog.format_type(s.seqtypid, NULL) FROM pg_catalog.pg_sequence s"
            " JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid"
            " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        )
        for schema, sequence, kind in rows:
            self._sequence_types["" if schema == self._default else schema, sequence] = kind

    def type_source(self, each: Name, facets: Facets) -> tuple[str, str]:
        """Return the source of an enum type or a sequence, and its variable name."""
        variable = f"{each.schema}_{each.name}" if each.schema else each.name
        schema = quoted(each.schema or None)
        if each.kind == "enum":
            labels = [repr(label) for label in json.loads(facets["labels"] or "[]")]
            source = call("sa.Enum", *labels, name=repr(each.name), schema=schema, metadata="metadata")
            return source, f"{variable}_type"
        kind = self._sequence_types.get((each.schema, each.name), "bigint")
        words = _counting(facets, kind)
        data_type = f"sa.{_WHOLE[kind]().__class__.__name__}" if kind in _WHOLE else None
        source = call(
            "sa.Sequence", repr(each.name), schema=schema, data_type=data_type, metadata="metadata", **words
        )
        return source, f"{variable}_sequence"

    def column(self, each: Name, facets: Facets) -> Column:
        """Translate a column with its type, default, identity and computed expression."""
        spelled = str(facets["type"])
        kind = self._type(spelled, facets.get("collation"))
        default = facets.get("default")
        counted = default == "serial"
        if default is not None and (literal := _LITERAL.match(default)):
            # The cast to the column's own type is redundant, and its schema has another name in a scratch.
            default = literal[1] if _without_size(literal[2]) == _without_size(spelled) else default
        words = {"comment": repr(facets["comment"])} if facets.get("comment") is not None else {}
        more = []
        if computed := facets.get("computed"):
            expression, _, stored = computed.rpartition(" ")
            more.append(call("sa.Computed", repr(escaped(expression)), persisted=str(stored == "STORED")))
        if identity := facets.get("identity"):
            options = _counting(json.loads(facets["sequence"] or "{}"), spelled)
            always = "True" if identity == "always" else None
            more.append(call("sa.Identity", always=always, **options))
        return Column(
            name=each.name,
            kind=kind,
            nullable=facets.get("null") != "no",
            counted=counted,
            default=None if counted else default,
            more=tuple(more),
            words=words,
        )

    def serial(self, column: Column) -> Column | None:
        """Return the column declared as SERIAL, for a column that SQLAlchemy would not make SERIAL by itself.

        Raises:
            LeftOut: the column's type has no SERIAL form.
        """
        words: dict[type[Any], str] = {
            sa.SmallInteger: "SMALLSERIAL",
            sa.Integer: "SERIAL",
            sa.BigInteger: "BIGSERIAL",
        }
        word = words.get(type(column.kind))
        if word is None:
            raise LeftOut("a sequence of its own counts it up, and its type is none that SERIAL gives")
        return Column(
            column.name,
            DeclaredAs(column.kind, postgresql=word),
            column.nullable,
            fills_itself=True,
            words=column.words,
        )

    def item(self, each: Name, facets: Facets) -> Item:
        """Translate a constraint or an index.

        Raises:
            LeftOut: it has a comment, or an option that SQLAlchemy cannot express.
        """
        if facets.get("comment") is not None:
            raise LeftOut("SQLAlchemy makes no comment on it")
        definition = str(facets["definition"])
        if each.kind == "index":
            return _index(each, definition, unique=facets.get("unique") == "yes")
        write = {
            "primary key": _key,
            "unique": _key,
            "check": _check,
            "foreign key": _foreign_key,
            "exclude": _exclude,
        }[each.kind]
        return write(each, definition)

    def options(self, each: Name, facets: Facets) -> Options:
        """Translate the options of a table: UNLOGGED, partitioning, inheritance and its comment."""
        found = Options()
        if facets.get("unlogged"):
            found.words["prefixes"] = "['UNLOGGED']"
        if text := facets.get("partition by"):
            found.words["postgresql_partition_by"] = repr(text)
            found.left_out.append("its partitions, which no model names")
        if text := facets.get("inherits"):
            parents = [parent for parent in map(name, split(text)) if parent is not None]
            if len(parents) < len(split(text)):
                found.left_out.append(f"that it inherits from {text}, a table of another schema")
            else:
                found.words["postgresql_inherits"] = repr(tuple(parents))
                found.after += parents
                found.left_out.append(
                    f"the columns that it inherits from {text}: the model has its own alone"
                )
        if facets.get("comment") is not None:
            found.words["comment"] = repr(facets["comment"])
        return found

    def view_columns(
        self, connection: sa.Connection, each: Name
    ) -> list[tuple[str, TypeEngine[Any] | None, str]]:
        """Return each column of a view, its type (None if SQLAlchemy has none), and the type as printed."""
        rows = connection.exec_driver_sql(
            "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod) FROM pg_catalog.pg_attribute a"
            " JOIN pg_catalog.pg_class c ON c.oid = a.attrelid"
            " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            (each.schema or self._default, each.name),
        )
        found: list[tuple[str, TypeEngine[Any] | None, str]] = []
        for column, spelled in rows:
            try:
                found.append((column, self._type(spelled, None), spelled))
            except LeftOut:
                found.append((column, None, spelled))
        return found

    def _type(self, spelled: str, collation: str | None) -> TypeEngine[Any]:
        """Return the type that the server prints so.

        Args:
            spelled: the type as `format_type` prints it.
            collation: the collation, if it is not that of the type.

        Raises:
            LeftOut: SQLAlchemy has no such type, or cannot give it the collation.
        """
        if spelled.endswith("[]"):
            if collation:
                raise LeftOut(f"{spelled} with a collation")
            return postgresql.ARRAY(self._type(spelled[:-2], None))
        if spelled in self._enums:
            enum, labels = self._enums[spelled]
            return sa.Enum(*labels, name=enum.name, schema=enum.schema or None)
        found = plain_type(spelled)
        if found is None:
            raise LeftOut(f"SQLAlchemy has no type for {spelled}")
        if collation is not None:
            collated = name(collation)
            if not isinstance(found, sa.String) or collated is None:
                raise LeftOut(f"{spelled} with the collation {collation}")
            found.collation = collated
        return found


def _without_size(spelled: str) -> str:
    return re.sub(r"\(.*?\)", "", spelled)


def _ident(text: str) -> str:
    """Return a name as `format_type` prints it."""
    return text if re.match(r"[a-z_][a-z0-9_]*\Z", text) else '"' + text.replace('"', '""') + '"'


def _counting(facets: Mapping[str, Any], kind: str) -> dict[str, str]:
    """Return the options of a sequence that differ from the defaults of its type.

    Args:
        facets: the options as the catalog has them.
        kind: smallint, integer or bigint.
    """
    increment = int(facets["increment"])
    low, high = (1, _LARGEST[kind]) if increment > 0 else (-_LARGEST[kind] - 1, -1)
    start = int(facets["minimum"] if increment > 0 else facets["maximum"])
    usual = {"start": start, "increment": 1, "minimum": low, "maximum": high, "cache": 1}
    words = {"minimum": "minvalue", "maximum": "maxvalue"}
    found = {
        words.get(word, word): str(int(facets[word]))
        for word, value in usual.items()
        if int(facets[word]) != value
    }
    if str(facets.get("cycle")).lower() == "true":
        found["cycle"] = "True"
    return found


def _named(each: Name, **words: str | None) -> dict[str, str | None]:
    return {"name": quoted(each.name)} | words


def _waiting(text: str, what: str) -> dict[str, str | None]:
    found = _WAITING.match(text)
    if found is None:
        raise LeftOut(f"SQLAlchemy cannot express{text} of {what}")
    return {
        "deferrable": "True" if found["deferrable"] else None,
        "initially": quoted(found["initially"]),
    }


def _key(each: Name, definition: str) -> Item:
    """Translate a PRIMARY KEY or UNIQUE constraint."""
    primary = each.kind == "primary key"
    listed, rest = inside(definition)
    columns = names(listed)
    if columns is None:
        raise LeftOut(f"SQLAlchemy cannot express {definition}")
    words: dict[str, str | None] = {}
    if "NULLS NOT DISTINCT" in definition.partition("(")[0]:
        words["postgresql_nulls_not_distinct"] = "True"
    if rest.startswith(" INCLUDE "):
        included, rest = inside(rest)
        words["postgresql_include"] = repr(names(included))
    words |= _waiting(rest, f"the {each.kind}")
    function = "sa.PrimaryKeyConstraint" if primary else "sa.UniqueConstraint"
    return Item(call(function, *map(repr, columns), **_named(each, **words)), tuple(columns))


def _listed(match: re.Match[str]) -> str:
    labels = match["labels"].replace("::character varying", "")
    return f"{match['column']} {'IN' if match['word'] == '= ANY' else 'NOT IN'} ({labels})"


def _check(each: Name, definition: str) -> Item:
    expression, rest = inside(definition)
    expression = _IN.sub(_listed, expression)
    if rest:
        raise LeftOut(f"SQLAlchemy cannot express{rest} of a check")
    return Item(call("sa.CheckConstraint", repr(escaped(expression)), **_named(each)))


def _foreign_key(each: Name, definition: str) -> Item:
    listed, rest = inside(definition)
    columns = names(listed)
    target, _, _ = rest.removeprefix(" REFERENCES ").partition("(")
    listed, rest = inside(rest)
    referred = names(listed)
    parts = [name(part) for part in re.findall(r'"(?:[^"]|"")*"|[^.]+', target)]
    actions = _FOREIGN.match(rest)
    if columns is None or referred is None or None in parts or actions is None:
        raise LeftOut(f"SQLAlchemy cannot express {definition}")
    if any("." in part for part in (*parts, *referred) if part):
        raise LeftOut(f"a name with a dot, in {definition}")
    key = ".".join(part for part in parts if part)
    words = {word: quoted(value) for word, value in actions.groupdict().items()}
    words |= _waiting(rest[actions.end() :], "a foreign key")
    return Item(
        call(
            "sa.ForeignKeyConstraint",
            repr(columns),
            repr([f"{key}.{column}" for column in referred]),
            **_named(each, **words),
        ),
        tuple(columns),
        key,
    )


def _exclude(each: Name, definition: str) -> Item:
    using, _, _ = definition.removeprefix("EXCLUDE USING ").partition(" ")
    listed, rest = inside(definition)
    elements, columns = [], []
    for element in split(listed):
        expression, _, operator = element.rpartition(" WITH ")
        column = name(expression)
        if column is not None:
            columns.append(column)
        elements.append(f"({repr(column) if column else f'sa.literal_column({expression!r})'}, {operator!r})")
    where = None
    if rest.startswith(" WHERE "):
        condition, rest = inside(rest)
        where = as_text(condition)
    words = _waiting(rest, "an exclusion constraint")
    source = call(
        "postgresql.ExcludeConstraint", *elements, using=repr(using), where=where, **_named(each, **words)
    )
    return Item(source, tuple(columns))


def _index(each: Name, definition: str, *, unique: bool) -> Item:
    """Translate an index.

    Args:
        each: the name of the index.
        definition: the part of `pg_get_indexdef` after USING.
        unique: whether the index is UNIQUE.
    """
    using, _, _ = definition.partition(" ")
    listed, rest = inside(definition)
    elements, columns, ops = _elements(listed)
    words: dict[str, str | None] = {
        "unique": "True" if unique else None,
        "postgresql_using": None if using == "btree" else repr(using),
        "postgresql_ops": repr(ops) if ops else None,
    }
    if rest.startswith(" INCLUDE "):
        included, rest = inside(rest)
        words["postgresql_include"] = repr(names(included))
    if rest.startswith(" NULLS NOT DISTINCT"):
        rest = rest.removeprefix(" NULLS NOT DISTINCT")
        words["postgresql_nulls_not_distinct"] = "True"
    if rest.startswith(" WITH "):
        given, rest = inside(rest)
        pairs = (pair.partition("=") for pair in split(given))
        words["postgresql_with"] = repr({word: value.strip("'") for word, _, value in pairs})
    if space := re.match(r" TABLESPACE (\S+)", rest):
        rest = rest[space.end() :]
        words["postgresql_tablespace"] = quoted(name(space[1]))
    if rest.startswith(" WHERE "):
        words["postgresql_where"] = as_text(rest.removeprefix(" WHERE "))
    elif rest:
        raise LeftOut(f"SQLAlchemy cannot express{rest} of an index")
    return Item(call("sa.Index", repr(each.name), *elements, **words), tuple(columns))


def _elements(listed: str) -> tuple[list[str], list[str], dict[str, str]]:
    """Return the source of each element of an index, the names of its columns, and their operator classes."""
    elements: list[str] = []
    columns: list[str] = []
    ops: dict[str, str] = {}
    for element in split(listed):
        first, _, more = element.partition(" ")
        column = name(element) or name(first)
        if column is not None:
            columns.append(column)
        if column is not None and (name(element) or re.match(r"[a-z0-9_]+\Z", more)):
            elements.append(repr(column))
            ops |= {column: more} if name(element) is None else {}
        else:
            elements.append(as_text(element))
    return elements, columns, ops
