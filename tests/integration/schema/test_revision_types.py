"""The types, CHECKs and defaults of a revision equal those of `create_all` on each engine."""

import re

import pytest
import sqlalchemy as sa

from ringfence.schema.authoring.revise import revise
from support.deployments import lay_out_one

MODELS = '''
import enum

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql

from ringfence.schema.models import NAMING

metadata = sa.MetaData(naming_convention=NAMING)


class Level(enum.Enum):
    low = "L"
    high = "it's"


class Document(sa.TypeDecorator):
    """JSON as text, but where there is better; no name of it is in a revision."""

    impl = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
    cache_ok = True


sa.Table(
    "thing",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("word", sa.Enum("a", "b", native_enum=False, create_constraint=True, name="word")),
    sa.Column("flag", sa.Boolean(create_constraint=True, name="flag")),
    sa.Column("level", sa.Enum(Level, create_constraint=True, name="level")),
    sa.Column("doc", Document()),
    sa.Column("data", sa.JSON().with_variant(postgresql.JSONB(), "postgresql")),
    sa.Column("quote", sa.String(30), server_default="it's"),
    sa.Column("empty", sa.String(30), server_default=""),
    sa.Column("quoted", sa.String(30), server_default="'x'"),
    sa.Column("percent", sa.String(30), server_default="100%s %(x)s"),
    sa.Column("back", sa.String(30), server_default="a\\\\b"),
    sa.Column("colon", sa.String(30), server_default='{"a":true}'),
    sa.Column("text", sa.String(30), server_default=sa.text("'it''s'")),
    sa.Column("day", sa.Date, server_default=sa.text("'2001-02-03'")),
    sa.Column("whole", sa.Integer, server_default="7"),
    sa.Column("yes", sa.Boolean, server_default=sa.true()),
)
'''
ENGINES = '["postgresql", "mariadb", "galera", "mysql", "sqlite"]'
TOML = f"""
name = "shop"
engines = {ENGINES}
models = ["shop_models:metadata"]
allow_weak = ["test"]
"""
WANTED = {
    "quote": "it's",
    "empty": "",
    "quoted": "'x'",
    "percent": "100%s %(x)s",
    "back": "a\\b",
    "colon": '{"a":true}',
    "text": "it's",
    "day": "2001-02-03",
    "whole": 7,
    "yes": True,
}
CHECKS = {
    "postgresql": "SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = 'thing'::regclass",
    "mysql": (
        "SELECT constraint_name FROM information_schema.table_constraints WHERE table_name = 'thing'"
        " AND constraint_type = 'CHECK' AND table_schema = DATABASE()"
    ),
}


@pytest.fixture
def shop(db, tmp_path):
    return lay_out_one(tmp_path, db, TOML, MODELS, "thing: rw")


def _checks(engine):
    """The names of the CHECKs, as the server has them."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            text = connection.execute(
                sa.text("SELECT sql FROM sqlite_master WHERE name = 'thing'")
            ).scalar_one()
            return set(re.findall(r"CONSTRAINT (\w+) CHECK", text))
        asked = CHECKS["postgresql" if engine.dialect.name == "postgresql" else "mysql"]
        # MariaDB holds JSON to be JSON by a CHECK of the column's own, which has its name.
        return set(connection.execute(sa.text(asked)).scalars()) - {"data"}


def _inserted(engine, table):
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO thing (id) VALUES (1)"))
        row = connection.execute(sa.select(table)).mappings().one()
        connection.execute(sa.text("DELETE FROM thing"))
    return {name: str(row[name]) if name == "day" else row[name] for name in WANTED}


@pytest.mark.parametrize("against", ["scratch", "itself"])
def test_a_revision_makes_what_create_all_makes(shop, admin, against):
    deployment = shop.load()
    revised = revise(deployment, "first", shop.env() if against == "itself" else {})
    text = revised.path.read_text()
    assert "Document" not in text
    assert "shop_models" not in text
    applied = shop.run("alembic", "upgrade", "head")
    assert applied.returncode == 0, applied.stderr
    table = shop.load().tables["thing"]
    found = _checks(admin)
    assert _inserted(admin, table) == WANTED
    kinds = _types(admin)
    undone = shop.run("alembic", "downgrade", "base")
    assert undone.returncode == 0, undone.stderr
    table.metadata.create_all(admin)
    assert found == _checks(admin)
    assert found >= {"ck_thing_word"}
    assert kinds == _types(admin)


def _types(engine):
    return {each["name"]: str(each["type"]) for each in sa.inspect(engine).get_columns("thing")}


def test_the_mirror_says_that_the_server_fills_them_in(shop):
    shop.load()
    revise(shop.load(), "first", {})
    text = (shop.root / "mirrors").glob("*.json").__next__().read_text()
    for name in WANTED:
        assert re.search(rf'"{name}": .*"default": {{"kind": "server"}}', text), name
