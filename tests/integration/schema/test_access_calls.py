"""Functions and sequences behind a table on PostgreSQL: closed to everybody, and given to those whose verbs call them."""

import re

import pytest

from ringfence.runtime import AccessDenied, Database
from ringfence.schema.privileges.service import apply_access, plan_access
from support.deployments import TOML, lay_out

pytestmark = [pytest.mark.engines("postgresql"), pytest.mark.newer]
MODELS = """
import sqlalchemy as sa

metadata = sa.MetaData()
thing = sa.Table(
    "thing",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("code", sa.String(20)),
    sa.Column("size", sa.Integer),
    sa.PrimaryKeyConstraint("id", name="pk_thing"),
)
seen = sa.Table("seen", metadata, sa.Column("id", sa.Integer, primary_key=True), info={"view": True})
"""
ACCESS = """
version: 1
defaults: {login: "PREFIX{service}"}
accounts:
  till:
    tables:
      thing: rw
    views:
      seen: ro
  report:
    tables:
      thing: {select: [id]}
"""
MIGRATION = """
revision = "a1"
down_revision = None
from alembic import op


def upgrade():
    for sql in (
        "CREATE TABLE thing (id serial, code varchar(20), size integer,"
        " CONSTRAINT pk_thing PRIMARY KEY (id))",
        "CREATE VIEW seen AS SELECT id FROM thing",
    ):
        op.execute(sql)
"""
F = "CREATE FUNCTION f(integer) RETURNS integer IMMUTABLE LANGUAGE sql AS 'SELECT $1'"
YES = "CREATE FUNCTION f(integer) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN true; END'"
TRIGGER = "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
DOMAIN = "CREATE DOMAIN dom AS integer CHECK (f(VALUE))"
RETYPED = "ALTER TABLE thing ALTER COLUMN size DROP DEFAULT, ALTER COLUMN size TYPE {0} USING NULL"
PARTITIONED = (
    "DROP VIEW seen",
    "DROP TABLE thing",
    "CREATE TABLE thing (id serial, code varchar(20), size integer) PARTITION BY RANGE ({0})",
    "CREATE TABLE thing_1 PARTITION OF thing FOR VALUES FROM (0) TO (100)",
    "CREATE TABLE thing_2 PARTITION OF thing DEFAULT",
    "CREATE VIEW seen AS SELECT id FROM thing",
)
KINDS = {
    "a column's default": (F, "ALTER TABLE thing ALTER COLUMN size SET DEFAULT f(1)"),
    "a generated column": (F, "ALTER TABLE thing ADD made integer GENERATED ALWAYS AS (f(size)) STORED"),
    "a check": (YES, "ALTER TABLE thing ADD CHECK (f(size))"),
    "an expression index": (F, "CREATE INDEX ON thing (f(size))"),
    "a partial index": (YES, "CREATE INDEX ON thing (id) WHERE f(size)"),
    "an exclusion constraint": (F, "ALTER TABLE thing ADD EXCLUDE USING btree (f(id) WITH =)"),
    "a trigger's WHEN": (
        YES,
        TRIGGER,
        "CREATE TRIGGER noted BEFORE INSERT OR UPDATE ON thing FOR EACH ROW WHEN (f(NEW.size)) EXECUTE FUNCTION noted()",
    ),
    "a partition key": (F, *(sql.format("f(id)") for sql in PARTITIONED)),
    "a partition's own check": (
        YES,
        *(s.format("id") for s in PARTITIONED),
        "ALTER TABLE thing_1 ADD CHECK (f(size))",
    ),
    "a partition's own index": (
        F,
        *(s.format("id") for s in PARTITIONED),
        "CREATE INDEX ON thing_1 (f(size))",
    ),
    "a trigger of partitions": (
        YES,
        TRIGGER,
        *(s.format("id") for s in PARTITIONED),
        "CREATE TRIGGER noted AFTER INSERT OR UPDATE ON thing FOR EACH ROW WHEN (f(NEW.size)) EXECUTE FUNCTION noted()",
    ),
    "a domain's check": (YES, DOMAIN, RETYPED.format("dom")),
    "a domain of a domain": (YES, DOMAIN, "CREATE DOMAIN outermost AS dom", RETYPED.format("outermost")),
    "a domain's default": (F, "CREATE DOMAIN dom AS integer DEFAULT f(7)", RETYPED.format("dom")),
    "an array of a domain": (YES, DOMAIN, "ALTER TABLE thing ADD list dom[] DEFAULT '{1}'"),
    "a composite of a domain": (
        YES,
        DOMAIN,
        "CREATE TYPE pair AS (a dom, b integer)",
        "ALTER TABLE thing ADD both_of pair DEFAULT '(1,2)'",
    ),
    "a range of a domain": (
        YES,
        DOMAIN,
        "CREATE TYPE span AS RANGE (SUBTYPE = dom)",
        "ALTER TABLE thing ADD span span DEFAULT '[1,2)'",
    ),
    "a range's subtype_diff": (
        "CREATE FUNCTION f(integer, integer) RETURNS double precision IMMUTABLE LANGUAGE sql AS 'SELECT $1 - $2 + 0.0'",
        "CREATE TYPE span AS RANGE (SUBTYPE = integer, SUBTYPE_DIFF = f)",
        "ALTER TABLE thing ADD span span DEFAULT '[1,2)'",
        "CREATE INDEX ON thing USING gist (span)",
    ),
    "a policy by hand": (
        YES,
        "ALTER TABLE thing ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY hand ON thing USING (f(size))",
    ),
    "an operator": (
        YES.replace("integer)", "integer, integer)"),
        "CREATE OPERATOR === (LEFTARG = integer, RIGHTARG = integer, FUNCTION = f)",
        "ALTER TABLE thing ADD CHECK (id === id)",
    ),
    "a cast": (
        "CREATE TYPE mood AS ENUM ('well', 'ill')",
        "CREATE FUNCTION f(mood) RETURNS integer IMMUTABLE LANGUAGE sql AS 'SELECT 1'",
        "CREATE CAST (mood AS integer) WITH FUNCTION f(mood)",
        "ALTER TABLE thing ADD mood mood DEFAULT 'well', ADD CHECK (CAST(mood AS integer) = 1)",
    ),
    "an aggregate in a view": (
        "CREATE FUNCTION added(integer, integer) RETURNS integer IMMUTABLE LANGUAGE sql AS 'SELECT $1 + $2'",
        "CREATE AGGREGATE f(integer) (SFUNC = added, STYPE = integer, INITCOND = '0')",
        "CREATE OR REPLACE VIEW seen AS SELECT f(id) AS id FROM thing",
    ),
    "a view": (F, "CREATE OR REPLACE VIEW seen AS SELECT f(id) AS id FROM thing"),
    "a view of a view": (
        F,
        "CREATE VIEW beneath AS SELECT f(id) AS id FROM thing",
        "CREATE OR REPLACE VIEW seen AS SELECT id FROM beneath",
    ),
    "a rule": (
        F,
        "CREATE TABLE log (size integer CHECK (f(coalesce(size, 0)) IS NOT NULL))",
        "CREATE RULE also AS ON INSERT TO thing DO ALSO INSERT INTO log VALUES (f(NEW.size))",
    ),
    "a body that the server knows": (
        F.replace("f(", "inner_of("),
        "CREATE FUNCTION f(integer) RETURNS integer IMMUTABLE BEGIN ATOMIC SELECT inner_of($1); END",
        "ALTER TABLE thing ADD CHECK (f(size) IS NOT NULL OR size IS NULL)",
    ),
    "a default of an argument": (
        F.replace("f(", "inner_of("),
        "CREATE FUNCTION f(a integer, b integer DEFAULT inner_of(1)) RETURNS integer IMMUTABLE SECURITY DEFINER"
        " LANGUAGE sql AS 'SELECT $1'",
        "ALTER TABLE thing ALTER COLUMN size SET DEFAULT f(1)",
    ),
    "a function of another schema": (
        "CREATE SCHEMA apart",
        F.replace("f(", "apart.f("),
        "ALTER TABLE thing ALTER COLUMN size SET DEFAULT apart.f(1)",
    ),
    "a child of an inherited table": (
        YES,
        "CREATE TABLE child (CHECK (f(size))) INHERITS (thing)",
        "INSERT INTO child (id, size) VALUES (1000, 1)",
    ),
}


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    (shop.root / "migrations/versions/b2.py").unlink()
    engines = re.search(r"engines = (.*)", TOML)[1]
    shop.write("ringfence.toml", TOML.replace(engines, '["postgresql"]'))
    shop.write("shop_models.py", MODELS)
    shop.write("migrations/versions/a1.py", MIGRATION)
    shop.write("access.yaml", ACCESS)
    shop.migrate()
    return shop


def enter(shop, service):
    given = shop.database.env(shop.login(service), shop.password(service))
    return Database.from_env(shop.root / f"mirrors/{service}.json", given)


def use(shop):
    with enter(shop, "till") as till:
        with till.session() as dal:
            first = dal.thing.insert(code="a", size=3)
            dal.thing.insert(code="b")
            assert dal(dal.thing.id == first).update(size=4) == 1
            dal.executesql(f"UPDATE thing SET size = 5 WHERE size = 1 OR id = {int(first)}")
            assert dal(dal.thing.code == "b").count() == 1
            assert len(dal(dal.seen).select()) >= 1
            dal(dal.thing.code == "b").delete()
        with till.session() as dal:
            dal(dal.thing).delete()


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_verb_calls_is_given_back(shop, kind):
    # As a revision would: else the view that is replaced is named as a hand's doing.
    shop.database.execute(*KINDS[kind], "DELETE FROM ringfence_definition")
    applied = apply_access(shop.load(), shop.env())
    use(shop)
    left = plan_access(shop.load(), shop.env())
    assert left.agrees, left.sql()
    open_to = "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proacl IS NULL"
    if kind not in ("an operator", "a cast", "a range's subtype_diff"):
        assert not {name for (name,) in shop.database.execute(open_to)} - {"noted", "span_multirange"}
        assert any("EXECUTE" in sql and shop.login("till") in sql for sql in applied.statements)


def test_who_may_not_use_it_may_not_call_it(shop):
    shop.database.execute(*KINDS["a check"])
    apply_access(shop.load(), shop.env())
    with enter(shop, "report") as report, pytest.raises(AccessDenied), report.session() as dal:
        dal.executesql("SELECT f(1)")
    with enter(shop, "till") as till, till.session() as dal:
        assert dal.executesql("SELECT f(1)")[0][0] is True
