"""Parses the CREATE statements of the MySQL family's SHOW CREATE: tokens, and one table's objects in a snapshot."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy.dialects.mysql.reserved_words import RESERVED_WORDS_MARIADB, RESERVED_WORDS_MYSQL

from ringfence.schema.comparison.snapshot import Name, Snapshot
from ringfence.schema.errors import JobFailed

# A string may follow the name of its character set (_utf8mb4'x'), or a letter for its type (b'101', x'2a').
# The marks of a version comment (/*!50100 … */) count as white space: its content applies on the server that wrote it.
_TOKEN = re.compile(
    r"""
      (?P<space> \s+ | /\*M?!\d* | /\*.*?\*/ | \*/ )
    | (?P<name> `(?:[^`]|``)*` )
    | (?P<text> (?:_[A-Za-z0-9]+|[bBxXnN])? '(?:[^'\\]|\\.|'')*' | "(?:[^"\\]|\\.|"")*" )
    | (?P<word> [\w$@]+(?:\.\d+)? )
    | (?P<sign> [^\s`'"] )
    """,
    re.VERBOSE | re.DOTALL,
)
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
_RESERVED = RESERVED_WORDS_MYSQL | RESERVED_WORDS_MARIADB
_INTRODUCED = re.compile(r"_(?:utf8mb4|utf8mb3|utf8|latin1|ascii)(?=')")
_ESCAPED = re.compile(r"\\(.)|''|\"\"", re.DOTALL)
_MEANT = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a"}


class Token(NamedTuple):
    """A token of SQL.

    Args:
        kind: name, text, word or sign.
        spelled: the token as it was written.
        word: the keyword in capitals, or the sign; "" for what is quoted.
        start: the position of its first character in the statement.
        end: the position after its last one.
        spaced: whether white space or a comment precedes it.
    """

    kind: str
    spelled: str
    word: str
    start: int
    end: int
    spaced: bool

    @property
    def name(self) -> str:
        """Return the identifier, without backticks."""
        return self.spelled[1:-1].replace("``", "`") if self.kind == "name" else self.spelled

    @property
    def value(self) -> str:
        """Return the string, without its quotes and escapes."""
        quote = self.spelled[-1]
        inner = self.spelled[self.spelled.index(quote) + 1 : -1]
        return _ESCAPED.sub(
            lambda m: _MEANT.get(m[1], m[1]) if m[1] else m[0] if quote != m[0][0] else quote, inner
        )


def tokens(sql: str) -> list[Token]:
    """Split a statement into tokens, without white space and comments.

    Args:
        sql: one statement, as the server returned it.

    Raises:
        JobFailed: a quote is never closed, so that the rest cannot be relied on.
    """
    found = []
    position, spaced = 0, False
    for match in _TOKEN.finditer(sql):
        if match.start() != position:
            break
        position = match.end()
        kind, spelled = str(match.lastgroup), match[0]
        if kind == "space":
            spaced = True
            continue
        word = spelled.upper() if kind == "word" else spelled if kind == "sign" else ""
        found.append(Token(kind, spelled, word, match.start(), position, spaced))
        spaced = False
    if position != len(sql):
        raise JobFailed(f"a statement cannot be read from its character {position} on: {sql}")
    return found


class Reader:
    """Reads tokens from left to right.

    Args:
        given: the tokens.
    """

    def __init__(self, given: Sequence[Token]) -> None:
        self.given = given
        self.at = 0

    def __bool__(self) -> bool:
        return self.at < len(self.given)

    def next(self) -> Token:
        """Read the next token and return it."""
        self.at += 1
        return self.given[self.at - 1]

    def word(self) -> str:
        """Return the next keyword or sign without reading it; "" for a quoted token and at the end."""
        return self.given[self.at].word if self else ""

    def take(self, *words: str) -> bool:
        """Read these keywords or signs if they come next, and return whether they did."""
        wanted = list(words)
        if [token.word for token in self.given[self.at : self.at + len(wanted)]] != wanted:
            return False
        self.at += len(wanted)
        return True

    def group(self) -> list[Token]:
        """Read a group in parentheses, and return the tokens in it."""
        depth, start = 0, self.at
        while self:
            depth += {"(": 1, ")": -1}.get(self.next().word, 0)
            if depth == 0:
                break
        return list(self.given[start + 1 : self.at - 1])

    def until(self, stops: Iterable[str]) -> list[Token]:
        """Read at least one token, and all that follow up to a keyword outside of parentheses.

        Args:
            stops: the keywords to stop before, in capitals.
        """
        depth, start = 0, self.at
        while self:
            depth += {"(": 1, ")": -1}.get(self.next().word, 0)
            if depth <= 0 and self.word() in stops:
                break
        return list(self.given[start : self.at])

    def rest(self) -> list[Token]:
        """Read all remaining tokens."""
        start, self.at = self.at, len(self.given)
        return list(self.given[start:])


def split(given: Sequence[Token]) -> Iterator[list[Token]]:
    """Yield the parts between commas that are in no parentheses.

    Args:
        given: tokens.
    """
    depth, part = 0, list[Token]()
    for token in given:
        depth += {"(": 1, ")": -1}.get(token.word, 0)
        if depth == 0 and token.word == ",":
            yield part
            part = []
        else:
            part.append(token)
    if part:
        yield part


def written(given: Sequence[Token], own: str) -> str:
    """Return tokens as one line, as the server spells them.

    The name of the tables' own database is left out. So is the character set of a string in ASCII, which is that of the
    connection that created the table, and says nothing about the column.

    Args:
        given: tokens.
        own: the name of that database.
    """
    line, spaced, skip = "", False, False
    words = ["", *(token.word for token in given), ""]
    for position, token in enumerate(given, start=1):
        spaced = (spaced or token.spaced) and line != ""
        if skip:
            skip = False
        elif token.kind == "name" and token.name == own and words[position + 1] == "." != words[position - 1]:
            skip = True
        else:
            spelled = token.spelled
            if token.kind == "text" and spelled.isascii():
                spelled = _INTRODUCED.sub("", spelled)
            line += f" {spelled}" if spaced else spelled
            spaced = False
    return line


def quoted_if_needed(name: str) -> str:
    """Return a name for messages and lists, in backticks only where they are required.

    Args:
        name: as the catalog has it.
    """
    return (
        name
        if _PLAIN.fullmatch(name) and name.lower() not in _RESERVED
        else "`" + name.replace("`", "``") + "`"
    )


def names(given: Sequence[Token]) -> list[str]:
    """Return the names in a list like `a`, `b`.

    Args:
        given: the tokens of the list.
    """
    return [part[0].name for part in split(given)]


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
        first = next(position for position, token in enumerate(given) if token.word == "(")
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
        target = (
            f"{quoted_if_needed(schema)}.{quoted_if_needed(table)}" if schema else quoted_if_needed(table)
        )
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
                found.append(
                    quoted_if_needed(first.name) + (after if after.startswith("(") else f" {after}").rstrip()
                )
        return f"({', '.join(found)})"


def _moment(found: re.Match[str]) -> str:
    return f"CURRENT_TIMESTAMP({found[1]})" if found[1] else "CURRENT_TIMESTAMP"


def _list(given: Sequence[str]) -> str:
    return f"({', '.join(map(quoted_if_needed, given))})"


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
