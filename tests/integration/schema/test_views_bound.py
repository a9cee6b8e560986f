"""A view whose own WHERE reads what the session binds, where no table's rows use that name."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from ringfence.runtime import Database, InterfaceError, Mirror, Settings, UnknownName
from ringfence.runtime.errors import DataError
from ringfence.runtime.settings import Secret
from ringfence.schema.engines import reach
from ringfence.schema.errors import BadDeployment
from ringfence.schema.manifest import model
from ringfence.schema.privileges.plan import make_plan
from ringfence.schema.verification.verify import verify
from support.deployments import lay_out

pytestmark = pytest.mark.newer

MODELS = """
import sqlalchemy as sa

metadata = sa.MetaData()
sa.Table(
    "invoice",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("tenant", sa.Integer),
    sa.Column("region", sa.String(20)),
    sa.Column("RENAMED", sa.Integer),
)
for name in ("mine", "nearby"):
    sa.Table(name, metadata, sa.Column("id", sa.Integer), sa.Column("tenant", sa.Integer), info={"view": True})
"""
REVISION = """
revision = "a1"
down_revision = None
import sqlalchemy as sa
from alembic import op


def upgrade():
    op.create_table(
        "invoice",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("tenant", sa.Integer),
        sa.Column("region", sa.String(20)),
        sa.Column("amount", sa.Integer),
    )
    for statement in STATEMENTS:
        op.execute(statement)
"""
RENAMES = """
revision = "b2"
down_revision = "a1"
from alembic import op


def upgrade():
    op.alter_column("invoice", "amount", new_column_name="cents", existing_type=sa.Integer())


import sqlalchemy as sa
"""
VIEWS = [
    "CREATE VIEW mine AS SELECT id, tenant FROM invoice WHERE tenant = {}",
    "CREATE VIEW nearby AS SELECT id, tenant FROM invoice WHERE region = {}",
]
WORDS = {
    "postgresql": (
        "nullif(current_setting('app.tenant', true), '')::int",
        "current_setting('ringfence.region')",
    ),
    "mysql": ("current_tenant()", "current_region()"),
    "sqlite": ("ringfence_scope('tenant')", "ringfence_scope('region')"),
}
FUNCTIONS = [
    "CREATE FUNCTION current_tenant() RETURNS int NOT DETERMINISTIC NO SQL RETURN @ringfence_tenant",
    "CREATE FUNCTION current_region() RETURNS varchar(20) CHARSET utf8mb4 NOT DETERMINISTIC NO SQL"
    " RETURN @ringfence_region",
]
ACCESS = """
version: 1
defaults: {login: "PREFIX{service}"}
scopes:
  tenant: {type: integer, setting: app.tenant}
  region: {type: string, unset: error}
groups:
  regional:
    views: {nearby: {select: [id], binds: [region]}}
accounts:
  portal:
    groups: [regional]
    views:
      mine: {verbs: ro, binds: [tenant]}
      nearby: ro
  plain:
    tables: {invoice: ro}
"""


def views(engine):
    return [
        *(FUNCTIONS if engine == "mysql" else []),
        *(view.format(word) for view, word in zip(VIEWS, WORDS[engine], strict=True)),
    ]


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    (shop.root / "migrations/versions/b2.py").unlink()
    shop.write("shop_models.py", MODELS.replace("RENAMED", "amount"))
    shop.write("access.yaml", ACCESS)
    shop.write("migrations/versions/a1.py", REVISION.replace("STATEMENTS", repr(views(db.server.db_type))))
    shop.migrate()
    db.execute("INSERT INTO invoice VALUES (1, 7, 'north', 0), (2, 8, 'north', 0), (3, 7, 'south', 0)")
    return shop


def opened(shop):
    env = shop.database.env(shop.login("portal"), shop.password("portal"))
    settings = Settings.from_env(env if shop.database.server.hosts else shop.env())
    return Database(settings, Mirror.load(shop.root / "mirrors/portal.json"))


def seen(dal, view):
    return sorted(row.id for row in dal(dal[view].id > 0).select(dal[view].id))


def test_a_session_binds_what_the_view_reads(shop):
    with opened(shop) as database:
        assert database.readiness().state == "ready"
        for tenant, ids in ((7, [1, 3]), (8, [2]), (9, [])):
            with database.session(scope={"tenant": tenant}) as dal:
                assert seen(dal, "mine") == ids
        with database.session() as dal:  # on the connection that bound another a moment ago
            assert seen(dal, "mine") == []
        with database.session(scope={"tenant": 7, "region": "north"}) as dal:
            assert (seen(dal, "mine"), seen(dal, "nearby")) == ([1, 3], [1, 2])
            assert list(dal.executesql("SELECT id FROM nearby ORDER BY id")) == [(1,), (2,)]


def test_a_name_that_is_wrong_and_one_that_a_view_cannot_do_without(shop):
    with opened(shop) as database:
        with pytest.raises(UnknownName, match="binds no scope zone"), database.session(scope={"zone": 1}):
            pass
        with pytest.raises(DataError, match="scope tenant"), database.session(scope={"tenant": "north"}):
            pass
        with (
            pytest.raises(InterfaceError, match="to select on nearby a session must bind region"),
            database.session() as dal,
        ):
            seen(dal, "nearby")


@pytest.mark.engines("sqlite")
def test_sql_of_ones_own_meets_the_name_that_lacks(shop):
    with (
        opened(shop) as database,
        pytest.raises(InterfaceError, match="to select on nearby a session must bind region"),
        database.session() as dal,
    ):
        dal.executesql("SELECT id FROM nearby")


def test_plan_and_proof_are_content_and_later_revisions_run(shop):
    with reach(shop.settings()).engine().connect() as connection:
        plan = make_plan(connection, reach(shop.settings()), shop.load(), None)
    assert (plan.sql(), [e for e in plan.warnings if "mine" in e or "nearby" in e]) == ([], [])
    secrets = {login: Secret(p.reveal()) for login, p in shop.passwords().items()}
    proof = verify(shop.load(), shop.settings(), secrets)
    assert proof.findings == []
    shop.write("shop_models.py", MODELS.replace("RENAMED", "cents"))
    shop.write("migrations/versions/b2.py", RENAMES)
    shop.migrate()
    with opened(shop) as database, database.session(scope={"tenant": 8}) as dal:
        assert seen(dal, "mine") == [2]


@pytest.mark.engines("mysql", "mariadb")
def test_no_function_is_created_for_a_view(shop):
    """Ours is made after the revisions, which could not use it: a view reads a function of the models."""
    found = shop.database.execute(
        "SELECT routine_name FROM information_schema.routines WHERE routine_schema = DATABASE() ORDER BY 1"
    )
    assert list(found) == [("current_region",), ("current_tenant",)]


@pytest.mark.engines("sqlite")
def test_the_mirror_says_what_a_view_binds(shop):
    mirror = Mirror.load(shop.root / "mirrors/portal.json")
    assert mirror.tables["mine"].verbs["select"].binds == ("tenant",)
    assert mirror.tables["nearby"].verbs["select"].binds == ("region",)
    assert dict(mirror.scopes) == {
        "region": {"type": "string", "setting": "ringfence.region", "unset": "error"},
        "tenant": {"type": "integer", "setting": "app.tenant", "unset": "none"},
    }
    assert Mirror.load(shop.root / "mirrors/plain.json").scopes == {}


def test_the_json_schema_knows_it_of_views_alone():
    schema = json.loads((Path(model.__file__).parent / "access.schema.json").read_text())
    jsonschema.validate(yaml.safe_load(ACCESS), schema)
    wrong = ACCESS.replace("{invoice: ro}", "{invoice: {verbs: ro, binds: [tenant]}}")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(wrong), schema)


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "binds: [tenant]",
            "binds: [tenent]",
            r"access.yaml:13: binds of 'mine': there is no scope 'tenent'; did you mean 'tenant'\?; under",
        ),
        ("{invoice: ro}", "{invoice: {verbs: ro, binds: [tenant]}}", r"access.yaml:16: .*'binds'"),
        (
            "{verbs: ro, binds: [tenant]}",
            "{verbs: ro, rows: {tenant: 1}}",
            r"access.yaml:13: .*`rows:` are conditions on tables.* where the WHERE reads what a session binds, write `binds: \[NAME\]`",
        ),
    ],
)
def test_what_the_manifest_declares_of_views_is_checked(shop, old, new, said):
    shop.write("access.yaml", ACCESS.replace(old, new))
    with pytest.raises(BadDeployment, match=said):
        shop.load()
