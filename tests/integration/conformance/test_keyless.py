"""A table without a key, which every engine but Galera has."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ringfence.runtime import ArgumentError, Database, Settings
from ringfence.schema.deployment import Deployment
from ringfence.schema.mirror import make_mirror
from servers.base import Database as ServerDatabase
from support.pydal_sides import create

pytestmark = pytest.mark.engines("postgresql", "mariadb", "mysql", "sqlite")


@pytest.fixture
def annex(from_template: Callable[[str, Callable[[ServerDatabase], object]], ServerDatabase]):
    deployment = Deployment.load(Path(__file__).parent / "annex")
    made = from_template("annex", lambda database: create(database, deployment))
    with Database(
        Settings.from_env(made.env()), make_mirror(deployment, deployment.accounts["annex"], None)
    ) as database:
        yield database


def test_every_verb(annex: Database) -> None:
    with annex.session() as dal:
        line = dal.line
        assert line.insert(said="one", number=1) is None
        assert line.insert() is None
        assert line.bulk_insert([{"said": "two", "number": 2}, {"said": "two", "number": 2}]) == [None, None]
        assert dal(line).count() == 4
        assert sorted(row.said for row in dal(line.number > 0).select()) == ["one", "two", "two"]
        assert line(said="one").number == 1
        assert dal(line.said == "two").update(number=line.number + 1) == 2
        assert line.update_or_insert(line.said == "three", said="three", number=3) is None
        assert line.update_or_insert(line.said == "three", number=4) is None
        assert line(said="three").number == 4
        assert dal(line.said == "two").delete() == 2
        assert dal(line).select(limitby=(0, 10), orderby=line.number).last().number in (4, None)
        # PyDAL's `_id` stands for its first column, which is no key.
        for refused in (lambda: line(4), lambda: line[4], lambda: line.__delitem__(4)):
            with pytest.raises(ArgumentError, match="no key that this service knows"):
                refused()
        assert dal(line).delete() == 3
