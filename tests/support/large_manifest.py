"""Forty accounts on shared tables, as a platform of many small modules has them: triggers, actions, interactive, core."""

from pathlib import Path

from servers.base import Database
from support.deployments import Shop, lay_out

MODELS = """
import sqlalchemy as sa
from ringfence.schema.models import NAMING

metadata = sa.MetaData(naming_convention=NAMING)


def table(name, *columns):
    sa.Table(name, metadata, sa.Column("id", sa.Integer, primary_key=True, autoincrement=False), *columns)


def text(name, **options):
    return sa.Column(name, sa.String(60), **options)


table("auth_user", text("email", unique=True), text("password", info={"sensitive": True}), text("state"))
table("integration", text("platform", index=True), text("token", info={"sensitive": True}), text("state"))
table("job", text("owner", index=True), text("state"), text("result"))
table("event", text("kind"), text("payload"))
table("invoice", sa.Column("tenant_id", sa.Integer, index=True), text("state"), text("note"))
"""

FIRST = """
revision = "a1"
down_revision = None
from alembic import op


def upgrade():
    from shop_models import metadata

    metadata.create_all(op.get_bind())


def downgrade():
    from shop_models import metadata

    metadata.drop_all(op.get_bind())
"""

HEAD = """
version: 1
defaults: {login: "PREFIX{service}"}
scopes:
  tenant: {type: integer}
sets:
  private: [auth_user, integration]
groups:
  reports: {tables: {event: [insert]}}
  people: {tables: {auth_user: {select: [id, email, state]}}}
accounts:
"""
TRIGGER = """
  {name}:
    groups: [reports]
    tables:
      integration:
        rows: {{platform: {name}}}
        select: all
        update: [token]
"""
ACTION = """
  {name}:
    groups: [people]
    tables:
      job:
        select: all
        update: {{columns: [state, result], rows: {{owner: "@login"}}}}
"""
INTERACTIVE = """
  {name}:
    groups: [people, reports]
    tables:
      invoice: {{verbs: rw, rows: {{tenant_id: ":tenant"}}}}
"""
CORE = """
  {name}:
    tables: {{all: ro, except: [$private], auth_user: {{select: [id, state], update: [state]}}}}
"""
ROUTER = """
  router:
    tables: {auth_user: ro, integration: {verbs: rw, also: [token]}, job: rw, event: ro, invoice: ro}
"""
GUARDS = """
guards:
  event: {never: [update, delete]}
"""
KINDS = {"trigger": TRIGGER, "action": ACTION, "interactive": INTERACTIVE, "core": CORE}
EACH = 10
ROWS = (
    "INSERT INTO auth_user VALUES (1, 'a@b', 'hash', 'new')",
    "INSERT INTO integration VALUES (1, 'trigger0', 'one', 'on'), (2, 'trigger1', 'two', 'on')",
    "INSERT INTO job VALUES (1, 'PREFIXaction0', 'new', ''), (2, 'PREFIXaction1', 'new', '')",
    "INSERT INTO invoice VALUES (1, 1, 'open', ''), (2, 2, 'open', '')",
)


def manifest() -> str:
    """All forty: the router is one of the core."""
    parts = [text.format(name=f"{kind}{n}") for kind, text in KINDS.items() for n in range(EACH)]
    return HEAD.rstrip() + "".join(part.rstrip("\n") for part in parts[:-1]) + ROUTER + GUARDS


def lay_out_catalog(root: Path, database: Database) -> Shop:
    """The deployment, not yet migrated."""
    shop = lay_out(root, database)
    (root / "migrations/versions/b2.py").unlink()
    shop.write("shop_models.py", MODELS)
    shop.write("migrations/versions/a1.py", FIRST)
    shop.write("access.yaml", manifest())
    return shop
