"""What people report of autogenerate on PostgreSQL, each as models that change: the revision runs, and takes it back."""

from dataclasses import dataclass, field

import pytest

from ringfence.schema.authoring.revise import revise
from ringfence.schema.testing.migrations import prove
from support.deployments import lay_out

HEAD = """
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

metadata = sa.MetaData()


def table(name, *more, **options):
    return sa.Table(name, metadata, sa.Column("id", sa.Integer, primary_key=True), *more, **options)


"""
ENUM = """
status = sa.Enum({labels}, name="{name}")
table(
    "item1",
    sa.Column("name", sa.Text),
    sa.Column("status", status, nullable=False, server_default="active"),
    sa.Column("several", sa.ARRAY(status)),
    sa.Index("uq_item1_name", "name", unique=True, postgresql_where=sa.text("status <> 'deleted'")),
    sa.CheckConstraint("status <> 'deleted' OR name IS NOT NULL", name="ck_item1_status"),
)
"""
PAIR = 'sa.Column("a", sa.Integer), sa.Column("b", sa.Integer), sa.Column("r", postgresql.INT4RANGE)'


@dataclass(frozen=True)
class Report:
    """Models before and after; statements in between, and what queries give in the end."""

    name: str
    one: str
    other: str
    rows: tuple[str, ...] = ()
    gives: dict[str, list] = field(default_factory=dict)


REPORTS = (
    Report(
        "a label between others, of an enum in a partial index and a CHECK",
        ENUM.format(labels='"active", "deleted"', name="status"),
        ENUM.format(labels='"active", "pending", "deleted"', name="status"),
        ("INSERT INTO item1 (name, status, several) VALUES ('x', 'active', '{active,deleted}')",),
        {"SELECT name, status::text, several::text FROM item1": [("x", "active", "{active,deleted}")]},
    ),
    Report(
        "an enum type under another name",
        'table("item2", sa.Column("a", sa.Enum("one", "two", name="first"), server_default="one"))',
        'table("item2", sa.Column("a", sa.Enum("one", "two", name="second"), server_default="one"))',
        ("INSERT INTO item2 (a) VALUES ('two')",),
        {"SELECT a::text, pg_typeof(a)::text FROM item2": [("two", "second")]},
    ),
    Report(
        "NULLS NOT DISTINCT comes to a table that is there",
        f'table("item3", {PAIR})',
        f'table("item3", {PAIR}, sa.UniqueConstraint("a", "b", name="uq3", postgresql_nulls_not_distinct=True))',
        gives={
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'uq3'": [
                ("UNIQUE NULLS NOT DISTINCT (a, b)",)
            ]
        },
    ),
    Report(
        "NULLS NOT DISTINCT goes",
        f'table("item4", {PAIR}, sa.UniqueConstraint("a", "b", name="uq4", postgresql_nulls_not_distinct=True))',
        f'table("item4", {PAIR}, sa.UniqueConstraint("a", "b", name="uq4"))',
    ),
    Report(
        "a unique constraint that is looked at later, and one that includes a column",
        f"""table(
            "item5", {PAIR},
            sa.UniqueConstraint("a", "b", name="uq_later5", deferrable=True, initially="DEFERRED"),
            sa.UniqueConstraint("a", name="uq_more5", postgresql_include=["b"]),
        )""",
        f'table("item5", {PAIR})',
    ),
    Report(
        "an EXCLUDE constraint goes",
        f"""table("item6", {PAIR}, postgresql.ExcludeConstraint(
            ("r", "&&"), name="ex_item6", where=sa.text("a > 0"), deferrable=True, initially="DEFERRED"
        ))""",
        f'table("item6", {PAIR})',
    ),
    Report(
        "an index with a collation goes",
        """table(
            "item7", sa.Column("a", sa.Text),
            sa.Index("ix_item7", sa.text('a COLLATE "C" text_pattern_ops'), postgresql_where=sa.text("a <> ')'")),
        )""",
        'table("item7", sa.Column("a", sa.Text))',
    ),
    Report(
        "a key that is counted by SERIAL, and then by IDENTITY",
        'table("item8", sa.Column("a", sa.Text))',
        'sa.Table("item8", metadata, sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),'
        ' sa.Column("a", sa.Text))',
        ("INSERT INTO item8 (a) VALUES ('x'), ('y')",),
        {"INSERT INTO item8 (a) VALUES ('z') RETURNING id": [(3,)]},
    ),
    Report(
        "a key that is counted by IDENTITY, and then by SERIAL",
        'sa.Table("item9", metadata, sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),'
        ' sa.Column("a", sa.Text))',
        'table("item9", sa.Column("a", sa.Text))',
        ("INSERT INTO item9 (a) VALUES ('x'), ('y')",),
        {"INSERT INTO item9 (a) VALUES ('z') RETURNING id": [(3,)]},
    ),
    Report(
        "IDENTITY with other options",
        'table("item10", sa.Column("n", sa.BigInteger, sa.Identity(always=True, start=10)))',
        'table("item10", sa.Column("n", sa.BigInteger, sa.Identity(always=False, start=20)))',
        ("INSERT INTO item10 DEFAULT VALUES",),
        {"SELECT n FROM item10": [(10,)], "INSERT INTO item10 (n) VALUES (5) RETURNING n": [(5,)]},
    ),
    Report(
        "a table that inherits one whose name comes later",
        """
table("parent", sa.Column("a", sa.Text))
sa.Table("child", metadata, sa.Column("b", sa.Text), postgresql_inherits="parent")
""",
        """
table("parent", sa.Column("a", sa.Text), sa.Column("c", sa.Text))
sa.Table("child", metadata, sa.Column("b", sa.Text), postgresql_inherits="parent")
""",
        gives={"SELECT a, c, b FROM child": []},
    ),
    Report(
        "an index of a partitioned table, which cannot be made concurrently",
        """
table("owner")
sa.Table(
    "part", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("d", sa.Date, primary_key=True),
    sa.Column("a", sa.Integer), sa.Index("ix_part", "d"), postgresql_partition_by="RANGE (d)",
)
""",
        """
table("owner")
sa.Table(
    "part", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("d", sa.Date, primary_key=True),
    sa.Column("a", sa.Integer, sa.ForeignKey("owner.id", name="fk_part")), sa.Index("ix_part", "d", "a"),
    sa.UniqueConstraint("d", "a", name="uq_part"), postgresql_partition_by="RANGE (d)",
)
""",
    ),
    Report(
        "a domain of a column, whose CHECK changes, on a table that gets another column of it",
        """
code = postgresql.DOMAIN("code", sa.Text(), check="VALUE ~ '^[a-z%]'", default=sa.text("'a'"))
table("coded", sa.Column("a", code))
""",
        """
code = postgresql.DOMAIN("code", sa.Text(), check="VALUE ~ '^[a-y%]'", default=sa.text("'b'"), not_null=True)
price = postgresql.DOMAIN("price", sa.Numeric(8, 2), check="VALUE >= 0")
table("coded", sa.Column("a", code), sa.Column("b", sa.ARRAY(price)), sa.Column("c", price))
""",
        ("INSERT INTO coded DEFAULT VALUES",),
        {
            "SELECT a FROM coded": [("a",)],
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname IN ('code_check', 'price_check')"
            " ORDER BY conname": [
                ("CHECK ((VALUE ~ '^[a-y%]'::text))",),
                ("CHECK ((VALUE >= (0)::numeric))",),
            ],
            "INSERT INTO coded (c) VALUES (1) RETURNING a": [("b",)],
        },
    ),
    Report(
        "an extension, a type, a sequence and a schema of the models' own DDL",
        'sa.event.listen(metadata, "before_create", sa.DDL("CREATE SCHEMA IF NOT EXISTS apart"))',
        """
class Amount(sa.types.UserDefinedType):
    cache_ok = True

    def get_col_spec(self, **words):
        return "amount"


sa.event.listen(metadata, "before_create", sa.DDL("CREATE SCHEMA IF NOT EXISTS apart"))
sa.event.listen(metadata, "before_create", sa.DDL("CREATE EXTENSION pg_trgm"))
priced = table(
    "priced", sa.Column("name", sa.Text), sa.Column("number", sa.Integer, server_default=sa.text("nextval('numbers')")),
    sa.Column("price", Amount()),
    sa.Index("ix_priced", "name", postgresql_using="gin", postgresql_ops={"name": "gin_trgm_ops"}),
)
sa.event.listen(priced, "before_create", sa.DDL("CREATE SEQUENCE numbers START 7"))
sa.event.listen(metadata, "before_create", sa.DDL("CREATE TYPE amount AS (value numeric, currency char(3))"))
sa.Table("there", metadata, sa.Column("id", sa.Integer, primary_key=True), schema="apart")
""",
        gives={
            "INSERT INTO priced (price) VALUES ('(1,EUR)') RETURNING number, (price).currency": [(7, "EUR")]
        },
    ),
    Report(
        "functions that a domain calls, and that take a domain, made by the models' own DDL",
        "",
        """
class Letters(sa.types.UserDefinedType):
    cache_ok = True

    def get_col_spec(self, **words):
        return "letters"


for text in (
    "CREATE FUNCTION spelled(t text) RETURNS boolean IMMUTABLE LANGUAGE sql RETURN t ~ '^[A-Z]+$'",
    "CREATE DOMAIN letters AS text CHECK (spelled(VALUE))",
    "CREATE FUNCTION loud(l letters) RETURNS text IMMUTABLE LANGUAGE sql RETURN l || '!'",
):
    sa.event.listen(metadata, "before_create", sa.DDL(text))
table("lettered", sa.Column("a", Letters()), sa.Column("b", sa.Text, server_default=sa.text("loud('AB'::letters)")))
""",
        gives={"INSERT INTO lettered (a) VALUES ('XY') RETURNING b": [("AB!",)]},
    ),
    Report(
        "percent signs, colons and quotes in names",
        'table("Order", sa.Column("a%b:c", sa.Integer), sa.Column("say", sa.Integer))',
        """table(
            "Order", sa.Column("a%b:c", sa.Integer), sa.Column("say", sa.Integer),
            sa.CheckConstraint("say > 0", name="ck %s:x"), sa.UniqueConstraint("a%b:c", name="uq %:y"),
        )""",
    ),
)


@pytest.mark.engines("postgresql")
def test_a_revision_does_what_the_models_say_and_takes_it_back(db, server, tmp_path):
    """All of them in one deployment: an error names the object."""
    shop = lay_out(tmp_path, db)
    for name in ("a1", "b2"):
        (tmp_path / f"migrations/versions/{name}.py").unlink()
    shop.write("access.yaml", "version: 1\naccounts: {}\n")
    shop.write(
        "ringfence.toml", 'name = "shop"\nengines = ["postgresql"]\nmodels = ["shop_models:metadata"]\n'
    )
    shop.write("shop_models.py", HEAD + "\n".join(report.one for report in REPORTS))
    assert revise(shop.load(), "first", db.env()).paths
    shop.migrate()
    db.execute(*(statement for report in REPORTS for statement in report.rows))
    shop.write("shop_models.py", HEAD + "\n".join(report.other for report in REPORTS))
    made = revise(shop.load(), "second", db.env())
    assert made.paths
    assert not made.by_hand
    shop.migrate()
    nothing = revise(shop.load(), "nothing", db.env())
    assert not nothing.paths
    assert not nothing.warnings
    for report in REPORTS:
        for query, rows in report.gives.items():
            assert db.execute(query) == rows, report.name
    with server.database() as other:
        assert not prove(shop.load(), other.env()).failures


SEVERAL = """
table("parent")
table("item", sa.Column("a", sa.Integer, unique=True), sa.Column("p", sa.ForeignKey("parent.id")),
    sa.Column("b", sa.Integer), sa.CheckConstraint("b > 0"))
table("log", sa.Column("text", sa.Text))
"""
FEWER = """
table("parent")
table("item", sa.Column("a", sa.Integer), sa.Column("p", sa.Integer), sa.Column("b", sa.Integer))
table("log", sa.Column("text", sa.Text))
"""


@pytest.fixture
def laid_out(db, tmp_path):
    shop = lay_out(tmp_path, db)
    for name in ("a1", "b2"):
        (tmp_path / f"migrations/versions/{name}.py").unlink()
    shop.write("access.yaml", "version: 1\naccounts: {}\n")
    shop.write("ringfence.toml", 'name = "shop"\nengines = ["sqlite"]\nmodels = ["shop_models:metadata"]\n')
    shop.write("shop_models.py", HEAD + SEVERAL)
    revise(shop.load(), "first", db.env())
    shop.migrate()
    return shop


@pytest.mark.engines("sqlite")
def test_a_constraint_without_a_name_is_known_as_the_migrations_own(laid_out):
    laid_out.write("shop_models.py", HEAD + FEWER)
    made = revise(laid_out.load(), "fewer", laid_out.database.env())
    assert not made.paths
    assert [text.partition(": it has no name")[0] for text in made.by_hand] == [
        "remove unique item.((a))",
        "remove check item.(b > 0)",
        "remove foreign key item.((p) references parent (id))",
    ]
    assert not [text for text in made.warnings if "not ours" in text]


@pytest.mark.engines("sqlite")
def test_what_is_left_out_may_have_been_made_by_the_migrations(laid_out):
    toml = (laid_out.root / "ringfence.toml").read_text()
    laid_out.write("ringfence.toml", f'{toml}leave_out = ["log"]\n')
    assert not prove(laid_out.load(), None).failures


@pytest.mark.engines("sqlite")
def test_plain_alembic_names_the_mistake_in_a_file_in_one_line(laid_out):
    laid_out.write(
        "ringfence.toml", 'name = "shop"\nengines = ["sqlight"]\nmodels = ["shop_models:metadata"]\n'
    )
    ended = laid_out.run("alembic", "check")
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr
    assert "ringfence.toml:2:" in ended.stdout + ended.stderr
