"""The printed lines of the demonstration, formatted on a terminal and plain elsewhere, and the check of each line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text


class CheckFailed(Exception):
    """A step did not have the expected result; the message describes the actual one."""


class Transcript:
    """Prints each step while it runs; on stderr if stdout is used for the JSON document."""

    def __init__(self, to_stderr: bool) -> None:
        self.console = Console(file=sys.stderr if to_stderr else sys.stdout, highlight=False, soft_wrap=True)

    @classmethod
    def silent(cls) -> "Transcript":
        """Return one that prints nothing, for checks that are repeated."""
        transcript = cls(to_stderr=True)
        transcript.console.quiet = True
        return transcript

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Print the title of a step; on a terminal a spinner is shown while the step runs."""
        self.console.print(Text(title, style="bold"))
        if self.console.is_terminal:
            with self.console.status(""):
                yield
        else:
            yield

    def passed(self, text: str) -> None:
        """Print what was done and checked."""
        self._line("✓", "green", text)

    def refused(self, who: str, what: str, error: str) -> None:
        """Print what was tried and refused."""
        self._line("✗", "yellow", f"{who} · {what}", f"refused: {error}")

    def print(self, text: str) -> None:
        """Print a plain line."""
        self.console.print(Text(text))

    def fail(self, text: str) -> None:
        """Print why the demonstration failed."""
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
    """Raise CheckFailed with the message `otherwise` unless the condition is true."""
    if not condition:
        raise CheckFailed(otherwise)
