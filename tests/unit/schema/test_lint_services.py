"""What the lint knows of the services: the mirrors they run with, and what the manifest grants them."""

import pytest

from ringfence.schema.lint import lint
from ringfence.schema.manifest.model import Account, Grant, Origin
from support.lint_cases import Bench, column, told

DROP = "op.drop_column('thing', 'note')"
DROP_TABLE = "op.drop_table('thing')"
RENAME = (
    "with op.batch_alter_table('thing') as batch:\n    batch.alter_column('note', new_column_name='remark')"
)
NOT_NULL = "with op.batch_alter_table('thing') as batch:\n    batch.alter_column('note', nullable=False)"


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path, engines=("postgresql", "sqlite"))


def messages(bench, rule):
    return [finding.message for finding in bench.lint() if finding.rule == rule]


def grant(bench, service, verb, columns, table="thing"):
    origin = Origin("access.yaml", 7)
    grants = (Grant(verb, None, table, columns, origin),)
    bench.accounts[service] = Account(service, service, grants, origin)


def test_a_column_that_a_service_still_reads(bench):
    bench.mirror("analytics", "thing", column("id"), column("note"))
    bench.mirror("other", "thing", column("id"))
    bench.upgrade(DROP)
    assert messages(bench, "RF304") == ["column thing.note is dropped, and still read by analytics"]


def test_a_column_that_a_service_still_writes(bench):
    bench.mirror("till", "thing", column("note", write=True))
    bench.mirror("door", "thing", column("note", read=False, write=True), verbs=("insert",))
    bench.upgrade(RENAME)
    assert messages(bench, "RF304") == [
        "column thing.note is renamed to remark, and still read and written by till",
        "column thing.note is renamed to remark, and still written by door",
    ]


@pytest.mark.parametrize(
    ("body", "how"), [(DROP_TABLE, "dropped"), ("op.rename_table('thing', 'item')", "renamed to item")]
)
def test_a_table_that_a_service_still_uses(bench, body, how):
    bench.mirror("analytics", "thing", column("id"))
    bench.upgrade(body)
    assert messages(bench, "RF304") == [f"table thing is {how}, and still used by analytics"]


def test_what_comes_back_by_the_head_is_not_missed(bench):
    bench.mirror("analytics", "thing", column("note"))
    grant(bench, "analytics", "select", ("note",))
    bench.upgrade(DROP)
    bench.upgrade("op.add_column('thing', sa.Column('note', sa.Text))")
    assert not {"RF304", "RF305"} & set(told(bench.lint("r2")))


def test_the_mirrors_of_the_services_that_run_can_be_elsewhere(bench, tmp_path):
    bench.mirror("analytics", "thing", column("note"))
    running = tmp_path / "running"
    (bench.root / "mirrors").rename(running)
    (bench.root / "mirrors").mkdir()
    bench.upgrade(DROP)
    assert not messages(bench, "RF304")
    found = lint(bench.deployment, bench.written[-1:], [running])
    assert "RF304" in told(found)


def test_a_grant_loses_its_column(bench):
    grant(bench, "analytics", "select", ("id", "note"))
    bench.upgrade(DROP)
    assert messages(bench, "RF305") == [
        "column thing.note is dropped, and analytics is granted select on it (access.yaml:7)"
    ]


def test_a_grant_on_the_whole_table_outlives_a_column_but_not_the_table(bench):
    grant(bench, "analytics", "select", None)
    bench.upgrade(DROP)
    assert not messages(bench, "RF305")
    bench.upgrade(DROP_TABLE)
    assert messages(bench, "RF305") == [
        "table thing is dropped, and analytics is granted select on it (access.yaml:7)"
    ]


def test_a_grant_on_another_table_is_not_touched(bench):
    grant(bench, "analytics", "select", ("note",), table="owner")
    bench.upgrade(DROP)
    assert not messages(bench, "RF305")


@pytest.mark.parametrize(
    ("columns", "verbs", "found"),
    [
        ((column("note", write=True),), ("select", "insert"), "to till it may be NULL"),
        ((column("id", write=True),), ("insert",), "till inserts without it"),
        ((column("note", write=True, nullable=False),), ("select", "insert"), None),
        ((column("note"),), ("select",), None),
        ((column("id", write=True),), ("select", "update"), None),
    ],
)
def test_not_null_while_a_service_may_write_null(bench, columns, verbs, found):
    bench.mirror("till", "thing", *columns, verbs=verbs)
    bench.upgrade(NOT_NULL)
    expected = [f"column thing.note becomes NOT NULL, and {found}"] if found else []
    assert messages(bench, "RF303") == expected


def test_not_null_before_the_revision_that_a_service_waits_for_troubles_it_not(bench):
    bench.upgrade(NOT_NULL)
    bench.upgrade(DROP)
    bench.mirror("till", "thing", column("id", write=True), verbs=("insert",))
    (found,) = [finding for finding in bench.lint("r2") if finding.rule == "RF303"]
    assert found.message == "column thing.note becomes NOT NULL, and till inserts without it"
    mirror = bench.root / "mirrors/till.json"
    mirror.write_text(mirror.read_text().replace('"revision": "r1"', '"revision": "r3"'))
    assert "RF303" not in told(bench.lint("r2"))


def test_not_null_with_a_server_default_is_no_finding(bench):
    bench.mirror("till", "thing", column("id", write=True), verbs=("insert",))
    bench.upgrade("with op.batch_alter_table('thing') as b:\n    b.alter_column('name', nullable=False)")
    assert not messages(bench, "RF303")


def test_a_comment_that_waits_for_a_service_may_come_to_allow_nothing(bench):
    bench.upgrade(
        "# ringfence: allow RF102, RF304 because nothing reads it and the values are in the archive\n" + DROP
    )
    assert not bench.lint()
