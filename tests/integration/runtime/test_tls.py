"""TLS to real servers: DB_SSLMODE means the same on each engine, for services and for the admin's job."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ringfence.runtime import AccessDenied, BadSettings, NotReady, Settings
from ringfence.schema.engines import reach
from servers.base import Database as FreshDatabase
from servers.base import Server
from servers.tls import Authority
from support import runtime_shop
from support.runtime_shop import opened

CIPHER = {
    "postgresql": "SELECT cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    "mysql": "SHOW SESSION STATUS LIKE 'Ssl_cipher'",
}
UNWAITED = {"DB_READY_TIMEOUT": "600", "DB_MAX_RETRIES": "99", "DB_RETRY_DELAY": "60"}


def encrypted(env: dict[str, str]) -> tuple[bool, bool]:
    """Whether a service's connection, and the admin's, is encrypted."""
    asked = CIPHER[env["DB_TYPE"]]
    with opened(env) as shop, shop.session(read_only=True) as dal:
        service = bool(dal.executesql(asked)[0][-1])
    backend = reach(Settings.from_env(env))
    with backend.engine().connect() as connection:
        return service, bool(connection.exec_driver_sql(asked).one()[-1])


def refused(env: dict[str, str], *words: str) -> None:
    """Neither of them connects; the service is told why at once, for no waiting mends it."""
    with opened(UNWAITED | env) as shop, pytest.raises(NotReady) as raised:
        shop.wait_until_ready()
    assert raised.value.state == "login"
    assert [word for word in words if word not in str(raised.value)] == []
    with pytest.raises(AccessDenied) as denied:
        reach(Settings.from_env(UNWAITED | env))
    assert [word for word in words if word not in str(denied.value)] == []


@pytest.mark.parametrize("engine", ["postgresql", "mariadb"])
def test_server_identity_is_verified_as_the_mode_requires(
    own_server: Callable[..., Server], engine: str, tmp_path: Path
) -> None:
    trusted, other = Authority(tmp_path / "trusted"), Authority(tmp_path / "other")
    with own_server(engine, trusted.certificate("localhost")).database() as database:
        runtime_shop.create(database)

        def env(mode: str, host: str = "127.0.0.1", authority: Authority | None = None) -> dict[str, str]:
            known = {"DB_SSLROOTCERT": str(authority.file)} if authority else {}
            return database.env() | {"DB_SSLMODE": mode, "DB_HOST": host} | known

        assert encrypted(env("disable")) == (False, False)
        assert encrypted(env("require")) == (True, True)
        assert encrypted(env("verify-ca", authority=trusted)) == (True, True)
        assert encrypted(env("verify-full", "localhost", trusted)) == (True, True)
        refused(env("verify-ca", authority=other), "DB_SSLROOTCERT", str(other.file))
        refused(env("verify-full", "localhost", other), "DB_SSLROOTCERT", str(other.file))
        refused(env("verify-full", authority=trusted), "127.0.0.1", "DB_SSLMODE=verify-ca")
        replaced = tmp_path / "authority.crt"
        replaced.write_bytes(trusted.file.read_bytes())
        later = env("verify-ca") | {"DB_SSLROOTCERT": str(replaced)}
        assert encrypted(later) == (True, True)
        replaced.write_bytes(other.file.read_bytes())
        refused(later, "DB_SSLROOTCERT", str(replaced))
        gone = env("verify-ca", authority=trusted) | {"DB_SSLROOTCERT": str(tmp_path / "nowhere")}
        with pytest.raises(NotReady, match="nowhere"), opened(gone) as shop:
            shop.wait_until_ready()
        with pytest.raises((AccessDenied, BadSettings), match="nowhere"):
            reach(Settings.from_env(gone))


@pytest.mark.engines("postgresql", "mariadb")
def test_a_server_without_tls_is_refused_by_who_asks_for_it(shop_db: FreshDatabase) -> None:
    env = shop_db.env()
    if all(encrypted(env)):
        pytest.skip("this server is given by URL, and offers TLS")
    refused(env | {"DB_SSLMODE": "require"}, "offers no TLS", "DB_SSLMODE=require")
