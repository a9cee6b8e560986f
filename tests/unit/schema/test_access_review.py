"""The manifest read by people: show, diff and lint; and whose secret is which."""

import json
import subprocess

import pytest

from ringfence.schema.cli import ringfence as command
from ringfence.schema.cli import run
from ringfence.schema.deployment import Deployment
from ringfence.schema.errors import BadDeployment
from ringfence.schema.review.lint import lint
from ringfence.schema.review.manifest_diff import compare_manifests, read_manifest
from support.deployments import ACCESS, MODELS


@pytest.fixture
def root(tmp_path):
    package = f"review_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{package}.py").write_text(MODELS)
    (tmp_path / "ringfence.toml").write_text(
        f'name = "shop"\nengines = ["postgresql"]\nmodels = ["{package}:metadata"]\n'
    )
    write(tmp_path, ACCESS.lstrip())
    return tmp_path


def write(root, text):
    (root / "access.yaml").write_text(text.replace("PREFIX", ""))


def ringfence(root, capsys, *words, code=0):
    assert run.main(command, ["-C", str(root), "access", *words]) == code
    return capsys.readouterr()


def test_show_names_every_line_that_gives_it(root, capsys):
    write(
        root,
        "version: 1\n"
        "groups:\n"
        "  base:\n"
        "    tables:\n"
        "      purchase: ro\n"
        "accounts:\n"
        "  till:\n"
        "    groups: [base]\n"
        "    tables:\n"
        "      purchase: rw\n",
    )
    document = json.loads(ringfence(root, capsys, "show", "--service", "till", "--json").out)
    by = {grant["verb"]: grant["by"] for grant in document["grants"]}
    assert by == {"select": "access.yaml:10, 5"} | dict.fromkeys(
        ("insert", "update", "delete"), "access.yaml:10"
    )
    assert "till" in ringfence(root, capsys, "show", "--table", "purchase").out
    assert "no account has a grant on it" in ringfence(root, capsys, "show", "--table", "customer").out
    assert "did you mean 'purchase'" in ringfence(root, capsys, "show", "--table", "purchases", code=3).err


def test_show_cuts_nothing_off(root, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    shown = ringfence(root, capsys, "show", "--service", "till").out
    assert "…" not in shown
    (line,) = [line for line in shown.splitlines() if "purchase" in line and "select" in line]
    assert line.split() == ["till", "till", "purchase", "select", "all", "every", "row", "access.yaml:7"]


def test_diff_distinguishes_widened_and_narrowed(root, capsys):
    old = root / "old.yaml"
    old.write_text((root / "access.yaml").read_text())
    write(
        root,
        ACCESS.lstrip()
        .replace("select: [id, active]", "select: [id, email]")
        .replace("      purchase: [insert]\n", "      purchase: [insert, update]\n")
        + "  new:\n    tables: {purchase: ro}\n",
    )
    deployment = Deployment.load(root)
    found = compare_manifests(read_manifest(deployment, str(old)), deployment.accounts.values())
    assert [(d.service, d.table, d.verb, d.columns) for d in found.widened] == [
        ("report", "customer", "select", ("email",)),
        ("door", "purchase", "update", ()),
        ("new", "purchase", "select", ()),
    ]
    assert [(d.service, d.table, d.verb, d.columns) for d in found.narrowed] == [
        ("report", "customer", "select", ("active",))
    ]
    shown = ringfence(root, capsys, "diff", str(old)).out
    assert shown.index("widened:") < shown.index("door: update on purchase") < shown.index("narrowed:")
    assert "both grant the same" in ringfence(root, capsys, "diff", str(old), str(old)).out


def test_diff_reads_a_git_revision(root):
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for words in (["init", "-q"], ["add", "access.yaml"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], cwd=root, check=True)
    write(root, ACCESS.lstrip().replace("      purchase: [insert]\n", "      purchase: rw\n"))
    deployment = Deployment.load(root)
    found = compare_manifests(read_manifest(deployment, "HEAD"), deployment.accounts.values())
    assert [d.verb for d in found.widened] == ["select", "update", "delete"]
    for source in ("nowhere", "--output=x"):
        with pytest.raises(BadDeployment, match="is neither a file nor a git revision"):
            read_manifest(deployment, source)


def test_export_names_what_a_deploy_chart_needs(root, capsys):
    write(root, ACCESS.lstrip().replace("  door:\n", "  door:\n    workloads: [front, back]\n"))
    shown = ringfence(root, capsys, "export", "--json")
    assert "is called `ringfence secrets list` now" in shown.err
    document = json.loads(shown.out)
    assert run.main(command, ["-C", str(root), "secrets", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == document
    assert document["accounts"][2] == {
        "service": "door",
        "login": "door",
        "workloads": ["front", "back"],
        "secret": "DOOR_DB_PASS",
        "mirror": "mirrors/door.json",
    }


def test_lint_finds_what_cannot_be_meant(root, capsys):
    write(
        root,
        "version: 1\n"
        "sets:\n"
        "  idle: [purchase]\n"
        "groups:\n"
        "  idle: {tables: {purchase: ro}}\n"
        "accounts:\n"
        "  a: {tables: {purchase: [delete]}}\n"
        "  b: {tables: {customer: {select: all, update: all, insert: [email]}}}\n"
        "  c: {tables: {purchase: {select: all, insert: [customer_id, amount]}}}\n",
    )
    found = lint(Deployment.load(root))
    assert [(f.id, f.level, f.line) for f in found] == [
        ("unused-set", "warning", 3),
        ("unused-group", "warning", 5),
        ("blind-write", "warning", 7),
        ("incomplete-insert", "warning", 8),
        ("unseen-target", "note", 9),
    ]
    assert "active" in found[3].message
    assert "give it select on the key" in ringfence(root, capsys, "lint", code=1).out
    document = json.loads(ringfence(root, capsys, "lint", "--json", code=1).out)
    assert len(document["error"]["findings"]) == 5


def test_lint_notes_a_password_of_which_the_models_do_not_say_whether_it_is_one(root):
    models = next(root.glob("review_*.py"))
    columns = "\n".join(
        f"    {name} = mapped_column(sa.String(255){mark})"
        for name, mark in (
            ("Password", ""),
            ("passwd", ", info={'password': True}"),
            ("pwd", ", info={'password': False}"),
        )
    )
    models.write_text(MODELS.replace("amount: Mapped[int]", f"amount: Mapped[int]\n{columns}"))
    write(root, "version: 1\naccounts:\n  a: {tables: {purchase: {select: all, insert: all}}}\n")
    found = [each for each in lint(Deployment.load(root)) if each.id == "plain-password"]
    assert [(each.level, each.line) for each in found] == [("note", 3)]
    assert "purchase.Password, which is not marked as a password" in found[0].message


def test_lint_counts_guards_and_exceptions_as_uses_of_a_set(root, capsys):
    write(
        root,
        "version: 1\n"
        "sets: {guarded: [customer], excepted: [customer], idle: [purchase], customer: [customer]}\n"
        "accounts:\n"
        "  a: {tables: {all: ro, except: [$excepted]}}\n"
        "guards:\n"
        "  $guarded: {only: []}\n"
        "  customer: {never: [delete]}\n",
    )
    found = [f for f in lint(Deployment.load(root)) if f.level == "warning"]
    assert [(f.id, f.line) for f in found] == [("unused-set", 2), ("unused-set", 2)]
    assert sorted(f.message for f in found) == [
        "nothing uses the set 'customer'",
        "nothing uses the set 'idle'",
    ]


def test_lint_finds_rows_that_cannot_be_meant(root, capsys):
    write(
        root,
        "version: 1\n"
        "scopes: {idle: {type: integer}, buyer: {type: integer}}\n"
        "accounts:\n"
        "  a: {tables: {purchase: {select: {rows: {id: 1}}, delete: {rows: {id: [1, 2]}}}}}\n"
        "  b: {tables: {purchase: {select: all, insert: [id, amount], rows: {customer_id: ':buyer'}}}}\n",
    )
    found = lint(Deployment.load(root))
    assert [(f.id, f.line) for f in found if f.level == "warning"] == [
        ("unused-scope", 2),
        ("wide-write", 4),
        ("incomplete-insert", 5),
        ("outside-insert", 5),
        ("scope-without-index", 5),
    ]
    shown = json.loads(ringfence(root, capsys, "show", "--service", "b", "--json").out)
    assert {grant["rows"] for grant in shown["grants"]} == {"customer_id = :buyer"}


def test_lint_names_indexes_that_a_policy_takes_away(root, capsys):
    models = next(root.glob("review_*.py"))
    models.write_text(
        MODELS.replace(
            "amount: Mapped[int]",
            "amount: Mapped[int]\n    price = mapped_column(sa.Numeric(8, 2), index=True)",
        )
    )
    manifest = (
        "version: 1\n"
        "accounts:\n"
        "  a: {tables: {purchase: {select: all, rows: {customer_id: 1}}}}\n"
        "  b: {tables: {purchase: {select: all, update: [amount], rows: {customer_id: 2}}}}\n"
        "  c: {tables: {purchase: ro}}\n"
        "  d: {tables: {purchase: {insert: [id, customer_id, amount], rows: {customer_id: 2}}}}\n"
        "  e: {tables: {purchase: {select: all, rows: {price: 2}}}}\n"
    )
    write(root, manifest)
    (one,) = [found for found in lint(Deployment.load(root)) if found.id == "unusable-index"]
    assert (one.level, one.file, one.line) == ("note", "access.yaml", 3)
    assert "index ix_purchase_price of 'purchase' by price (NUMERIC(8, 2))" in one.message
    assert "for no condition of 'a', 'b', kept to rows by a policy" in one.message
    assert "begin it with customer_id" in one.resolution
    assert "BIGINT" in one.resolution
    toml = root / "ringfence.toml"
    toml.write_text(toml.read_text().replace('"postgresql"', '"mysql", "mariadb", "galera", "sqlite"'))
    write(root, manifest)
    assert not [found for found in lint(Deployment.load(root)) if found.id == "unusable-index"]


def test_diff_distinguishes_wider_rows_from_narrower_ones(root, capsys):
    def manifest(*ids):
        return "version: 1\naccounts:\n" + "".join(
            f"  s{n}: {{tables: {{purchase: {{select: all, rows: {{id: {i}}}}}}}}}\n"
            for n, i in enumerate(ids)
        )

    old = root / "old.yaml"
    old.write_text(manifest("1", "[1, 2]", "1", "'*'").replace("{select: all, rows: {id: '*'}}", "ro"))
    write(root, manifest("1", "1", "[1, 2]", "3"))
    deployment = Deployment.load(root)
    found = compare_manifests(read_manifest(deployment, str(old)), deployment.accounts.values())
    assert [(d.service, d.columns, d.rows) for d in found.widened] == [("s2", (), "id in 1, 2")]
    assert [(d.service, d.columns, d.rows) for d in found.narrowed] == [
        ("s1", (), "id in 1, 2"),
        ("s3", (), ""),
    ]


def test_a_manifest_without_doubts_passes(root, capsys):
    write(root, ACCESS.lstrip())
    assert "1 note\n" in ringfence(root, capsys, "lint").out


def test_a_violated_guard_names_every_line_that_does_it(root, capsys):
    write(
        root,
        "version: 1\n"
        "groups:\n"
        "  base:\n"
        "    tables: {purchase: rw}\n"
        "accounts:\n"
        "  till:\n"
        "    groups: [base]\n"
        "    tables: {purchase: [delete]}\n"
        "guards:\n"
        "  purchase: {never: [delete]}\n",
    )
    told = ringfence(root, capsys, "lint", code=3).err
    assert [line.split(":")[1] for line in told.splitlines()] == ["4", "8"]


def test_a_word_that_is_no_verb_of_a_group_is_answered_with_those_that_are(root, capsys):
    assert (
        "there is no command 'plam' of `ringfence access`; did you mean 'plan'?"
        in ringfence(root, capsys, "plam", code=3).err
    )
    assert run.main(command, ["-C", str(root), "secrets", "make"]) == 3
    assert (
        "there is no command 'make' of `ringfence secrets`; known are generate, list"
        in capsys.readouterr().err
    )
    assert run.main(command, ["-C", str(root), "backfill", "--list"]) == 0
    assert "migrations/backfills contains no backfill" in capsys.readouterr().out
