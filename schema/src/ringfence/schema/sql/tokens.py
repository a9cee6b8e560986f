"""Splits SQL text into statements of tokens, enough to read which objects a statement creates, renames or drops."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from ringfence.schema.sql.identifiers import NameRules

_ROUTINES = frozenset({"TRIGGER", "FUNCTION", "PROCEDURE", "EVENT", "PACKAGE"})
_MANY = 12  # tokens up to a routine's kind: CREATE OR REPLACE DEFINER = a @ b AGGREGATE FUNCTION


@dataclass(frozen=True)
class Token:
    """A word, a quoted name, a string or a mark."""

    text: str
    """A quoted name without its quotes; everything else as written."""
    kind: str
    """word, name, string or mark."""

    @property
    def word(self) -> str:
        """The word in upper case; empty for other tokens."""
        return self.text.upper() if self.kind == "word" else ""


def statements(text: str, spelling: NameRules) -> Iterator[list[Token]]:
    """Yield the statements of a string, each without comments and semicolon.

    Where a dialect accepts one statement at a time, the body of a routine, which contains semicolons, extends to the
    end of the string.

    Args:
        text: SQL.
        spelling: The rules of the dialect.
    """
    found: list[Token] = []
    for token in _tokens(text, spelling):
        if (
            token.text == ";"
            and token.kind == "mark"
            and (spelling.multiple_statements or not _is_routine(found))
        ):
            if found:
                yield found
            found = []
        else:
            found.append(token)
    if found:
        yield found


def _is_routine(tokens: list[Token]) -> bool:
    words = [token.word for token in tokens[:_MANY]]
    return words[:1] == ["CREATE"] and not _ROUTINES.isdisjoint(words)


@cache
def _pattern(quotes: str, *, escapes: bool) -> re.Pattern[str]:
    body = r"(?:[^'\\]|''|\\.)*" if escapes else r"(?:[^']|'')*"
    strings = [rf"[nbxNBX]?'{body}'", r"[eE]'(?:[^'\\]|''|\\.)*'", r"\$(?P<tag>\w*)\$.*?\$(?P=tag)\$"]
    names = [f"{quote}(?:[^{quote}]|{quote}{quote})*{quote}" for quote in quotes]
    if '"' not in quotes:
        strings.append(r'"(?:[^"\\]|""|\\.)*"')
    comments = r"\s+|--[^\n]*|/\*.*?\*/" + (r"|\#[^\n]*" if escapes else "")
    return re.compile(
        rf"(?P<space>{comments})|(?P<string>{'|'.join(strings)})|(?P<name>{'|'.join(names)})"
        r"|(?P<word>[^\W\d][\w$]*)|(?P<mark>\d[\w.]*|.)",
        re.DOTALL,
    )


def _tokens(text: str, spelling: NameRules) -> Iterator[Token]:
    for match in _pattern(spelling.quotes, escapes=spelling.escapes).finditer(text):
        kind = str(match.lastgroup if match.lastgroup != "tag" else "string")
        said = match[0]
        if kind == "space":
            continue
        if kind == "name":
            said = said[1:-1].replace(said[0] * 2, said[0])
        yield Token(said, kind)


@dataclass
class Reader:
    """Reads the tokens of one statement in order."""

    tokens: list[Token]
    spelling: NameRules
    at: int = field(default=0)
    """The index of the next token."""

    @property
    def word(self) -> str:
        """The next token as a word in upper case; empty when it is not a word."""
        return self.tokens[self.at].word if self.at < len(self.tokens) else ""

    @property
    def more(self) -> bool:
        """Whether any token is left."""
        return self.at < len(self.tokens)

    def take(self, *words: str) -> bool:
        """Skip these words if they come next; return whether they did."""
        found = [token.word or token.text for token in self.tokens[self.at : self.at + len(words)]]
        if found == list(words):
            self.at += len(words)
            return True
        return False

    def skip(self, *words: str) -> None:
        """Skip one of these words, if it comes next."""
        if self.word and self.word in words:
            self.at += 1

    def if_exists(self) -> None:
        """Skip IF EXISTS or IF NOT EXISTS, if it comes next."""
        if not self.take("IF", "NOT", "EXISTS"):
            self.take("IF", "EXISTS")

    def name(self) -> str | None:
        """Take one name, normalized as the server does; None when none comes next."""
        if not self.more:
            return None
        token = self.tokens[self.at]
        if token.kind not in {"word", "name"}:
            return None
        self.at += 1
        lower = self.spelling.lowers and token.kind == "word"
        return token.text.lower() if lower else token.text

    def qualified(self) -> tuple[str | None, str] | None:
        """Take a name with an optional schema; None when none comes next."""
        first = self.name()
        if first is None:
            return None
        if self.take("."):
            second = self.name()
            return (first, second) if second is not None else None
        return None, first

    def parenthesis(self) -> "Reader | None":
        """Take the parentheses that come next, and return a reader for their content; None when there are none."""
        if not self.take("("):
            return None
        start, depth = self.at, 1
        while self.more and depth:
            text = self.tokens[self.at].text if self.tokens[self.at].kind == "mark" else ""
            depth += (text == "(") - (text == ")")
            self.at += 1
        return Reader(self.tokens[start : self.at - 1 if not depth else self.at], self.spelling)

    def parts(self) -> Iterator["Reader"]:
        """Take what is left, split at the commas outside of parentheses."""
        start, depth = self.at, 0
        for index in range(self.at, len(self.tokens)):
            text = self.tokens[index].text if self.tokens[index].kind == "mark" else ""
            depth += (text == "(") - (text == ")")
            if text == "," and not depth:
                yield Reader(self.tokens[start:index], self.spelling)
                start = index + 1
        self.at = len(self.tokens)
        if start < len(self.tokens):
            yield Reader(self.tokens[start:], self.spelling)

    def names(self) -> list[str]:
        """Take what is left, and return the first name of each part: the columns of a constraint or an index."""
        return [name for part in self.parts() if (name := part.name()) is not None]
