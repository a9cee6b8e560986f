"""A little SQLite deployment to attack: its file filled anew for each test, and the doors of its services."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from ringfence.runtime import Database, Settings
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import reach
from ringfence.schema.mirror import make_mirror
from support.deployments import lay_out


def attacked(name: str, models: str, access: str, rows: Sequence[str]) -> tuple[Any, Any, Any]:
    """The fixtures `deployment`, `db` and `enter` of a module.

    Args:
        name: what its template is kept as; another for each module.
        models: the text of the deployment's models.
        access: the text of its manifest.
        rows: statements that fill the tables.
    """

    @pytest.fixture(scope="module")
    def deployment(sqlite_server, tmp_path_factory) -> Deployment:
        with sqlite_server.database() as database:
            shop = lay_out(tmp_path_factory.mktemp("attacked"), database)
            shop.write("shop_models.py", models)
            shop.write("access.yaml", access)
            return shop.load()

    @pytest.fixture
    def db(from_template, deployment):
        """A filled database."""

        def fill(database) -> None:
            engine = reach(Settings.from_env(database.env())).engine()
            deployment.metadata[0].create_all(engine)
            engine.dispose()
            database.execute(*rows)

        return from_template(name, fill)

    @pytest.fixture
    def enter(db, deployment) -> Iterator[Callable[[str], Database]]:
        """A service's door to it."""
        opened: list[Database] = []

        def begin(service: str) -> Database:
            mirror = make_mirror(deployment, deployment.accounts[service], None)
            opened.append(Database(Settings.from_env(db.env()), mirror))
            return opened[-1]

        yield begin
        for database in opened:
            database.close()

    return deployment, db, enter


def stored(db: Any, tables: Sequence[str]) -> list[object]:
    """Every row of the tables."""
    return [db.execute(f'SELECT * FROM "{table}" ORDER BY 1') for table in tables]
