"""A server is reached by each form of its address: IPv6, with and without brackets, and the folder of a socket."""

from urllib.parse import quote

import pytest

from ringfence.runtime.settings import Settings
from ringfence.schema.engines import reach
from servers.base import Database as FreshDatabase
from support import runtime_shop
from support.runtime_shop import PASSWORD, opened
from support.tcp_proxy import Proxy

pytestmark = pytest.mark.engines("postgresql", "mariadb", "mysql")


def _url(env: dict[str, str], where: str) -> dict[str, str]:
    user, secret = quote(env["DB_USER"], safe=""), quote(env["DB_PASS"], safe="")
    return {"DATABASE_URL": f"{env['DB_TYPE']}://{user}:{secret}@{where}"}


def test_every_form_of_an_address(shop_db: FreshDatabase) -> None:
    host, port = shop_db.server.hosts[0]
    env = shop_db.env(runtime_shop.make_account(shop_db), PASSWORD)
    with Proxy(host, port, listen="::1") as proxy:
        for given in (
            {"DB_HOST": "::1", "DB_PORT": str(proxy.port)},
            {"DB_HOST": f"[::1]:{proxy.port}", "DB_PORT": ""},
            {"DB_HOST": f"127.0.0.1:1,[::1]:{proxy.port}"},
        ):
            with opened(env | given) as shop:
                assert shop.readiness().ready, given
        name = env["DB_NAME"]
        for where in (f"[::1]:{proxy.port}/{name}", f"/{name}?host=::1&port={proxy.port}&connect_timeout=5"):
            with opened(_url(env, where)) as shop:
                assert shop.readiness().ready, where
            # The admin's side reads the same settings.
            reached = reach(Settings.from_env(_url(shop_db.env(), where)), lambda said: None)
            assert reached.identity.engine == shop_db.server.engine
    asked = "SHOW unix_socket_directories" if env["DB_TYPE"] == "postgresql" else "SELECT @@socket"
    folder = str(shop_db.execute(asked)[0][0]).split(",")[0].strip()
    for where in (
        (f"/{name}?host={folder}&port={port}", f"{quote(folder, safe='')}:{port}/{name}") if folder else ()
    ):
        with opened(_url(env, where)) as shop:
            assert shop.readiness().ready, where


@pytest.mark.engines("postgresql")
def test_no_address_of_the_environment_goes_before(
    shop_db: FreshDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = shop_db.env(runtime_shop.make_account(shop_db), PASSWORD)
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.255")
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "standby")
    with opened(env) as shop:
        assert shop.readiness().ready
    monkeypatch.delenv("PGTARGETSESSIONATTRS")
    assert reach(Settings.from_env(shop_db.env()), lambda said: None).identity.engine == "postgresql"
