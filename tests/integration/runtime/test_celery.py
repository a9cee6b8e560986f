"""The page about Celery: its code, with as much of Celery's names as it uses, on a database."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from ringfence.runtime import CommitUnknown, Conflict, Database, RingfenceError, Settings, Unavailable
from servers.base import Database as FreshDatabase
from support import runtime_shop
from support.repository import ROOT, blocks

pytestmark = pytest.mark.engines("sqlite")


class Retry(Exception):
    """As Celery's: the task is sent again."""


class Task:
    """What `@app.task(bind=True)` makes of a function; called in this process."""

    def __init__(self, work: Callable[..., Any]) -> None:
        self._work = work
        self.request = SimpleNamespace(retries=0)

    def __call__(self, *arguments: Any) -> Any:
        return self._work(self, *arguments)

    def retry(self, exc: BaseException, countdown: float) -> Retry:
        raise Retry(type(exc).__name__, countdown)


class Celery:
    """The application."""

    def __init__(self, name: str, broker: str) -> None:
        self.conf: dict[str, Any] = {}

    def task(self, *, bind: bool, max_retries: int) -> Callable[[Callable[..., Any]], Task]:
        return Task


@pytest.fixture
def page(shop_db: FreshDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What the page's code defines, in a process of a worker that has begun."""
    begun: list[Callable[[], None]] = []
    ending: list[Callable[[], None]] = []
    names = {"worker_process_init": begun, "worker_process_shutdown": ending}
    signals = ModuleType("celery.signals")
    for name, called in names.items():
        setattr(signals, name, SimpleNamespace(connect=called.append))
    celery = ModuleType("celery")
    celery.Celery = Celery  # type: ignore[attr-defined]  # a module made here
    monkeypatch.setitem(sys.modules, "celery", celery)
    monkeypatch.setitem(sys.modules, "celery.signals", signals)
    (tmp_path / "mirrors").mkdir()
    runtime_shop.mirror_file(tmp_path / "mirrors")
    monkeypatch.chdir(tmp_path)
    for name, value in ({"DB_MAX_RETRIES": "0", "DB_READY_TIMEOUT": "1"} | shop_db.env()).items():
        monkeypatch.setenv(name, value)
    text = (ROOT / "docs/how-to/celery.md").read_text()
    code = "\n".join(blocks(text))
    defined: dict[str, Any] = {}
    exec(compile(code, "celery.md", "exec"), defined)  # noqa: S102  # our own page
    for each in begun:
        each()
    yield defined
    for each in ending:
        each()
    assert defined["db"].pool.stats().open == 0


def test_the_page_sells_once_however_often_the_message_comes(
    page: dict[str, Any], shop_db: FreshDatabase
) -> None:
    shop_db.execute("INSERT INTO item (id, name, amount) VALUES (1, 'tea', 5)")
    assert [page["sell"](1, "sale 7"), page["sell"](1, "sale 7"), page["sell"](1, "sale 8")] == [
        "sold",
        "sold before",
        "sold",
    ]
    assert shop_db.execute("SELECT amount FROM item") == [(3,)]


@pytest.mark.parametrize(
    ("error", "retried"),
    [(Conflict("lost"), True), (Unavailable("away"), True), (CommitUnknown("cut"), False)],
)
def test_the_page_repeats_what_was_not_stored(
    page: dict[str, Any], monkeypatch: pytest.MonkeyPatch, error: RingfenceError, retried: bool
) -> None:
    def fail(*_: Any, **options: Any) -> None:
        assert options == {"timeout": 20}
        raise error

    monkeypatch.setattr(Database, "run", fail)
    page["sell"].request.retries = 3
    with pytest.raises(Retry if retried else type(error)) as raised:
        page["sell"](1, "sale")
    assert not retried or raised.value.args == (type(error).__name__, 8)
    default = Settings.from_env({"DB_TYPE": "sqlite", "DB_NAME": "shop"}).ready_timeout
    assert page["app"].conf["worker_proc_alive_timeout"] > default  # or Celery kills a child that waits
