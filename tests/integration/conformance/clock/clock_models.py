"""Moments that the server fills in."""

import sqlalchemy as sa

from ringfence.schema import models

metadata = sa.MetaData(naming_convention=models.NAMING)

stamp = sa.Table(
    "stamp",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("label", sa.String(40)),
    sa.Column("made", models.Timestamp, server_default=sa.func.now()),
    sa.Column("wall", models.NaiveTimestamp, server_default=sa.func.now()),
    sa.Column("words", models.Timestamp, server_default=sa.text("CURRENT_TIMESTAMP")),
    sa.Column("clock", models.PreciseTime),
    sa.Column("changed", models.Timestamp),
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
