"""What Galera cannot have: a table without a key."""

import sqlalchemy as sa

metadata = sa.MetaData()

line = sa.Table("line", metadata, sa.Column("said", sa.String(40)), sa.Column("number", sa.Integer))
