"""One deployment of every type and key, as a service sees it on each engine, and as stock PyDAL sees it."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pydal import Field

from ringfence.runtime import Database, Mirror, Settings
from ringfence.runtime.mirror import Table
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import reach
from ringfence.schema.mirror import make_mirror
from servers.base import Database as TestDatabase
from servers.capabilities import ENGINES
from support.pydal_sides import HEADER, RESULTS, SIDES, Ours, Side, Stock, create

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the table of results goes."""
    parser.addoption(
        "--conformance-table",
        type=Path,
        metavar="FILE",
        help="write what stock PyDAL and Ringfence did there",
    )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the table, when the run was asked for it."""
    path = session.config.getoption("--conformance-table")
    if path is not None:
        path.write_text(HEADER.read_text(encoding="utf-8") + RESULTS.as_markdown(ENGINES), encoding="utf-8")


@pytest.fixture(scope="session")
def workshop() -> Deployment:
    """The deployment of this suite."""
    return Deployment.load(HERE / "workshop")


@pytest.fixture(scope="session")
def workshop_mirror(workshop: Deployment) -> Mirror:
    """What its one service sees: everything."""
    return make_mirror(workshop, workshop.accounts["workshop"], None)


@pytest.fixture
def workshop_db(
    recycled: Callable[[str, Callable[[TestDatabase], object]], TestDatabase], workshop: Deployment
) -> TestDatabase:
    """A database with the workshop's tables, and no rows."""
    return recycled("workshop", lambda database: create(database, workshop))


@pytest.fixture
def mirror_of(workshop: Deployment) -> Callable[[str], Mirror]:
    """The mirror of another account of the workshop, which is granted the tables themselves."""

    def made(service: str) -> Mirror:
        mirror = make_mirror(workshop, workshop.accounts[service], None)
        return replace(mirror, tables={key: _straight(table) for key, table in mirror.tables.items()})

    return made


def _straight(table: Table) -> Table:
    return replace(table, verbs={verb: replace(given, relations={}) for verb, given in table.verbs.items()})


@pytest.fixture
def shop(workshop_db: TestDatabase, workshop_mirror: Mirror) -> Iterator[Database]:
    """The service's door to it."""
    with Database(Settings.from_env(workshop_db.env()), workshop_mirror) as database:
        yield database


@pytest.fixture
def side(
    request: pytest.FixtureRequest, workshop_db: TestDatabase, workshop_mirror: Mirror
) -> Iterator[Side]:
    """Stock PyDAL or Ringfence on the workshop."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # stock PyDAL leaves connections and files to the collector
        made = SIDES[request.param](workshop_db, workshop_mirror)
        yield made
        made.close()


@pytest.fixture
def sides(workshop_db: TestDatabase, workshop_mirror: Mirror) -> Iterator[list[tuple[str, Any]]]:
    stock, ours = Stock(workshop_db, workshop_mirror), Ours(workshop_db, workshop_mirror)
    stock.dal.define_table(
        "pet",
        Field("pet_no", "id"),
        Field("owner_id", "string"),
        Field("name"),
        Field("mother", "reference pet"),
        migrate=False,
    )
    with ours.session() as dal:
        dal.tally.bulk_insert({"name": f"n{number}", "hits": number % 3} for number in range(7))
        dal.seat.bulk_insert(
            [{"row": 1, "number": 2, "guest": "Ada"}, {"row": 1, "number": 3, "guest": None}]
        )
        rex = dal.pet.insert(name="Rex")
        pup = dal.pet.insert(name="Pup", mother=rex)
        dal.pet.insert(name="Kit", mother=pup)
        dal.pet.insert(name="Dot", mother=rex)
    yield [("stock", stock), ("compiled", ours), ("plain", ours)]
    stock.close()
    ours.close()


@pytest.fixture
def admin(database: TestDatabase) -> Iterator[sa.Connection]:
    """A connection of the admin to the module's own `database`."""
    engine = reach(Settings.from_env(database.env())).engine()
    with engine.connect() as connection:
        yield connection
    engine.dispose()
