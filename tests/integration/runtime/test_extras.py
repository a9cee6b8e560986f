"""Flask, gunicorn, Prometheus and Quart together with the runtime: what its wheel alone does not bring."""

import asyncio
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import quart
from flask import Flask

from ringfence.runtime import Database, Settings, UniqueViolation, UsageError
from ringfence.runtime.aio import AsyncDatabase
from ringfence.runtime.flask import Ringfence
from servers.base import Database as FreshDatabase
from servers.base import clean_environment
from servers.process import free_ports
from support.runtime_shop import mirror, mirror_file
from support.waiting import eventually

TESTS = Path(__file__).parents[2]


_APPLICATION = """
import os, sys
sys.path.insert(0, {tests!r})
from flask import Flask
from ringfence.runtime.flask import Ringfence

app = Flask(__name__)
ringfence = Ringfence(app, mirror={mirror!r})
with ringfence.database.session() as dal:  # used before the fork, as --preload makes happen
    dal.item.insert(name="preloaded", amount=0)

@app.get("/add/<name>")
def add(name):
    ringfence.dal.item.insert(name=name, amount=os.getpid())
    return str(os.getpid())
"""


def listens(port: int, process: "subprocess.Popen[str]") -> bool:
    """Whether the server accepts connections; raises OSError until then, and fails when its process has ended."""
    assert process.poll() is None, process.communicate()[1]
    with socket.create_connection(("127.0.0.1", port), timeout=10):
        return True


@pytest.mark.slow
def test_gunicorn_with_preload(shop_db: FreshDatabase, tmp_path: Path) -> None:
    (tmp_path / "shop_app.py").write_text(
        _APPLICATION.format(tests=str(TESTS), mirror=str(mirror_file(tmp_path)))
    )
    (port,) = free_ports(1)
    command = [
        sys.executable, "-m", "gunicorn", "--preload", "-w", "3", "-b", f"127.0.0.1:{port}", "--chdir", tmp_path,
        "--no-control-socket", "shop_app:app",
    ]  # fmt: skip
    gunicorn = subprocess.Popen(
        command,
        env=clean_environment() | shop_db.env(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        eventually(lambda: listens(port, gunicorn))
        workers = set()
        for count in range(40):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/add/n{count}", timeout=10) as answer:
                workers.add(answer.read())
        assert workers
    finally:
        gunicorn.terminate()
        gunicorn.communicate(timeout=60)
    assert shop_db.execute("SELECT count(*) FROM item") == [(41,)]


def test_an_async_view_is_referred_to_async_database(shop: Database) -> None:
    app = Flask(__name__)
    ringfence = Ringfence(app, database=shop)

    @app.errorhandler(UsageError)
    def told(error: Exception) -> tuple[str, int]:
        return str(error), 500

    @app.get("/")
    async def view() -> str:
        ringfence.dal.item.insert(name="tea", amount=1)
        return "never"

    assert "AsyncDatabase" in app.test_client().get("/").text
    assert shop.pool.stats().opened == 0


def test_metrics(shop: Database) -> None:
    app = Flask(__name__)
    ringfence = Ringfence(app, database=shop)
    app.get("/")(lambda: str(ringfence.dal(ringfence.dal.item).count()))
    client = app.test_client()
    client.get("/")
    page = client.get("/metrics")
    assert page.content_type.startswith("text/plain")
    assert 'ringfence_pool_connections{service="till",state="idle"} 1.0' in page.text
    assert 'ringfence_pool_opened_total{service="till"}' in page.text
    without = Flask("without")
    Ringfence(without, database=shop, metrics=False)
    assert without.test_client().get("/metrics").status_code == 404


_COUNTING = """
import os
from flask import Flask
from ringfence.runtime.flask import Ringfence

app = Flask(__name__)
ringfence = Ringfence(app, mirror={mirror!r})

@app.get("/")
def view():
    ringfence.dal(ringfence.dal.item).count()
    return str(os.getpid())
"""


@pytest.mark.slow
@pytest.mark.engines("sqlite")
def test_metrics_of_several_workers(shop_db: FreshDatabase, tmp_path: Path) -> None:
    (tmp_path / "shop_app.py").write_text(_COUNTING.format(mirror=str(mirror_file(tmp_path))))
    shared = tmp_path / "metrics"
    shared.mkdir()
    (port,) = free_ports(1)
    command = [
        sys.executable, "-m", "gunicorn", "-w", "2", "-b", f"127.0.0.1:{port}", "--chdir", tmp_path,
        "--no-control-socket", "shop_app:app",
    ]  # fmt: skip
    env = clean_environment() | shop_db.env() | {"PROMETHEUS_MULTIPROC_DIR": str(shared)}
    gunicorn = subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )

    def get(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    try:
        workers: set[str] = set()
        eventually(lambda: listens(port, gunicorn))
        eventually(lambda: workers.add(get("/")) or len(workers) == 2)
        page = get("/metrics")
    finally:
        gunicorn.terminate()
        gunicorn.communicate(timeout=60)
    assert 'ringfence_pool_size{service="till"} 20.0' in page  # both workers' together
    assert 'ringfence_pool_opened_total{service="till"} 2.0' in page


def test_under_quart(shop_db: FreshDatabase) -> None:
    async def main() -> None:
        async with AsyncDatabase(Settings.from_env(shop_db.env()), mirror()) as shop:
            app = quart.Quart(__name__)

            @app.post("/items/<name>")
            async def add(name: str) -> tuple[str, int]:
                try:
                    await shop.run(lambda dal: dal.item.insert(name=name, amount=1))
                except UniqueViolation:
                    return "there is one", 409
                return "", 201

            client = app.test_client()
            answers = await asyncio.gather(*(client.post(f"/items/{number % 20}") for number in range(40)))
            assert sorted(answer.status_code for answer in answers) == [201] * 20 + [409] * 20

    asyncio.run(main())
    assert shop_db.execute("SELECT count(*) FROM item") == [(20,)]
