"""A deployment whose accounts see some rows and columns each, for the fence of the MySQL family: raw logins and doors."""

import contextlib
from pathlib import Path
from typing import Any

from ringfence.runtime import Database, PoolOptions, Settings
from ringfence.runtime.mirror import Mirror
from support.deployments import Shop, lay_out

MODELS = """
import sqlalchemy as sa
from ringfence.schema.models import NAMING

metadata = sa.MetaData(naming_convention=NAMING)
contact = sa.Table(
    "contact", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("platform", sa.String(20), nullable=False, index=True),
    sa.Column("tenant_id", sa.Integer, index=True),
    sa.Column("name", sa.String(30), nullable=False, unique=True),
    sa.Column("code", sa.String(30), unique=True),
    sa.Column("token", sa.String(50), info={"sensitive": True}),
    sa.Column("hits", sa.Integer, nullable=False, default=0, server_default="0"),
)
note = sa.Table(
    "note", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("contact_id", sa.ForeignKey("contact.id", ondelete="CASCADE", name="fk_note_contact"), nullable=False),
    sa.Column("word", sa.String(30)),
)
"""

MIGRATION = """
revision = "a1"
down_revision = None
from alembic import op
import shop_models


def upgrade():
    shop_models.metadata.create_all(op.get_bind())


def downgrade():
    pass
"""

ACCESS = """
version: 1
defaults: {login: "PREFIX{service}"}
accounts:
  owner:
    tables:
      contact: {verbs: rw, also: [token]}
      note: rw
  twitch:
    tables:
      contact: {verbs: rw, also: [token], rows: {platform: twitch}}
  reader:
    tables:
      contact: {select: [id, name], insert: [platform, name, token], update: [name, hits]}
  chooser:
    tables:
      contact:
        - {select: all, rows: {platform: [twitch, discord]}}
        - {select: all, rows: {tenant_id: null}}
  tenant:
    tables:
      contact: {verbs: rw, rows: {tenant_id: ":tenant"}}
      note: ro
"""

ROWS = (
    (1, "twitch", 7, "a", "A", "tok-a"),
    (2, "twitch", 8, "b", "B", "tok-b"),
    (3, "discord", 7, "c", "C", "SECRET-c"),
    (4, "Twitch", 8, "d", "D", "SECRET-d"),
    (5, "other", None, "e", "E", "SECRET-e"),
)


class Fenced:
    """The deployment, migrated; accounts log in raw, or through the runtime."""

    def __init__(self, shop: Any) -> None:
        self.shop = shop
        self.database = shop.database

    def reset(self) -> None:
        """The rows as they were."""
        values = ", ".join(
            "({}, '{}', {}, '{}', '{}', '{}')".format(*(("NULL" if v is None else v) for v in row))
            for row in ROWS
        )
        self.database.execute(
            "DELETE FROM contact",
            f"INSERT INTO contact (id, platform, tenant_id, name, code, token) VALUES {values}",
            "INSERT INTO note (id, contact_id, word) VALUES (1, 1, 'x'), (2, 3, 'y')",
        )

    def rows(self) -> dict[int, tuple[Any, ...]]:
        """What is stored."""
        found = self.database.execute(
            "SELECT id, platform, tenant_id, name, code, token FROM contact ORDER BY id"
        )
        return {row[0]: row for row in found}

    def view(self, service: str, verb: str = "select", table: str = "contact") -> str:
        """The relation of a verb."""
        mirror = Mirror.load(self.shop.root / "mirrors" / f"{service}.json")
        relations = mirror.tables[table].verbs[verb].relations
        return str(relations.get(self.database.server.engine, table))

    @contextlib.contextmanager
    def raw(self, service: str) -> Any:
        """A function that runs SQL as the account."""
        connection = self.shop.connect(service)

        def run(sql: str) -> Any:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall()) if cursor.description else cursor.rowcount

        try:
            yield run
        finally:
            connection.close()

    @contextlib.contextmanager
    def opened(self, service: str, size: int = 1) -> Any:
        """The service's own door."""
        login = self.shop.login(service)
        settings = Settings.from_env(self.database.env(login, self.shop.password(service)))
        mirror = Mirror.load(self.shop.root / "mirrors" / f"{service}.json")
        with Database(settings, mirror, PoolOptions(size=size)) as database:
            yield database


def laid_out(folder: Path, database: Any) -> Shop:
    """The deployment, not yet migrated."""
    shop = lay_out(folder, database)
    (shop.root / "migrations" / "versions" / "b2.py").unlink()
    shop.write("shop_models.py", MODELS)
    shop.write("access.yaml", ACCESS)
    shop.write("migrations/versions/a1.py", MIGRATION)
    return shop
