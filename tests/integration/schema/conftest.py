"""Fixtures of the tests of catalogs: the admin's backend and a connection of it."""

import pytest

from ringfence.runtime.settings import Settings
from ringfence.schema.engines import reach


@pytest.fixture
def backend(db):
    return reach(Settings.from_env(db.env()))


@pytest.fixture
def connection(backend):
    engine = backend.engine()
    with engine.connect() as connection:
        yield connection


@pytest.fixture
def admin(backend):
    """The admin's engine."""
    engine = backend.engine()
    yield engine
    engine.dispose()


@pytest.fixture
def other(db):
    """A second database on a server of the MySQL family."""
    name = f"{db.name}_x"
    db.execute(f"CREATE DATABASE `{name}`")
    yield name
    db.execute("SET foreign_key_checks = 0", f"DROP DATABASE IF EXISTS `{name}`")
