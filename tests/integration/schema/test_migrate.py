"""The commands around the job: what they print, and how they end."""

import json

import pytest

from support.deployments import lay_out

pytestmark = pytest.mark.newer


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    assert shop.run("ringfence", "mirror").returncode == 0
    return shop


def test_migrate_reports_as_text(shop):
    done = shop.run("ringfence", "migrate")
    assert done.returncode == 0, done.stderr
    assert "applied a1\napplied b2" in done.stdout
    assert "is at b2, with 3 accounts" in done.stdout
    again = shop.run("ringfence", "migrate")
    assert "nothing was changed" in again.stdout
    for service in ("till", "report", "door"):
        assert shop.password(service) not in done.stdout + done.stderr


def test_migrate_reports_as_json(shop):
    done = shop.run("ringfence", "migrate", "--json")
    document = json.loads(done.stdout)
    assert document["ok"] is True
    assert document["engine"] == shop.database.server.engine
    assert document["applied"] == ["a1", "b2"]


@pytest.mark.engines("postgresql")
def test_each_way_to_fail_has_its_exit_code(shop):
    def code(**more):
        done = shop.run("ringfence", "migrate", "--json", **more)
        assert json.loads(done.stdout)["ok"] is False
        return done.returncode

    assert code(DB_PASS="wrong") == 1
    assert code(TILL_DB_PASS="") == 3
    assert code(DB_TYPE="oracle") == 3
    assert code(DB_HOST="127.0.0.1", DB_PORT="1") == 4
    assert shop.run("ringfence", "migrate").returncode == 0
    shop.write("access.yaml", (shop.root / "access.yaml").read_text().replace("purchase: ro", "purchase: rw"))
    assert code() == 2
    assert shop.run("ringfence", "migrate", "--write-mirrors").returncode == 0
    shop.write(
        "access.yaml", (shop.root / "access.yaml").read_text().replace("purchase: rw", "purchases: rw")
    )
    assert code() == 3


@pytest.mark.engines("sqlite")
def test_bootstrap_brings_a_file_to_head_again_and_again(shop):
    first, again = (shop.run("ringfence", "bootstrap", "--json") for _ in range(2))
    assert (first.returncode, again.returncode) == (0, 0)
    assert json.loads(first.stdout)["applied"] == ["a1", "b2"]
    assert json.loads(again.stdout)["applied"] == []
    assert json.loads(shop.run("ringfence", "access", "verify", "--json").stdout)["holds"] is True


@pytest.mark.engines("sqlite")
def test_bootstrap_of_a_file_in_a_missing_folder_is_reported(shop):
    done = shop.run("ringfence", "bootstrap", DB_NAME="no/such/folder/x.db")
    assert done.returncode == 1
    assert "there is no folder no/such/folder" in done.stderr


@pytest.mark.engines("postgresql")
def test_bootstrap_is_for_files_alone(shop):
    done = shop.run("ringfence", "bootstrap")
    assert done.returncode == 3
    assert "ringfence migrate" in done.stderr


@pytest.mark.engines("postgresql")
def test_generated_secrets_are_what_the_job_takes(shop):
    made = shop.run("ringfence", "secrets", "generate", "secrets")
    assert made.returncode == 0, made.stderr
    lines = dict(line.removeprefix("export ").split("=") for line in made.stdout.splitlines())
    assert set(lines) == {"TILL_DB_PASS_FILE", "REPORT_DB_PASS_FILE", "DOOR_DB_PASS_FILE"}
    files = list((shop.root / "secrets").iterdir())
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)
    empty = {name.removesuffix("_FILE"): "" for name in lines}
    assert shop.run("ringfence", "migrate", **lines, **empty).returncode == 0
    assert shop.run("ringfence", "access", "verify", **lines, **empty).returncode == 0
    document = json.loads(shop.run("ringfence", "secrets", "generate", "secrets", "--json").stdout)
    assert [file["new"] for file in document["files"]] == [False] * 3
    for file in files:
        assert file.read_text().strip() not in json.dumps(document) + made.stdout
