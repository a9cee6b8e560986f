"""`access verify` finds what is not as the manifest says, in both directions, and admits what it could not try."""

import json

import pytest

from ringfence.runtime.settings import Secret
from ringfence.schema.authoring.revise import revise
from ringfence.schema.autogenerate.renames import Renames
from ringfence.schema.job.job import MigrateOptions, migrate
from ringfence.schema.verification.verify import verify
from support.deployments import lay_out


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    return shop


def prove(shop, passwords=None):
    return verify(shop.load(), shop.settings(), shop.passwords() if passwords is None else passwords)


def test_a_manifest_that_was_applied_holds(shop):
    proof = prove(shop)
    assert proof.findings == []
    assert proof.accounts == ["till", "report", "door"]
    assert proof.allowed + proof.refused == proof.attempts
    assert proof.refused > 0 < proof.allowed


def test_it_leaves_no_trace(shop):
    before = shop.database.execute("SELECT COUNT(*) FROM customer"), tables(shop)
    prove(shop)
    assert (shop.database.execute("SELECT COUNT(*) FROM customer"), tables(shop)) == before


def tables(shop):
    from ringfence.schema.engines import reach

    backend = reach(shop.settings())
    with backend.engine().connect() as connection:
        # Others make databases of their own on the same server meanwhile.
        return {place for place in backend.introspection.columns(connection) if place[0] is None}


@pytest.mark.requires("accounts")
def test_an_account_that_cannot_log_in_is_not_proven(shop):
    proof = prove(shop, shop.passwords() | {shop.login("till"): Secret("wrong")})
    assert {(f.kind, f.service) for f in proof.findings} == {("not-proven", "till")}
    assert proof.accounts == ["report", "door"]


def test_a_service_without_a_mirror_is_not_proven(shop):
    (shop.root / "mirrors" / "door.json").unlink()
    proof = prove(shop)
    assert [(f.kind, f.service) for f in proof.findings] == [("not-proven", "door")]
    assert "mirrors/door.json" in str(proof.findings[0])


@pytest.mark.engines("sqlite")
def test_a_mirror_that_says_more_than_the_manifest_is_found(shop):
    path = shop.root / "mirrors" / "report.json"
    document = json.loads(path.read_text())
    document["tables"]["customer"]["columns"]["email"] = {
        "type": "string", "params": {"length": 100}, "nullable": False,
        "selectable": True, "insertable": False, "updatable": False,
    }  # fmt: skip
    path.write_text(json.dumps(document))
    found = prove(shop).findings
    assert [(f.kind, f.table, f.verb, f.columns) for f in found] == [
        ("excess", "customer", "select", ("email",))
    ]


@pytest.mark.requires("accounts")
def test_the_command_says_what_it_found_and_fails(shop):
    done = shop.run("ringfence", "access", "verify")
    assert done.returncode == 0, done.stderr
    assert "each as the manifest says" in done.stdout
    login = shop.login("report")
    who = f'"{login}"' if shop.database.server.db_type == "postgresql" else f"'{login}'@'%'"
    shop.database.execute(f"GRANT DELETE ON purchase TO {who}")
    failed = shop.run("ringfence", "access", "verify")
    assert failed.returncode == 1
    assert (
        "excess: report: delete on purchase: the database allows it, and the manifest does not"
        in failed.stderr
    )
    document = json.loads(shop.run("ringfence", "access", "verify", "--json").stdout)
    assert document["error"]["proof"]["findings"][0]["kind"] == "excess"


@pytest.mark.engines("sqlite")
def test_the_command_proves_the_mirrors_of_a_file(shop):
    done = shop.run("ringfence", "access", "verify", "--json")
    assert json.loads(done.stdout)["holds"] is True


def _make_columns(shop):
    shop.database.execute("ALTER TABLE customer ADD COLUMN by_hand VARCHAR(10)")
    shop.database.execute("ALTER TABLE purchase ADD COLUMN by_hand VARCHAR(10)")
    if shop.database.server.db_type != "sqlite":
        kept = "GENERATED ALWAYS AS (amount) STORED"
        shop.database.execute(f"ALTER TABLE purchase ADD COLUMN made_up INTEGER {kept}")


def test_a_column_that_no_model_has_is_tried_too(shop):
    _make_columns(shop)
    before = prove(shop)
    assert before.findings == []
    told = [warning for warning in before.warnings if "by_hand" in warning]
    if shop.database.server.db_type == "sqlite":  # where the mirror alone says what an account reaches
        assert told == []
        return
    assert {warning.split(":")[0] for warning in told} == {"till", "report", "door"}
    whole = "till: select on purchase (by_hand, made_up): no model has it, and access.yaml:"
    assert any(warning.startswith(whole) for warning in told), told
    assert not any("insert on purchase (by_hand, made_up)" in warning for warning in told)

    login = shop.login("report")
    who = f'"{login}"' if shop.database.server.db_type == "postgresql" else f"'{login}'@'%'"
    shop.database.execute(f"GRANT SELECT (by_hand), UPDATE (by_hand) ON customer TO {who}")
    found = prove(shop).findings
    assert {(f.kind, f.service, f.table, f.verb, f.columns) for f in found} == {
        ("excess", "report", "customer", "select", ("by_hand",)),
        ("excess", "report", "customer", "update", ("by_hand",)),
    }


@pytest.mark.requires("accounts")
@pytest.mark.parametrize("rows", ["", ", rows: {active: true}"])
def test_a_column_that_a_contract_is_to_retire_is_kept_until_then_and_no_failure(shop, rows):
    access = (shop.root / "access.yaml").read_text()
    if rows:
        shop.write("access.yaml", access.replace(", also: [secret]", f", also: [secret]{rows}"))
        shop.migrate()
    models = (shop.root / "shop_models.py").read_text().splitlines(keepends=True)
    shop.write("shop_models.py", "".join(line for line in models if "secret:" not in line))
    shop.write("access.yaml", access.replace(", also: [secret]", rows))
    made = revise(shop.load(), "no secret", {"DB_TYPE": ""}, renames=Renames.from_options((), ("all",)))
    migrate(shop.load(), shop.env(), MigrateOptions(expand=True))
    proof = prove(shop)
    assert proof.findings == []
    told = [warning for warning in proof.warnings if "(secret)" in warning]
    assert {warning.split(" on ")[0] for warning in told} == {
        f"till: {verb}" for verb in ("select", "insert", "update")
    }
    assert all(f"{made.revisions[-1]} will drop it" in warning for warning in told)


def test_what_columns_hide_is_proven(shop):
    assert prove(shop).warnings == []


@pytest.mark.engines("mariadb", "galera", "mysql")
def test_what_is_written_and_not_read_is_reported_as_not_proven(shop):
    access = (shop.root / "access.yaml").read_text()
    shop.write("access.yaml", access.replace("{select: [id, active]}", "{select: [id], update: [secret]}"))
    shop.migrate()
    proof = prove(shop)
    assert proof.findings == []
    assert len(proof.warnings) == 1
    assert (
        "report: that it cannot read columns that it may write in customer is not proven" in proof.warnings[0]
    )
