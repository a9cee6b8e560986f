"""What only looks makes no database file, says that there is none, and leaves one that is there as it is."""

import hashlib
import json
import sqlite3
from pathlib import Path

import pytest

from ringfence.schema.job.plan import plan_job
from servers.base import Server
from support.deployments import lay_out

READING = (
    ["ringfence", "access", "plan"],
    ["ringfence", "access", "apply"],
    ["ringfence", "access", "verify"],
    ["ringfence", "reflect"],
    ["alembic", "current"],
    ["alembic", "check"],
)


@pytest.fixture
def shop(tmp_path):
    with Server("sqlite").database() as database:
        shop = lay_out(tmp_path, database)
        assert shop.run("ringfence", "mirror").returncode == 0
        yield shop


def file_of(shop):
    return Path(shop.database.name)


def inside(shop):
    """What is in the folder of the database, and what each file holds."""
    files = file_of(shop).parent.iterdir()
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_reading_commands_create_no_file_and_report_that_it_is_absent(shop):
    for command in READING:
        ran = shop.run(*command)
        assert ran.returncode == (4 if command[0] == "ringfence" else 1), command
        assert f"there is no database file {file_of(shop)}: `ringfence bootstrap` makes it" in ran.stderr
        assert inside(shop) == {}, command
    assert not (shop.root / "reflected.py").exists()
    assert json.loads(shop.run("ringfence", "reflect", "--json").stdout)["error"]["kind"] == "Unavailable"


def test_a_revision_is_compared_with_a_scratch_file_until_there_is_one(shop):
    models = (shop.root / "shop_models.py").read_text()
    shop.write("shop_models.py", models.replace("    amount: Mapped[int]", "    amount: Mapped[int | None]"))
    made = json.loads(shop.run("ringfence", "revision", "-m", "more", "--json").stdout)
    assert "amount" in (shop.root / made["path"]).read_text()
    assert inside(shop) == {}


def test_a_plan_of_a_missing_file_equals_that_of_an_empty_one(shop):
    ran = shop.run("ringfence", "plan", "--json")
    plan = json.loads(ran.stdout)["error"]["plan"]
    assert (ran.returncode, inside(shop)) == (2, {})
    assert plan["server"] == f"sqlite:{file_of(shop)}"
    assert (plan["at"], [one["revision"] for one in plan["revisions"]]) == ([], ["a1", "b2"])
    assert any("CREATE TABLE purchase" in one["sql"] for one in plan["statements"])
    [warning] = plan["warnings"]
    assert warning == f"there is no database file {file_of(shop)} yet: `ringfence bootstrap` makes it"
    said = []
    plan_job(shop.load(), shop.env(), on_message=said.append)
    assert said[0] == f"reaching sqlite:{file_of(shop)}"
    assert not [text for text in said if "scratch" in text]
    gone = shop.run("ringfence", "plan", DB_NAME=str(file_of(shop).parent / "gone" / "x.sqlite"))
    assert (gone.returncode, inside(shop)) == (1, {})
    assert "gone is no folder in which the admin may make x.sqlite: make it" in gone.stderr
    folder = shop.run("ringfence", "plan", DB_NAME=str(file_of(shop).parent))
    assert "is no file: name another in DB_NAME" in folder.stderr
    toml = (shop.root / "ringfence.toml").read_text()
    shop.write("ringfence.toml", toml.replace(', "sqlite"', ""))
    other = shop.run("ringfence", "plan")
    assert other.stderr.startswith(f"sqlite:{file_of(shop)} is sqlite (")
    assert "add 'sqlite' to its engines" in other.stderr
    shop.write("ringfence.toml", toml)
    assert shop.run("ringfence", "bootstrap").returncode == 0
    assert shop.run("ringfence", "plan").returncode == 0


def test_a_file_that_is_no_database_is_named(shop):
    file_of(shop).write_text("a text, and no database")
    before = inside(shop)
    for command in (*READING, ["ringfence", "plan"], ["ringfence", "bootstrap"]):
        ran = shop.run(*command)
        assert f"{file_of(shop)}: file is not a database" in ran.stderr, (command, ran.stderr)
        assert inside(shop) == before, command


def test_what_looks_leaves_the_mode_of_the_journal(shop):
    connection = sqlite3.connect(file_of(shop))
    connection.execute("CREATE TABLE legacy (id INTEGER PRIMARY KEY)")
    connection.commit()
    connection.close()
    before = inside(shop)
    for command in (["plan"], ["access", "plan"], ["reflect"]):
        shop.run("ringfence", *command)
        assert inside(shop) == before, command
    assert "reflected.py" in {file.name for file in shop.root.iterdir()}
