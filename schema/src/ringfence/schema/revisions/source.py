"""The source of one migration file: the statement that a line belongs to, and comments that allow a lint finding."""

import ast
import io
import re
import tokenize
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

_ALLOW = re.compile(r"#\s*ringfence:\s*allow\b\s*(?P<rest>.*)", re.IGNORECASE)
_RULE = re.compile(r"RF\d+\b", re.IGNORECASE)
_BECAUSE = re.compile(r"\bbecause\b\s*[:,]?\s*(?P<reason>\S.*)", re.IGNORECASE)


@dataclass
class Allow:
    """One comment `# ringfence: allow RF102 because …`."""

    line: int
    rules: tuple[str, ...]
    reason: str
    used: set[str] = field(default_factory=set)
    """The rules for which this comment allowed a finding."""


class Source:
    """The text of one migration file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")

    @cached_property
    def allows(self) -> tuple[Allow, ...]:
        """Every `ringfence: allow` comment, in the order of the file."""
        found = []
        for token in tokenize.generate_tokens(io.StringIO(self.text).readline):
            if token.type == tokenize.COMMENT and (match := _ALLOW.match(token.string)):
                rest = match["rest"]
                because = _BECAUSE.search(rest)
                named = rest[: because.start()] if because else rest
                rules = tuple(rule.upper() for rule in _RULE.findall(named))
                found.append(Allow(token.start[0], rules, because["reason"].strip() if because else ""))
        return tuple(found)

    def allowed(self, rule: str, line: int, *, whole: bool = False) -> Allow | None:
        """Return the comment that allows a rule at a line, and mark it as used.

        Args:
            rule: the rule's id.
            line: the first line of the operation; the comment may be on any line of its statement, or on the comment
                lines directly above it.
            whole: whether the line is that of a function, and the comment may be anywhere in it.
        """
        lines = self._lines(line, whole=whole)
        for allow in self.allows:
            if allow.line in lines and rule in allow.rules and allow.reason:
                allow.used.add(rule)
                return allow
        return None

    def function(self, name: str) -> int:
        """Return the line in which a function begins; 1 if there is no such function."""
        found = (
            node.lineno
            for node in self._tree.body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
        )
        return next(found, 1)

    @cached_property
    def _tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def _rows(self) -> list[str]:
        return self.text.splitlines()

    def _lines(self, line: int, *, whole: bool) -> set[int]:
        first, last = line, line
        for node in ast.walk(self._tree):
            if isinstance(node, ast.stmt) and (whole or not _is_block(node)):
                begin, end = _extent(node)
                if whole and begin == line:
                    last = max(last, end)
                elif not whole and begin <= line <= end:
                    first, last = begin, end
        above = first - 1
        while above >= 1 and self._rows[above - 1].lstrip().startswith("#"):
            above -= 1
        return set(range(above + 1, last + 1))


def _is_block(node: ast.stmt) -> bool:
    """Return whether a statement contains others; it is left out because its extent would cover all of them."""
    return hasattr(node, "body")


def _extent(node: ast.stmt) -> tuple[int, int]:
    return node.lineno, node.end_lineno or node.lineno
