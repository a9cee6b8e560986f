"""The keys of a table come in one order in every process, though SQLAlchemy keeps them in a set."""

import subprocess
import sys

import sqlalchemy as sa

from ringfence.schema.models.key_lengths import too_long_keys
from ringfence.schema.models.object_names import keys

SCRIPT = """
import sqlalchemy as sa
from ringfence.schema.engines.postgresql.leakproof_indexes import unusable_indexes
columns = [sa.Column(name, sa.Numeric) for name in "abcdef"]
uniques = [sa.UniqueConstraint(name) for name in "fbdac"]
table = sa.Table("t", sa.MetaData(), *columns, sa.PrimaryKeyConstraint("e"), *uniques)
print([(one.index, one.what) for one in unusable_indexes(table, ())])
"""


def test_the_primary_key_comes_first_then_names_and_columns():
    table = sa.Table(
        "t",
        sa.MetaData(),
        *(sa.Column(name, sa.Integer) for name in "abcd"),
        sa.PrimaryKeyConstraint("d", name="zz"),
        sa.UniqueConstraint("c", "a"),
        sa.UniqueConstraint("b", name="uq"),
        sa.UniqueConstraint("a", "c"),
        sa.CheckConstraint("a > 0"),
    )
    assert [[column.name for column in key.columns] for key in keys(table)] == [
        ["d"],
        ["a", "c"],
        ["c", "a"],
        ["b"],
    ]


def test_findings_about_keys_do_not_depend_on_the_process():
    said = {
        subprocess.run([sys.executable, "-c", SCRIPT], check=True, capture_output=True, text=True).stdout
        for _ in range(4)
    }
    (text,) = said
    assert text.startswith("[('primary key', 'e (NUMERIC)'), ('unique constraint', 'a (NUMERIC)'),")


def test_keys_that_are_too_long_are_named_in_order():
    table = sa.Table(
        "t",
        sa.MetaData(),
        sa.Column("id", sa.String(1000), primary_key=True),
        *(sa.Column(name, sa.String(2000), unique=True) for name in "cab"),
    )
    assert [text.partition(" takes")[0] for text in too_long_keys(table, ["mysql", "mariadb"])] == [
        "the key (primary key, id)",
        "the key (a)",
        "the key (b)",
        "the key (c)",
    ]
