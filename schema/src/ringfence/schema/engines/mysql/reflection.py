"""Turns SHOW CREATE TABLE into arguments for SQLAlchemy from which the server makes the same table again."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

from ringfence.schema.comparison.snapshot import Facets, Name
from ringfence.schema.models.columns import DeclaredAs
from ringfence.schema.rendering.table_parts import Column, Item, LeftOut, Options
from ringfence.schema.sql.parsing import as_text, call, escaped, inside, name, names, quoted, split

_WHOLE: Mapping[str, tuple[type[Any], Callable[[], TypeEngine[Any]] | None, int, int]] = {
    "tinyint": (mysql.TINYINT, None, 4, 3),
    "smallint": (mysql.SMALLINT, sa.SmallInteger, 6, 5),
    "mediumint": (mysql.MEDIUMINT, None, 9, 8),
    "int": (mysql.INTEGER, sa.Integer, 11, 10),
    "bigint": (mysql.BIGINT, sa.BigInteger, 20, 20),
}
"""MySQL's type, SQLAlchemy's generic one, and the default display widths: signed, and unsigned."""
_FRACTIONS: Mapping[str, type[Any]] = {"decimal": mysql.DECIMAL, "float": mysql.FLOAT, "double": mysql.DOUBLE}
_TIMED: Mapping[str, type[Any]] = {
    "datetime": mysql.DATETIME,
    "timestamp": mysql.TIMESTAMP,
    "time": mysql.TIME,
}
_SIZED: Mapping[str, Callable[..., TypeEngine[Any]]] = {
    "char": sa.CHAR,
    "varchar": sa.String,
    "binary": sa.BINARY,
    "varbinary": sa.VARBINARY,
    "bit": mysql.BIT,
}
_PLAIN: Mapping[str, Callable[[], TypeEngine[Any]]] = {
    "date": sa.Date,
    "year": mysql.YEAR,
    "year(4)": mysql.YEAR,
    "tinytext": mysql.TINYTEXT,
    "text": mysql.TEXT,
    "mediumtext": mysql.MEDIUMTEXT,
    "longtext": mysql.LONGTEXT,
    "tinyblob": mysql.TINYBLOB,
    "blob": mysql.BLOB,
    "mediumblob": mysql.MEDIUMBLOB,
    "longblob": mysql.LONGBLOB,
    "json": sa.JSON,
    "uuid": sa.UUID,
    "tinyint(1)": sa.Boolean,
}
_NUMBER = re.compile(r"(\w+)(?: ?\((\d+)(?:, ?(\d+))?\))?( unsigned)?( zerofill)?\Z", re.IGNORECASE)
_TEXT = re.compile(r"'((?:[^'\\]|''|\\.)*)'", re.DOTALL)
_PARTITIONS = re.compile(r"\n ?(?:/\*!\d+ )? ?PARTITION BY (.*?)(?: ?\*/)?\s*\Z", re.DOTALL)
"""The partitions at the end of SHOW CREATE TABLE, because those of the snapshot are without quotes."""
_NAMED = re.compile(r"`((?:[^`]|``)+)`")
_ACTIONS = {"on delete": "ondelete", "on update": "onupdate"}
_KEY_FACETS = frozenset({"columns", "kind", "using", "parser", "unique"})
"""The facets of an index that SQLAlchemy can express."""


class FamilyTranslator:
    """Writes objects of the MySQL family as arguments for SQLAlchemy.

    Args:
        dialect: the prefix of this server's options, `mysql` or `mariadb`.
    """

    def __init__(self, dialect: str) -> None:
        self._dialect = dialect
        self._collations: dict[tuple[str, str], str | None] = {}
        self._partitions: dict[tuple[str, str], str] = {}

    def prepare(self, connection: sa.Connection, found: Mapping[Name, Facets]) -> None:
        """Read each table's collation, which its columns have unless they name another, and its partitions."""
        for each, facets in found.items():
            if each.kind == "table":
                self._collations[each.schema, each.table] = facets.get("collation")
            if facets.get("partitions"):
                quote = connection.dialect.identifier_preparer.quote_identifier
                qualified = ".".join(quote(part) for part in (each.schema, each.table) if part)
                shown = str(
                    connection.exec_driver_sql(f"SHOW CREATE TABLE {qualified}".replace("%", "%%")).one()[1]
                )
                if written := _PARTITIONS.search(shown):
                    self._partitions[each.schema, each.table] = written[1]

    def type_source(self, each: Name, facets: Facets) -> tuple[str, str]:
        """Return the source of a sequence of MariaDB, and the name of its variable."""
        increment = int(facets.get("increment") or 1)
        usual = (
            {"minimum": 1, "maximum": 2**63 - 2}
            if increment >= 0
            else {"minimum": -(2**63) + 1, "maximum": -1}
        )
        start = facets.get("minimum" if increment >= 0 else "maximum")
        usual |= {"start": int(start or 1), "increment": 1, "cache": 1000}
        words = {"minimum": "minvalue", "maximum": "maxvalue"}
        given = {
            words.get(word, word): str(int(facets.get(word) or 0))
            for word, value in usual.items()
            if int(facets.get(word) or 0) != value
        }
        cycle = {"cycle": "True"} if facets.get("cycle") == "true" else {}
        schema = quoted(each.schema or None)
        source = call("sa.Sequence", repr(each.name), schema=schema, metadata="metadata", **given, **cycle)
        variable = f"{each.schema}_{each.name}" if each.schema else each.name
        return source, f"{variable}_sequence"

    def column(self, each: Name, facets: Facets) -> Column:
        """Return a column.

        Raises:
            LeftOut: SQLAlchemy cannot express it.
        """
        if facets.get("invisible"):
            raise LeftOut("it is INVISIBLE, which SQLAlchemy cannot express")
        collation = facets.get("collation")
        if collation == self._collations.get((each.schema, each.table)):
            collation = None
        kind = self._type(str(facets["type"]), collation, f"{each.table}_{each.name}")
        more = []
        if computed := facets.get("computed"):
            more.append(_computed(computed, facets))
        words = {"comment": repr(facets["comment"])} if facets.get("comment") is not None else {}
        default = facets.get("default")
        if changed := facets.get("on update"):
            default = f"{default or 'NULL'} ON UPDATE {changed}"
            words["server_onupdate"] = "sa.FetchedValue()"
        return Column(
            name=each.name,
            kind=kind,
            nullable=facets.get("null") != "no",
            counted=facets.get("auto increment") == "yes",
            default=default,
            more=tuple(more),
            words=words,
        )

    def serial(self, column: Column) -> Column | None:
        """Return a column that is outside the primary key, with AUTO_INCREMENT in its declared type."""
        declared = column.kind.compile(dialect=mysql.dialect())
        kind = DeclaredAs(column.kind, **{self._dialect: f"{declared} AUTO_INCREMENT"})
        return Column(column.name, kind, column.nullable, fills_itself=True, words=column.words)

    def item(self, each: Name, facets: Facets) -> Item:
        """Return a constraint or an index.

        Raises:
            LeftOut: SQLAlchemy cannot express it.
        """
        if facets.get("comment") is not None:
            raise LeftOut("SQLAlchemy makes no comment on it")
        if each.kind == "check":
            if facets.get("enforced") == "no":
                raise LeftOut("it is NOT ENFORCED, which SQLAlchemy cannot express")
            if each.name.startswith("("):  # MariaDB names the checks of a table itself
                columns = tuple(
                    {column.replace("``", "`") for column in _NAMED.findall(str(facets["definition"]))}
                )
                source = call("sa.CheckConstraint", repr(escaped(str(facets["definition"]))))
                return Item(source, columns, at_column=len(columns) == 1)
            label = each.name
            return Item(
                call("sa.CheckConstraint", repr(escaped(str(facets["definition"]))), name=quoted(label))
            )
        if each.kind == "foreign key":
            return self._foreign_key(each, facets)
        return self._key(each, facets)

    def options(self, each: Name, facets: Facets) -> Options:
        """Return the options of a table, and those of it that SQLAlchemy cannot express."""
        found = Options()
        if (engine := facets.get("engine")) and engine.lower() != "innodb":
            found.words[f"{self._dialect}_engine"] = repr(engine)
        if collation := facets.get("collation"):
            found.words[f"{self._dialect}_collate"] = repr(collation)
        if text := facets.get("partitions"):
            shown = self._partitions.get((each.schema, each.table))
            if shown is None:
                found.left_out.append(f"its partitions: {text}")
            else:
                found.words[f"{self._dialect}_partition_by"] = repr(shown)
        if facets.get("comment") is not None:
            found.words["comment"] = repr(facets["comment"])
        found.left_out += [
            f"its {word}, which SQLAlchemy cannot express"
            for word in ("system versioning", "period")
            if facets.get(word)
        ]
        return found

    def view_columns(
        self, connection: sa.Connection, each: Name
    ) -> list[tuple[str, TypeEngine[Any] | None, str]]:
        """Return each column of a view, its type where SQLAlchemy has it, and the server's name of the type."""
        rows = connection.exec_driver_sql(
            "SELECT column_name, column_type FROM information_schema.columns"
            " WHERE table_schema = COALESCE(%s, DATABASE()) AND table_name = %s ORDER BY ordinal_position",
            (each.schema or None, each.name),
        )
        found: list[tuple[str, TypeEngine[Any] | None, str]] = []
        for column, spelled in rows:
            try:
                found.append((column, self._type(spelled, None, f"{each.name}_{column}"), spelled))
            except LeftOut:
                found.append((column, None, spelled))
        return found

    def _type(self, spelled: str, collation: str | None, label: str) -> TypeEngine[Any]:
        found = _listed(spelled, label) or _plain(spelled)
        if found is None:
            raise LeftOut(f"SQLAlchemy has no type for {spelled}")
        if collation is not None:
            # Only text types have a collation, and ENUM and SET.
            if isinstance(found, sa.Enum) and not isinstance(found, mysql.ENUM):
                found = mysql.ENUM(*found.enums, collation=collation)
            else:
                collated: Any = found
                collated.collation = collation
        return found

    def _foreign_key(self, each: Name, facets: Facets) -> Item:
        target, _, referred = str(facets["references"]).partition(" (")
        columns, others = names(inside(str(facets["columns"]))[0]), names(referred.removesuffix(")"))
        parts = [name(part) for part in re.findall(r"`(?:[^`]|``)*`|[^.]+", target)]
        if (
            columns is None
            or others is None
            or None in parts
            or any("." in str(part) for part in (*parts, *others))
        ):
            raise LeftOut(f"SQLAlchemy cannot express a foreign key to {facets['references']}")
        key = ".".join(str(part) for part in parts)
        words = {word: quoted(facets.get(facet)) for facet, word in _ACTIONS.items()}
        label = None if each.name.startswith("(") else each.name
        targets = [f"{key}.{column}" for column in others]
        source = call("sa.ForeignKeyConstraint", repr(columns), repr(targets), name=quoted(label), **words)
        return Item(source, tuple(columns), key)

    def _key(self, each: Name, facets: Facets) -> Item:
        """Return a primary key, a unique key or an index."""
        parts = split(inside(str(facets["columns"]))[0])
        if unsaid := sorted(word for word, value in facets.items() if value and word not in _KEY_FACETS):
            raise LeftOut(f"SQLAlchemy cannot express its {', '.join(unsaid)}: {facets[unsaid[0]]}")
        columns = [name(part) or name(re.split(r"[ (]", part, maxsplit=1)[0]) for part in parts]
        known = tuple(column for column in columns if column is not None)
        plain = [name(part) for part in parts]
        if each.kind == "primary key":
            if None in plain:
                raise LeftOut(f"SQLAlchemy cannot express a key of {facets['columns']}")
            return Item(call("sa.PrimaryKeyConstraint", *map(repr, plain)), known)
        kind = facets.get("kind")
        if kind == "VECTOR":
            raise LeftOut("SQLAlchemy cannot express a VECTOR index")
        if each.kind == "unique" and not facets.get("using") and None not in plain:
            return Item(call("sa.UniqueConstraint", *map(repr, plain), name=quoted(each.name)), known)
        lengths = {
            column: int(size[1])
            for column, part in zip(columns, parts, strict=True)
            if column is not None
            and (size := re.search(r"`?\((\d+)\)\Z", part))
            and part.startswith(("`", column))
        }
        simple = all(whole or column in lengths for whole, column in zip(plain, columns, strict=True))
        sources = (
            [repr(column) for column in columns]
            if simple
            else [repr(whole) if whole else as_text(part) for whole, part in zip(plain, parts, strict=True)]
        )
        options = {
            "length": repr(lengths) if simple and lengths else None,
            "using": quoted((facets.get("using") or "").lower() or None),
            "prefix": quoted(kind),
            "with_parser": quoted(facets.get("parser")),
        }
        unique = "True" if each.kind == "unique" or facets.get("unique") else None
        words = {f"{self._dialect}_{word}": value for word, value in options.items()}
        return Item(call("sa.Index", repr(each.name), *sources, unique=unique, **words), known)


def _computed(text: str, facets: Facets) -> str:
    """Return the source of a computed column, whose facet also has type, collation, NOT NULL and comment."""
    collation = facets.get("collation")
    before = f"{facets['type']} COLLATE {collation} AS " if collation else f"{facets['type']} AS "
    text = text.removeprefix(before)
    if text.startswith("ROW "):
        raise LeftOut("it belongs to a system-versioned period")
    expression, rest = inside(text) if text.startswith("(") else (text.rpartition(" ")[0], text)
    stored = " STORED" in rest.partition(" COMMENT ")[0]
    return call("sa.Computed", repr(escaped(expression)), persisted=str(stored))


def _plain(spelled: str) -> TypeEngine[Any] | None:
    lowered = spelled.lower()
    if lowered in _PLAIN:
        return _PLAIN[lowered]()
    found = _NUMBER.match(lowered)
    if found is None:
        return None
    word, size, scale = found[1], found[2] and int(found[2]), found[3] and int(found[3])
    signs = {"unsigned": True} if found[4] else {}
    signs |= {"zerofill": True} if found[5] else {}
    if word in _WHOLE:
        own, plain, signed, unsigned = _WHOLE[word]
        width = None if size in (None, unsigned if found[4] else signed) and not found[5] else size
        if plain is not None and width is None and not signs:
            return plain()
        kind: TypeEngine[Any] = own(display_width=width, **signs)
        return kind
    if word in _FRACTIONS:
        sizes = [each for each in (size, scale) if each is not None]
        if word == "double" and not sizes and not signs:
            return sa.Double()
        fraction: TypeEngine[Any] = _FRACTIONS[word](*sizes, **signs)
        return fraction
    if word in _TIMED and not signs:
        timed: TypeEngine[Any] = _TIMED[word](fsp=size)
        return timed
    if word in _SIZED and not signs and size is not None:
        return _SIZED[word](size)
    return None


def _listed(spelled: str, label: str) -> TypeEngine[Any] | None:
    """Return an ENUM or a SET with its labels; None for another type."""
    word, _, rest = spelled.partition("(")
    if word.strip().lower() not in ("enum", "set"):
        return None
    labels = [re.sub(r"''|\\(.)", lambda m: m[1] or "'", text) for text in _TEXT.findall(rest)]
    if word.strip().lower() == "set":
        return mysql.SET(*labels)
    return sa.Enum(*labels, name=label[:63])
