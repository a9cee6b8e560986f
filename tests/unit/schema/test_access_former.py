"""`access diff` works whatever has changed: tables, columns, sets and types that the models no longer have."""

import json
import subprocess

import pytest

from ringfence.schema.cli import ringfence as command
from ringfence.schema.cli import run
from ringfence.schema.deployment import Deployment
from ringfence.schema.errors import BadDeployment
from ringfence.schema.review.manifest_diff import compare_manifests, read_manifest
from support.deployments import ACCESS, MODELS

OLD = """version: 1
sets: {archives: [ledger, purchase]}
groups:
  base: {tables: {purchase: ro, drawer: {select: [id, key]}}}
accounts:
  till:
    login: PREFIXtill
    groups: [base]
    tables:
      customer: {select: [id, nick], update: [nick], rows: {region: [north, south]}}
  report:
    tables: {all: ro, except: [$archives]}
    views: {totals: ro}
  clerk:
    tables:
      customer: {verbs: ro, rows: {id: 'k7'}}
      purchase: {verbs: rw, rows: {clerk: '@login'}}
guards:
  drawer: {only: [till]}
  customer.nick: {only: [till]}
"""


@pytest.fixture
def root(tmp_path):
    package = f"former_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{package}.py").write_text(MODELS)
    (tmp_path / "ringfence.toml").write_text(
        f'name = "shop"\nengines = ["postgresql"]\nmodels = ["{package}:metadata"]\n'
    )
    (tmp_path / "access.yaml").write_text(ACCESS.lstrip().replace("PREFIX", ""))
    return tmp_path


def differences(found):
    return [(d.service, d.table, d.verb, d.columns, d.rows) for d in found]


def compared(root, old, new=None):
    """What the new manifest, as it is now by default, gives beyond the old one, and gives no more."""
    (root / "old.yaml").write_text(old.replace("PREFIX", ""))
    deployment = Deployment.load(root)
    after = tuple(deployment.accounts.values())
    if new is not None:
        (root / "new.yaml").write_text(new.replace("PREFIX", ""))
        after = read_manifest(deployment, str(root / "new.yaml"))
    found = compare_manifests(read_manifest(deployment, str(root / "old.yaml")), after)
    return differences(found.widened), differences(found.narrowed)


def test_grants_on_removed_models_are_reported_as_they_were_given(root):
    widened, narrowed = compared(root, OLD)
    assert narrowed == [
        ("till", "customer", "select", ("nick",), "region in 'north', 'south'"),
        ("till", "customer", "update", ("nick",), "region in 'north', 'south'"),
        ("till", "drawer", "select", ("id", "key"), ""),
        ("report", "customer", "select", ("email", "nick", "region"), ""),
        ("report", "drawer", "select", (), ""),
        ("report", "totals", "select", (), ""),
        ("clerk", "customer", "select", ("id", "email", "active", "nick", "region"), "id = 'k7'"),
        ("clerk", "purchase", "select", (), "clerk = 'clerk'"),
        ("clerk", "purchase", "insert", (), "clerk = 'clerk'"),
        ("clerk", "purchase", "update", ("id", "customer_id", "amount"), "clerk = 'clerk'"),
        ("clerk", "purchase", "delete", (), "clerk = 'clerk'"),
    ]
    assert ("till", "customer", "select", ("id", "email", "secret", "active"), "") in widened


def test_rows_by_a_column_that_is_gone_hide_no_widening(root):
    old = "version: 1\naccounts:\n  till: {tables: {purchase: {select: all, rows: {region: north}}}}\n"
    new = old.replace("{select: all, rows: {region: north}}", "ro")
    assert compared(root, old, new) == (
        [("till", "purchase", "select", (), "")],
        [],
    )
    assert compared(root, old, old) == ([], [])
    typed = old.replace("{region: north}", "{amount: twelve}")
    assert compared(root, typed, new) == ([("till", "purchase", "select", (), "")], [])


def test_a_column_that_only_some_were_given_was_in_no_shorthand(root, capsys):
    old = """version: 1
accounts:
  till: {tables: {customer: {select: all, also: [secret, pin]}, drawer: {select: all, also: [code]}}}
  report: {tables: {customer: ro, drawer: ro}}
"""
    new = "version: 1\naccounts:\n  till: {tables: {customer: ro}}\n  report: {tables: {customer: ro}}\n"
    widened, narrowed = compared(root, old, new)
    assert (widened, narrowed) == (
        [],
        [
            ("till", "customer", "select", ("secret", "pin"), ""),
            ("till", "drawer", "select", (), ""),
            ("report", "drawer", "select", (), ""),
        ],
    )
    assert run.main(command, ["-C", str(root), "access", "diff", str(root / "old.yaml")]) == 0
    assert "not compared" not in capsys.readouterr().out


def test_the_command_reads_a_revision_whose_columns_are_gone(root, capsys):
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    manifest = root / "access.yaml"
    now = manifest.read_text()
    manifest.write_text(now.replace("select: [id, active]", "select: [id, nick]"))
    for words in (["init", "-q"], ["add", "access.yaml"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], cwd=root, check=True)
    manifest.write_text(now)
    assert run.main(command, ["-C", str(root), "access", "diff", "HEAD", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [(d["service"], d["columns"]) for d in document["widened"]] == [("report", ["active"])]
    lost = [(d["service"], d["verb"], d["columns"]) for d in document["narrowed"]]
    assert lost == [
        *(("till", verb, ["nick"]) for verb in ("select", "insert", "update")),  # it had every column
        ("report", "select", ["nick"]),
    ]
    assert document["not_compared"] == []


def test_what_cannot_be_compared_is_named_and_what_cannot_be_read_refused(root, capsys):
    old = root / "old.yaml"
    old.write_text("version: 1\naccounts:\n  door:\n    groups: [gone]\n    tables: {purchase: [insert]}\n")
    assert run.main(command, ["-C", str(root), "access", "diff", str(old)]) == 0
    told = capsys.readouterr().out
    assert f"not compared: {old}:4: there is no group 'gone'" in told
    assert "door" not in told.replace(str(old), "")
    old.write_text("version: 1\naccounts: [\n")
    with pytest.raises(BadDeployment, match=r"old\.yaml:"):
        read_manifest(Deployment.load(root), str(old))
    old.write_bytes(b"\xff")
    with pytest.raises(BadDeployment, match="cannot be read"):
        read_manifest(Deployment.load(root), str(old))
