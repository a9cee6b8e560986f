"""The services as gunicorn runs them: they wait for their database, serve, and end."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo.client import Client
from demo.processes import GUNICORN, MIGRATE
from servers.base import clean_environment
from servers.process import free_ports
from support.waiting import eventually

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent


def environment(file: Path, **also: str) -> dict[str, str]:
    env = clean_environment() | {"DB_TYPE": "sqlite", "DB_NAME": str(file), "PYTHONPATH": "services"} | also
    return env | {"PATH": f"{PROGRAMS}{os.pathsep}{env['PATH']}"}


def migrate(file: Path) -> None:
    subprocess.run(
        [*MIGRATE, "--json"], cwd=ROOT, env=environment(file), check=True, stdout=subprocess.DEVNULL
    )


class Running:
    """A service that was started, and where it will answer."""

    def __init__(self, process: "subprocess.Popen[str]", port: int, log: Path) -> None:
        self.process = process
        self.client = Client(f"http://127.0.0.1:{port}")
        self.log = log

    def answers(self) -> bool:
        try:
            return self.client.get("/readyz").status == 200
        except OSError:
            return False

    def wait(self, what: str) -> None:
        """Wait until its log holds something."""
        eventually(lambda: what in self.log.read_text(), explain=self.log.read_text)


@contextmanager
def service(package: str, env: dict[str, str], folder: Path) -> Iterator[Running]:
    [port] = free_ports(1)
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*GUNICORN, f"{package}.wsgi:app"],
            cwd=ROOT,
            env=env | {"WEB_BIND": f"127.0.0.1:{port}"},
            stdout=output,
            stderr=output,
            text=True,
            start_new_session=True,
        )
    try:
        yield Running(process, port, log)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_a_service_waits_for_the_migration_and_opens_its_port_then(tmp_path):
    file = tmp_path / "late.sqlite"
    file.touch()
    with service("backend_api", environment(file, DB_RETRY_DELAY="0.2"), tmp_path) as running:
        running.wait("not ready (attempt 2)")
        assert not running.answers()
        migrate(file)
        running.wait("Listening at")
        running.wait("Booting worker")
        assert running.client.get("/users").body == {"items": [], "next": None}
        running.process.terminate()
        assert running.process.wait(30) == 0


def test_a_service_that_waits_in_vain_ends_with_the_reason(tmp_path):
    file = tmp_path / "empty.sqlite"
    file.touch()
    with service("analytics", environment(file, DB_READY_TIMEOUT="0.5"), tmp_path) as running:
        assert running.process.wait(30) == 4
        said = running.log.read_text()
    assert "analytics does not start: analytics is not ready: migrated:" in said
    assert "Traceback" not in said


def test_a_service_without_settings_says_which_are_missing(tmp_path):
    env = environment(tmp_path / "x")
    del env["DB_TYPE"], env["DB_NAME"]
    with service("analytics", env, tmp_path) as running:
        assert running.process.wait(30) == 3
        said = running.log.read_text()
    assert "DB_TYPE is not set" in said
    assert "DB_NAME is not set" in said
    assert "Traceback" not in said


def test_a_number_that_is_none_is_named(tmp_path):
    with service("analytics", environment(tmp_path / "x", DB_WORKERS="many"), tmp_path) as running:
        assert running.process.wait(30) == 3
        assert running.log.read_text() == "DB_WORKERS is not a positive integer\n"


def test_a_service_that_waits_can_be_ended(tmp_path):
    file = tmp_path / "empty.sqlite"
    file.touch()
    with service("analytics", environment(file), tmp_path) as running:
        running.wait("not ready (attempt 1)")
        running.process.terminate()
        assert running.process.wait(5) == -signal.SIGTERM


def test_several_processes_of_several_threads_write_and_lose_nothing(tmp_path):
    file = tmp_path / "busy.sqlite"
    migrate(file)
    with service("backend_api", environment(file, DB_WORKERS="2", WEB_THREADS="4"), tmp_path) as running:
        eventually(running.answers, explain=running.log.read_text)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda n: running.client.post("/events", {"kind": f"k{n}"}), range(200)))
        assert {answer.status for answer in answers} == {201}
        listed = running.client.get("/events?limit=200").body["items"]
        assert {event["kind"] for event in listed} == {f"k{n}" for n in range(200)}
        running.process.terminate()
        assert running.process.wait(30) == 0


@pytest.mark.engines("postgresql")
def test_a_service_answers_again_by_itself_after_its_server_was_away(own_server, tmp_path):
    server = own_server("postgresql")
    with server.database() as database:
        secrets = tmp_path / "secrets"
        program = [PROGRAMS / "ringfence", "-C", "services"]
        env = clean_environment() | database.env()
        subprocess.run([*program, "secrets", "generate", secrets], cwd=ROOT, check=True, capture_output=True)
        env |= {f"{path.name.upper()}_FILE": str(path) for path in secrets.iterdir()}
        subprocess.run([*program, "migrate"], cwd=ROOT, env=env, check=True, capture_output=True)
        mine = environment(tmp_path) | database.env(
            "backend-api", (secrets / "backend_api_db_pass").read_text().strip()
        )
        with service("backend_api", mine, tmp_path) as running:
            running.wait("Booting worker")
            assert running.client.get("/users").status == 200
            server.processes[0].stop()
            assert [running.client.get("/users").status for _ in range(3)] == [503] * 3
            assert running.client.get("/livez").status == 200
            server.processes[0].start()
            server.processes[0].wait_until(lambda: database.connect().close())
            eventually(lambda: running.client.get("/users").status == 200)
            assert running.client.post("/events", {"kind": "after"}).status == 201
