"""A deployment with row scopes of every kind, for the engines that can hold them: fixed, bound, per verb, or-ed."""

from pathlib import Path
from typing import Any

from servers.base import Database as FreshDatabase
from support.deployments import Shop, lay_out_created

MODELS = """
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from ringfence.schema.models import NAMING

metadata = sa.MetaData(naming_convention=NAMING)


class Base(DeclarativeBase):
    metadata = metadata


class Invoice(Base):
    __tablename__ = "invoice"
    __table_args__ = (sa.UniqueConstraint("tenant_id", "number"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(index=True)
    platform: Mapped[str] = mapped_column(sa.String(40))
    number: Mapped[int]
    code: Mapped[str] = mapped_column(sa.String(40), unique=True)
    closed_by: Mapped[str | None] = mapped_column(sa.String(40))


class Note(Base):
    __tablename__ = "note"
    id: Mapped[int] = mapped_column(primary_key=True)
    words: Mapped[str] = mapped_column(sa.String(40))
"""

HOSTILE = r"""50% of \'x"; -- %s"""

ACCESS = r"""
version: 1
defaults: {login: "PREFIX{service}"}
scopes:
  tenant: {type: integer, setting: app.tenant_id}
  firm: {type: integer, setting: app.firm_id, unset: error}
accounts:
  office:
    tables: {invoice: rw, note: rw}
  portal:
    tables:
      invoice: {verbs: rw, rows: {tenant_id: ":tenant"}}
  strict:
    tables:
      invoice: {verbs: rw, rows: {tenant_id: ":firm"}}
  twitch:
    tables:
      invoice: {verbs: rw, rows: {platform: twitch}}
  hostile:
    tables:
      invoice: {verbs: rw, rows: {platform: "50% of \\'x\"; -- %s"}}
  verbs:
    tables:
      invoice:
        select: {columns: all, rows: {tenant_id: [1, 2]}}
        insert: {columns: all, rows: {platform: twitch}}
        update: {columns: [code, number], rows: {tenant_id: 1}}
        delete: {rows: {platform: twitch, closed_by: null}}
  either:
    tables:
      invoice:
      - {verbs: ro, rows: {platform: twitch}}
      - {verbs: ro, rows: {closed_by: "@login"}}
      - {verbs: ro, rows: {closed_by: null, tenant_id: [2, 3]}}
"""

ROWS = [
    # id, tenant_id, platform, number, code, closed_by
    (1001, 1, "twitch", 1, "one", None),
    (1002, 1, "discord", 2, "two", "somebody"),
    (1003, 2, "twitch", 1, "three", "somebody"),
    (1004, 2, "discord", 2, "four", None),
    (1005, 3, "discord", 1, "five", "somebody"),
    (1006, 3, HOSTILE, 2, "six", "somebody"),
]


def lay_out_tenants(root: Path, database: FreshDatabase) -> Shop:
    """Write the deployment into a folder."""
    return lay_out_created(root, database, MODELS, ACCESS)


def fill(shop: Shop) -> None:
    """Store ROWS and a row of the account `either`, and no other."""
    own = (1007, 9, "own", 1, "seven", shop.login("either"))
    db_type = shop.database.server.db_type
    shop.database.execute("DELETE FROM invoice", *(_insert(row, db_type) for row in [*ROWS, own]))


def _insert(row: tuple[Any, ...], db_type: str) -> str:
    def literal(value: Any) -> str:
        if value is None:
            return "NULL"
        text = str(value).replace("'", "''")
        if db_type == "mysql":
            text = text.replace("\\", "\\\\")
        return str(value) if isinstance(value, int) else f"'{text}'"

    return f"INSERT INTO invoice VALUES ({', '.join(map(literal, row))})"


def codes(shop: Shop) -> list[str]:
    """The codes of all invoices, as the admin sees them."""
    return [code for (code,) in shop.database.execute("SELECT code FROM invoice ORDER BY id")]
