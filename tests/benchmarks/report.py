"""What was measured, as Markdown for readers and as JSON for programs."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.timing import Measured

# The goals, as ratios to the raw driver on PostgreSQL.
GOALS = {"one-row": 1.3, "rows-1000x5": 1.25, "insert-10000": 1.2, "stream": 1.2, "session": 1.1}

# And those that are times: name, title, limit in microseconds.
SPANS = (
    ("import", "import beyond PyDAL's and the driver's", 150_000.0),
    ("tables", "200 tables of 25 columns mirrored", 60_000.0),
    ("loop", "the event loop is never blocked for longer", 10_000.0),
)


@dataclass
class Line:
    """One case: who took how long, and why others took no part."""

    name: str
    title: str
    measured: dict[str, Measured] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    """Peer -> why it has no figure."""


@dataclass
class Report:
    """One run on one engine."""

    engine: str
    lines: list[Line] = field(default_factory=list)
    poorer: dict[str, set[str]] = field(default_factory=dict)
    """Peer -> in what ways its types are poorer than the columns'."""
    notes: list[str] = field(default_factory=list)
    spans: dict[str, float] = field(default_factory=dict)
    """What the goals in `SPANS` are about, in microseconds."""

    def as_json(self) -> str:
        """`{"engine", "cases": {case: {"raw_us": n, "ratios": {"ringfence": x, …}}}}`."""
        cases = {
            line.name: {
                "raw_us": round(line.measured["raw"].micros, 1),
                "ratios": {
                    name: round(figure.ratio, 3) for name, figure in line.measured.items() if name != "raw"
                },
            }
            for line in self.lines
            if "raw" in line.measured
        }
        return json.dumps({"engine": self.engine, "cases": cases}, indent=2) + "\n"

    def write_json(self, path: Path) -> None:
        """Write the JSON document."""
        path.write_text(self.as_json(), encoding="utf-8")

    def as_markdown(self) -> str:
        """The tables and their notes."""
        parts = [self._table([line for line in self.lines if not line.name.startswith("async")])]
        asynchronous = [line for line in self.lines if line.name.startswith("async")]
        if asynchronous:
            parts.append(self._table(asynchronous))
        parts.append(self._poorer())
        if self.notes:
            parts.append("\n".join(f"- {note}" for note in self.notes))
        return "\n\n".join(part for part in parts if part) + "\n"

    def _table(self, lines: list[Line]) -> str:
        names = list(
            dict.fromkeys(name for line in lines for name in (*line.measured, *line.absent) if name != "raw")
        )
        head = ["", "raw driver", *names]
        rows = [head, ["---", *["--:"] * (len(head) - 1)]]
        for line in lines:
            raw = line.measured.get("raw")
            cells = [self._cell(line, name) for name in names]
            rows.append([line.title, duration(raw.micros) if raw else "—", *cells])
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)

    def _cell(self, line: Line, name: str) -> str:
        figure = line.measured.get(name)
        if figure is None:
            return "—"
        text = f"{figure.ratio:.2f}"
        best = min(
            (other.ratio for rival, other in line.measured.items() if rival != "raw"), default=figure.ratio
        )
        return f"**{text}**" if figure.ratio == best else text

    def _poorer(self) -> str:
        lines = [
            f"- {name} gives poorer types: {'; '.join(sorted(ways))}"
            for name, ways in self.poorer.items()
            if ways
        ]
        absences: dict[tuple[str, str], list[str]] = {}
        for line in self.lines:
            for name, why in line.absent.items():
                absences.setdefault((name, why), []).append(line.title)
        lines += [
            f"- {name} is absent from “{'”, “'.join(titles)}”: {why}"
            for (name, why), titles in absences.items()
        ]
        return "\n".join(lines)

    def goals(self) -> str:
        """The issue's goals and whether they were reached in this run."""
        by_name = {line.name: line for line in self.lines}
        rows = ["| goal | wanted | measured | |", "|---|--:|--:|---|"]
        for name, wanted in GOALS.items():
            line = by_name.get(name)
            figure = line.measured.get("ringfence") if line else None
            if line is not None and figure is not None:
                reached = "reached" if figure.ratio <= wanted else "not reached"
                rows.append(f"| {line.title} | ≤ {wanted} | {figure.ratio:.2f} | {reached} |")
        for name, title, limit in SPANS:
            if name in self.spans:
                reached = "reached" if self.spans[name] <= limit else "not reached"
                rows.append(f"| {title} | ≤ {duration(limit)} | {duration(self.spans[name])} | {reached} |")
        for title, rivals in (
            ("ahead of every ORM", ("sqlalchemy-orm", "peewee", "django")),
            ("no slower than SQLAlchemy Core", ("sqlalchemy-core",)),
        ):
            behind = [
                f"{line.title} ({rival} {line.measured[rival].ratio:.2f}, ringfence {line.measured['ringfence'].ratio:.2f})"
                for line in self.lines
                for rival in rivals
                if rival in line.measured
                and "ringfence" in line.measured
                and line.measured[rival].ratio < line.measured["ringfence"].ratio
            ]
            rows.append(
                f"| {title} | in each row | {'in all' if not behind else 'not in: ' + '; '.join(behind)} | "
                f"{'not reached' if behind else 'reached'} |"
            )
        return "\n".join(rows) + "\n"


def duration(micros: float) -> str:
    """A time as one reads it."""
    if micros < 1000:
        return f"{micros:.0f} µs"
    if micros < 1_000_000:
        return f"{micros / 1000:.1f} ms"
    return f"{micros / 1_000_000:.2f} s"
