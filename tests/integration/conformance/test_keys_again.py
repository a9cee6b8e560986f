"""Which engine gives the key of a deleted row again, and what keeps it from that."""

from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations

from ringfence.runtime import Database, Settings
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import reach
from ringfence.schema.mirror import make_mirror
from servers.base import Database as ServerDatabase
from support.pydal_sides import create

Recycled = Callable[[str, Callable[[ServerDatabase], object]], ServerDatabase]


def deployment() -> Deployment:
    """One table that counts as the engine does, and one that asks SQLite for AUTOINCREMENT."""
    return Deployment.load(Path(__file__).parent / "clock")


def after_deletion(database: ServerDatabase, table: str) -> bool:
    """Whether the next row gets the key of the highest one, which was deleted."""
    given = deployment()
    mirror = make_mirror(given, given.accounts["clock"], None)
    with Database(Settings.from_env(database.env()), mirror) as door, door.session() as dal:
        dal[table].insert(label="first")
        gone = int(dal[table].insert(label="second"))
        assert dal(dal[table].id == gone).delete() == 1
        return int(dal[table].insert(label="third")) == gone


def test_sqlite_alone_gives_keys_again(recycled: Recycled) -> None:
    made = recycled("clock", lambda database: create(database, deployment()))
    assert after_deletion(made, "stamp") is (made.server.engine == "sqlite")


def test_a_model_can_ask_for_keys_that_are_never_given_again(recycled: Recycled) -> None:
    made = recycled("clock", lambda database: create(database, deployment()))
    assert not after_deletion(made, "ticket")


@pytest.mark.engines("sqlite")
def test_a_revision_can_ask_for_it_later(db: ServerDatabase) -> None:
    create(db, deployment())
    engine = reach(Settings.from_env(db.env())).engine()
    with engine.begin() as connection:
        operations = Operations(MigrationContext.configure(connection))
        with operations.batch_alter_table(
            "stamp", recreate="always", table_kwargs={"sqlite_autoincrement": True}
        ):
            pass
    engine.dispose()
    assert "AUTOINCREMENT" in db.execute("SELECT sql FROM sqlite_master WHERE name = 'stamp'")[0][0]
    assert not after_deletion(db, "stamp")
