"""What is said of one method or attribute, and how a page is made of it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Recipe = Callable[[Any], Any]
HEADER = Path(__file__).with_name("header.txt")


@dataclass(frozen=True)
class Member:
    """A method or attribute of one of PyDAL's classes.

    Args:
        of: the class.
        name: as `dir()` gives it.
        recipe: uses it on a DAL of the conformance suite's tables.
        how: what differs, or what to do in place of what is refused; empty where all is the same.
        error: what raises, where it is refused.
        everywhere: the recipe is held against stock PyDAL on every engine, and not on SQLite alone.
    """

    of: str
    name: str
    recipe: Recipe
    how: str = ""
    error: str = ""
    everywhere: bool = False

    @property
    def said(self) -> str:
        """The cell of the page."""
        if self.error:
            return f"refused, `{self.error}`: {self.how}"
        return f"different: {self.how}" if self.how else "the same"


class Of:
    """Members of one class, gathered."""

    def __init__(self, of: str) -> None:
        self.of = of
        self.members: list[Member] = []

    def same(self, names: str, recipe: Recipe, *, everywhere: bool = False) -> None:
        """These members, separated by spaces, give what stock PyDAL gives."""
        self.members += [Member(self.of, name, recipe, everywhere=everywhere) for name in names.split()]

    def each(self, names: str, target: Recipe) -> None:
        """These methods of what `target` gives, each called without arguments, or these attributes, are the same."""
        for name in names.split():
            self.members.append(Member(self.of, name, lambda dal, name=name: _used(target(dal), name)))

    def differs(self, names: str, how: str, recipe: Recipe) -> None:
        """These give something else."""
        self.members += [Member(self.of, name, recipe, how) for name in names.split()]

    def refused(self, names: str, how: str, recipe: Recipe, error: str = "NotSupportedError") -> None:
        """These raise an error of ours."""
        self.members += [Member(self.of, name, recipe, how, error) for name in names.split()]


def _used(target: Any, name: str) -> Any:
    found = getattr(target, name)
    given = found() if callable(found) else found
    return sorted(map(str, given)) if isinstance(given, dict | set) or hasattr(given, "__next__") else given


def page(members: Iterable[Member]) -> str:
    """The page, a table for each class.

    Args:
        members: in the order of the page.
    """
    lines = [HEADER.read_text(encoding="utf-8").rstrip()]
    of = ""
    for member in members:
        if member.of != of:
            of = member.of
            lines += ["", f"## {of}", "", "| | with a mirror |", "|---|---|"]
        lines.append(f"| `{member.name}` | {member.said} |")
    return "\n".join(lines) + "\n"
