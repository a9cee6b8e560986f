"""Answers from a statement's text what SQLite's authorizer is not given: INSERT columns, REPLACE, names mentioned."""

import re
from functools import cached_property

_TOKEN = re.compile(
    r"""(?P<space>[\s\ufeff]+|--[^\n]*|/\*.*?(?:\*/|\Z))
      | (?P<string>'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
      | (?P<word>[\w$\u0080-\U0010ffff]+)
      | (?P<sign>.)""",
    re.VERBOSE | re.DOTALL,
)
_BY_NAME = re.compile("natural|using", re.IGNORECASE)
_ASCII_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def lower(name: str) -> str:
    """Return a name in lower case as SQLite compares it: for ASCII letters only."""
    return name.translate(_ASCII_LOWER)


class Statement:
    """The text of one statement, tokenized only when the authorizer's codes leave a question open."""

    def __init__(self, sql: str) -> None:
        self._sql = sql

    @cached_property
    def _tokens(self) -> list[tuple[str, str]]:
        found = []
        for match in _TOKEN.finditer(self._sql):
            kind, text = str(match.lastgroup), match[0]
            if kind == "space":
                continue
            if kind in ("string", "quoted"):
                text = text[1:-1].replace(text[-1] * 2, text[-1]) if text[0] != "[" else text[1:-1]
            found.append((kind, lower(text)))
        return found

    @cached_property
    def words(self) -> frozenset[str]:
        """Every word outside quotes."""
        return frozenset(text for kind, text in self._tokens if kind == "word")

    def mentions(self, name: str) -> int:
        """Return how often a name occurs anywhere; SQLite accepts a name in single quotes, too."""
        return sum(kind != "sign" and text == name for kind, text in self._tokens)

    def writes_to_main(self, name: str) -> bool:
        """Return whether the statement writes to `main.name`."""
        return self._target in self._positions_in_main(name)

    def reads_from_main(self, name: str) -> bool:
        """Return whether `main.name` occurs elsewhere than as the target."""
        return any(position != self._target for position in self._positions_in_main(name))

    def _positions_in_main(self, name: str) -> list[int]:
        tokens = self._tokens
        return [
            position
            for position, (schema, dot, table) in enumerate(zip(tokens, tokens[1:], tokens[2:], strict=False))
            if dot == ("sign", ".") and schema[0] != "sign" and schema[1] == "main" and table[1] == name
        ]

    @cached_property
    def _target(self) -> int | None:
        """The index of the target's first token; these words cannot be names, and occur in no other statement."""
        for position, token in enumerate(self._tokens):
            if token == ("word", "into"):
                return position + 1
            if token == ("word", "delete"):
                return position + 2
            if token == ("word", "update"):
                return position + (3 if self._tokens[position + 1 : position + 2] == [("word", "or")] else 1)
        return None

    @cached_property
    def joins_by_name(self) -> frozenset[str]:
        """NATURAL and USING, if used; the authorizer is not called for the columns that they compare."""
        return self.words & {"natural", "using"} if _BY_NAME.search(self._sql) else frozenset()

    @cached_property
    def reads_relations(self) -> bool:
        """Whether the text can name a relation to read from, besides its target."""
        froms = sum(token == ("word", "from") for token in self._tokens)
        if ("word", "delete") in self._tokens:
            froms -= 1
        if froms > 0 or "select" in self.words:
            return True
        # `x IN name` reads a relation; `x IN (1, 2)` does not.
        followed = zip(self._tokens, self._tokens[1:], strict=False)
        return any(token == ("word", "in") and after != ("sign", "(") for token, after in followed)

    @cached_property
    def replaces(self) -> bool:
        """Whether it may delete conflicting rows: INSERT OR REPLACE, REPLACE INTO, UPDATE OR REPLACE."""
        tokens = [*self._tokens, ("sign", ""), ("sign", "")]
        for position, token in enumerate(self._tokens):
            if token != ("word", "replace"):
                continue
            after = tokens[position + 1]
            before = tokens[position - 1] if position else ("sign", "")
            # Otherwise it is the function, as in `a OR replace(b, c, d)`.
            if after == ("word", "into") or (before == ("word", "or") and after != ("sign", "(")):
                return True
        return False

    @cached_property
    def insert_columns(self) -> frozenset[str] | None:
        """The columns that an INSERT names; None if it names none, or in a form that is not recognized."""
        rest = self._tokens[self._start_of_insert() :]
        into = next((position for position, token in enumerate(rest[:4]) if token == ("word", "into")), None)
        if into is None:
            return None
        rest = rest[into + 2 :]
        if rest[:1] == [("sign", ".")]:
            rest = rest[2:]
        if rest[:1] == [("word", "as")]:
            rest = rest[2:]
        if rest[:2] == [("word", "default"), ("word", "values")]:
            return frozenset()
        if rest[:1] != [("sign", "(")] or ("sign", ")") not in rest:
            return None
        listed = rest[1 : rest.index(("sign", ")"))]
        names, commas = listed[::2], listed[1::2]
        if any(kind == "sign" for kind, _ in names) or any(comma != ("sign", ",") for comma in commas):
            return None
        return frozenset(text for _, text in names)

    def _start_of_insert(self) -> int:
        depth = 0
        for position, (kind, text) in enumerate(self._tokens):
            if kind == "sign":
                depth += (text == "(") - (text == ")")
            elif depth == 0 and kind == "word" and text in ("insert", "replace"):
                return position
        return 0
