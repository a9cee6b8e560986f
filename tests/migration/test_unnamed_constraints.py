"""Constraints that the models do not name are added to an existing table, and dropped again."""

import pytest

from ringfence.schema.authoring.revise import revise
from ringfence.schema.autogenerate.renames import Renames
from support.deployments import lay_out

MODELS = """
import sqlalchemy as sa

metadata = sa.MetaData()
sa.Table("p", metadata, sa.Column("id", sa.Integer, primary_key=True))
sa.Table(
    "t",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("a", sa.String(20)),
    sa.Column("p_id", sa.Integer),
    MORE
)
"""
MORE = """
    sa.UniqueConstraint("a", "p_id"),
    sa.CheckConstraint("a <> 'x:y%z'"),
    sa.ForeignKeyConstraint(["p_id"], ["p.id"]),
"""
ACCESS = """
version: 1
defaults: {login: "PREFIX{service}"}
accounts:
  till:
    tables:
      t: ro
"""


def models(shop, more):
    shop.write("shop_models.py", MODELS.replace("    MORE\n", more))


def written(shop, message):
    made = revise(shop.load(), message, shop.database.env(), renames=Renames.from_options((), ()))
    assert made.paths
    shop.migrate(no_lint="a test of what runs")
    assert not revise(shop.load(), "nothing", shop.database.env()).paths
    return made


def refuses(shop, values):
    try:
        shop.database.execute(f"INSERT INTO t (id, a, p_id) VALUES {values}")
    except Exception:
        return True
    return False


def stored(shop):
    """How many of the three refuse a row."""
    good = "INSERT INTO t (id, a, p_id) VALUES (1, 'a', 1)"
    shop.database.execute("DELETE FROM t", "DELETE FROM p", "INSERT INTO p (id) VALUES (1)", good)
    refused = sum(refuses(shop, values) for values in ("(2, 'a', 1)", "(3, 'x:y%z', 1)", "(4, 'b', 9)"))
    shop.database.execute("DELETE FROM t", "DELETE FROM p")
    return refused


@pytest.mark.engines("sqlite", "postgresql", "mariadb", "mysql")
def test_constraints_without_a_name_come_and_go(db, tmp_path):
    shop = lay_out(tmp_path, db)
    for path in (shop.root / "migrations" / "versions").glob("*.py"):
        path.unlink()
    shop.write("access.yaml", ACCESS)
    models(shop, "")
    written(shop, "tables")
    models(shop, MORE)
    added = written(shop, "constraints")
    assert stored(shop) == 3
    for _ in added.revisions:
        assert shop.run("alembic", "downgrade", "-1").returncode == 0
    assert stored(shop) == 0
    shop.migrate(no_lint="a test of what runs")
    models(shop, "")
    written(shop, "none")
    assert stored(shop) == 0
