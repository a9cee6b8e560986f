"""What the models make in a schema of its own, name with its schema, or make in DDL, is compared like everything else."""

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import DOMAIN

from ringfence.runtime.settings import Settings
from ringfence.schema.comparison.manual_changes import ManualChangeOp
from ringfence.schema.comparison.model_statements import StatementOp
from ringfence.schema.engines import reach
from support.comparisons import compared, create

pytestmark = [pytest.mark.engines("postgresql"), pytest.mark.newer]


def item(metadata, name="item", **options):
    columns = (sa.Column("id", sa.Integer, primary_key=True), sa.Column("a", sa.Integer))
    return sa.Table(name, metadata, *columns, **options)


def after(target, *texts):
    for text in texts:
        sa.event.listen(target, "after_create", sa.DDL(text))


def sequence(metadata):
    item(metadata)
    sa.Sequence("numbers", schema="apart", metadata=metadata, start=7)


def enum(metadata):
    item(metadata).append_column(sa.Column("m", sa.Enum("x", "y", name="mood", schema="apart")))


def view(metadata):
    table = item(metadata)
    sa.CreateView(sa.select(table.c.id, table.c.a), "shown", metadata=metadata, schema="apart")


def function(metadata):
    after(
        item(metadata),
        "CREATE FUNCTION apart.counted() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM item'",
    )


def parsed(metadata):
    after(
        item(metadata, schema="apart"),
        "CREATE FUNCTION apart.counted() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM apart.item; END",
    )


def named(metadata):
    """As others write it: the default schema in full, in DDL, in a default, and in a body."""
    sa.Sequence("numbers", metadata=metadata)
    default = sa.text("nextval('public.numbers'::regclass)")
    table = item(metadata)
    table.append_column(sa.Column("n", sa.Integer, server_default=default, comment="of 'public.numbers'"))
    after(
        table,
        "CREATE FUNCTION public.noted() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN PERFORM 1 FROM public.item; RETURN NEW; END$$",
        'CREATE TRIGGER noted BEFORE INSERT ON "public".item FOR EACH ROW EXECUTE FUNCTION public.noted()',
        "CREATE FUNCTION counted() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM %(fullname)s'",
    )


@pytest.mark.parametrize(
    ("make", "by_hand", "differs"),
    [
        (sequence, "ALTER SEQUENCE apart.numbers INCREMENT 5", "modify sequence apart.numbers"),
        (enum, "ALTER TYPE apart.mood ADD VALUE 'z'", "modify enum apart.mood"),
        (
            view,
            "CREATE OR REPLACE VIEW apart.shown AS SELECT id, a FROM item WHERE a > 1",
            "modify view apart.shown",
        ),
        (
            function,
            "CREATE OR REPLACE FUNCTION apart.counted() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'",
            "modify function apart.counted()",
        ),
        (
            parsed,
            "CREATE OR REPLACE FUNCTION apart.counted() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'",
            "modify function apart.counted()",
        ),
        (named, "DROP TRIGGER noted ON item", "add trigger item.noted"),
    ],
    ids=lambda given: getattr(given, "__name__", ""),
)
def test_what_is_in_a_schema_of_its_own_is_seen(db, make, by_hand, differs):
    metadata = sa.MetaData()
    make(metadata)
    db.execute("CREATE SCHEMA apart")
    before, _ = compared(db, metadata)
    assert before
    assert not db.execute("SELECT 1 FROM pg_class WHERE relname IN ('item', 'numbers', 'shown')")
    create(db, metadata)
    assert compared(db, metadata) == ([], [])
    db.execute(by_hand)
    assert compared(db, metadata)[0] == [differs]


def test_a_sequence_that_two_metadata_have_is_made_once(db):
    one, other = sa.MetaData(), sa.MetaData()
    for metadata, name in ((one, "one"), (other, "two")):
        item(metadata, name).append_column(
            sa.Column("n", sa.Integer, sa.Sequence("shared", metadata=metadata))
        )
    assert sorted(compared(db, one, other)[0]) == ["add sequence shared", "add table one", "add table two"]
    create(db, one, other)
    assert compared(db, one, other) == ([], [])


def triggers(metadata):
    sa.event.listen(
        metadata,
        "before_create",
        sa.DDL("CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"),
    )
    for name in ("one", "two"):
        after(
            item(metadata, name),
            "CREATE TRIGGER noted BEFORE INSERT ON %(fullname)s FOR EACH ROW EXECUTE FUNCTION noted()",
        )
    after(
        metadata,
        "CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION f(a text) RETURNS int LANGUAGE sql AS 'SELECT 2'",
        "CREATE SEQUENCE counted START 5",
        "CREATE TABLE more (id int)",
        'CREATE VIEW "a.b" AS SELECT id FROM one',
    )


def statements(written):
    return [each.statement for each in written if isinstance(each, StatementOp)]


def test_of_several_that_share_a_name_each_is_made(db):
    metadata = sa.MetaData()
    triggers(metadata)
    _, written = compared(db, metadata)
    assert not [each for each in written if isinstance(each, ManualChangeOp)]
    made = statements(written)
    assert len(made) == len(set(made)) == 8
    assert made[0].startswith("CREATE FUNCTION noted()")
    create(db, metadata)
    assert compared(db, metadata) == ([], [])
    db.execute(
        "DROP TRIGGER noted ON two", "DROP FUNCTION f(text)", "DROP SEQUENCE counted", "DROP TABLE more"
    )
    lacking, written = compared(db, metadata)
    assert sorted(lacking) == [
        "add function f(a text)",
        "add sequence counted",
        "add table more",
        "add trigger two.noted",
    ]
    assert statements(written) == [
        "CREATE TRIGGER noted BEFORE INSERT ON two FOR EACH ROW EXECUTE FUNCTION noted()",
        "CREATE SEQUENCE counted START 5",
        "CREATE TABLE more (id int)",
    ]
    assert [each.what for each in written if isinstance(each, ManualChangeOp)] == [
        "add function f(a text): write it with op.execute"
    ]


@pytest.mark.parametrize("several", [False, True])
def test_a_domain_is_altered_unless_values_of_it_stand_in_arrays(db, several):
    def code(check):
        metadata = sa.MetaData()
        kind = DOMAIN("code", sa.Text(), check=check)
        item(metadata).append_column(sa.Column("c", sa.ARRAY(kind) if several else kind))
        return metadata

    before, after_it = code("VALUE <> ''"), code("VALUE <> 'x'")
    create(db, before)
    assert compared(db, before) == ([], [])
    found, written = compared(db, after_it)
    assert found == ["modify type code"]
    if several:
        assert [type(one) for one in written] == [ManualChangeOp]
        return
    with reach(Settings.from_env(db.env())).engine().begin() as connection:
        for one in written:
            connection.exec_driver_sql(one.statement)
    assert compared(db, after_it) == ([], [])
