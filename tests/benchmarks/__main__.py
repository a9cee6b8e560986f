"""`python -m benchmarks`: measure one engine and print the table; see scripts/bench.sh."""

import argparse
import os
import shlex
import statistics
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks import asynchronous, cases, cold, cores, data, over_http
from benchmarks.chart import chart
from benchmarks.compare import Different
from benchmarks.page import write_page
from benchmarks.peers import ASYNC_PEERS, PEERS, Missing, peer_class
from benchmarks.peers.base import AsyncPeer, Peer
from benchmarks.peers.raw import Raw
from benchmarks.place import Place, prepared
from benchmarks.report import Line, Report, duration
from benchmarks.timing import QUICK, Pace, measure, summary
from servers.process import Unavailable
from servers.registry import Registry

ENGINES = ("postgresql", "mariadb", "sqlite")
_QUIET = 0.75
"""The load per core, before anything is measured, from which figures are called rough."""
APART = ("async-one", "async-many", "cold-start", "http")


def main() -> int:
    """Measure, and write what was asked for. Exit 1: a peer gave something else; 4: no such server here."""
    arguments = _arguments()
    try:
        server = Registry().server(arguments.engine)
    except Unavailable as error:
        _say(f"{arguments.engine} cannot be had: {error}")
        return 4
    with prepared(server, _sizes(arguments)) as place:
        run = Run(place, arguments)
        busy = _others()
        run.all()
    report = run.report
    if busy:
        report.notes.insert(0, busy)
    print(report.as_markdown())
    print(report.goals())
    if arguments.json:
        report.write_json(arguments.json)
    if arguments.svg:
        arguments.svg.write_text(chart(report), encoding="utf-8")
    if arguments.docs:
        write_page(report, arguments.command)
    return 1 if run.failed else 0


def _arguments() -> argparse.Namespace:
    known = [case.name for case in cases.CASES] + list(APART)
    parser = argparse.ArgumentParser(prog="scripts/bench.sh", description="Ringfence beside other libraries.")
    parser.add_argument("--engine", choices=ENGINES, default="postgresql")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument(
        "--docs", action="store_true", help="write table and chart into docs/reference/performance.md"
    )
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the chart there")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes and few rounds: to see that it works"
    )
    parser.add_argument(
        "--stream", type=int, metavar="ROWS", help="rows to stream, 1,000,000 when not --quick"
    )
    parser.add_argument("--cases", type=_names(known), default=known, metavar="A,B", help=", ".join(known))
    parser.add_argument(
        "--peers", type=_names([*PEERS, *ASYNC_PEERS]), default=[*PEERS, *ASYNC_PEERS], metavar="A,B",
        help=", ".join(dict.fromkeys([*PEERS, *ASYNC_PEERS])),
    )  # fmt: skip
    arguments = parser.parse_args()
    arguments.command = _command(arguments, parser)
    return arguments


def _command(arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> str:
    """The command that a reader repeats: without the files that this run was to write."""
    words = ["./scripts/bench.sh", "--engine", arguments.engine]
    words += ["--quick"] if arguments.quick else []
    words += ["--stream", str(arguments.stream)] if arguments.stream else []
    for name in ("cases", "peers"):
        if getattr(arguments, name) != parser.get_default(name):
            words += [f"--{name}", ",".join(getattr(arguments, name))]
    return shlex.join(words)


def _names(known: list[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        chosen = text.split(",")
        if unknown := set(chosen) - set(known):
            raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: choose from {', '.join(known)}")
        return chosen

    return names


def _sizes(arguments: argparse.Namespace) -> data.Sizes:
    sizes = data.QUICK if arguments.quick else data.FULL
    return data.replaced(sizes, streamed=arguments.stream) if arguments.stream else sizes


class Run:
    """One run over all chosen cases and peers."""

    def __init__(self, place: Place, arguments: argparse.Namespace) -> None:
        self.place = place
        self.chosen = arguments.cases
        self.wanted = arguments.peers
        self.quick = arguments.quick
        self.pace = QUICK if arguments.quick else Pace()
        self.report = Report(place.engine)
        self.failed = False
        self.missing: dict[str, str] = {}
        self.raw = Raw(place)
        self.peers: dict[str, Peer] = {}
        for name in PEERS:
            if name == "raw":
                self.peers[name] = self.raw
            elif name in self.wanted:
                self._open(name)

    def _open(self, name: str) -> None:
        try:
            self.peers[name] = peer_class(name)(self.place)
        except Missing as error:
            self.missing[name] = str(error)
            _say(f"without {name}: {error}")

    def all(self) -> None:
        """Every chosen case."""
        try:
            with cores.apart():
                for case in cases.CASES:
                    if case.name in self.chosen:
                        self.report.lines.append(self.timed(case))
            self.apart("cold-start", self.cold_start)
            self.apart("http", self.http)
            self.asyncio()
        finally:
            for peer in self.peers.values():
                peer.close()
        for peer in self.peers.values():
            self.report.notes += peer.notes

    def timed(self, case: cases.Case) -> Line:
        """One case of one function, by all peers that have it."""
        line = self._line(case.name, case.title)
        works: dict[str, Any] = {}
        for name, peer in self.peers.items():
            if not cases.takes_part(peer, case):
                line.absent[name] = peer.cannot.get(case.needs, "it has no such thing")
                continue
            try:
                work, ways = cases.tried(case, peer, self.raw)
            except Different as error:
                self.failed = True
                line.absent[name] = f"wrong: {error}"
                _say(f"{case.name}: {name} is WRONG: {error}")
                continue
            self._poorer(name, ways)
            works[name] = (work, peer.unit if case.in_unit else cases.no_unit)
        line.measured = measure(works, self.pace, "raw")
        cases.restore(self.raw, case)
        _progress(line)
        return line

    def apart(self, name: str, take: Callable[[Line], None]) -> None:
        """One of the cases that need processes of their own."""
        if name not in self.chosen:
            return
        line = self._line(name, name)
        try:
            take(line)
        except Missing as error:
            self.report.notes.append(f"{line.title} was not measured: {error}")
            return
        _progress(line)
        self.report.lines.append(line)

    def cold_start(self, line: Line) -> None:
        """Imports and many tables, in processes of their own."""
        line.title = f"cold start, {self.place.sizes.tables} tables of {cold.COLUMNS} columns"
        names = [name for name in self.peers if cold.has_script(name)]
        with cold.cold_starts(self.place) as starts:
            figures = cold.interleaved(starts, names, 3 if self.quick else 9)
        totals = {name: [taken["total"] for taken in all_taken] for name, all_taken in figures.items()}
        line.measured = summary(totals, "raw")
        self.report.notes.append(
            "cold start: from a new interpreter to tables that can be queried; its measure is the import of PyDAL and of the driver"
        )
        if "ringfence" in figures:
            medians = {
                part: statistics.median(taken[part] for taken in figures["ringfence"]) * 1e6
                for part in ("import", "tables")
            }
            self.report.spans |= medians
            parts = {part: duration(taken) for part, taken in medians.items()}
            self.report.notes.append(
                f"cold start of Ringfence: {parts['import']} of import beyond PyDAL's and the driver's, "
                f"{parts['tables']} for {self.place.sizes.tables} tables of {cold.COLUMNS} columns"
            )

    def http(self, line: Line) -> None:
        """One endpoint under gunicorn."""
        line.title = over_http.TITLE
        with over_http.serving(self.place, list(self.peers)) as servers:
            times = over_http.interleaved(servers, 2 if self.quick else 5, 1 if self.quick else 3)
        line.measured = summary(times, "raw")
        self.report.notes.append(
            f"HTTP: one row by key as JSON; Flask under gunicorn, one worker of {over_http.THREADS} threads; wrk with {over_http.CLIENTS} "
            "connections on the same machine; Ringfence through its Flask extension"
        )

    def asyncio(self) -> None:
        """The cases of asyncio."""
        chosen = [name for name in ("async-one", "async-many") if name in self.chosen]
        lines = [self._line(name, asynchronous.TITLES[name]) for name in chosen]
        peers: list[AsyncPeer] = []
        for name in ASYNC_PEERS:
            if lines and name in self.wanted:
                try:
                    peers.append(peer_class(name, asynchronous=True)(self.place))
                except Missing as error:
                    for line in lines:
                        line.absent[name] = str(error)
        works = asynchronous.AsyncWorks(peers, self.raw)
        with works.running():
            for peer in peers:
                self._poorer(peer.name, works.check(peer))
            for line in lines:
                make = works.one if line.name == "async-one" else works.many
                everyone = [("raw", None), *((peer.name, peer) for peer in peers)]
                line.measured = measure(
                    {name: (make(peer), cases.no_unit) for name, peer in everyone}, self.pace, "raw"
                )
                _progress(line)
            if "async-many" in chosen:
                self._blocking(works)
        self.report.lines += lines

    def _blocking(self, works: asynchronous.AsyncWorks) -> None:
        longest = {
            peer.name: statistics.median(works.blocked(peer) for _ in range(5)) * 1000 for peer in works.peers
        }
        if "ringfence" in longest:
            self.report.spans["loop"] = longest["ringfence"] * 1000
        told = ", ".join(f"{name} {took:.1f} ms" for name, took in longest.items())
        self.report.notes.append(
            f"the longest that the event loop was not free while {self.place.sizes.requests} requests ran at once: {told}"
        )
        self.report.notes.append(
            "the measure of the asyncio cases is the bare synchronous driver, which makes the same requests one after "
            "another: the time that the database needs"
        )

    def _line(self, name: str, title: str) -> Line:
        line = Line(name, title.format(**vars(self.place.sizes)))
        line.absent.update(self.missing)
        return line

    def _poorer(self, name: str, ways: Iterable[str]) -> None:
        self.report.poorer.setdefault(name, set()).update(ways)


def _others() -> str | None:
    """A warning when the machine has other work: the figures are then worth less."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load < _QUIET * cores:
        return None
    told = f"**other work kept the machine busy** as this run began (load {load:.1f} on {cores} cores): take it as rough"
    _say(told)
    return told


def _progress(line: Line) -> None:
    figures = ", ".join(
        f"{name} {figure.ratio:.2f}" for name, figure in line.measured.items() if name != "raw"
    )
    raw = line.measured["raw"].micros
    _say(f"{line.name}: raw {duration(raw)}; {figures}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
