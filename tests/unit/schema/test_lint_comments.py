"""The comments that allow a finding: where they count, and what is wrong with them."""

import re
import string

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ringfence.schema.cli import COMMANDS, run
from ringfence.schema.cli import ringfence as command
from ringfence.schema.errors import BadDeployment
from ringfence.schema.lint import Severity
from ringfence.schema.lint.rules import RULES
from ringfence.schema.models.types import ENGINES
from ringfence.schema.revisions.selection import select
from ringfence.schema.revisions.source import Source
from support.lint_cases import Bench, told
from support.repository import ROOT

ALLOW = "# ringfence: allow RF102 because nobody reads it"
DROP = "op.drop_column('thing', 'note')"


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.mark.parametrize(
    "body",
    [
        f"{DROP}  {ALLOW}",
        f"{ALLOW}\n{DROP}",
        f"{ALLOW}\n# and no longer will\n{DROP}",
        f"op.drop_column(\n    'thing',\n    'note',  {ALLOW}\n)",
        f"with op.batch_alter_table('thing') as batch:\n    {ALLOW}\n    batch.drop_column('note')",
        "# RingFence: Allow rf101, rf102 because: both are gone\nfor n in 'a':\n    "
        f"op.drop_table('thing')  {ALLOW.replace('RF102', 'RF101')}",
    ],
)
def test_it_counts_on_the_statement_and_just_above_it(bench, body):
    bench.upgrade(body)
    assert not {"RF101", "RF102"} & (set(told(bench.lint())) - {"RF002"})


@pytest.mark.parametrize(
    "body",
    [
        f"{ALLOW}\n\n{DROP}",
        f"{DROP}\n{ALLOW}",
        f"{ALLOW}\nwith op.batch_alter_table('thing') as batch:\n    batch.drop_column('note')",
    ],
)
def test_elsewhere_it_allows_nothing_and_is_reported(bench, body):
    bench.upgrade(body)
    assert set(told(bench.lint())) == {"RF002", "RF102"}


@pytest.mark.parametrize(
    "comment",
    ["# ringfence: allow RF102", "# ringfence: allow RF102 because", "# ringfence: allow RF102 it is fine"],
)
def test_without_a_reason_it_allows_nothing(bench, comment):
    bench.upgrade(f"{DROP}  {comment}")
    assert set(told(bench.lint())) == {"RF001", "RF102"}


@pytest.mark.parametrize(
    ("comment", "message"),
    [("RF999 because why not", "no rule RF999"), ("it because of me", "names no rule")],
)
def test_an_unknown_rule(bench, comment, message):
    path = bench.upgrade(f"pass  # ringfence: allow {comment}")
    (found,) = bench.lint()
    assert (found.rule, found.engines) == ("RF002", ())
    assert message in found.message
    assert path.read_text().splitlines()[found.line - 1].strip().startswith("pass")


def test_it_is_a_comment_and_no_string(bench):
    bench.upgrade(f"op.execute('''\n{ALLOW}\n''')\n{DROP}")
    assert "RF102" in told(bench.lint())


def test_one_comment_allows_one_rule_on_all_engines(bench):
    bench.upgrade("op.create_index('ix', 'thing', ['note'])  # ringfence: allow RF201 because it is small")
    assert not bench.lint()


def test_a_finding_names_its_file_its_line_and_what_explains_it(bench):
    path = bench.upgrade(f"pass\n{DROP}")
    (found,) = bench.lint()
    assert path.read_text().splitlines()[found.line - 1].strip() == DROP
    assert str(found) == (
        f"migrations/versions/r2.py:{found.line}: error RF102: column thing.note is dropped, with its values"
        f" [{', '.join(ENGINES)}]"
    )
    assert found.explained == found.as_dict()["explained"] == "ringfence lint --explain RF102"
    assert found.as_dict()["engines"] == list(ENGINES)


def test_what_a_helper_of_the_file_does_is_found_in_the_helper(bench):
    path = bench.add(
        f"\n\ndef away():\n    {DROP}\n\n\ndef upgrade():\n    away()\n\n\ndef downgrade():\n    op.execute('SELECT 1')\n"
    )
    (found,) = bench.lint()
    assert path.read_text().splitlines()[found.line - 1].strip() == DROP


def test_a_branch_for_one_dialect_is_found_on_its_engines_alone(bench):
    bench.upgrade(f"if op.get_context().dialect.name == 'mariadb':\n    {DROP}")
    assert told(bench.lint()) == {"RF102": {"mariadb", "galera"}}


def test_a_revision_can_ask_whether_it_is_offline_and_what_it_runs_on(bench):
    bench.upgrade(f"if not context.is_offline_mode() and op.get_bind().dialect.name == 'sqlite':\n    {DROP}")
    assert told(bench.lint()) == {"RF102": {"sqlite"}}


def test_what_earlier_revisions_made_is_known(bench):
    bench.upgrade("with op.batch_alter_table('thing') as b:\n    b.alter_column('note', type_=sa.String(80))")
    bench.upgrade("with op.batch_alter_table('thing') as b:\n    b.alter_column('note', type_=sa.String(60))")
    assert "RF105" in told(bench.lint("r3"))
    assert "RF105" not in told(bench.lint("r2"))


def test_only_the_engines_of_the_deployment_are_looked_at(tmp_path):
    bench = Bench(tmp_path, engines=("sqlite",))
    bench.upgrade("op.create_index('ix', 'thing', ['note'])\nop.execute('CREATE EXTENSION citext')")
    (found,) = bench.lint()
    assert (found.rule, found.severity, found.engines) == ("RF505", Severity.WARNING, ("sqlite",))


def test_a_range_of_revisions(bench):
    bench.upgrade("pass")
    bench.upgrade("pass")
    deployment = bench.deployment
    assert select(deployment) == {"r1", "r2", "r3"}
    assert select(deployment, "r1") == {"r2", "r3"}
    assert select(deployment, "r1", "r2") == {"r2"}
    assert select(deployment, "", "r2") == {"r1", "r2"}
    assert select(deployment, "r3", "r2") == frozenset()
    with pytest.raises(BadDeployment, match="nowhere"):
        select(deployment, "nowhere")


def test_a_migration_that_cannot_be_read(bench):
    bench.add("\n\ndef upgrade(:\n")
    with pytest.raises(BadDeployment, match="cannot be read"):
        bench.lint()


def test_every_rule_is_documented():
    page = (ROOT / "docs/reference/lint/README.md").read_text(encoding="utf-8")
    anchors = {line.removeprefix("### ").strip() for line in page.splitlines() if line.startswith("### ")}
    assert anchors == set(RULES)
    for rule in RULES.values():
        severities = " | ".join(str(rule.severity.get(engine, "\N{EN DASH}")) for engine in ENGINES)
        assert f"| [{rule.id}](#{rule.id.lower()}) | {rule.summary} | {severities} |" in page


def test_every_rule_explains_itself_without_a_deployment(tmp_path, capsys):
    for rule in RULES.values():
        assert run.main(command, ["-C", str(tmp_path), "lint", "--explain", rule.id.lower()]) == 0
        told = capsys.readouterr().out
        assert (rule.summary in told, rule.resolution in told, "to allow one" in told) == (True, True, True)
    assert run.main(command, ["-C", str(tmp_path), "lint", "--explain", "RF1O2"]) == 3
    assert "there is no rule 'RF1O2'; did you mean 'RF102'?" in capsys.readouterr().err


def test_the_hook_for_pre_commit_calls_the_verb():
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    program, verb, *options = hook["entry"].split()
    assert (program, options) == ("ringfence", ["--all"])
    assert verb in COMMANDS
    for name in ("services/migrations/versions/a.py", "access.yaml", "services/mirrors/web.json"):
        assert re.search(hook["files"], name)


def test_no_resolution_is_written_with_a_slip():
    for rule in RULES.values():
        assert "  " not in rule.resolution
        assert not rule.resolution.endswith(".")


@given(
    rules=st.lists(st.sampled_from(sorted(RULES)), min_size=1, max_size=4, unique=True),
    reason=st.text(string.ascii_letters + string.digits + " .,:#'", min_size=1)
    .map(str.strip)
    .filter(lambda t: t.strip(" :,")),
    comma=st.sampled_from([",", ", ", " ", " and "]),
)
def test_any_reason_is_kept_whole(tmp_path_factory, rules, reason, comma):
    path = tmp_path_factory.mktemp("source") / "x.py"
    path.write_text(f"x = 1  # ringfence: allow {comma.join(rules)} because {reason}\n")
    (allow,) = Source(path).allows
    assert allow.rules == tuple(rules)
    # One colon or comma behind the word belongs to the word.
    assert allow.reason == re.sub(r"^[:,]?\s*", "", reason)
