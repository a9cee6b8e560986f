"""A deployment whose accounts use some rows and some columns of one table each."""

from pathlib import Path
from typing import Any

from servers.base import Database as FreshDatabase
from support.deployments import Shop, write_created

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


class Contacts(Shop):
    """The deployment, with the rows of its one table that accounts share."""

    def reset(self) -> None:
        """Store ROWS, and no other."""
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
        """The rows that are stored, by their key."""
        found = self.database.execute(
            "SELECT id, platform, tenant_id, name, code, token FROM contact ORDER BY id"
        )
        return {row[0]: row for row in found}

    def view(self, service: str, verb: str = "select") -> str:
        """The relation through which a service uses the contacts."""
        return self.relation(service, "contact", verb)


def lay_out_contacts(folder: Path, database: FreshDatabase) -> Contacts:
    """Write the deployment into a folder."""
    return write_created(Contacts(folder, database), MODELS, ACCESS)
