"""A pytest plugin with the proof of the migrations as a fixture, once for each configured database.

    def test_migrations(ringfence_migrations):
        ringfence_migrations.prove()

`ringfence_urls` in pytest's configuration, or the variable RINGFENCE_TEST_URLS (separated by blanks), list the URLs of
empty databases. A scratch SQLite file is always used too if the deployment has that engine. `ringfence_root` is the
deployment's folder, relative to pytest's root folder (default: that folder).
"""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment
    from ringfence.schema.testing.migrations import Proof

_SCRATCH = "scratch"


@dataclass(frozen=True)
class Migrations:
    """The migrations of a deployment, and an empty database on which to prove them."""

    deployment: "Deployment"
    env: dict[str, str] | None = field(repr=False)
    """Environment variables that name the database; None for a scratch SQLite file."""

    def prove(self, *, mirrors: Path | str | None = None, since: str | None = None) -> "Proof":
        """Run every revision up, down and up again with rows; fail the test with the list of all failures.

        Args:
            mirrors: a folder with the mirrors of running services, which must keep working.
            since: a commit, tag or branch from which git reads the deployment's mirrors, instead of `mirrors`.

        Raises:
            NotEmpty: the database is not empty.
            JobFailed: git cannot read the mirrors, the migrations have several heads, or there is no SQLite engine.
            RingfenceError: the database cannot be reached.
        """
        from ringfence.schema.testing.migrations import prove
        from ringfence.schema.testing.services import mirrors_at, mirrors_in

        with tempfile.TemporaryDirectory(prefix="ringfence-") as folder:
            given = mirrors_in(Path(mirrors)) if mirrors is not None else ()
            if since is not None:
                given = mirrors_at(self.deployment, since, Path(folder))
        proof = prove(self.deployment, self.env, mirrors=given)
        if proof.failures:
            pytest.fail("\n".join(proof.failures), pytrace=False)
        return proof


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options for the deployment's folder and for the databases."""
    parser.addini("ringfence_root", "The deployment's folder, from that of the configuration.", default=".")
    parser.addini("ringfence_urls", "Empty databases to try migrations on.", type="linelist", default=[])


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize tests of the migrations by database."""
    if "ringfence_url" in metafunc.fixturenames:
        urls = _urls(metafunc.config)
        metafunc.parametrize("ringfence_url", urls, ids=[_name(url) for url in urls], scope="session")


def _urls(config: pytest.Config) -> Sequence[str]:
    named = os.environ.get("RINGFENCE_TEST_URLS", "").split() or config.getini("ringfence_urls")
    return [_SCRATCH, *named]


def _name(url: str) -> str:
    """Return the test id of a database: the scheme of its URL, without the password."""
    return url.partition("://")[0]


@pytest.fixture(scope="session")
def ringfence_deployment(pytestconfig: pytest.Config) -> "Deployment":
    """The deployment, loaded and checked."""
    from ringfence.schema.deployment import Deployment

    return Deployment.load(pytestconfig.rootpath / str(pytestconfig.getini("ringfence_root")))


@pytest.fixture
def ringfence_migrations(ringfence_deployment: "Deployment", ringfence_url: str) -> Migrations:
    """The migrations and an empty database, once for each configured database."""
    from ringfence.schema.engines import scratch

    if ringfence_url != _SCRATCH:
        return Migrations(ringfence_deployment, {"DATABASE_URL": ringfence_url})
    if scratch(ringfence_deployment.engines, Path()) is None:
        pytest.skip("the deployment is not for SQLite, and this is a scratch file")
    return Migrations(ringfence_deployment, None)
