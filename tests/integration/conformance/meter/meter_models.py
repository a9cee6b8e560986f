"""The types that MySQL and MariaDB alone have, as old schemas of theirs use them."""

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from ringfence.schema import models

metadata = sa.MetaData(naming_convention=models.NAMING)

dial = sa.Table(
    "dial",
    metadata,
    sa.Column("id", mysql.BIGINT(unsigned=True), primary_key=True),
    sa.Column("tiny", mysql.TINYINT),
    sa.Column("utiny", mysql.TINYINT(unsigned=True)),
    sa.Column("usmall", mysql.SMALLINT(unsigned=True)),
    sa.Column("medium", mysql.MEDIUMINT),
    sa.Column("umedium", mysql.MEDIUMINT(unsigned=True)),
    sa.Column("uint", mysql.INTEGER(unsigned=True)),
    sa.Column("zint", mysql.INTEGER(unsigned=True, zerofill=True)),
    sa.Column("ubig", mysql.BIGINT(unsigned=True)),
    sa.Column("ureal", mysql.DOUBLE(unsigned=True)),
    sa.Column("uprice", mysql.DECIMAL(10, 2, unsigned=True)),
    sa.Column("born", mysql.YEAR),
    sa.Column("flag", mysql.BIT),
    sa.Column("bits", mysql.BIT(4)),
    sa.Column("word", mysql.BIT(64)),
    sa.Column("colours", mysql.SET("red", "green", "dark blue", "it's", "é😀")),
    sa.Column("raw", sa.BINARY(16)),
    sa.Column("other", sa.VARBINARY(16)),
    sa.Column("parent_id", mysql.BIGINT(unsigned=True), sa.ForeignKey("dial.id")),
    mariadb_charset="utf8mb4",
    mysql_charset="utf8mb4",
)
