"""The services of the reference deployment, each under its own account."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

from servers.base import Server
from support.reference_platform import PASSWORD, Platform, serve


@pytest.fixture(scope="session")
def _platforms() -> Iterator[dict[Server, Platform]]:
    made: dict[Server, Platform] = {}
    yield made
    for each in made.values():
        each.database.drop()


@pytest.fixture(scope="module")
def platform(
    server: Server, _platforms: dict[Server, Platform], tmp_path_factory: pytest.TempPathFactory
) -> Platform:
    """Migrated once for each engine, and without a row at the start of each module."""
    if server in _platforms:
        _platforms[server].empty()
    else:
        database = server.database()
        try:
            _platforms[server] = Platform(database, tmp_path_factory.mktemp("platform"))
        except BaseException:
            database.drop()
            raise
    return _platforms[server]


@pytest.fixture(scope="module")
def backend(platform: Platform) -> Iterator[FlaskClient]:
    from backend_api import application  # here: the tests of the wheel collect this folder without pydantic

    yield from serve(application, platform.mirror("backend-api"), platform.env("backend-api"))


@pytest.fixture(scope="module")
def figures(platform: Platform) -> Iterator[FlaskClient]:
    from analytics import application  # here: see backend_api

    yield from serve(application, platform.mirror("analytics"), platform.env("analytics"))


@pytest.fixture
def user(backend: FlaskClient, request: pytest.FixtureRequest) -> dict[str, Any]:
    """A new user."""
    name = re.sub(r"\W", "-", request.node.name)
    answer = backend.post("/users", json={"email": f"{name}@example.org", "password": PASSWORD})
    assert answer.status_code == 201, answer.text
    return answer.json
