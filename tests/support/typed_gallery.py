"""A mirror with every kind of column, table and privilege that a stub has to describe."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from ringfence.runtime import Mirror
from ringfence.schema import models
from ringfence.schema.deployment import Deployment
from ringfence.schema.documents import Document
from ringfence.schema.manifest.model import Account
from ringfence.schema.manifest.resolution import resolve_accounts
from ringfence.schema.mirror import make_mirror

ACCESS = """
version: 1
accounts:
  gallery:
    tables:
      artist: rw
      work: rw
      token: rw
      log: {verbs: insert}
      a.thing: rw
      b.thing: ro
      odd: rw
      pair: rw
      stock: {select: [id, count], update: [count]}
    views: {catalog: ro}
"""


def metadata() -> sa.MetaData:
    """The models."""
    made = sa.MetaData(naming_convention=models.NAMING)

    def key() -> sa.Column[int]:
        return sa.Column("id", sa.Integer, primary_key=True)

    sa.Table("artist", made, key(), sa.Column("name", sa.String(50), nullable=False))
    sa.Table(
        "work",
        made,
        key(),
        sa.Column("artist_id", sa.ForeignKey("artist.id"), nullable=False),
        sa.Column("title", sa.String(50), nullable=False),
        sa.Column("kind", sa.Enum("oil", "print", name="kind"), nullable=False, default="oil"),
        sa.Column("price", sa.Numeric(9, 2)),
        sa.Column("weight", sa.Double()),
        sa.Column("made_on", sa.Date()),
        sa.Column("opens", models.PreciseTime()),
        sa.Column("sold_at", models.Timestamp()),
        sa.Column("seen_at", models.NaiveTimestamp()),
        sa.Column("shown_for", models.Duration()),
        sa.Column("scan", models.LongBytes()),
        sa.Column("details", models.Json()),
        sa.Column("tags", postgresql.ARRAY(sa.String(9)), nullable=False, default=list),
        sa.Column("sold", sa.Boolean(), nullable=False, default=False),
        sa.Column("area", sa.Integer, sa.Computed("1 + 1")),
        sa.Column("secret", sa.String(9), info={"sensitive": True}),
    )
    sa.Table(
        "token",
        made,
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("text", models.LongText(), nullable=False),
    )
    sa.Table("log", made, key(), sa.Column("line", sa.String(50), nullable=False))
    sa.Table("catalog", made, key(), sa.Column("title", sa.String(50)), info={"view": True})
    sa.Table("thing", made, key(), sa.Column("one", sa.Integer), schema="a")
    sa.Table("thing", made, key(), sa.Column("two", sa.Integer), schema="b")
    words = (
        "int",
        "str",
        "date",
        "bool",
        "list",
        "class",
        "self",
        "update",
        "upsert",
        "_hidden",
        "naïve",
        "9lives",
        "key",
        "values",
        "property",
        "delete_record",
    )
    sa.Table("odd", made, key(), *(sa.Column(word, sa.String(9)) for word in words))
    sa.Table(
        "pair",
        made,
        sa.Column("left", sa.Integer, primary_key=True),
        sa.Column("right", sa.Date, primary_key=True),
    )
    sa.Table(
        "stock", made, key(), sa.Column("count", sa.Integer, nullable=False), sa.Column("cost", sa.Integer)
    )
    return made


def deployment(root: Path) -> Deployment:
    """The deployment of the one service."""
    made = metadata()
    document = Document("access.yaml", ACCESS)
    accounts = resolve_accounts(document, made.tables, ("postgresql",))
    assert document.mistakes == [], document.mistakes
    return deployment_of(root, made.tables, accounts)


def deployment_of(root: Path, tables: Mapping[str, sa.Table], accounts: Iterable[Account]) -> Deployment:
    """A deployment of these tables and accounts, for PostgreSQL."""
    return Deployment(
        root=root,
        name="museum",
        engines=("postgresql",),
        migrations=root / "migrations",
        mirrors=root / "mirrors",
        metadata=(),
        tables=MappingProxyType(dict(tables)),
        accounts=MappingProxyType({account.service: account for account in accounts}),
    )


def mirror() -> Mirror:
    """The mirror of the one service."""
    made = deployment(Path())
    return make_mirror(made, made.accounts["gallery"], None)
