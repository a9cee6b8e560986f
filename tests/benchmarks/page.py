"""The page of the documentation that holds the tables: each run writes its engine's part anew."""

import datetime as dt
import re
from pathlib import Path

from benchmarks.chart import chart
from benchmarks.report import Report

DOCS = Path(__file__).parents[2] / "docs" / "reference"
PAGE = DOCS / "performance.md"


def write_page(report: Report, command: str) -> None:
    """Put a run's table, notes and chart in the place of its engine's last.

    Raises:
        ValueError: when the page has no place for this engine.
    """
    text = PAGE.read_text(encoding="utf-8")
    day = dt.datetime.now(dt.UTC).strftime("%d %B %Y").lstrip("0")
    picture = f"performance-{report.engine}.svg"
    part = (
        f"`{command}`, {day}\n\n{report.as_markdown()}\n"
        f"![The same figures as bars, on a logarithmic scale]({picture})\n"
    )
    if report.engine == "postgresql":
        text = _between(text, "goals", report.goals())
    text = _between(text, report.engine, part)
    (DOCS / picture).write_text(chart(report), encoding="utf-8")
    PAGE.write_text(text, encoding="utf-8")


def write_part(name: str, part: str) -> None:
    """Put one part of the page in the place of its last. Raises ValueError when the page has no such place."""
    PAGE.write_text(_between(PAGE.read_text(encoding="utf-8"), name, part), encoding="utf-8")


def _between(text: str, name: str, part: str) -> str:
    begin, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"{PAGE} has no place {begin} … {end}")
    return pattern.sub(lambda _: f"{begin}\n\n{part}\n{end}", text)
