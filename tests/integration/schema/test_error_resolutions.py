"""Errors for models that a server refuses name file and line, and their resolution works."""

import re

import pytest

from ringfence.schema.authoring.revise import revise
from ringfence.schema.errors import JobFailed
from support.deployments import TOML, lay_out

MODELS = """
import sqlalchemy as sa

metadata = sa.MetaData()
sa.Table("a", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(20)))
sa.Table(
    "b",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.String(20)),
    ITEM
)
"""
ACCESS = """
version: 1
defaults: {login: "PREFIX{service}"}
accounts:
  till: {tables: {a: rw}}
"""
# A type without a default operator class for the method; a table of more bytes than a row may have.
REFUSED = {
    "postgresql": ('sa.Index("ix_b", "name", postgresql_using="gin")', "the index 'ix_b' of 'b'", "index:b.ix_b"),
    "mariadb": ('sa.Column("long", sa.VARCHAR(60000))', "the table 'b'", "b"),
}  # fmt: skip


@pytest.mark.engines(*REFUSED)
def test_what_the_server_refuses_is_named_and_can_be_left_out(db, tmp_path):
    item, what, left = REFUSED[db.server.engine]
    shop = lay_out(tmp_path, db)
    for path in (shop.root / "migrations/versions").glob("*.py"):
        path.unlink()
    toml = re.sub(r"engines = .*", f'engines = ["{db.server.engine}"]', TOML)
    for name, text in (("shop_models.py", MODELS.replace("ITEM", item)), ("ringfence.toml", toml)):
        (shop.root / name).write_text(text)
    shop.write("access.yaml", ACCESS)
    with pytest.raises(JobFailed) as refused:
        revise(shop.load(), "first", db.env())
    assert f"it is {what} (" in str(refused.value)
    assert re.search(r"shop_models\.py:6\)", str(refused.value))
    assert f'leave_out = ["{left}"]' in str(refused.value)
    (shop.root / "ringfence.toml").write_text(f'{toml}leave_out = ["{left}"]\n')
    assert revise(shop.load(), "first", db.env()).paths
    shop.migrate()


@pytest.mark.engines("sqlite")
def test_a_reference_of_others_that_cannot_be_checked_stops_no_job(db, tmp_path):
    shop = lay_out(tmp_path, db)
    db.execute(
        "CREATE TABLE theirs (id INTEGER PRIMARY KEY, n INTEGER)",
        "CREATE TABLE leans (n INTEGER REFERENCES theirs (n))",
    )
    shop.migrate()
    assert shop.run("ringfence", "plan").returncode == 0
