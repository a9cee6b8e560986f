"""The words of what the MySQL family says with SHOW CREATE, however names, texts and comments are quoted."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

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
_INTRODUCED = re.compile(r"_(?:utf8mb4|utf8mb3|utf8|latin1|ascii)(?=')")
_ESCAPED = re.compile(r"\\(.)|''|\"\"", re.DOTALL)
_MEANT = {"0": "\0", "b": "\b", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a"}


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of SQL: its kind (name, text, word, sign), how it is spelled, and where."""

    kind: str
    spelled: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """A keyword or sign in capitals; "" for what is quoted."""
        return self.spelled.upper() if self.kind in ("word", "sign") else ""

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

    Raises:
        JobFailed: a quote is never closed, so that nothing of the rest can be relied on.
    """
    found = []
    position = 0
    while position < len(sql):
        match = _TOKEN.match(sql, position)
        if match is None:
            raise JobFailed(f"the server's statement cannot be read from its character {position} on: {sql}")
        if match.lastgroup != "space":
            found.append(Token(str(match.lastgroup), match[0], match.start(), match.end()))
        position = match.end()
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
        """At least one token, and what follows outside of parentheses before one of these words."""
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
    """What stands between commas that are in no parentheses."""
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
    """
    line, end = "", 0
    for token in _unowned(given, own):
        spelled = token.spelled
        if token.kind == "text" and spelled.isascii():
            spelled = _INTRODUCED.sub("", spelled)
        line += (" " if line and end < token.start else "") + spelled
        end = token.end
    return line


def _unowned(given: Sequence[Token], own: str) -> Iterator[Token]:
    """The tokens without `own`. before a name."""
    signs = ["", *(token.word for token in given), ""]
    skip = False
    for place, token in enumerate(given, start=1):
        if skip:
            skip = False
        elif token.kind == "name" and token.name == own and signs[place + 1] == "." != signs[place - 1]:
            skip = True
        else:
            yield token


def quoted(name: str) -> str:
    """A name for people and for lists: in backticks only where it needs them."""
    return name if _PLAIN.fullmatch(name) else "`" + name.replace("`", "``") + "`"


def names(given: Sequence[Token]) -> list[str]:
    """The names in a list like (`a`, `b`)."""
    return [part[0].name for part in split(given)]


def granted_on(database: str) -> str:
    r"""A database's name for GRANT ON name.*, where `_` and `%` are wildcards."""
    escaped = database.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%").replace("`", "``")
    return f"`{escaped}`"
