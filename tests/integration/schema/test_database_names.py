"""The names that databases give to what has none: as the server itself gives them."""

import contextlib

import pymysql
import pytest
import sqlalchemy as sa
from alembic.operations import ops

from ringfence.runtime.settings import Settings
from ringfence.schema.autogenerate.tables import order_created
from ringfence.schema.engines import reach
from ringfence.schema.models.object_names import constraints, names_in, shortened_name
from ringfence.schema.models.object_names import too_long as too_long_for

LONG = "a_long_name_of_a_table_or_a_column_"


def unnamed() -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table("p", metadata, sa.Column("id", sa.Integer, primary_key=True))
    for name in ("q", LONG + "q"):
        sa.Table(
            name,
            metadata,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("p_id", sa.ForeignKey("p.id")),
            sa.Column(LONG + "p_id", sa.ForeignKey("p.id")),
            sa.Column("a", sa.Integer, sa.CheckConstraint("a > 0")),
            sa.Column("b", sa.Integer),
            sa.UniqueConstraint("a", "b"),
            sa.UniqueConstraint("b", LONG + "p_id"),
        )
    return metadata


def too_long() -> sa.MetaData:
    metadata = sa.MetaData(naming_convention={"uq": "uq_%(table_name)s_%(column_0_N_name)s"})
    sa.Table(
        "r_with_a_name",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(f"column_{n}_of_it", sa.Integer) for n in range(5)),
        sa.UniqueConstraint(*(f"column_{n}_of_it" for n in range(5))),
    )
    return metadata


@pytest.mark.engines("postgresql", "mysql", "mariadb")
@pytest.mark.parametrize("models", [unnamed, too_long])
def test_a_name_is_the_one_that_the_server_has(db, models):
    metadata = models()
    engine = reach(Settings.from_env(db.env())).engine()
    metadata.create_all(engine)
    inspector = sa.inspect(engine)
    for table in metadata.tables.values():
        found = {each["name"] for each in inspector.get_foreign_keys(table.name)}
        found |= {each["name"] for each in inspector.get_unique_constraints(table.name)}
        found |= {each["name"] for each in inspector.get_check_constraints(table.name)}
        found |= {inspector.get_pk_constraint(table.name)["name"]}
        for item in constraints(table):
            names = names_in(item, table, [db.server.engine])
            assert set(names) <= found, (item, found)
            # The MySQL family calls every key PRIMARY, and no error of a CHECK there is looked up by an unnamed one.
            assert names or not isinstance(item, sa.UniqueConstraint | sa.ForeignKeyConstraint)
    engine.dispose()


@pytest.mark.engines("postgresql", "mysql", "mariadb")
@pytest.mark.parametrize("name", ["ж" * 31, "ж" * 32, "ж" * 64, "ж" * 65, "a" * 63, "a" * 64, "a" * 65])
def test_a_name_is_too_long_where_the_server_does_not_keep_it(db, name):
    quote = "`" if db.server.db_type == "mysql" else '"'
    db.execute("CREATE TABLE item (id INTEGER PRIMARY KEY)")
    with contextlib.suppress(pymysql.err.OperationalError):  # MySQL and MariaDB refuse what PostgreSQL cuts
        db.execute(f"ALTER TABLE item ADD CONSTRAINT {quote}{name}{quote} UNIQUE (id)")
    engine = reach(Settings.from_env(db.env())).engine()
    found = {each["name"] for each in sa.inspect(engine).get_unique_constraints("item")}
    engine.dispose()
    assert too_long_for(name, db.server.engine) == (name not in found)


def test_a_name_of_our_own_fits_everywhere_and_stays_unlike_another():
    short, long, other = "item_a_fkey", "é" * 40, "é" * 39 + "e"
    assert shortened_name(short) == short
    assert shortened_name(long) != shortened_name(other)
    for each in (shortened_name(long), shortened_name(other)):
        assert not any(too_long_for(each, engine) for engine in ("postgresql", "mysql", "mariadb", "galera"))


def test_foreign_keys_in_a_circle_have_names_that_fit_and_differ():
    metadata = sa.MetaData()
    one, other = LONG + "one", LONG + "other"
    for name, target in ((one, other), (other, one)):
        sa.Table(
            name,
            metadata,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column(LONG + "first", sa.ForeignKey(f"{target}.id")),
            sa.Column(LONG + "second", sa.ForeignKey(f"{target}.id")),
        )
    made = order_created([ops.CreateTableOp.from_table(table) for table in metadata.tables.values()])
    names = [str(key.constraint_name) for key in made.keys]
    assert len(names) == len(set(names)) == 2
    assert not any(too_long_for(name, "postgresql") for name in names)
