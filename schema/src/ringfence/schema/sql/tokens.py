"""SQL text as statements of tokens: enough to read which objects a statement makes, renames or drops."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

from ringfence.schema.sql.identifiers import Spelling

_ROUTINES = frozenset({"TRIGGER", "FUNCTION", "PROCEDURE", "EVENT", "PACKAGE"})
_MANY = 12  # words before a routine's kind: CREATE OR REPLACE DEFINER = a @ b AGGREGATE FUNCTION


@dataclass(frozen=True)
class Token:
    """A word, a quoted name, or a mark."""

    text: str
    """A name as the server takes it; a word as it is written."""
    kind: str
    """word, name, string or mark."""

    @property
    def word(self) -> str:
        """In upper case, when it is a word; else empty."""
        return self.text.upper() if self.kind == "word" else ""


def statements(text: str, spelling: Spelling) -> Iterator[list[Token]]:
    """The statements of a string, each without comments and semicolon.

    Where a dialect takes one statement at a time, a routine's body, which has semicolons of its own, ends with the
    string.

    Args:
        text: SQL.
        spelling: of the dialect.
    """
    found: list[Token] = []
    for token in _tokens(text, spelling):
        if token.text == ";" and token.kind == "mark" and (spelling.many or not _is_routine(found)):
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


def _tokens(text: str, spelling: Spelling) -> Iterator[Token]:
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
    """Goes through the tokens of one statement."""

    tokens: list[Token]
    spelling: Spelling
    at: int = field(default=0)

    @property
    def word(self) -> str:
        """The word that comes next, in upper case; empty where none does."""
        return self.tokens[self.at].word if self.at < len(self.tokens) else ""

    @property
    def more(self) -> bool:
        """Whether anything is left."""
        return self.at < len(self.tokens)

    def take(self, *words: str) -> bool:
        """Go past these words, if they come next."""
        found = [token.word or token.text for token in self.tokens[self.at : self.at + len(words)]]
        if found == list(words):
            self.at += len(words)
            return True
        return False

    def skip(self, *words: str) -> None:
        """Go past one of these words, if it comes next."""
        if self.word and self.word in words:
            self.at += 1

    def if_exists(self) -> None:
        """Go past IF EXISTS and IF NOT EXISTS."""
        if not self.take("IF", "NOT", "EXISTS"):
            self.take("IF", "EXISTS")

    def name(self) -> str | None:
        """One name; None where none comes next."""
        if not self.more:
            return None
        token = self.tokens[self.at]
        if token.kind not in {"word", "name"}:
            return None
        self.at += 1
        lower = self.spelling.lowers and token.kind == "word"
        return token.text.lower() if lower else token.text

    def qualified(self) -> tuple[str | None, str] | None:
        """(schema, name); None where no name comes next."""
        first = self.name()
        if first is None:
            return None
        if self.take("."):
            second = self.name()
            return (first, second) if second is not None else None
        return None, first

    def parenthesis(self) -> "Reader | None":
        """What stands between the parentheses that come next; None where none do."""
        if not self.take("("):
            return None
        start, depth = self.at, 1
        while self.more and depth:
            text = self.tokens[self.at].text if self.tokens[self.at].kind == "mark" else ""
            depth += (text == "(") - (text == ")")
            self.at += 1
        return Reader(self.tokens[start : self.at - 1 if not depth else self.at], self.spelling)

    def parts(self) -> Iterator["Reader"]:
        """What is left, cut at the commas that stand in no parenthesis."""
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
        """The first name of each part: the columns of a constraint or of an index."""
        return [name for part in self.parts() if (name := part.name()) is not None]
