"""The names that databases give to what has none: as the server itself gives them."""

import pytest
import sqlalchemy as sa

from ringfence.runtime.settings import Settings
from ringfence.schema.backends import reach
from ringfence.schema.database_names import constraints, names_in

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
