"""scripts/demo.sh: it shows what it says, on every engine, and leaves nothing behind."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

from demo.client import Client
from servers.base import Database, Server, clean_environment

ROOT = Path(__file__).parents[2]
SERVICES = ("backend-api", "analytics", "twitch-trigger", "discord-trigger")
REFUSED = {
    ("analytics", "select", "auth_user"),
    ("analytics", "delete", "events"),
    ("backend-api", "create", "loot"),
    ("backend-api", "select", "songs"),
    ("twitch-trigger", "select", "platform_integrations"),
    ("discord-trigger", "delete", "platform_integrations"),
}

LEFT = {
    "postgresql": "SELECT count(*) FROM pg_roles WHERE rolname IN ('backend-api', 'analytics')",
    "mysql": "SELECT count(*) FROM mysql.user WHERE user IN ('backend-api', 'analytics')",
}


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for all that the demonstration makes, with a path short enough for sockets; empty at the end."""
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)
        assert list(Path(folder).iterdir()) == []


def environment(temporary: Path, **also: str) -> dict[str, str]:
    return clean_environment() | {"TMPDIR": str(temporary), "RINGFENCE_VENV": sys.prefix} | also


def demo(*arguments: str, env: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    command = [ROOT / "scripts/demo.sh", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def answers(url: str) -> bool:
    try:
        return Client(url).get("/livez").status == 200
    except OSError:
        return False


def seen(done: "subprocess.CompletedProcess[str]", engine: str) -> None:
    """The document of a run that succeeded holds what it should, and nothing runs any more."""
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    accounts = yaml.safe_load((ROOT / "services/access.yaml").read_text())["accounts"]
    assert document["engine"] == engine
    assert re.search(r"\d+\.\d+", document["server"])
    assert re.fullmatch(r"[0-9a-f]{12}", document["revision"])
    assert document["accounts"] == len(accounts)
    assert document["seconds"] > 0
    assert set(document["services"]) == set(SERVICES)
    for service in document["services"].values():
        assert service["ready"] is True
        assert service["requests"] > 5
        assert not answers(service["url"])
    for refusal in document["refused"]:
        assert set(refusal) == {"service", "verb", "table", "error"}
        assert "not allowed" in refusal["error"]
    assert {(each["service"], each["verb"], each["table"]) for each in document["refused"]} >= REFUSED
    assert "Every line above was checked" in done.stderr


@contextmanager
def address(database: Database) -> Iterator[str]:
    """The database's DATABASE_URL; whatever happens, no account of the demonstration is left afterwards."""
    server = database.server
    login = f"{quote(server.admin_user)}:{quote(server.admin_password, safe='')}"
    hosts = ",".join(f"{host}:{port}" for host, port in server.hosts)
    try:
        yield f"{server.db_type}://{login}@{hosts}/{database.name}"
    finally:
        for account in yaml.safe_load((ROOT / "services/access.yaml").read_text())["accounts"]:
            database.operations.drop(server, database.name, account)


def test_it_needs_nothing_and_leaves_nothing(temporary):
    seen(demo("--json", env=environment(temporary)), "sqlite")


@pytest.mark.engines("postgresql")
def test_it_starts_a_private_server_and_stops_it(server: Server, temporary):
    if not server.processes:
        pytest.skip("this server is given by URL: there may be none to start here")
    seen(demo("--engine", "postgresql", "--json", env=environment(temporary)), "postgresql")


@pytest.mark.requires("networked")
def test_it_takes_the_database_of_a_url_and_leaves_neither_tables_nor_accounts(server: Server, temporary):
    with server.database() as database, address(database) as url:
        env = environment(temporary, DATABASE_URL=url)
        done = demo("--engine", server.engine, "--json", env=env)
        seen(done, server.engine)
        assert "auth_user" not in {table for table, *_ in database.fingerprint()[0]}
        assert database.execute(LEFT[server.db_type]) == [(0,)]
        assert "are dropped again, and 7 accounts" in done.stderr
        told = done.stdout + done.stderr
        assert f":{server.admin_password}@" not in told
        # A server given by URL may have a word of the story for its password.
        assert server.admin_password in {"", "admin"} or server.admin_password not in told


def test_a_person_sees_plain_lines_where_there_is_no_terminal(temporary):
    done = demo(env=environment(temporary))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\x1b" not in done.stdout
    assert "✓ a new user is created: 201" in done.stdout
    assert "✗ analytics · read the users' passwords  refused:" in done.stdout


def test_a_database_that_is_not_empty_is_left_alone(temporary, tmp_path):
    file = tmp_path / "mine.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE mine (id INTEGER)")
    connection.close()
    done = demo(env=environment(temporary, DATABASE_URL=f"sqlite:///{file}"))
    assert done.returncode == 4
    assert "is not empty (mine" in done.stdout
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("mine",)]
    connection.close()


def test_another_engine_than_that_of_the_url_is_refused(temporary, tmp_path):
    env = environment(temporary, DATABASE_URL=f"sqlite:///{tmp_path}/new.sqlite")
    done = demo("--engine", "postgresql", env=env)
    assert done.returncode == 4
    assert "postgresql was requested" in done.stdout


@pytest.mark.parametrize("arguments", [["--engine", "oracle"], ["--engine"], ["--loud"], ["sqlite"]])
def test_a_wrong_command_line_is_refused(temporary, arguments):
    done = demo(*arguments, env=environment(temporary))
    assert (done.returncode, done.stdout) == (3, "")
    assert "usage: scripts/demo.sh" in done.stderr


def test_the_services_are_served_until_the_interrupt(temporary):
    with started("--serve", env=environment(temporary)) as process:
        urls = dict(
            re.findall(r"^([a-z-]+) +(http://\S+)$", until(process, "Ctrl-C stops them."), re.MULTILINE)
        )
        assert set(urls) == set(SERVICES)
        assert all(answers(url) for url in urls.values())
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        for url in urls.values():
            assert not answers(url)


@pytest.mark.parametrize("moment", ["Migration, under the admin account", "backend-api answers over HTTP"])
def test_one_that_is_ended_half_way_cleans_up(temporary, moment):
    with started(env=environment(temporary)) as process:
        until(process, moment)
        time.sleep(0.2)
        process.terminate()
        assert process.wait(60) == 130


@contextmanager
def started(*arguments: str, env: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [ROOT / "scripts/demo.sh", *arguments],
        env=env | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def until(process: "subprocess.Popen[str]", text: str) -> str:
    """What it said up to and with a line that holds the text."""
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if text in line:
            return said
    raise AssertionError(f"it ended with {process.wait()} before {text!r}:\n{said}")
