"""Flask: one session per request, committed before the first byte, where error handlers still see what goes wrong."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, Response, stream_with_context

from ringfence.runtime import (
    AccessDenied,
    ArgumentError,
    CommitUnknown,
    Conflict,
    Database,
    IntegrityError,
    InterfaceError,
    PoolOptions,
    RingfenceError,
    UsageError,
)
from ringfence.runtime.flask import Ringfence
from servers.base import Database as FreshDatabase
from support import runtime_shop
from support.runtime_shop import kill_connections, opened

pytestmark = pytest.mark.runtime_only


class Web:
    """An application on the shop, with the error handlers a service would have."""

    def __init__(self, shop: Database) -> None:
        self.app = Flask(__name__)
        self.ringfence = Ringfence(self.app, database=shop)
        self.shop = shop
        self.handled: list[Exception] = []
        self.hooks = 0

        @self.app.errorhandler(IntegrityError)
        @self.app.errorhandler(Conflict)
        def conflict(error: Exception) -> tuple[str, int]:
            self.handled.append(error)
            return "conflict", 409

        @self.app.errorhandler(RingfenceError)
        def unavailable(error: Exception) -> tuple[str, int]:
            self.handled.append(error)
            return "unavailable", 503

        @self.app.after_request
        def count(response: Response) -> Response:
            self.hooks += 1
            return response

    @property
    def dal(self) -> Any:
        return self.ringfence.dal

    def add(self, name: str = "tea") -> None:
        self.dal.item.insert(name=name, amount=1)

    def get(self, path: str = "/") -> Any:
        answer = self.app.test_client().get(path, buffered=True)
        assert self.shop.pool.stats().in_use == 0
        return answer


@pytest.fixture
def web(shop: Database) -> Web:
    return Web(shop)


def _names(database: FreshDatabase) -> list[str]:
    return [name for (name,) in database.execute("SELECT name FROM item ORDER BY name")]


def test_a_request_is_one_transaction(web: Web, shop_db: FreshDatabase) -> None:
    @web.app.before_request
    def before() -> None:
        web.add("before")

    @web.app.get("/")
    def view() -> str:
        web.add("view")
        return str(web.dal(web.dal.item).count())

    assert web.get().text == "2"
    assert _names(shop_db) == ["before", "view"]
    assert web.shop.pool.stats().opened == 1


def test_a_request_that_asks_for_nothing_takes_no_connection(web: Web) -> None:
    web.app.get("/")(lambda: "hello")
    assert web.get().text == "hello"
    assert web.shop.pool.stats().opened == 0


def test_it_is_committed_before_the_first_byte(web: Web, shop_db: FreshDatabase) -> None:
    @web.app.get("/")
    def view() -> Response:
        web.add()
        return Response(iter([",".join(_names(shop_db)), ",".join(_names(shop_db))]))

    @web.app.get("/stream")
    def stream() -> Response:
        web.add("milk")

        def body() -> Iterator[str]:
            yield ",".join(_names(shop_db))

        return Response(body())

    assert web.get().status_code == 200
    assert web.get("/stream").text == "milk,tea"


@pytest.mark.parametrize("how", ["raise", "return", "abort", "before", "http"])
def test_it_is_rolled_back_on_errors_and_from_400_on(web: Web, shop_db: FreshDatabase, how: str) -> None:
    from flask import abort

    @web.app.before_request
    def before() -> tuple[str, int] | None:
        if how == "before":
            web.add()
            return "no", 403
        return None

    @web.app.get("/")
    def view() -> Any:
        web.add()
        if how == "raise":
            raise ZeroDivisionError
        if how == "abort":
            abort(404)
        if how == "http":
            return Response("gone", 410)
        return "bad", 400

    web.app.testing = False
    assert web.get().status_code in {400, 403, 404, 410, 500}
    assert _names(shop_db) == []


def test_redirects_and_the_like_are_committed(web: Web, shop_db: FreshDatabase) -> None:
    @web.app.get("/")
    def view() -> tuple[str, int]:
        web.add()
        return "", 303

    assert web.get().status_code == 303
    assert _names(shop_db) == ["tea"]


def test_a_constraint_in_the_view_is_the_applications_409(web: Web, shop_db: FreshDatabase) -> None:
    @web.app.get("/")
    def view() -> str:
        web.add()
        web.add()
        return "never"

    assert web.get().status_code == 409
    assert isinstance(web.handled[0], IntegrityError)
    assert web.hooks == 1
    assert _names(shop_db) == []


@pytest.mark.engines("postgresql")
def test_a_commit_that_fails_is_the_applications_409_and_not_a_500(web: Web, shop_db: FreshDatabase) -> None:
    shop_db.execute("ALTER TABLE part DROP CONSTRAINT fk_part_item")
    shop_db.execute(
        "ALTER TABLE part ADD CONSTRAINT fk_part_item FOREIGN KEY (item_id) REFERENCES item (id)"
        " ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED"
    )

    @web.app.get("/")
    def view() -> str:
        web.dal.part.insert(item_id=4711, label="lost")
        return "never seen"

    answer = web.get()
    assert (answer.status_code, answer.text) == (409, "conflict")
    assert isinstance(web.handled[0], IntegrityError)
    assert web.handled[0].constraint == "fk_part_item"
    assert web.hooks == 1


@pytest.mark.requires("networked")
def test_a_connection_lost_at_commit_is_the_applications_503(web: Web, shop_db: FreshDatabase) -> None:
    @web.app.get("/")
    def view() -> str:
        web.add()
        kill_connections(shop_db)
        return "never seen"

    assert web.get().status_code == 503
    assert isinstance(web.handled[0], CommitUnknown)
    assert web.hooks == 1


def test_after_the_commit_dal_only_reads(web: Web, shop_db: FreshDatabase) -> None:
    written: list[Exception] = []

    @web.app.get("/")
    def view() -> Response:
        web.add()

        def body() -> Iterator[str]:
            for row in web.dal(web.dal.item).select():
                yield row.name
            try:
                web.add("too late")
            except UsageError as error:
                written.append(error)

        return Response(stream_with_context(body()))

    assert web.get().text == "tea"
    assert len(written) == 1
    assert _names(shop_db) == ["tea"]


def test_an_error_handler_may_read_and_not_write(web: Web, shop_db: FreshDatabase) -> None:
    @web.app.errorhandler(ZeroDivisionError)
    def handler(error: Exception) -> tuple[str, int]:
        with pytest.raises(InterfaceError, match="read-only"):
            web.add("in the handler")
        return "handled", 500

    @web.app.get("/")
    def view() -> str:
        web.add()
        raise ZeroDivisionError

    assert web.get().text == "handled"
    assert _names(shop_db) == []


def test_outside_a_request_is_a_misuse(web: Web) -> None:
    with pytest.raises(InterfaceError, match=r"ringfence\.database\.session"):
        _ = web.dal


def test_requests_at_once_do_not_mix(shop_db: FreshDatabase) -> None:
    with opened(shop_db.env(), PoolOptions(size=5)) as shop:
        web = Web(shop)

        @web.app.get("/<int:number>")
        def view(number: int) -> tuple[str, int]:
            web.add(f"item {number}")
            return "", 200 if number % 2 else 400

        def work(number: int) -> int:
            return int(web.app.test_client().get(f"/{number}").status_code)

        assert runtime_shop.in_threads(30, work) == [400, 200] * 15
    assert len(_names(shop_db)) == 15


def test_health(web: Web, shop_db: FreshDatabase) -> None:
    @web.app.before_request
    def before() -> None:
        web.dal(web.dal.item).count()  # a session of the request's own, which /readyz leaves alone

    assert web.get("/livez").json == {"live": True}
    ready = web.get("/readyz")
    as_admin = bool(shop_db.server.hosts)  # who may alter the schema, and is no service's account
    assert ready.status_code == (503 if as_admin else 200)
    assert ready.json["state"] == ("can-alter" if as_admin else "ready")
    shop_db.execute("DELETE FROM ringfence_release")
    assert web.get("/readyz").json["state"] == "behind"


def test_health_stands_where_it_is_asked_to_or_nowhere(shop: Database) -> None:
    moved, without = Flask("moved"), Flask("without")
    Ringfence(moved, database=shop, health="/health")
    Ringfence(without, database=shop, health=None)
    assert moved.test_client().get("/health/livez").status_code == 200
    assert without.test_client().get("/livez").status_code == 404
    with pytest.raises(ArgumentError, match="either"):
        Ringfence(Flask("neither"))


@pytest.mark.requires("networked")
def test_what_the_account_may_not_do_reaches_the_application(shop_db: FreshDatabase) -> None:
    login = runtime_shop.make_account(shop_db)
    with opened(shop_db.env(login, runtime_shop.PASSWORD)) as shop:
        web = Web(shop)

        @web.app.get("/")
        def view() -> str:
            web.dal.executesql("SELECT * FROM hidden")
            return "never"

        assert web.get().status_code == 503
        assert isinstance(web.handled[0], AccessDenied)
        assert web.get("/readyz").status_code == 200
