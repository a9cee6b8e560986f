"""Passwords that change while the service runs."""

import threading
from pathlib import Path

import pytest

from ringfence.runtime import Login, NotReady, PoolOptions, RingfenceError, Secret
from servers.base import Database as FreshDatabase
from support import runtime_shop
from support.runtime_shop import change_password, connections, env_with_file, opened, replace_file
from support.waiting import eventually

pytestmark = pytest.mark.requires("accounts")


def test_a_password_file_may_change_under_load(shop_db: FreshDatabase, tmp_path: Path) -> None:
    login = runtime_shop.make_account(shop_db, "old password")
    path = tmp_path / "password"
    path.write_text("old password\n")
    errors: list[Exception] = []
    written = [0]
    stop = threading.Event()
    with opened(env_with_file(shop_db, login, path), PoolOptions(size=4, max_lifetime=0.5)) as shop:

        def work(thread: int) -> None:
            number = 0
            while not stop.is_set():
                number += 1
                try:
                    with shop.session() as dal:
                        dal.item.insert(name=f"{thread}/{number}", amount=1)
                    written[0] += 1
                except RingfenceError as error:
                    errors.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for turn in range(2):
            goal = written[0] + 20
            eventually(lambda goal=goal: written[0] >= goal)
            # Connections end and are opened all the time (max_lifetime), also in between these two.
            change_password(shop_db, login, f"new password {turn}")
            replace_file(path, f"new password {turn}")
            opened_before = shop.pool.stats().opened
            eventually(lambda before=opened_before: shop.pool.stats().opened >= before + 4)
        stop.set()
        for thread in threads:
            thread.join(60)
        assert not errors
    assert shop_db.execute("SELECT count(*) FROM item")[0][0] == written[0]


def test_old_connections_are_drained_when_the_file_changes(shop_db: FreshDatabase, tmp_path: Path) -> None:
    login = runtime_shop.make_account(shop_db, "old password")
    path = tmp_path / "password"
    path.write_text("old password")
    with opened(env_with_file(shop_db, login, path), PoolOptions(size=4, max_idle=1)) as shop:
        lent = [shop.pool.acquire("test") for _ in range(3)]
        for each in lent:
            shop.pool.release(each)
        change_password(shop_db, login, "new password")
        replace_file(path, "new password")
        eventually(lambda: shop.pool.stats().open == 0)  # also when nobody asks
        shop.run(lambda dal: dal.item.insert(name="tea", amount=1))
        assert shop.pool.stats().open == 1
    eventually(lambda: connections(shop_db) == 0)


def test_credentials_may_come_from_a_callable_and_change_the_login_too(shop_db: FreshDatabase) -> None:
    one = runtime_shop.make_account(shop_db, "first")
    other = runtime_shop.make_account(shop_db, "second")
    current = [Login(one, Secret("first"))]
    who = "SELECT current_user" if shop_db.server.db_type == "postgresql" else "SELECT CURRENT_USER()"
    with opened(shop_db.env("unused", "wrong"), credentials=lambda: current[0]) as shop:
        assert one in str(shop.run(lambda dal: dal.executesql(who)))
        current[0] = Login(other, Secret("second"))

        def is_other() -> bool:
            return other in str(shop.run(lambda dal: dal.executesql(who)))

        eventually(is_other)


def test_a_wrong_password_fails_at_once_and_is_not_shown(shop_db: FreshDatabase) -> None:
    login = runtime_shop.make_account(shop_db)
    with opened(shop_db.env(login, "wr0ng-s3cret")) as shop:
        with pytest.raises(NotReady) as raised, shop.session() as dal:
            dal.executesql("SELECT 1")
        assert raised.value.state == "login"
        error: BaseException | None = raised.value
        while error is not None:
            assert "wr0ng-s3cret" not in f"{error} {error!r}"
            error = error.__cause__
        assert "wr0ng-s3cret" not in f"{shop.settings!r} {shop.settings}"
