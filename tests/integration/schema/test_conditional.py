"""Indexes and constraints of some dialects alone: a revision makes on each engine what `create_all` makes there."""

import pytest
import sqlalchemy as sa
from alembic.util import CommandError

from ringfence.schema.authoring.revise import revise
from ringfence.schema.models.conditional import applies, dialects_of
from support.deployments import lay_out_one

TOML = """
name = "shop"
engines = ["postgresql", "mariadb", "galera", "mysql", "sqlite"]
models = ["shop_models:metadata"]
allow_weak = ["test"]
"""
MODELS = """
import sqlalchemy as sa

metadata = sa.MetaData()


def with_text(ddl, target, bind, *, dialect, **given):
    return dialect.name in ("postgresql", "sqlite")


thing = sa.Table(
    "thing",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("a", sa.String(20)),
    sa.Column("b", sa.Integer),
    sa.Index("ix_all", "a"),
    sa.Index("ix_sqlite", "a").ddl_if(dialect="sqlite"),
    sa.Index("ix_family", "a", mysql_length={"a": 5}).ddl_if(dialect=("mysql", "mariadb")),
    sa.Index("ix_mysql", "b").ddl_if(dialect="mysql"),
    sa.Index("ix_called", "b").ddl_if(callable_=with_text),
    sa.Index("ix_text", sa.text("a DESC")),
    sa.Index("ix_nothing"),
    sa.Index("ix_never", "b").ddl_if(dialect="oracle"),
    sa.UniqueConstraint("a", "b", name="uq_postgresql").ddl_if(dialect="postgresql"),
    sa.CheckConstraint("b > 0", name="ck_sqlite").ddl_if(dialect="sqlite"),
    sa.CheckConstraint("b > 1", name="ck_servers").ddl_if(dialect=("postgresql", "mysql")),
)
"""
INDEXES = {
    "sqlite": {"ix_all", "ix_sqlite", "ix_called", "ix_text"},
    "postgresql": {"ix_all", "ix_called", "ix_text"},
    "mysql": {"ix_all", "ix_family", "ix_mysql", "ix_text"},
    # What is for MySQL is for MariaDB too.
    "mariadb": {"ix_all", "ix_family", "ix_mysql", "ix_text"},
}
CHECKS = {
    "sqlite": {"ck_sqlite"},
    "postgresql": {"ck_servers"},
    "mysql": {"ck_servers"},
    "mariadb": {"ck_servers"},
}


@pytest.fixture
def shop(db, tmp_path):
    return lay_out_one(tmp_path, db, TOML, MODELS, "thing: rw")


def _indexes(engine):
    """By the server's own list: SQLAlchemy leaves indexes on expressions out on SQLite."""
    asked = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
        "postgresql": "SELECT indexname FROM pg_indexes WHERE tablename = 'thing' AND indexname LIKE 'ix%'",
    }.get(
        engine.dialect.name,
        "SELECT DISTINCT index_name FROM information_schema.statistics"
        " WHERE table_schema = DATABASE() AND table_name = 'thing' AND index_name <> 'PRIMARY'",
    )
    with engine.connect() as connection:
        return set(connection.execute(sa.text(asked)).scalars())


def _look(engine):
    name = engine.dialect.name
    wanted = set(INDEXES[name])
    inspector = sa.inspect(engine)
    if name == "mysql":
        wanted -= set() if "ix_text" in _indexes(engine) else {"ix_text"}
    assert _indexes(engine) == wanted
    assert {each["name"] for each in inspector.get_check_constraints("thing")} == CHECKS[name]
    uniques = {each["name"] for each in inspector.get_unique_constraints("thing")}
    assert uniques == ({"uq_postgresql"} if name == "postgresql" else set())


@pytest.mark.parametrize("against", ["scratch", "itself"])
def test_a_revision_makes_what_is_for_this_engine(shop, admin, against):
    deployment = shop.load()
    (note,) = [str(each) for each in deployment.notes if "ix_nothing" in str(each)]
    assert "names no column" in note
    revised = revise(deployment, "first", shop.env() if against == "itself" else {})
    assert "ix_never" not in revised.path.read_text()
    assert "ix_nothing" not in revised.path.read_text()
    for command in (("upgrade", "head"), ("downgrade", "base"), ("upgrade", "head")):
        done = shop.run("alembic", *command)
        assert done.returncode == 0, done.stderr
    _look(admin)
    again = revise(shop.load(), "again", shop.env()).path
    assert again is None, again.read_text()


def test_one_that_is_added_later_is_under_its_condition(shop, admin):
    lines = MODELS.splitlines(keepends=True)
    before = "".join(line for line in lines if not ("ddl_if" in line and "sa.Index" in line))
    shop.write("shop_models.py", before)
    revise(shop.load(), "first", shop.env())
    assert shop.run("alembic", "upgrade", "head").returncode == 0
    shop.write("shop_models.py", MODELS)
    revised = revise(shop.load(), "later", shop.env())
    text = "".join(path.read_text() for path in revised.paths)
    assert "if op.get_context().dialect.name in (" in text
    for command in (("upgrade", "head"), ("downgrade", "base"), ("upgrade", "head")):
        done = shop.run("alembic", *command)
        assert done.returncode == 0, done.stderr
    _look(admin)


def test_a_condition_that_asks_the_server_is_named():
    def asking(ddl, target, bind, **given):
        return bind.execute(sa.text("SELECT 1")).scalar() == 1

    index = sa.Index("ix_asking", "a").ddl_if(callable_=asking)
    sa.Table("t", sa.MetaData(), sa.Column("a", sa.Integer), index)
    assert applies(index, "sqlite")
    with pytest.raises(
        CommandError, match=r"ix_asking' on t asks more than the dialect's name.*ddl_if\(dialect="
    ):
        dialects_of(index)
