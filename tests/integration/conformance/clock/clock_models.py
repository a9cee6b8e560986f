"""Moments that the server fills in."""

import sqlalchemy as sa

from ringfence.schema.models import base

metadata = sa.MetaData(naming_convention=base.NAMING)

stamp = sa.Table(
    "stamp",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("label", sa.String(40)),
    sa.Column("made", base.Timestamp, server_default=sa.func.now()),
    sa.Column("wall", base.NaiveTimestamp, server_default=sa.func.now()),
    sa.Column("words", base.Timestamp, server_default=sa.text("CURRENT_TIMESTAMP")),
    sa.Column("clock", base.PreciseTime),
    sa.Column("changed", base.Timestamp),
    sa.Column("old_id", sa.ForeignKey("stamp.id")),
)
sa.Index("ix_stamp_made", stamp.c.made)

sa.Table(
    "ticket",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("label", sa.String(40)),
    sqlite_autoincrement=True,
)
