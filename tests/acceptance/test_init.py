"""`ringfence init` and the commands that it prints, to a service that answers; and the life of models after that."""

import http.client
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement

from servers.base import clean_environment
from servers.process import free_ports
from support import forked_commands
from support.repository import ROOT, blocks
from support.waiting import eventually

BIN = Path(sys.executable).parent
SERVICES = Path(__file__).parents[2] / "services"
_PATIENCE = 60


def environment(**more):
    env = clean_environment()
    return env | {"PATH": f"{BIN}{os.pathsep}{env['PATH']}", "PYTHONDONTWRITEBYTECODE": "1"} | more


def run(folder, *command, **more):
    return subprocess.run(
        command, cwd=folder, env=environment(**more), capture_output=True, text=True, check=False
    )


def ringfence(folder, *arguments, **more):
    return forked_commands.run(["ringfence", *map(str, arguments)], folder, environment(**more))


def done(folder, *arguments, **more):
    ran = ringfence(folder, *arguments, "--json", **more)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return json.loads(ran.stdout)


def ask(port, path, body=None):
    """The status, and the document of a good answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        document = None if body is None else json.dumps(body)
        connection.request("POST" if body else "GET", path, document, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if answer.status < 400 else None
    finally:
        connection.close()


def wait_for(port, process, log):
    def answer():
        assert process.poll() is None, log.read_text()
        return ask(port, "/readyz")

    return eventually(answer, explain=log.read_text)


@pytest.fixture
def shop(tmp_path):
    done(tmp_path, "init", "shop")
    return tmp_path / "shop"


def test_the_printed_commands_end_in_a_running_service(tmp_path):
    ran = ringfence(tmp_path, "init", "shop")
    assert ran.returncode == 0, ran.stderr
    commands = [line.strip() for line in ran.stdout.split("Next:")[1].splitlines() if line.strip()]
    [port] = free_ports(1)
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bash", "-ec", "\n".join([*commands[:-1], f"exec {commands[-1]}"])],
            cwd=tmp_path,
            env=environment(FLASK_RUN_PORT=str(port)),
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        status, report = wait_for(port, process, log)
        assert (status, report["ready"], report["service"]) == (200, True, "web")
        assert ask(port, "/notes") == (200, [])
        assert ask(port, "/notes", {"title": "first ☃"})[0] == 201
        assert ask(port, "/notes", {"title": "first ☃"})[0] == 409
        assert ask(port, "/notes", {"title": "x" * 201})[0] == 400
        assert ask(port, "/notes", {"name": "x"})[0] == 400
        status, notes = ask(port, "/notes")
        assert (status, [note["title"] for note in notes]) == (200, ["first ☃"])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_PATIENCE)


def test_what_is_laid_out_is_whole(shop):
    assert done(shop, "mirror", "--check")["mirrors"] == 1
    assert done(shop, "revision", "-m", "nothing")["revision"] is None
    env = {"DB_TYPE": "sqlite", "DB_NAME": "shop.sqlite"}
    done(shop, "bootstrap", **env)
    checked = forked_commands.run(["alembic", "check"], shop, environment(**env))
    assert checked.returncode == 0, checked.stderr
    compiled = subprocess.run(
        [sys.executable, "-W", "error", "-m", "compileall", "-q", "."], cwd=shop, check=False
    )
    assert compiled.returncode == 0


def test_a_change_of_the_models_becomes_a_revision_and_a_mirror(shop):
    env = {"DB_TYPE": "sqlite", "DB_NAME": "shop.sqlite"}
    done(shop, "bootstrap", **env)
    notes = shop / "shop_models" / "notes.py"
    notes.write_text(
        notes.read_text()
        + "    urgent: Mapped[bool] = mapped_column(default=False, server_default=sa.false())\n"
    )
    drift = ringfence(shop, "mirror", "--check")
    assert drift.returncode == 2
    assert "mirrors/web.json: stale" in drift.stderr
    assert "mirrors/web.pyi: stale" in drift.stderr
    assert "+    urgent: _ringfence.Field[bool, bool, NotesSet]" in drift.stderr
    assert '+        "urgent": {"type": "boolean"' in drift.stderr
    made = done(shop, "revision", "-m", "urgent notes")
    assert made["mirrors"] == ["web.json", "web.pyi"]
    assert made["path"].endswith("_urgent_notes.py")
    assert json.loads((shop / "mirrors" / "web.json").read_text())["revision"] == made["revision"]
    assert "server_default=sa.false()" in (shop / made["path"]).read_text()
    assert done(shop, "bootstrap", **env)["revision"] == made["revision"]
    assert done(shop, "mirror", "--check")["ok"] is True


def test_what_a_first_start_leaves_is_nothing_to_commit(shop):
    subprocess.run(["git", "init", "-q"], cwd=shop, check=True)
    before = subprocess.run(
        ["git", "status", "--porcelain"], cwd=shop, check=True, capture_output=True
    ).stdout
    done(shop, "bootstrap", DB_TYPE="sqlite", DB_NAME="shop.sqlite")
    assert (shop / "shop.sqlite.ringfence-lock").exists()
    after = subprocess.run(["git", "status", "--porcelain"], cwd=shop, check=True, capture_output=True).stdout
    assert after == before


def test_a_service_is_tested_as_the_guide_says(shop):
    guide = (ROOT / "docs/how-to/test-a-service.md").read_text()
    conftest, tests = blocks(guide)
    (shop / "tests").mkdir()
    (shop / "tests/conftest.py").write_text(conftest)
    (shop / "tests/test_notes.py").write_text(tests)
    ran = run(shop, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "tests")
    assert (ran.returncode, "1 passed" in ran.stdout) == (0, True), ran.stdout


def test_an_empty_revision_is_written_when_asked_for(shop):
    made = done(shop, "revision", "-m", "by hand", "--empty")
    assert "pass" in (shop / made["path"]).read_text()
    assert made["mirrors"] == []


def test_a_revision_for_servers_alone_asks_for_one(shop):
    toml = shop / "ringfence.toml"
    toml.write_text(toml.read_text().replace('"sqlite", ', ""))
    ran = ringfence(shop, "revision", "-m", "nothing")
    assert (ran.returncode, "DB_TYPE is not set" in ran.stderr) == (3, True)


def test_an_invalid_name_or_folder_is_refused(shop):
    parent = shop.parent
    assert ringfence(parent, "init", "shop").returncode == 3
    for name in ("Shop", "my shop", "../shop", "1shop", "shop-", "s" * 41):
        ran = ringfence(parent, "init", name)
        assert (ran.returncode, "is no name for a deployment" in ran.stderr) == (3, True)
    assert [path.name for path in parent.iterdir() if path.is_dir()] == ["shop"]


def test_other_engines_and_names_with_a_dash(tmp_path):
    made = done(tmp_path, "init", "two-words", "--engine", "galera", "--engine", "mysql")
    shop = tmp_path / "two-words"
    assert "two_words_models/__init__.py" in made["files"]
    assert 'engines = ["galera", "mysql"]' in (shop / "ringfence.toml").read_text()
    assert not (shop / ".env").exists()
    assert "DB_TYPE=mysql\n" in (shop / ".env.example").read_text()
    assert made["commands"][-2:] == [
        "ringfence migrate",
        "DB_USER=two-words-web DB_PASS_FILE=secrets/web_db_pass flask --app web run",
    ]
    readme = (shop / "README.md").read_text()
    assert "bootstrap" not in readme
    assert "@" not in readme
    assert all(f"    {command}\n" in readme for command in made["commands"][1:])
    assert done(shop, "mirror", "--check")["mirrors"] == 1


def test_requirements_ask_no_index_for_what_is_on_none(tmp_path):
    done(tmp_path, "init", "shop", "--engine", "mysql", "--engine", "sqlite")
    lines = (tmp_path / "shop" / "requirements.txt").read_text().splitlines()
    asked = [Requirement(line) for line in lines if not line.startswith("#")]
    assert [(one.name, one.url) for one in asked] == [("flask", None), ("pymysql", None)]
    given = [Requirement(line[2:]) for line in lines if line.startswith("# ringfence-")]
    assert [(one.name, sorted(one.extras)) for one in given] == [
        ("ringfence-schema", ["mysql"]),
        ("ringfence-runtime", ["flask", "mysql"]),
    ] * 2
    assert all(one.url for one in given)


def test_the_schema_that_the_manifest_names_exists_and_is_managed(shop):
    first, *_ = (shop / "access.yaml").read_text().splitlines()
    named = first.removeprefix("# yaml-language-server: $schema=")
    schema = json.loads((shop / named).read_text())
    assert done(shop, "access", "schema")["schema"] == schema
    assert ringfence(shop, "access", "schema").stdout == (shop / named).read_text()
    validator = jsonschema.Draft202012Validator(schema)
    validator.validate(yaml.safe_load((shop / "access.yaml").read_text()))
    assert not validator.is_valid({"version": 1, "acounts": {}})


def test_a_deployment_for_sqlite_alone_speaks_of_no_server(tmp_path):
    made = done(tmp_path, "init", "shop", "--engine", "sqlite")
    assert ".env.example" not in made["files"]
    assert "server" not in (tmp_path / "shop" / "README.md").read_text()
    assert 'engines = ["sqlite"]' in (tmp_path / "shop" / "ringfence.toml").read_text()


@pytest.mark.parametrize("name", ["alembic.ini", "migrations/env.py", "migrations/script.py.mako"])
def test_the_reference_deployment_is_laid_out_as_init_does_it(shop, name):
    assert (SERVICES / name).read_text() == (shop / name).read_text()


def test_mistakes_end_with_3_and_are_reported_as_lines_or_as_json(shop):
    manifest = shop / "access.yaml"
    manifest.write_text(manifest.read_text().replace("notes: rw", "note: rw\n      notes: rx"))
    plain = ringfence(shop, "mirror")
    assert plain.returncode == 3
    assert plain.stderr.splitlines() == [
        "access.yaml:8: there is no table 'note' in the models; did you mean 'notes'?",
        "access.yaml:9: 'rx' is not a verb; known are delete, insert, ro, rw, select, update",
    ]
    machine = ringfence(shop / "web", "--json", "mirror")
    told = json.loads(machine.stdout)
    assert (machine.returncode, told["ok"], told["error"]["kind"]) == (3, False, "BadDeployment")
    assert [(m["file"], m["line"]) for m in told["error"]["mistakes"]] == [
        ("access.yaml", 8),
        ("access.yaml", 9),
    ]


@pytest.mark.parametrize(
    "arguments", [["nothing"], ["mirror", "--nothing"], ["-C", "/nowhere/at/all", "mirror"], ["init"]]
)
def test_a_wrong_command_line_ends_with_3(tmp_path, arguments):
    ran = ringfence(tmp_path, *arguments, "--json")
    assert (ran.returncode, json.loads(ran.stdout)["error"]["kind"]) == (3, "Usage")


SERVED = """
import json
from ringfence.runtime import AccessDenied
from web import app, ringfence
client = app.test_client()
answers = {"ready": client.get("/readyz").status_code}
answers["made"] = client.post("/notes", json={"title": "a"}).status_code
answers["again"] = client.post("/notes", json={"title": "a"}).status_code
answers["titles"] = [note["title"] for note in client.get("/notes").json]
try:
    with ringfence.database.session() as dal:
        dal.executesql("CREATE TABLE mine (id INTEGER)")
except AccessDenied as error:
    answers["denied"] = type(error).__name__
print(json.dumps(answers))
"""


@pytest.mark.requires("accounts")
def test_the_same_deployment_runs_on_a_server_under_an_account_of_its_own(db, tmp_path):
    done(tmp_path, "init", "shop", "--engine", db.server.engine)
    shop = tmp_path / "shop"
    manifest = shop / "access.yaml"
    manifest.write_text(manifest.read_text().replace("login: shop-web", f"login: {db.prefix}web"))
    done(shop, "mirror")
    (shop / "secrets").mkdir(0o700)
    secret = shop / "secrets" / "web"
    secret.write_text("plainer horses carry more")
    migrated = done(shop, "migrate", WEB_DB_PASS_FILE=str(secret), **db.env())
    assert migrated["engine"] == db.server.engine
    assert migrated["accounts"] == 1
    service = db.env(f"{db.prefix}web", secret.read_text())
    served = run(shop, sys.executable, "-c", SERVED, **service)
    assert served.returncode == 0, served.stderr
    assert json.loads(served.stdout) == {
        "ready": 200,
        "made": 201,
        "again": 409,
        "titles": ["a"],
        "denied": "AccessDenied",
    }
