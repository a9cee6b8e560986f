"""Models with every kind of object of MySQL and MariaDB, and what a comparison finds in a database of them."""

import enum

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from ringfence.schema import models
from ringfence.schema.comparison.differences import compare
from ringfence.schema.comparison.model_objects import ModelLookup
from ringfence.schema.comparison.snapshot import Models


class Colour(enum.Enum):
    """Labels that need care with quotes."""

    red = "red"
    sea_green = "sea_green"


def wide(metadata, engine):
    """One table with every kind of column, default, key and constraint that the models can say."""
    on_mysql = engine == "mysql"
    utc = "(utc_timestamp())" if on_mysql else "utc_timestamp()"
    sa.Table(
        "artist",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Integer, nullable=False),
        sa.Column("parent_id", sa.Integer, sa.ForeignKey("artist.id")),
        sa.UniqueConstraint("id", "kind", name="uq_artist"),
        sa.Index("ix_same", "kind"),
        comment='who\'s "playing" `here`,\n(and\\there) 100%',
    )
    extra = (
        [
            sa.Index("ix_wide_expression", sa.text("(lower(name))"), sa.text("created DESC")),
            sa.Index("uq_wide_expression", sa.text("(lower(code))"), unique=True),
            sa.Index("uq_wide_many", sa.text("(cast(doc->'$.tags' as unsigned array))"), unique=True),
            sa.Column("short_lived", sa.Integer, sa.Computed("amount * 2", persisted=False), nullable=False),
        ]
        if on_mysql
        else []
    )
    return sa.Table(
        "wide",
        metadata,
        sa.Column("id", sa.BigInteger, primary_key=True),
        sa.Column("artist_id", sa.Integer, nullable=False),
        sa.Column("artist_kind", sa.Integer),
        sa.Column("small", sa.SmallInteger, server_default="0"),
        sa.Column("amount", sa.Integer, server_default=sa.text("(1 + 2)")),
        sa.Column("unsigned", mysql.BIGINT(unsigned=True), server_default=sa.text("18446744073709551615")),
        sa.Column("tiny", mysql.TINYINT(unsigned=True, zerofill=True)),
        sa.Column("price", sa.Numeric(10, 2), server_default="0", nullable=False),
        sa.Column("bare", sa.Numeric),
        sa.Column("double", sa.Double),
        sa.Column("single", sa.Float),
        sa.Column("wide_float", sa.Float(53)),
        sa.Column("yes", sa.Boolean, server_default=sa.true(), nullable=False),
        sa.Column("no", sa.Boolean(create_constraint=True, name="ck_no"), server_default=sa.false()),
        sa.Column(
            "name", sa.String(100), server_default="", nullable=False, comment="it's `the` name, (100%)"
        ),
        sa.Column("quotes", sa.String(100), server_default='it\'s "5%" \\ `x`, (y'),
        sa.Column("code", sa.CHAR(8), server_default="abc"),
        sa.Column("colour", sa.Enum(Colour), server_default="red"),
        sa.Column(
            "words",
            sa.Enum("it's", "a,b", 'c"d', "e\\f", native_enum=False, create_constraint=True, name="ck_w"),
        ),
        sa.Column("labels", sa.Enum("it's", "a,b", 'c"d', "(e")),
        sa.Column("several", mysql.SET("a", "b")),
        sa.Column("body", sa.Text),
        sa.Column("long_body", models.LongText, nullable=False),
        sa.Column("sized", sa.Text(70000)),
        sa.Column("blob", sa.LargeBinary),
        sa.Column("sized_blob", sa.LargeBinary(300)),
        sa.Column("fixed", sa.BINARY(16)),
        sa.Column("varying", sa.VARBINARY(16)),
        sa.Column("doc", sa.JSON),
        sa.Column("own_doc", models.Json, nullable=False),
        sa.Column("key", sa.Uuid, server_default=sa.text("(uuid())")),
        sa.Column("bits", mysql.BIT(3), server_default=sa.text("b'101'")),
        sa.Column("year", mysql.YEAR),
        sa.Column("day", sa.Date, server_default=sa.text("(current_date)")),
        sa.Column("time", models.PreciseTime),
        sa.Column("plain_moment", sa.DateTime, server_default=sa.func.now()),
        sa.Column(
            "created", models.Timestamp, server_default=sa.text("CURRENT_TIMESTAMP(6)"), nullable=False
        ),
        sa.Column(
            "changed",
            mysql.TIMESTAMP(fsp=6),
            server_default=sa.text("CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)"),
        ),
        sa.Column("computed_moment", sa.DateTime, server_default=sa.text(utc)),
        sa.Column("span", models.Duration),
        sa.Column("stored", sa.Integer, sa.Computed("amount + 1", persisted=True)),
        sa.Column("virtual", sa.String(50), sa.Computed("concat(name, 'it''s, ')", persisted=False)),
        sa.Column("old", sa.String(20, collation="utf8mb3_general_ci")),
        sa.Column("binary_text", mysql.VARCHAR(20, charset="latin1", collation="latin1_bin")),
        sa.Column("expression", sa.String(40), server_default=sa.text("(concat('a,', \"b'c\"))")),
        sa.ForeignKeyConstraint(
            ["artist_id", "artist_kind"],
            ["artist.id", "artist.kind"],
            name="fk_wide_artist",
            ondelete="CASCADE",
            onupdate="RESTRICT",
        ),
        sa.CheckConstraint("amount > 0 AND name <> 'it''s'", name="ck_amount"),
        sa.CheckConstraint("small < 10"),
        sa.UniqueConstraint("name", "code", name="uq_wide_name"),
        sa.UniqueConstraint("quotes"),
        sa.Index("uq_wide_code", "code", unique=True),
        sa.Index("ix_wide_prefix", "body", "name", mysql_length={"body": 10}, mariadb_length={"body": 10}),
        sa.Index("ix_same", sa.text("created DESC"), "amount"),
        sa.Index("ft_wide", "body", "name", mysql_prefix="FULLTEXT", mariadb_prefix="FULLTEXT"),
        *extra,
        comment="",
    )


def circle(metadata):
    """Two tables that refer to each other."""
    for one, two in (("egg", "hen"), ("hen", "egg")):
        sa.Table(
            one,
            metadata,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column(
                f"{two}_id", sa.Integer, sa.ForeignKey(f"{two}.id", name=f"fk_{one}", use_alter=one == "egg")
            ),
        )


def given(*metadata):
    return Models(metadata, {key: table for each in metadata for key, table in each.tables.items()})


def differing(backend, connection, wanted):
    """What is not the same: name -> what the database has, and what the models are. Read from the server both times.

    Constraints to which the models give no name go by what they are, and a missing or extra table stands for what is
    in it.
    """
    found = backend.introspection.catalog.read(connection, wanted.schemas)
    reference = backend.introspection.catalog.reference(connection, wanted)
    named = ModelLookup(wanted, connection.dialect).named
    return {str(each.name): (each.found, each.wanted) for each in compare(reference, found, named)}


def facets(pair):
    """How the two sides of a difference differ, in words."""
    found, wanted = pair
    if found is None or wanted is None:
        return "+" if wanted is None else "-"
    return {word for word in found.keys() | wanted.keys() if found.get(word) != wanted.get(word)}
