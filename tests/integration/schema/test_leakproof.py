"""Which indexes a row policy takes away on PostgreSQL: what the lint says, beside what the planner does."""

import contextlib
import json

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from ringfence.schema.engines.postgresql.leakproof_indexes import unusable_indexes

pytestmark = [pytest.mark.engines("postgresql"), pytest.mark.newer]
PASSWORD = "a password"
MOOD = pg.ENUM("calm", "wild", name="mood")
DAY = "'2026-01-01 00:00:00+00'"
ID = "'00000000-0000-0000-0000-000000000001'"
# column -> its type, how it is indexed, and the condition that the index is for.
COLUMNS = {
    "small": (sa.SmallInteger(), {}, "small = 1::smallint"),
    "whole": (sa.Integer(), {}, "whole = 1"),
    "large": (sa.BigInteger(), {}, "large BETWEEN 1 AND 5"),
    "single": (sa.REAL(), {}, "single = 1.5::real"),
    "double_": (sa.Double(), {}, "double_ > 1.5::float8"),
    "words": (sa.Text(), {}, "words = 'a'"),
    "name": (sa.String(20), {}, "name = 'a'"),
    "code": (sa.CHAR(4), {}, "code = 'a'::bpchar"),
    "active": (sa.Boolean(), {}, "active"),
    "day": (sa.Date(), {}, "day = '2026-01-01'::date"),
    "hour": (sa.Time(), {}, "hour > '10:00'::time"),
    "naive": (sa.DateTime(), {}, "naive > '2026-01-01 00:00:00'::timestamp"),
    "made": (sa.DateTime(timezone=True), {}, f"made > {DAY}::timestamptz"),
    "span": (sa.Interval(), {}, "span = '1 day'::interval"),
    "guid": (sa.Uuid(), {}, f"guid = {ID}::uuid"),
    "octets": (sa.LargeBinary(), {}, "octets = '\\x01'::bytea"),
    "address": (pg.INET(), {}, "address = '10.0.0.1'::inet"),
    "labelled": (sa.Enum("a", "b", name="labelled", native_enum=False), {}, "labelled = 'a'"),
    "hashed": (sa.Integer(), {"postgresql_using": "hash"}, "hashed = 1"),
    "price": (sa.Numeric(10, 2), {}, "price = 1.5"),
    "amount": (sa.Numeric(), {}, "amount > 1.5"),
    "mood": (MOOD, {}, "mood = 'calm'::mood"),
    "data": (pg.JSONB(), {"postgresql_using": "gin"}, """data @> '{"a": 1}'::jsonb"""),
    "tags": (pg.ARRAY(sa.Integer), {"postgresql_using": "gin"}, "tags @> '{1}'::int[]"),
    "list_": (pg.ARRAY(sa.Text), {}, "list_ = '{a}'::text[]"),
    "search": (pg.TSVECTOR(), {"postgresql_using": "gin"}, "search @@ 'a'::tsquery"),
    "during": (pg.TSTZRANGE(), {"postgresql_using": "gist"}, f"during @> {DAY}::timestamptz"),
    "between_": (pg.INT4RANGE(), {}, "between_ = '[1,5)'::int4range"),
    "begins": (
        sa.Text(),
        {"postgresql_ops": {"begins": "text_pattern_ops"}},
        "begins LIKE 'a%'",
    ),
}
LOSE = {"price", "amount", "mood", "data", "tags", "list_", "search", "during", "between_", "begins", "lower"}


def table_of(metadata):
    table = sa.Table("thing", metadata, sa.Column("tenant", sa.Integer, nullable=False))
    for name, (kind, _, _) in COLUMNS.items():
        table.append_column(sa.Column(name, kind))
    for name, (_, options, _) in COLUMNS.items():
        sa.Index(f"ix_{name}", table.c[name], **options)
    sa.Index("ix_lower", sa.func.lower(table.c.words))
    sa.Index("ix_down", table.c.whole.desc().nulls_last())
    sa.Index("ix_tenant_price", table.c.tenant, table.c.price)
    return table


@pytest.fixture
def thing(db):
    """The table with a policy for one login, and a connection of that login whose planner avoids reading it whole."""
    metadata = sa.MetaData()
    table = table_of(metadata)
    login = f"{db.prefix}reader"
    owner = db.env()
    url = sa.URL.create(
        "postgresql+psycopg2",
        owner["DB_USER"],
        owner["DB_PASS"],
        owner["DB_HOST"],
        int(owner["DB_PORT"]),
        owner["DB_NAME"],
    )
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        metadata.create_all(connection)
    db.execute(
        f"CREATE ROLE \"{login}\" LOGIN PASSWORD '{PASSWORD}'",
        f'GRANT SELECT ON thing TO "{login}"',
        f'CREATE POLICY mine ON thing TO "{login}" USING (tenant = 1)',
    )
    with contextlib.closing(db.connect(login, PASSWORD)) as connection:
        cursor = connection.cursor()
        # Costs apart: an index that may be used is used.
        cursor.execute("SET enable_seqscan = off")
        yield db, table, cursor


def plan(cursor, condition):
    """Each node of the plan of a select with a condition."""
    cursor.execute(f"EXPLAIN (FORMAT JSON, COSTS OFF) SELECT 1 FROM thing WHERE {condition}")
    found = cursor.fetchone()[0]
    nodes = [(found if isinstance(found, list) else json.loads(found))[0]["Plan"]]
    for node in nodes:
        nodes += node.get("Plans", [])
    return nodes


def searched(cursor, condition, index):
    """What of a condition the planner looks up in an index; empty where it does not."""
    return "".join(
        node.get("Index Cond", "") for node in plan(cursor, condition) if node.get("Index Name") == index
    )


def test_what_the_planner_searches_under_a_policy_is_what_the_lint_says(thing):
    db, table, cursor = thing
    conditions = {name: condition for name, (_, _, condition) in COLUMNS.items()} | {
        "lower": "lower(words) = 'a'"
    }
    db.execute("DROP INDEX ix_tenant_price", "DROP INDEX ix_down")
    before = {name: bool(searched(cursor, condition, f"ix_{name}")) for name, condition in conditions.items()}
    assert before == dict.fromkeys(conditions, True)
    db.execute("ALTER TABLE thing ENABLE ROW LEVEL SECURITY")
    after = {name: bool(searched(cursor, condition, f"ix_{name}")) for name, condition in conditions.items()}
    assert after == {name: name not in LOSE for name in conditions}
    assert {one.index.removeprefix("index ix_") for one in unusable_indexes(table, ("tenant",))} == LOSE


def test_an_index_that_begins_with_the_scope_is_searched_by_the_scope_alone(thing):
    db, table, cursor = thing
    db.execute("ALTER TABLE thing ENABLE ROW LEVEL SECURITY", "DROP INDEX ix_price")
    assert searched(cursor, "price = 1.5", "ix_tenant_price") == "(tenant = 1)"
    assert "index ix_tenant_price" not in {one.index for one in unusable_indexes(table, ("tenant",))}


def test_a_moment_beside_a_date_and_like_on_a_plain_index_lose_it_too(thing):
    db, _, cursor = thing
    db.execute("DROP INDEX ix_tenant_price")
    assert searched(cursor, "made = '2026-01-01'::date", "ix_made")
    db.execute("ALTER TABLE thing ENABLE ROW LEVEL SECURITY")
    assert not searched(cursor, "made = '2026-01-01'::date", "ix_made")
    assert searched(cursor, "made = '2026-01-01'::timestamptz", "ix_made")
    assert searched(cursor, "begins = 'a'", "ix_begins")  # equality of texts keeps it, whatever the class


def test_the_condition_of_a_scope_uses_its_index_and_other_roles_are_not_slowed(thing):
    db, _, cursor = thing
    db.execute(
        "DROP INDEX ix_tenant_price",
        "DROP POLICY mine ON thing",
        f"CREATE POLICY mine ON thing TO \"{db.prefix}reader\" USING (mood = 'calm')",
        "ALTER TABLE thing ENABLE ROW LEVEL SECURITY",
    )
    assert searched(cursor, "whole > 0 OR whole <= 0", "ix_mood") == "(mood = 'calm'::mood)"
    db.execute(
        "DROP POLICY mine ON thing", f'CREATE POLICY mine ON thing TO "{db.prefix}reader" USING (true)'
    )
    assert searched(cursor, "price = 1.5", "ix_price")


def test_the_types_are_those_of_the_server_s_own_list(thing):
    """`proleakproof` of the operators that the default classes of btree and gin search by."""
    db, table, _ = thing
    rows = db.execute(
        "SELECT t.typname, bool_and(p.proleakproof) FROM pg_opclass c JOIN pg_am m ON m.oid = c.opcmethod"
        " JOIN pg_type t ON t.oid = c.opcintype JOIN pg_amop o ON o.amopfamily = c.opcfamily"
        " AND o.amoplefttype = c.opcintype AND o.amoprighttype = c.opcintype AND o.amoppurpose = 's'"
        " JOIN pg_operator r ON r.oid = o.amopopr JOIN pg_proc p ON p.oid = r.oprcode"
        " WHERE c.opcdefault AND m.amname = 'btree' GROUP BY 1"
    )
    leakproof = {name for name, kept in rows if kept}
    # The names of the server's own for what SQLAlchemy writes.
    named = {
        "smallint": "int2", "integer": "int4", "bigint": "int8", "real": "float4", "double precision": "float8",
        "boolean": "bool", "timestamp without time zone": "timestamp", "timestamp with time zone": "timestamptz",
        "time without time zone": "time", "character": "bpchar", "varchar": "text", "numeric": "numeric",
        "mood": "anyenum", "jsonb": "jsonb", "integer[]": "anyarray", "text[]": "anyarray", "tsvector": "tsvector",
        "tstzrange": "anyrange", "int4range": "anyrange",
    }  # fmt: skip
    said = {one.index.removeprefix("index ix_") for one in unusable_indexes(table, ("tenant",))}
    for name, kind in db.execute(
        "SELECT attname, regexp_replace(format_type(atttypid, NULL), '^character varying$', 'varchar')"
        " FROM pg_attribute WHERE attrelid = 'thing'::regclass AND attnum > 0 AND attname <> 'tenant'"
    ):
        if name != "begins":  # a text, whose index is for LIKE
            assert (name not in said) == (named.get(kind, kind) in leakproof), (name, kind)


def names(*parts, **options):
    """The index that a table of one index loses."""
    metadata = sa.MetaData()
    table = sa.Table(
        "t", metadata, sa.Column("a", sa.Text), sa.Column("tenant", sa.Integer), sa.Column("n", sa.Numeric)
    )
    sa.Index("ix", *(part(table.c) if callable(part) else table.c[part] for part in parts), **options)
    return [(one.index, one.what) for one in unusable_indexes(table, ("tenant",))]


def test_what_an_index_begins_with_decides():
    assert names("a") == []
    assert names("n") == [("index ix", "n (NUMERIC)")]
    assert names("tenant", "n") == []
    assert names("a", "n") == []
    assert names(lambda c: c.n.desc().nulls_last()) == [("index ix", "n (NUMERIC)")]
    assert names(lambda c: sa.desc(c.a)) == []
    assert names(lambda c: sa.collate(c.a, "C")) == []
    assert names(lambda c: sa.func.lower(c.a)) == [("index ix", "lower(t.a)")]
    assert names("a", postgresql_using="gin", postgresql_ops={"a": "gin_trgm_ops"}) == [
        ("index ix", "a (TEXT)")
    ]
    assert names(lambda c: c.a + c.a) == [("index ix", "t.a || t.a")]


def test_keys_count_too():
    table = sa.Table(
        "t",
        sa.MetaData(),
        sa.Column("code", pg.CITEXT, primary_key=True),
        sa.Column("n", sa.Numeric, unique=True),
        sa.Column("tenant", sa.Integer),
    )
    assert [one.index for one in unusable_indexes(table, ("tenant",))] == ["primary key", "unique constraint"]


def test_types_that_others_made_are_seen_through():
    class Money(sa.TypeDecorator):
        impl = sa.Numeric
        cache_ok = True

    class Cents(sa.TypeDecorator):
        impl = sa.Text
        cache_ok = True

        def load_dialect_impl(self, dialect):
            return dialect.type_descriptor(sa.BigInteger())

    table = sa.Table("t", sa.MetaData(), sa.Column("m", Money, index=True), sa.Column("c", Cents, index=True))
    assert [one.what for one in unusable_indexes(table, ("tenant",))] == ["m (NUMERIC)"]
