"""A deployment whose accounts use some rows each, by constants and by bound scopes of every type."""

import datetime as dt
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ringfence.runtime import Database
from servers.base import Database as FreshDatabase
from support.deployments import Shop, write_created

MODELS = """
import sqlalchemy as sa
from ringfence.schema.models import NAMING

metadata = sa.MetaData(naming_convention=NAMING)

sa.Table(
    "link", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("platform", sa.String(20), nullable=False, index=True),
    sa.Column("name", sa.String(50), nullable=False, unique=True),
    sa.Column("token", sa.String(50)),
    sa.Column("uses", sa.Integer, nullable=False, default=0),
)
sa.Table(
    "invoice", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("tenant_id", sa.Integer, nullable=False, index=True),
    sa.Column("number", sa.String(20), nullable=False, unique=True),
    sa.Column("amount", sa.Integer, nullable=False, default=0),
)
sa.Table(
    "line", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("tenant_id", sa.Integer, nullable=False, index=True),
    sa.Column("invoice_id", sa.ForeignKey("invoice.id", ondelete="CASCADE"), nullable=False),
    sa.Column("words", sa.String(50)),
)
sa.Table(
    "reminder", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("invoice_id", sa.ForeignKey("invoice.id", ondelete="CASCADE"), nullable=False),
)
sa.Table(
    "sample", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("word", sa.String(20)),
    sa.Column("whole", sa.Integer),
    sa.Column("ident", sa.Uuid),
    sa.Column("flag", sa.Boolean),
    sa.Column("day", sa.Date),
    sa.Column("mood", sa.Enum("calm", "wild", name="sample_mood")),
    sa.Column("gone", sa.Date),
    sa.Column("remark", sa.String(50)),
)
"""

IDENT = uuid.UUID("0b9b1bd0-0000-4000-8000-000000000001")
DAY = dt.date(2026, 1, 2)

ACCESS = f"""
version: 1
defaults: {{login: "PREFIX{{service}}"}}
scopes:
  tenant: {{type: integer, setting: app.tenant}}
  holder: {{type: integer, unset: error}}
  word: {{type: string}}
  ident: {{type: uuid}}
  flag: {{type: boolean}}
  day: {{type: date}}
  mood: {{type: string}}
groups:
  of-twitch: {{tables: {{link: {{rows: {{platform: twitch}}, verbs: rw}}}}}}
  of-kick: {{tables: {{link: {{rows: {{platform: kick}}, verbs: rw}}}}}}
accounts:
  office:
    tables: {{all: rw}}
  twitch:
    tables:
      link: {{verbs: rw, rows: {{platform: twitch}}}}
  either:
    groups: [of-twitch, of-kick]
  clerk:
    tables:
      link:
        select: {{rows: {{platform: [twitch, kick]}}}}
        insert: {{rows: {{platform: kick}}}}
        update: {{columns: [token], rows: {{platform: twitch}}}}
        delete: {{rows: {{platform: kick}}}}
  narrow:
    tables:
      link: {{select: [id, name], update: [name], rows: {{platform: twitch}}}}
  portal:
    tables:
      invoice: {{verbs: rw, rows: {{tenant_id: ":tenant"}}}}
      line: {{verbs: rw, rows: {{tenant_id: ":tenant"}}}}
  keeper:
    tables:
      invoice: {{verbs: rw, rows: {{tenant_id: ":holder"}}}}
      link: ro
  typist:
    tables:
      sample:
        verbs: rw
        rows: {{word: some, whole: [1, 2], ident: {IDENT}, flag: true, day: "{DAY}", mood: calm, gone: null}}
  binder:
    tables:
      sample:
        verbs: rw
        rows: {{word: ":word", ident: ":ident", flag: ":flag", day: ":day", mood: ":mood"}}
"""

LINKS = [
    {"platform": platform, "name": f"{platform}-{number}", "token": f"{platform}'s", "uses": number}
    for platform in ("twitch", "discord", "kick")
    for number in (1, 2)
]
SAMPLE = {"word": "some", "whole": 1, "ident": IDENT, "flag": True, "day": DAY, "mood": "calm", "gone": None}


@dataclass
class ScopedAccounts(Shop):
    """The deployment, whose services are opened once and shared by all tests."""

    ids: dict[str, int] = field(default_factory=dict)
    """The key of each link by its name."""
    opened: dict[str, Database] = field(default_factory=dict)

    def service(self, service: str, size: int = 3) -> Database:
        """A service's database, opened when it is first asked for."""
        if service not in self.opened:
            self.opened[service] = self.open(service, size)
        return self.opened[service]

    @contextmanager
    def session(self, service: str, scope: Mapping[str, Any] | None = None) -> Iterator[Any]:
        """A session of a service."""
        with self.service(service).session(scope=scope) as dal:
            yield dal

    def fill(self) -> None:
        """Store the links, and no other row."""
        with self.session("office") as dal:
            for table in (dal.line, dal.reminder, dal.invoice, dal.link, dal.sample):
                dal(table).delete()
            dal.link.bulk_insert(LINKS)
            self.ids = {row.name: row.id for row in dal(dal.link).select()}

    def close(self) -> None:
        """Close the services."""
        for database in self.opened.values():
            database.close(deadline=0.1)


def migrate_scoped_accounts(root: Path, database: FreshDatabase) -> ScopedAccounts:
    """Lay out the deployment in a folder, and migrate its database."""
    shop = write_created(ScopedAccounts(root, database), MODELS, ACCESS)
    shop.migrate()
    return shop
