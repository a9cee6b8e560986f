"""What the models add to a table, or make beside it, in DDL of their own is compared, and made in one revision."""

import pytest
import sqlalchemy as sa

from ringfence.schema.comparison.model_statements import StatementOp
from ringfence.schema.errors import JobFailed
from support.comparisons import compared, create

pytestmark = pytest.mark.newer


def models(*texts, **options):
    metadata = sa.MetaData()
    table = sa.Table(
        "item",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("a", sa.Integer, nullable=False, **options),
        sa.Column("t", sa.String(99)),
    )
    for text in texts:
        sa.event.listen(table, "after_create", sa.DDL(text))
    return metadata


FAMILY = pytest.mark.engines("mariadb", "mysql")
ADDED = (
    "CREATE FULLTEXT INDEX ft ON item (t) LOCK=SHARED;",
    "CREATE INDEX first USING BTREE ON `item` (t(9), a DESC)",
    "ALTER TABLE item ADD COLUMN b INT DEFAULT 3 AFTER a, ADD CONSTRAINT positive CHECK (a > 0), ADD UNIQUE KEY one (b)",
    "ALTER TABLE item ADD CONSTRAINT itself FOREIGN KEY (a) REFERENCES item (id)",
)


@FAMILY
def test_what_ddl_adds_to_a_table_is_no_difference_and_missed_when_it_goes(db):
    metadata = models(*ADDED)
    create(db, metadata)
    assert compared(db, metadata) == ([], [])
    db.execute(
        "ALTER TABLE item DROP FOREIGN KEY itself",
        "ALTER TABLE item DROP INDEX itself, DROP INDEX first, DROP CONSTRAINT positive",
        "ALTER TABLE item ALTER b SET DEFAULT 4",
    )
    assert sorted(compared(db, metadata)[0]) == [
        "add check item.positive",
        "add foreign key item.itself",
        "add index item.first",
        "modify column item.b",
    ]


@pytest.mark.engines("sqlite", "postgresql", "mariadb", "mysql")
def test_an_index_of_ddl_is_made_with_its_table(db):
    text = "CREATE UNIQUE INDEX apart ON item (t, a)"
    differs, written = compared(db, models(text))
    assert "add table item" in differs
    (made,) = [each for each in written if isinstance(each, StatementOp)]
    assert made.statement == text
    create(db, models(text))
    assert compared(db, models(text)) == ([], [])
    db.execute(made.reverse_sql)
    assert len(compared(db, models(text))[0]) == 1


@FAMILY
def test_a_view_with_every_word_before_its_name_is_made(db):
    text = "CREATE OR REPLACE ALGORITHM=MERGE SQL SECURITY INVOKER VIEW `my.view` AS SELECT id FROM item"
    metadata = models(text)
    _, written = compared(db, metadata)
    assert [each.statement for each in written if isinstance(each, StatementOp)] == [text]
    create(db, metadata)
    assert compared(db, metadata) == ([], [])


@pytest.mark.engines("sqlite")
def test_columns_of_a_view_and_clauses_on_conflict_are_compared(db):
    view = "CREATE VIEW IF NOT EXISTS [a as b] (p, q) AS SELECT id, a FROM item"
    metadata = models(view)
    create(db, metadata)
    assert compared(db, metadata) == ([], [])
    assert compared(db, models(view.replace("p, q", "q, p")))[0] == ["modify view a as b"]
    for options in (
        {"sqlite_on_conflict_not_null": "IGNORE"},
        {"sqlite_on_conflict_unique": "IGNORE", "unique": True},
    ):
        differs, written = compared(db, models(view, **options))
        assert len(differs) == len(written) == 1
    assert compared(db, models(view, sqlite_on_conflict_not_null="ABORT")) == ([], [])


@pytest.mark.engines("sqlite", "mariadb", "mysql")
def test_names_that_differ_by_their_case_alone_are_the_same_where_the_server_takes_them_so(db):
    db.execute(
        "CREATE TABLE item (id INTEGER PRIMARY KEY NOT NULL, title VARCHAR(9), n INTEGER, CONSTRAINT uq UNIQUE (title),"
        " CONSTRAINT ck CHECK (n > 0), CONSTRAINT fk FOREIGN KEY (n) REFERENCES item (id))",
        "CREATE INDEX ix ON item (title, id)",
    )
    metadata = sa.MetaData()
    sa.Table(
        "item",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("Title", sa.String(9)),
        sa.Column("N", sa.Integer),
        sa.UniqueConstraint("Title", name="UQ"),
        sa.CheckConstraint("N > 0", name="CK"),
        sa.ForeignKeyConstraint(["N"], ["item.id"], name="FK"),
        sa.Index("IX", "Title", "id"),
    )
    assert compared(db, metadata) == ([], [])
    db.execute("DROP INDEX ix" + ("" if db.server.engine == "sqlite" else " ON item"))
    assert compared(db, metadata)[0] == ["add index item.IX"]


@pytest.mark.engines("sqlite")
def test_a_percent_sign_that_is_not_doubled_is_named(db):
    bare = "CREATE VIEW half AS SELECT id FROM item WHERE t LIKE '50% of it'"
    with pytest.raises(
        JobFailed, match=r"write a literal percent sign as %%\. Its text: CREATE VIEW half AS .* LIKE '50% of"
    ):
        compared(db, models(bare))
    doubled = bare.replace("%", "%%")
    create(db, models(doubled))
    assert compared(db, models(doubled)) == ([], [])
