"""Each case of each peer that is installed runs once, small, on SQLite, and gives what it should: no clock is read."""

from collections.abc import Iterator

import pytest

from benchmarks import asynchronous, cases, data
from benchmarks.chart import chart
from benchmarks.compare import Different, compared, poorer
from benchmarks.peers import ASYNC_PEERS, PEERS, Missing, peer_class
from benchmarks.peers.base import Peer
from benchmarks.peers.raw import Raw
from benchmarks.place import Place, prepared
from benchmarks.report import Line, Report
from benchmarks.timing import Measured, Pace, measure
from servers.base import Server

# What the peers' own code warns of is theirs.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def place(sqlite_server: Server) -> Iterator[Place]:
    with prepared(sqlite_server, data.TINY) as made:
        yield made


@pytest.fixture(scope="module")
def raw(place: Place) -> Iterator[Raw]:
    peer = Raw(place)
    yield peer
    peer.close()


@pytest.fixture(scope="module", params=PEERS)
def peer(request: pytest.FixtureRequest, place: Place, raw: Raw) -> Iterator[Peer]:
    if request.param == raw.name:
        yield raw
        return
    try:
        made = peer_class(request.param)(place)
    except Missing as error:
        pytest.skip(f"peer of the benchmark: {error}; scripts/bench.sh installs it")
    yield made
    made.close()


@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.name)
def test_a_peer_gives_what_is_asked_for(case: cases.Case, peer: Peer, raw: Raw) -> None:
    if not cases.takes_part(peer, case):
        assert case.needs in peer.cannot or case.needs == "empty_session"
        return
    _, ways = cases.tried(case, peer, raw)
    if peer.name in {"raw", "ringfence", "sqlalchemy-core", "sqlalchemy-orm"}:
        assert not ways


def test_a_web_request_gives_the_item(peer: Peer) -> None:
    row = peer.request(5)
    compared(cases.expected_items(5)[4:], [[row[name] for name in data.ITEM]])


@pytest.mark.parametrize("name", ASYNC_PEERS)
def test_an_asynchronous_peer_gives_what_is_asked_for(name: str, place: Place, raw: Raw) -> None:
    try:
        made = peer_class(name, asynchronous=True)(place)
    except Missing as error:
        pytest.skip(f"peer of the benchmark: {error}; scripts/bench.sh installs it")
    works = asynchronous.AsyncWorks([made], raw)
    with works.running():
        assert not works.check(made)
        works.one(made)()
        works.many(made)()
        assert works.blocked(made) >= 0


def test_every_case_is_measured_against_the_raw_driver(raw: Raw) -> None:
    works = {
        "raw": (lambda: sum(range(2000)), cases.no_unit),
        "ringfence": (lambda: sum(range(9000)), cases.no_unit),
    }
    figures = measure(works, Pace(slice=0.002, rounds=3, least=2, budget=1.0), "raw")
    assert figures["raw"].ratio == 1
    assert figures["ringfence"].ratio > 1


def test_a_poorer_type_is_named_and_another_value_is_refused() -> None:
    row = data.items(1)[0]
    assert poorer(row["made"], row["made"].replace(tzinfo=None)) == "datetimes without their zone"
    assert poorer(row["ident"], str(row["ident"])) == "UUIDs as text"
    assert poorer(row["price"], float(row["price"])) == "Decimals as floats"
    assert poorer(True, 1) == "booleans as integers"
    for wanted, got in ((True, 0), (1, True), (row["price"], row["price"] + 1), (None, 0), ("a", "b")):
        with pytest.raises(Different):
            poorer(wanted, got)
    with pytest.raises(Different):
        compared([(1,)], [])


def test_the_report_gives_the_time_of_each_peer() -> None:
    report = Report(
        "sqlite", [Line("one-row", "one row", {"raw": Measured(10.0, 1), "ringfence": Measured(12.0, 1.2)})]
    )
    report.lines[0].absent["django"] = "django is not installed"
    assert '"ratios": {\n        "ringfence": 1.2' in report.as_json()
    assert "| one row | 10 µs | **1.20** | — |" in report.as_markdown()
    assert "django is not installed" in report.as_markdown()
    assert "reached" in report.goals()
    assert "one row: ringfence 1.20" in chart(report)
