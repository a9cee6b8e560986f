"""Tokens of the SQL that servers of the MySQL family return from SHOW CREATE, with all its ways of quoting."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sqlalchemy.dialects.mysql.reserved_words import RESERVED_WORDS_MARIADB, RESERVED_WORDS_MYSQL

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
    for place, token in enumerate(given, start=1):
        spaced = (spaced or token.spaced) and line != ""
        if skip:
            skip = False
        elif token.kind == "name" and token.name == own and words[place + 1] == "." != words[place - 1]:
            skip = True
        else:
            spelled = token.spelled
            if token.kind == "text" and spelled.isascii():
                spelled = _INTRODUCED.sub("", spelled)
            line += f" {spelled}" if spaced else spelled
            spaced = False
    return line


def quoted(name: str) -> str:
    """Return a name for messages and lists, in backticks only where they are required.

    Args:
        name: as the catalog has it.
    """
    return (
        name
        if _PLAIN.fullmatch(name) and name.lower() not in _RESERVED
        else "`" + name.replace("`", "``") + "`"
    )


def identifier(name: str) -> str:
    """Return a name in backticks, for a statement without parameters.

    SQLAlchemy's own quoting doubles percent signs, which such a statement must not have.

    Args:
        name: as the catalog has it.
    """
    return "`" + name.replace("`", "``") + "`"


def names(given: Sequence[Token]) -> list[str]:
    """Return the names in a list like `a`, `b`.

    Args:
        given: the tokens of the list.
    """
    return [part[0].name for part in split(given)]


def granted_on(database: str) -> str:
    """Return a database's name for GRANT ON name.*, where `_` and `%` are wildcards and must be escaped.

    Args:
        database: its name.
    """
    escaped = database.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%").replace("`", "``")
    return f"`{escaped}`"
