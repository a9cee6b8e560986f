"""Mirrors as they are made: what a service may know, how defaults arise, and at which revision."""

import dataclasses
import json
import string
import uuid
from decimal import Decimal
from types import MappingProxyType

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from ringfence.runtime.mirror import Constraint, Default, ForeignKey, Mirror
from ringfence.runtime.mirror.names import field_name
from ringfence.runtime.values import generators
from ringfence.schema import models
from ringfence.schema.deployment import Deployment
from ringfence.schema.documents import Document
from ringfence.schema.manifest.resolution import resolve_accounts
from ringfence.schema.mirror import check_mirrors, make_mirror, write_mirrors
from ringfence.schema.portability import is_unconditional_unique

ENGINES = ("postgresql", "sqlite")
REVISION = '''"""{0}"""
revision = "{0}"
down_revision = {1!r}
'''


def things(*more):
    metadata = sa.MetaData(naming_convention=models.NAMING)
    sa.Table("hidden", metadata, sa.Column("id", sa.Integer, primary_key=True))
    sa.Table(
        "things",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("update", sa.String(20), unique=True),
        sa.Column("secret", sa.String(20), nullable=False, info={"sensitive": True}),
        sa.Column("hidden_id", sa.ForeignKey("hidden.id", ondelete="CASCADE")),
        sa.Column("size", sa.Integer, sa.CheckConstraint("size > 0", name="size"), default=3),
        sa.Index("ix_both", "size", "update", unique=True),
        *more,
    )
    return metadata


def deployment(tmp_path, rules="things: ro", metadata=None, engines=ENGINES):
    metadata = metadata or things()
    document = Document("access.yaml", f"version: 1\naccounts: {{web: {{tables: {{{rules}}}}}}}\n")
    accounts = resolve_accounts(document, metadata.tables, engines)
    assert document.mistakes == []
    return Deployment(
        root=tmp_path,
        name="shop",
        engines=engines,
        migrations=tmp_path / "migrations",
        mirrors=tmp_path / "mirrors",
        metadata=(metadata,),
        tables=MappingProxyType(dict(metadata.tables)),
        accounts=MappingProxyType({a.service: a for a in accounts}),
    )


def mirror(tmp_path, *arguments, **named):
    made = deployment(tmp_path, *arguments, **named)
    return make_mirror(made, made.accounts["web"], "r1")


def columns(tmp_path, *more, rules="things: {verbs: rw, also: [secret]}"):
    return mirror(tmp_path, rules, things(*more)).tables["things"].columns


def test_a_service_knows_the_columns_that_it_may_touch(tmp_path):
    table = mirror(tmp_path, "things: {select: [id, update], insert: [secret]}").tables["things"]
    flags = {c.name: (c.selectable, c.insertable, c.updatable) for c in table.columns.values()}
    assert flags == {
        "id": (True, False, False),
        "update": (True, False, False),
        "secret": (False, True, False),
    }
    assert set(table.verbs) == {"select", "insert"}
    assert table.columns["update"].field == "update_"
    assert table.primary_key == ("id",)


def test_no_other_table_and_no_sensitive_column_is_in_it(tmp_path):
    made = mirror(tmp_path)
    assert list(made.tables) == ["things"]
    assert "secret" not in made.tables["things"].columns
    assert "secret" not in made.to_json()


def test_constraints_have_their_names_and_unique_indexes_count(tmp_path):
    table = mirror(tmp_path).tables["things"]
    assert table.constraints == {
        "pk_things": Constraint("primary_key", ("id",)),
        "uq_things_update": Constraint("unique", ("update",)),
        "ix_both": Constraint("unique", ("size", "update")),
        "fk_things_hidden_id_hidden": Constraint("foreign_key", ("hidden_id",)),
        "ck_things_size": Constraint("check", ("size",)),
    }
    assert table.foreign_keys == (ForeignKey(("hidden_id",), None, "hidden", ("id",), "CASCADE"),)


def test_a_unique_index_that_leaves_rows_out_is_no_key():
    table = sa.Table("t", sa.MetaData(), sa.Column("a", sa.String(300)), sa.Column("b", sa.Integer))
    a, b = table.c
    whole = [sa.Index("w1", a, b, unique=True), sa.Index("w2", b.desc(), a.asc().nulls_last(), unique=True)]
    partial = [
        sa.Index("p1", a, unique=True, postgresql_where=b > 0),
        sa.Index("p2", a, unique=True, sqlite_where=b > 0),
        sa.Index("p3", sa.func.lower(a), unique=True),
        sa.Index("p4", b, sa.text("lower(a)"), unique=True),
        sa.Index("p5", a, unique=True, mysql_length=10),
        sa.Index("p6", (b + 1).desc(), unique=True),
        sa.Index("p7", -b, unique=True),
    ]
    assert [is_unconditional_unique(index) for index in whole] == [True, True]
    assert [index.name for index in partial if is_unconditional_unique(index)] == []
    assert not is_unconditional_unique(sa.Index("plain", a))


def test_other_schemas_lead_the_name(tmp_path):
    metadata = sa.MetaData(schema="billing")
    sa.Table("invoices", metadata, sa.Column("id", sa.Integer, primary_key=True))
    sa.Table("lines", metadata, sa.Column("id", sa.ForeignKey("billing.invoices.id"), primary_key=True))
    made = mirror(tmp_path, "billing.lines: ro", metadata)
    table = made.tables["billing_lines"]
    assert (table.schema, table.name) == ("billing", "lines")
    assert table.foreign_keys[0].schema == "billing"


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (sa.Column("x", sa.Integer), None),
        (sa.Column("x", sa.Integer, default=7), Default("literal", 7)),
        (sa.Column("x", sa.String(9), default=""), Default("literal", "")),
        (sa.Column("x", sa.Boolean, default=False), Default("literal", False)),
        (sa.Column("x", sa.Numeric(9, 2), default=Decimal("1.50")), Default("literal", "1.50")),
        (sa.Column("x", sa.JSON, default={"a": [1]}), Default("literal", {"a": [1]})),
        (sa.Column("x", models.Timestamp(), default=generators.now), Default("generator", "now")),
        (sa.Column("x", sa.Uuid, default=uuid.uuid4), Default("generator", "uuid4")),
        (sa.Column("x", sa.JSON, default=dict), Default("generator", "empty_object")),
        (sa.Column("x", sa.JSON, default=generators.empty_list), Default("generator", "empty_list")),
        (sa.Column("x", sa.Integer, server_default="5"), Default("server")),
        (sa.Column("x", sa.Integer, server_default=sa.FetchedValue()), Default("server")),
        (sa.Column("x", sa.Integer, sa.Sequence("s")), Default("sequence", {"name": "s"})),
        (
            sa.Column("x", sa.Integer, sa.Sequence("s", schema="z")),
            Default("sequence", {"name": "s", "schema": "z"}),
        ),
        (sa.Column("x", sa.Integer, sa.Sequence("s", optional=True)), None),
        (sa.Column("x", sa.Integer, sa.Computed("1 + 1")), Default("computed")),
        (sa.Column("x", sa.Integer, default=1, server_default="5"), Default("literal", 1)),
    ],
)
def test_a_default_arises_in_this_way(tmp_path, column, expected):
    assert columns(tmp_path, column)["x"].default == expected


def test_generated_columns_are_not_writable(tmp_path):
    computed = columns(tmp_path, sa.Column("x", sa.Integer, sa.Computed("1 + 1")))["x"]
    assert (computed.selectable, computed.insertable, computed.updatable) == (True, False, False)
    assert computed.on_update == Default("computed")
    metadata = sa.MetaData()
    sa.Table("things", metadata, sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True))
    key = mirror(tmp_path, "things: rw", metadata).tables["things"].columns["id"]
    assert (key.autoincrement, key.insertable, key.default) == (True, False, Default("server"))


def test_an_update_arises_in_this_way(tmp_path):
    found = columns(
        tmp_path,
        sa.Column("a", models.Timestamp(), onupdate=generators.now),
        sa.Column("b", sa.Integer, server_onupdate=sa.FetchedValue()),
        sa.Column("c", sa.Integer, onupdate=4),
    )
    assert [found[name].on_update for name in "abc"] == [
        Default("generator", "now"),
        Default("server"),
        Default("literal", 4),
    ]


def revise(tmp_path, name, before=None):
    versions = tmp_path / "migrations" / "versions"
    versions.mkdir(parents=True, exist_ok=True)
    (versions / f"{name}.py").write_text(REVISION.format(name, before))


def test_a_mirror_keeps_the_revision_at_which_it_last_changed(tmp_path):
    path = tmp_path / "mirrors" / "web.json"
    assert [(file.path.name, file.state) for file in write_mirrors(deployment(tmp_path))] == [
        ("web.json", "missing"),
        ("web.pyi", "missing"),
        ("web.py", "missing"),
    ]
    assert Mirror.load(path).revision is None
    revise(tmp_path, "r1")
    assert [file.state for file in write_mirrors(deployment(tmp_path))] == ["stale"]
    assert Mirror.load(path).revision == "r1"
    revise(tmp_path, "r2", "r1")
    assert write_mirrors(deployment(tmp_path)) == ()
    assert Mirror.load(path).revision == "r1"
    wider = deployment(tmp_path, metadata=things(sa.Column("more", sa.Integer)))
    [drift] = check_mirrors(wider)
    assert drift.state == "stale"
    assert '+        "more": {"type": "integer"' in drift.difference()
    write_mirrors(wider)
    assert Mirror.load(path).revision == "r2"
    assert check_mirrors(wider) == ()


def test_a_revision_that_touches_what_it_holds_moves_it_even_when_it_was_written_before(tmp_path):
    revise(tmp_path, "r1")
    write_mirrors(deployment(tmp_path))
    revise(tmp_path, "r2", "r1")
    assert write_mirrors(deployment(tmp_path), {"things": frozenset({"secret"})}) == ()
    assert len(write_mirrors(deployment(tmp_path), {"things": frozenset({"size"})})) == 1
    assert Mirror.load(tmp_path / "mirrors" / "web.json").revision == "r2"


def test_a_revision_that_is_gone_is_not_kept(tmp_path):
    revise(tmp_path, "r1")
    write_mirrors(deployment(tmp_path))
    (tmp_path / "migrations" / "versions" / "r1.py").unlink()
    revise(tmp_path, "r2")
    assert len(write_mirrors(deployment(tmp_path))) == 1


def test_orphans_and_damaged_files_are_found_and_mended(tmp_path):
    folder = tmp_path / "mirrors"
    write_mirrors(deployment(tmp_path))
    (folder / "gone.json").write_text("{}")
    (folder / "web.json").write_text("not JSON")
    assert {file.service: file.state for file in check_mirrors(deployment(tmp_path))} == {
        "web": "stale",
        "gone": "orphan",
    }
    write_mirrors(deployment(tmp_path))
    assert {path.name for path in folder.iterdir()} == {"web.json", "web.pyi", "web.py"}


names = st.text(string.ascii_lowercase + "_é- ", min_size=1, max_size=8).filter(
    lambda text: text.strip("_- é")
)
kinds = st.sampled_from([
    sa.Boolean(), sa.SmallInteger(), sa.BigInteger(), sa.Double(), sa.Numeric(9, 3), sa.String(7), sa.Text(), sa.Date(),
    sa.Uuid(), sa.JSON(), sa.Enum("a", "ü", name="e"), models.Timestamp(), models.NaiveTimestamp(), models.Duration(),
    models.PreciseTime(), models.LongBytes(), sa.ARRAY(sa.String(3)),
])  # fmt: skip


@given(
    st.lists(
        st.tuples(names, kinds, st.booleans(), st.none() | st.integers()),
        unique_by=lambda c: field_name(c[0]),  # two of one field are refused when the deployment is read
        max_size=8,
    )
)
def test_every_mirror_reads_back_as_it_was_made(drawn):
    metadata = sa.MetaData(naming_convention=models.NAMING)
    columns = [sa.Column(name, kind, unique=unique, default=default) for name, kind, unique, default in drawn]
    sa.Table("t", metadata, sa.Column("ID", sa.Integer, primary_key=True), *columns)
    made = mirror(None_path(), "t: rw", metadata, ("postgresql",))
    again = Mirror.parse(json.loads(made.to_json()))
    assert again == made
    assert again.to_json() == made.to_json()
    assert made.same_content(dataclasses.replace(again, revision="other"))


class None_path:  # noqa: N801 - stands for a folder that is never looked at
    def __truediv__(self, other):
        return self
