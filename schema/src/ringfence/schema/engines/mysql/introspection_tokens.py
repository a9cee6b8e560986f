"""The words of what the MySQL family says with SHOW CREATE, however names, texts and comments are quoted."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sqlalchemy.dialects.mysql.reserved_words import RESERVED_WORDS_MARIADB, RESERVED_WORDS_MYSQL

from ringfence.schema.errors import JobFailed

# A text may follow the name of its character set (_utf8mb4'x'), or a letter that says what it is (b'101', x'2a').
# The marks of a comment for some versions only are space: what stands between them holds on the server that said it.
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
    """A piece of SQL: its kind (name, text, word, sign), how it is spelled, and where it ends.

    `word` is a keyword or sign in capitals, and "" for what is quoted; `spaced` is whether white space precedes it.
    """

    kind: str
    spelled: str
    word: str
    start: int
    end: int
    spaced: bool

    @property
    def name(self) -> str:
        """The identifier that it is, quoted or not."""
        return self.spelled[1:-1].replace("``", "`") if self.kind == "name" else self.spelled

    @property
    def value(self) -> str:
        """The text that it is, without its quotes and escapes."""
        quote = self.spelled[-1]
        inner = self.spelled[self.spelled.index(quote) + 1 : -1]
        return _ESCAPED.sub(
            lambda m: _MEANT.get(m[1], m[1]) if m[1] else m[0] if quote != m[0][0] else quote, inner
        )


def tokens(sql: str) -> list[Token]:
    """Take a statement apart.

    Args:
        sql: one statement, as the server says it.

    Raises:
        JobFailed: a quote is never closed, so that nothing of the rest can be relied on.
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
    """Tokens, read from left to right."""

    def __init__(self, given: Sequence[Token]) -> None:
        self.given = given
        self.at = 0

    def __bool__(self) -> bool:
        return self.at < len(self.given)

    def next(self) -> Token:
        """The token that is next, which is read by this."""
        self.at += 1
        return self.given[self.at - 1]

    def word(self) -> str:
        """The keyword or sign that is next; "" where there is none."""
        return self.given[self.at].word if self else ""

    def take(self, *words: str) -> bool:
        """Whether these words are next; they are read when they are."""
        wanted = list(words)
        if [token.word for token in self.given[self.at : self.at + len(wanted)]] != wanted:
            return False
        self.at += len(wanted)
        return True

    def group(self) -> list[Token]:
        """What stands in the parentheses that open next."""
        depth, start = 0, self.at
        while self:
            depth += {"(": 1, ")": -1}.get(self.next().word, 0)
            if depth == 0:
                break
        return list(self.given[start + 1 : self.at - 1])

    def until(self, stops: Iterable[str]) -> list[Token]:
        """At least one token, and what follows outside of parentheses before one of these words.

        Args:
            stops: keywords, in capitals.
        """
        depth, start = 0, self.at
        while self:
            depth += {"(": 1, ")": -1}.get(self.next().word, 0)
            if depth <= 0 and self.word() in stops:
                break
        return list(self.given[start : self.at])

    def rest(self) -> list[Token]:
        """All that is left."""
        start, self.at = self.at, len(self.given)
        return list(self.given[start:])


def split(given: Sequence[Token]) -> Iterator[list[Token]]:
    """What stands between commas that are in no parentheses.

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
    """Tokens as one line, as the server spells them.

    Left out are the name of the tables' own database (`own`) and the character set of a plain text: it is that of the
    connection which made the table, and says nothing of the column.

    Args:
        given: tokens.
        own: the name of the database.
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
    """A name for people and for lists: in backticks only where it needs them.

    Args:
        name: as the catalog has it.
    """
    return (
        name
        if _PLAIN.fullmatch(name) and name.lower() not in _RESERVED
        else "`" + name.replace("`", "``") + "`"
    )


def identifier(name: str) -> str:
    """A name in backticks, as a statement without parameters has it: SQLAlchemy writes its percent signs twice.

    Args:
        name: as the catalog has it.
    """
    return "`" + name.replace("`", "``") + "`"


def names(given: Sequence[Token]) -> list[str]:
    """The names in a list like (`a`, `b`).

    Args:
        given: tokens.
    """
    return [part[0].name for part in split(given)]


def granted_on(database: str) -> str:
    r"""A database's name for GRANT ON name.*, where `_` and `%` are wildcards.

    Args:
        database: its name.
    """
    escaped = database.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%").replace("`", "``")
    return f"`{escaped}`"
