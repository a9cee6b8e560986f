"""Reads one table of the MySQL family from SHOW CREATE TABLE into a snapshot, object by object."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ringfence.schema.comparison.snapshot import Name, Snapshot
from ringfence.schema.engines.mysql.introspection_tokens import (
    Reader,
    Token,
    names,
    quoted,
    split,
    tokens,
    written,
)

_CHARACTERS = frozenset({"CHAR", "VARCHAR", "TINYTEXT", "TEXT", "MEDIUMTEXT", "LONGTEXT", "ENUM", "SET"})
_AFTER_VALUE = frozenset({"ON", "AUTO_INCREMENT", "COMMENT", "INVISIBLE", "CHECK", "NOT", "WITHOUT"})
_KEYS = frozenset(
    {"PRIMARY", "UNIQUE", "FULLTEXT", "SPATIAL", "VECTOR", "KEY", "INDEX", "CONSTRAINT", "FOREIGN"}
)
_SAME = frozenset({"RESTRICT", "NO ACTION"})
"""Actions of a foreign key that are the same as none."""
_NOW = re.compile(r"^\(now\((\d*)\)\)$")
_NUMBERED = re.compile(r"_ibfk_\d+$|^\d+$")
"""The names that the server gives to foreign keys without a name."""

_FLAGS: Sequence[tuple[tuple[str, ...], str, str]] = (
    (("NOT", "NULL"), "null", "no"),
    (("NULL",), "null", "yes"),
    (("AUTO_INCREMENT",), "auto increment", "yes"),
    (("INVISIBLE",), "invisible", "yes"),
)
"""Keywords of a column, and the facet and value that they mean."""

Collations = Mapping[str, str]
"""Character set -> its default collation."""


@dataclass(frozen=True, slots=True)
class Owner:
    """The table that is read.

    Args:
        schema: its schema in the snapshot; "" for the default one.
        table: its name.
        database: the database that it is in.
    """

    schema: str
    table: str
    database: str


class TableReader:
    """Adds the objects of one table to a snapshot.

    Args:
        snapshot: it is extended.
        owner: the table.
        collations: the default collations of the server.
    """

    def __init__(self, snapshot: Snapshot, owner: Owner, collations: Collations) -> None:
        self._snapshot = snapshot
        self._owner = owner
        self._collations = collations
        self._collation: str | None = None

    def read(self, sql: str) -> None:
        """Add all objects of a CREATE TABLE statement.

        Args:
            sql: as SHOW CREATE TABLE returned it.
        """
        given = tokens(sql)
        first = next(place for place, token in enumerate(given) if token.word == "(")
        reader = Reader(given)
        reader.at = first
        body = reader.group()
        self._options(
            Reader(reader.rest()), periods=[part for part in split(body) if part[0].word == "PERIOD"]
        )
        for part in split(body):
            self.item(part)

    def item(self, given: Sequence[Token]) -> None:
        """Add one item of a CREATE TABLE statement: a column, a key or a constraint.

        Args:
            given: its tokens.
        """
        reader = Reader(given)
        if given[0].kind == "name" or given[0].word not in _KEYS | {"PERIOD"}:
            self._column(reader)
        elif reader.take("PRIMARY", "KEY"):
            self._add("primary key", "PRIMARY", columns=self._parts(reader.group()))
        elif given[0].word not in ("CONSTRAINT", "FOREIGN", "PERIOD"):
            self._index(reader)
        elif given[0].word != "PERIOD":
            self._constraint(reader)

    def _add(
        self, kind: str, name: str, facets: Mapping[str, str | None] | None = None, **more: str | None
    ) -> None:
        owner = self._owner
        known: dict[str, str | None]
        known = {word: value for word, value in {**(facets or {}), **more}.items() if value is not None}
        self._snapshot.items[Name(kind, owner.schema, owner.table, name)] = known

    def _written(self, given: Sequence[Token]) -> str:
        return written(given, self._owner.database)

    def _options(self, reader: Reader, periods: Sequence[Sequence[Token]]) -> None:
        facets: dict[str, str | None] = {}
        charset = None
        while reader:
            if reader.word() == "PARTITION":
                facets["partitions"] = partitions(reader.rest())
                continue
            if reader.take("WITH", "SYSTEM", "VERSIONING"):
                facets["system versioning"] = "yes"
                continue
            word = reader.next().word
            reader.take("=")
            if word == "ENGINE":
                facets["engine"] = reader.next().spelled
            elif word in ("CHARSET", "CHARACTER"):
                reader.take("SET")
                reader.take("=")
                charset = reader.next().spelled
            elif word == "COLLATE":
                self._collation = reader.next().spelled
            elif word == "COMMENT":
                facets["comment"] = reader.next().value or None
        if self._collation is None and charset is not None:
            self._collation = self._collations.get(charset, charset)
        period = "; ".join(self._written(part) for part in periods) or None
        self._add("table", self._owner.table, facets, collation=self._collation, period=period)

    def _column(self, reader: Reader) -> None:
        name, type_ = reader.next().name, [reader.next()]
        if reader.word() == "(":
            start = reader.at
            reader.group()
            type_ += reader.given[start : reader.at]
        while reader.word() in ("UNSIGNED", "ZEROFILL", "PRECISION", "VARYING"):
            type_.append(reader.next())
        facets: dict[str, str | None] = {"null": "yes"}
        more: list[str] = []
        charset = None
        while reader:
            if reader.take("CHARACTER", "SET"):
                charset = reader.next().spelled
            elif reader.take("COLLATE"):
                facets["collation"] = reader.next().spelled
            else:
                self._attribute(reader, facets, more)
        if type_[0].word in _CHARACTERS and "collation" not in facets:
            facets["collation"] = self._collations.get(charset, charset) if charset else self._collation
        facets["type"] = " ".join([self._written(type_), *more])
        check = facets.pop("check", None)
        if check == f"json_valid(`{name.replace('`', '``')}`)":
            # MariaDB's JSON is a text with this check.
            facets["type"], facets["collation"] = "json", None
        elif check is not None:
            # A check of a column has no name.
            self._add("check", f"({check})", definition=check)
        if computed := facets.get("computed"):
            # A computed column can only be altered as a whole, so this facet has its whole definition.
            words = (
                facets["type"],
                f"COLLATE {facets['collation']}" if facets.get("collation") else "",
                f"AS {computed}",
                "NOT NULL" if facets["null"] == "no" else "",
                f"COMMENT {facets['comment']}" if facets.get("comment") else "",
            )
            facets["computed"] = " ".join(filter(None, words))
        self._add("column", name, facets)

    def _attribute(self, reader: Reader, facets: dict[str, str | None], more: list[str]) -> None:
        """Read one attribute of a column into its facets, or into `more` when it belongs to the type."""
        for words, facet, value in _FLAGS:
            if reader.take(*words):
                facets[facet] = value
                return
        if reader.take("GENERATED", "ALWAYS", "AS"):
            facets["computed"] = self._computed(reader)
        elif reader.take("DEFAULT"):
            default = self._written(reader.until(_AFTER_VALUE))
            # Two spellings of the same function, of which MySQL keeps the one that it was given.
            facets["default"] = None if default == "NULL" else _NOW.sub(_moment, default)
        elif reader.take("ON", "UPDATE"):
            facets["on update"] = self._written(reader.until(_AFTER_VALUE))
        elif reader.take("COMMENT"):
            facets["comment"] = reader.next().value or None
        elif reader.take("CHECK"):
            facets["check"] = self._written(reader.group())
        else:
            more.append(reader.next().spelled)  # SRID 4326, COMPRESSED, WITHOUT SYSTEM VERSIONING, …

    def _computed(self, reader: Reader) -> str:
        if reader.word() != "(":
            return f"{reader.next().word} {reader.next().word}"  # ROW START, ROW END
        expression = self._written(reader.group())
        stored = reader.word() in ("STORED", "PERSISTENT")
        if stored or reader.word() == "VIRTUAL":
            reader.next()
        return f"({expression}) {'STORED' if stored else 'VIRTUAL'}"

    def _index(self, reader: Reader) -> None:
        unique = reader.take("UNIQUE")
        kind = reader.next().word if reader.word() in ("FULLTEXT", "SPATIAL", "VECTOR") else None
        if reader.word() in ("KEY", "INDEX"):
            reader.next()
        name = reader.next().name
        parts = reader.group()
        facets: dict[str, str | None] = {"columns": self._parts(parts), "kind": kind}
        more: list[str] = []
        while reader:
            if reader.take("USING"):
                # BTREE is the default.
                using = reader.next().word
                facets["using"] = None if using == "BTREE" else using
            elif reader.take("COMMENT"):
                facets["comment"] = reader.next().value or None
            elif reader.take("WITH", "PARSER"):
                facets["parser"] = reader.next().name
            elif reader.word() in ("INVISIBLE", "IGNORED"):
                reader.next()
                facets["invisible"] = "yes"
            else:
                more.append(reader.next().spelled)
        facets["options"] = " ".join(more) or None
        plain = all(len(part) == 1 for part in split(parts))
        if unique and plain:
            self._add("unique", name, facets)
        else:
            self._add("index", name, facets, unique="yes" if unique else None)

    def _constraint(self, reader: Reader) -> None:
        name = ""
        if reader.take("CONSTRAINT") and reader.word() not in ("FOREIGN", "CHECK", "UNIQUE", "PRIMARY"):
            name = reader.next().name
        if reader.take("CHECK"):
            definition = self._written(reader.group())
            self._add("check", name, definition=definition, enforced="no" if reader.take("NOT") else None)
            return
        reader.take("FOREIGN", "KEY")
        columns = names(reader.group())
        reader.take("REFERENCES")
        schema, table = "", reader.next().name
        if reader.take("."):
            schema, table = table, reader.next().name
        if schema == self._owner.database:
            schema = ""
        target = f"{quoted(schema)}.{quoted(table)}" if schema else quoted(table)
        facets: dict[str, str | None] = {
            "columns": _list(columns),
            "references": f"{target} {_list(names(reader.group()))}",
        }
        while reader.take("ON"):
            word = "on delete" if reader.next().word == "DELETE" else "on update"
            action = reader.next().word
            if action in ("SET", "NO"):
                action += f" {reader.next().word}"
            facets[word] = None if action in _SAME else action
        self._add("foreign key", name or f"({facets['columns']} {facets['references']})", facets)

    def _parts(self, given: Sequence[Token]) -> str:
        """Return the parts of a key: columns with prefix length and direction, and expressions."""
        found = []
        for part in split(given):
            first = part[0]
            if first.word == "(":
                found.append(self._written(part))
            else:
                after = self._written([token for token in part[1:] if token.word != "ASC"])
                found.append(quoted(first.name) + (after if after.startswith("(") else f" {after}").rstrip())
        return f"({', '.join(found)})"


def _moment(found: re.Match[str]) -> str:
    return f"CURRENT_TIMESTAMP({found[1]})" if found[1] else "CURRENT_TIMESTAMP"


def _list(given: Sequence[str]) -> str:
    return f"({', '.join(map(quoted, given))})"


def partitions(given: Sequence[Token], value: Callable[[str], str] = str) -> str:
    """Return the partitioning of a table in one spelling: without quotes and in lower case.

    The engine of each partition is left out, because it is that of the table.

    Args:
        given: the tokens from PARTITION BY on.
        value: evaluates an expression that bounds a partition, because the server stores only its value.
    """
    words: list[str] = []
    reader = Reader(given)
    while reader:
        if reader.take("ENGINE", "=") or reader.take("STORAGE", "ENGINE", "="):
            reader.next()
        elif reader.word() == "(" and words[-1:] in (["than"], ["in"]):
            bounds = [_bound(part, value) for part in split(reader.group())]
            words.append("maxvalue" if bounds == ["maxvalue"] else f"({', '.join(bounds)})")
        else:
            token = reader.next()
            words.append(_text(token) if token.kind == "text" else token.name.lower())
    return re.sub(r"(?<=\() | (?=[(),])", "", " ".join(words))


def _bound(given: Sequence[Token], value: Callable[[str], str]) -> str:
    """Return the bound of a partition: a string as it is, an expression by its value."""
    if any(token.word == "(" for token in given):
        return value(written(given, ""))
    return " ".join(_text(token) if token.kind == "text" else token.spelled.lower() for token in given)


def _text(token: Token) -> str:
    """Return a string in one spelling, because the server writes a quote in it in more than one way."""
    return "'" + token.value.replace("\\", "\\\\").replace("'", "''") + "'"


def without_implicit(snapshot: Snapshot, owner: Owner) -> None:
    """Remove the indexes that the server made for foreign keys, because it makes them again wherever they are missing.

    Such an index has exactly the columns of its foreign key. It has the name of the foreign key, or that of the first
    column where the foreign key was given no name.

    Args:
        snapshot: it is changed.
        owner: the table.
    """
    found = list(snapshot.of("foreign key", owner.schema, owner.table))
    for key, facets in found:
        columns = facets["columns"]
        first = re.escape(str(columns).strip("()").split(", ", 1)[0].strip("`"))
        given = not (_NUMBERED.search(key.name) or key.name.startswith("("))
        # A name like the server's may also have been given by the user, as in a file that `reflect` wrote.
        own = re.compile(re.escape(key.name) + ("" if given else rf"|{first}(_\d+)?"))
        for index, parts in list(snapshot.of("index", owner.schema, owner.table)):
            if parts == {"columns": columns} and own.fullmatch(index.name):
                del snapshot.items[index]
