"""JSON as SQLAlchemy declares it, and as this project does."""

import sqlalchemy as sa

from ringfence.schema.models import NAMING, Json

metadata = sa.MetaData(naming_convention=NAMING)
paper = sa.Table(
    "paper",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("theirs", sa.JSON),
    sa.Column("ours", Json()),
)
