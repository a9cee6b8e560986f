"""What a person reads, pretty on a terminal and plain elsewhere; and the check behind each line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text


class NotSeen(Exception):
    """Something that the demonstration says did not happen; the message says what was seen instead."""


class Story:
    """Tells what happens while it happens, on stderr when stdout belongs to the JSON document."""

    def __init__(self, to_stderr: bool) -> None:
        self.console = Console(file=sys.stderr if to_stderr else sys.stdout, highlight=False, soft_wrap=True)

    @classmethod
    def silent(cls) -> "Story":
        """One that nobody hears, for what is checked a second time."""
        story = cls(to_stderr=True)
        story.console.quiet = True
        return story

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One chapter; on a terminal something moves while it lasts."""
        self.console.print(Text(title, style="bold"))
        if self.console.is_terminal:
            with self.console.status(""):
                yield
        else:
            yield

    def saw(self, text: str) -> None:
        """Something that was done and seen."""
        self._line("✓", "green", text)

    def refused(self, who: str, what: str, error: str) -> None:
        """Something that was tried and refused."""
        self._line("✗", "yellow", f"{who} · {what}", f"refused: {error}")

    def say(self, text: str) -> None:
        """A plain line."""
        self.console.print(Text(text))

    def fail(self, text: str) -> None:
        """Why the demonstration ends without success."""
        self.console.print(Text(text, style="bold red"))

    def _line(self, sign: str, colour: str, text: str, aside: str = "") -> None:
        if self.console.encoding.lower() not in ("utf-8", "utf8"):
            sign = {"✓": "+", "✗": "x"}[sign]
            text = text.replace("·", "-")
        parts: list[str | tuple[str, str]] = ["  ", (sign, colour), " ", text]
        if aside:
            parts.append((f"  {aside}", "dim"))
        self.console.print(Text.assemble(*parts))


def expect(condition: bool, otherwise: str) -> None:
    """Go on only when something was really seen. Raises NotSeen."""
    if not condition:
        raise NotSeen(otherwise)
