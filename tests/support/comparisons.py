"""Models and databases beside each other, and pairs that differ in one object: what a comparison must see."""

from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from ringfence.runtime.settings import Settings
from ringfence.schema.comparison.deployment_diff import compare_deployment, models_of, operations
from ringfence.schema.engines import reach


class Ours:
    """Everything in the database is the deployment's."""

    def may_drop(self, kind, schema, table, name):
        return True

    def is_ignored(self, kind, schema, table, name):
        return False


def create(db, *several):
    """Make the models of each metadata."""
    with reach(Settings.from_env(db.env())).engine().begin() as connection:
        for metadata in several:
            metadata.create_all(connection)


def compared(db, *several):
    """What differs from the models, without its facets, and what a revision would do about it."""
    known = models_of(several, {key: table for metadata in several for key, table in metadata.tables.items()})
    backend = reach(Settings.from_env(db.env()))
    with backend.engine().connect() as connection:
        found = compare_deployment(connection, backend.introspection.catalog, known, Ours())
        written = operations(connection, known, found)
    return [str(each).partition(":")[0] for each in (*found.missing, *found.obsolete)], written


Made = Callable[[sa.MetaData], None]
EVERY = ("sqlite", "postgresql", "mariadb", "mysql")
SERVERS = ("postgresql", "mariadb", "mysql")
PG = ("postgresql",)


@dataclass(frozen=True)
class Pair:
    """Two states of the same models, and what differs, as `kind table.name` and, for a change, the facets."""

    name: str
    one: Made
    other: Made
    differs: tuple[str, ...]
    """From `one` to `other`: `add …`, `remove …`, or `modify …: facet, facet`."""
    engines: tuple[str, ...] = EVERY


def item(*more, name="item", **options):
    """A table `item` with a key, and more."""

    def make(metadata):
        given = [one() if callable(one) else one for one in more]
        sa.Table(name, metadata, sa.Column("id", sa.Integer, primary_key=True), *given, **options)

    return make


def several(*makers):
    def make(metadata):
        for one in makers:
            one(metadata)

    return make


def column(*arguments, name="a", **options):
    return lambda: sa.Column(name, *arguments, **options)


def check(text, name="ck_item_size"):
    return lambda: sa.CheckConstraint(text, name=name)


A = column(sa.Integer)
B = column(sa.Integer, name="b")
PARENT = item(
    column(sa.Integer, name="code", nullable=False),
    lambda: sa.UniqueConstraint("code", name="uq_p"),
    name="p",
)


def reference(**options):
    return lambda: sa.ForeignKeyConstraint(["a"], ["p.id"], name="fk_item_p", **options)


def changed(name, one, other, facets, engines=EVERY):
    """A column whose declaration changes, beside another one."""
    return Pair(name, item(B, one), item(B, other), (f"modify column item.a: {facets}",), engines)


def typed(*kinds):
    return [column(kind) for kind in kinds]


LABELS = sa.Enum("good", "bad", name="mood")
MORE = sa.Enum("good", "fair", "bad", name="mood")
SHORT, LONG = (
    sa.Enum(*labels, name="size", native_enum=False, create_constraint=True)
    for labels in (("s", "l"), ("s", "m", "l"))
)


def trigger(metadata):
    item(A)(metadata)
    sa.event.listen(
        metadata.tables["item"],
        "after_create",
        sa.DDL("CREATE FUNCTION item_noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"),
    )
    sa.event.listen(
        metadata.tables["item"],
        "after_create",
        sa.DDL("CREATE TRIGGER noted BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION item_noted()"),
    )


def view(text):
    def make(metadata):
        item(A, B)(metadata)
        table = metadata.tables["item"]
        sa.CreateView(sa.select(table.c.id, table.c[text]), "shown", metadata=metadata)

    return make


PAIRS: tuple[Pair, ...] = (
    Pair("table", item(A), several(item(A), item(name="more")), ("add table more",)),
    Pair("column", item(A), item(A, B), ("add column item.b",)),
    changed("type", *typed(sa.String(20), sa.String(40)), "type"),
    changed("type_integer", *typed(sa.Integer, sa.BigInteger), "type"),
    changed("type_numeric", *typed(sa.Numeric(8, 2), sa.Numeric(10, 2)), "type"),
    changed("type_char", *typed(sa.CHAR(8), sa.String(8)), "type"),
    changed("type_float", *typed(sa.Float(53), sa.Float(20)), "type", SERVERS),
    changed("type_timestamp", *typed(sa.DateTime(timezone=True), sa.DateTime()), "type", PG),
    changed("type_json", *typed(sa.JSON(), postgresql.JSONB()), "type", PG),
    changed("type_array", *typed(sa.ARRAY(sa.Integer), sa.ARRAY(sa.Text)), "type", PG),
    changed("null", column(sa.Integer), column(sa.Integer, nullable=False), "null"),
    changed("default_added", column(sa.Integer), column(sa.Integer, server_default="0"), "default"),
    changed(
        "default_text",
        column(sa.String(9), server_default=""),
        column(sa.String(9), server_default="it's"),
        "default",
    ),
    changed(
        "default_quoted",
        column(sa.String(9), server_default='say "x"'),
        column(sa.String(9), server_default="'"),
        "default",
    ),
    changed(
        "default_number",
        column(sa.Numeric(8, 2), server_default="0"),
        column(sa.Numeric(8, 2), server_default="1"),
        "default",
    ),
    changed(
        "default_boolean",
        column(sa.Boolean, server_default=sa.true()),
        column(sa.Boolean, server_default=sa.false()),
        "default",
    ),
    changed(
        "default_moment", column(sa.DateTime), column(sa.DateTime, server_default=sa.func.now()), "default"
    ),
    changed(
        "default_date", column(sa.Date), column(sa.Date, server_default=sa.text("(current_date)")), "default"
    ),
    changed(
        "default_expression",
        column(sa.Integer, server_default=sa.text("(1 + 1)")),
        column(sa.Integer, server_default=sa.text("(1 + 2)")),
        "default",
    ),
    changed(
        "comment", column(sa.Integer, comment="one"), column(sa.Integer, comment="two"), "comment", SERVERS
    ),
    changed(
        "computed",
        column(sa.Integer, sa.Computed("b + 1", persisted=True)),
        column(sa.Integer, sa.Computed("b + 2", persisted=True)),
        "computed",
    ),
    changed(
        "computed_added",
        column(sa.Integer),
        column(sa.Integer, sa.Computed("b + 1", persisted=True)),
        "computed",
    ),
    changed(
        "identity",
        column(sa.Integer, nullable=False),
        column(sa.Integer, sa.Identity()),
        "identity, sequence",
        PG,
    ),
    changed(
        "identity_options",
        column(sa.Integer, sa.Identity()),
        column(sa.Integer, sa.Identity(start=5)),
        "sequence",
        PG,
    ),
    changed("collation", column(sa.String(9)), column(sa.String(9, collation="C")), "collation", PG),
    changed(
        "collation_nocase",
        column(sa.String(9)),
        column(sa.String(9, collation="NOCASE")),
        "collation",
        ("sqlite",),
    ),
    changed(
        "collation_general",
        column(sa.String(9, collation="utf8mb4_bin")),
        column(sa.String(9, collation="utf8mb4_general_ci")),
        "collation",
        ("mariadb", "mysql"),
    ),
    Pair("check", item(A), item(A, check("a > 0")), ("add check item.ck_item_size",)),
    Pair(
        "check_text",
        item(A, check("a > 0")),
        item(A, check("a > 1")),
        ("modify check item.ck_item_size: definition",),
    ),
    Pair(
        "check_like",
        item(column(sa.String(9)), check("a LIKE 'x%'")),
        item(column(sa.String(9)), check("a LIKE 'y%'")),
        ("modify check item.ck_item_size: definition",),
    ),
    Pair(
        "unique",
        item(A, B),
        item(A, B, lambda: sa.UniqueConstraint("a", "b", name="uq_item")),
        ("add unique item.uq_item",),
    ),
    Pair(
        "unique_columns",
        item(A, B, lambda: sa.UniqueConstraint("a", name="uq_item")),
        item(A, B, lambda: sa.UniqueConstraint("a", "b", name="uq_item")),
        ("modify unique item.uq_item: *",),
    ),
    Pair(
        "exclude",
        item(column(postgresql.INT4RANGE)),
        item(column(postgresql.INT4RANGE), lambda: postgresql.ExcludeConstraint(("a", "&&"), name="ex_item")),
        ("add exclude item.ex_item",),
        PG,
    ),
    Pair(
        "foreign_key",
        several(PARENT, item(A)),
        several(PARENT, item(A, reference())),
        ("add foreign key item.fk_item_p",),
    ),
    Pair(
        "foreign_key_action",
        several(PARENT, item(A, reference())),
        several(PARENT, item(A, reference(ondelete="CASCADE"))),
        ("modify foreign key item.fk_item_p: *",),
    ),
    Pair(
        "foreign_key_deferrable",
        several(PARENT, item(A, reference())),
        several(PARENT, item(A, reference(deferrable=True, initially="DEFERRED"))),
        ("modify foreign key item.fk_item_p: *",),
        ("sqlite", "postgresql"),
    ),
    Pair("index", item(A), item(A, lambda: sa.Index("ix_item", "a")), ("add index item.ix_item",)),
    Pair(
        "index_columns",
        item(A, B, lambda: sa.Index("ix_item", "a")),
        item(A, B, lambda: sa.Index("ix_item", "b", "a")),
        ("modify index item.ix_item: *",),
    ),
    Pair(
        "index_order",
        item(A, lambda: sa.Index("ix_item", sa.text("a ASC"))),
        item(A, lambda: sa.Index("ix_item", sa.text("a DESC"))),
        ("modify index item.ix_item: *",),
        ("sqlite", "postgresql", "mysql", "mariadb"),
    ),
    Pair(
        "index_expression",
        item(column(sa.String(9)), lambda: sa.Index("ix_item", sa.text("(lower(a))"))),
        item(column(sa.String(9)), lambda: sa.Index("ix_item", sa.text("(upper(a))"))),
        ("modify index item.ix_item: *",),
        ("sqlite", "postgresql", "mysql"),
    ),
    Pair(
        "index_where",
        item(
            A,
            lambda: sa.Index(
                "ix_item", "a", postgresql_where=sa.text("a > 0"), sqlite_where=sa.text("a > 0")
            ),
        ),
        item(
            A,
            lambda: sa.Index(
                "ix_item", "a", postgresql_where=sa.text("a > 1"), sqlite_where=sa.text("a > 1")
            ),
        ),
        ("modify index item.ix_item: *",),
        ("sqlite", "postgresql"),
    ),
    Pair(
        "index_prefix",
        item(column(sa.String(99)), lambda: sa.Index("ix_item", "a", mysql_length=5, mariadb_length=5)),
        item(column(sa.String(99)), lambda: sa.Index("ix_item", "a", mysql_length=9, mariadb_length=9)),
        ("modify index item.ix_item: *",),
        ("mariadb", "mysql"),
    ),
    Pair(
        "index_include",
        item(A, B, lambda: sa.Index("ix_item", "a")),
        item(A, B, lambda: sa.Index("ix_item", "a", postgresql_include=["b"])),
        ("modify index item.ix_item: definition",),
        PG,
    ),
    Pair(
        "index_using",
        item(A, lambda: sa.Index("ix_item", "a")),
        item(A, lambda: sa.Index("ix_item", "a", postgresql_using="hash")),
        ("modify index item.ix_item: definition",),
        PG,
    ),
    Pair(
        "index_operators",
        item(column(sa.Text), lambda: sa.Index("ix_item", "a")),
        item(column(sa.Text), lambda: sa.Index("ix_item", "a", postgresql_ops={"a": "text_pattern_ops"})),
        ("modify index item.ix_item: definition",),
        PG,
    ),
    Pair(
        "index_unique",
        item(A, lambda: sa.Index("ix_item", "a")),
        item(A, lambda: sa.Index("ix_item", "a", unique=True)),
        ("modify index item.ix_item: unique",),
        ("sqlite", "postgresql"),
    ),
    Pair("label", item(column(LABELS)), item(column(MORE)), ("modify enum mood: labels",), PG),
    Pair(
        "label_own",
        item(column(LABELS)),
        item(column(MORE)),
        ("modify column item.a: type",),
        ("mariadb", "mysql"),
    ),
    Pair("label_check", item(column(SHORT)), item(column(LONG)), ("modify check item.size: definition",)),
    Pair(
        "boolean_check",
        item(column(sa.Boolean)),
        item(column(sa.Boolean(create_constraint=True, name="ck_item_a"))),
        ("add check item.ck_item_a",),
        ("sqlite", "mariadb", "mysql"),
    ),
    Pair(
        "sequence",
        item(A),
        several(item(A), lambda metadata: sa.Sequence("numbers", metadata=metadata, start=7)),
        ("add sequence numbers",),
        PG,
    ),
    Pair(
        "table_comment",
        item(A, comment="one"),
        item(A, comment="two"),
        ("modify table item: comment",),
        SERVERS,
    ),
    Pair("trigger", item(A), trigger, ("add trigger item.noted", "add function item_noted()"), PG),
    Pair("view", item(A, B), view("a"), ("add view shown",)),
    Pair("view_text", view("a"), view("b"), ("modify view shown: definition",), ("sqlite", "postgresql")),
    Pair(
        "partitions",
        item(A, postgresql_partition_by="LIST (id)"),
        item(A),
        ("modify table item: partition by",),
        PG,
    ),
)
