"""The environment as settings: every mistake at once, and no secret anywhere."""

import os
import pickle
from pathlib import Path

import pytest

from ringfence.runtime.errors import BadSettings
from ringfence.runtime.settings import Host, Login, Secret, Settings

BASE = {"DB_TYPE": "postgresql", "DB_NAME": "shop", "DB_USER": "till"}


def test_defaults() -> None:
    settings = Settings.from_env(BASE)
    assert settings.hosts == (Host("localhost", 5432),)
    assert (settings.pool_size, settings.workers) == (10, 1)
    assert (settings.max_retries, settings.retry_delay, settings.ready_timeout) == (5, 5.0, 300.0)
    assert settings.login() == Login("till", None)


def test_how_long_a_silent_network_is_waited_for() -> None:
    assert Settings.from_env(BASE).tcp_timeout == 10.0
    assert Settings.from_env(BASE | {"DB_TCP_TIMEOUT": "2.5"}).tcp_timeout == 2.5
    for wrong in ("0", "0.5", "-1", "3601", "inf", "nan", "ten"):
        with pytest.raises(BadSettings, match=r"DB_TCP_TIMEOUT is no number of seconds from 1 to 3600"):
            Settings.from_env(BASE | {"DB_TCP_TIMEOUT": wrong})


def test_the_type_is_never_guessed() -> None:
    with pytest.raises(BadSettings, match=r"DB_TYPE is not set"):
        Settings.from_env({"DB_NAME": "shop"})


def test_a_type_that_is_nearly_right_is_answered_with_the_right_one() -> None:
    for said, right in {"postgres": "postgresql", "mariadb": "mysql", "galera": "mysql"}.items():
        with pytest.raises(BadSettings, match=rf"DB_TYPE is '{said}'; .*; write {right}$"):
            Settings.from_env(BASE | {"DB_TYPE": said, "DB_NAME": "shop"})
    with pytest.raises(BadSettings, match=r"sqlite$"):
        Settings.from_env(BASE | {"DB_TYPE": "oracle"})


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(BadSettings) as raised:
        Settings.from_env(
            {"DB_TYPE": "mysql", "DB_POOL_SIZE": "none", "DB_RETRY_DELAY": "-1", "DB_SSLMODE": "maybe"}
        )
    for name in ("DB_NAME", "DB_USER", "DB_POOL_SIZE", "DB_RETRY_DELAY", "DB_SSLMODE"):
        assert name in str(raised.value)


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("one", (Host("one", 3306),)),
        ("one:1,two:2", (Host("one", 1), Host("two", 2))),
        ("one, two:2", (Host("one", 3306), Host("two", 2))),
        ("/run/mysqld", (Host("/run/mysqld", 3306),)),
        ("[::1]:33", (Host("::1", 33),)),
        ("[::1]", (Host("::1", 3306),)),
        ("::1", (Host("::1", 3306),)),
        (
            "2001:db8::7,[2001:db8::8]:33, ::",
            (Host("2001:db8::7", 3306), Host("2001:db8::8", 33), Host("::", 3306)),
        ),
        ("fe80::1%eth0,[fe80::2%eth0]:33", (Host("fe80::1%eth0", 3306), Host("fe80::2%eth0", 33))),
        (
            "10.0.0.7:33,db_1.svc.local.,müller",
            (Host("10.0.0.7", 33), Host("db_1.svc.local.", 3306), Host("müller", 3306)),
        ),
    ],
)
def test_hosts(text: str, hosts: tuple[Host, ...]) -> None:
    assert Settings.from_env(BASE | {"DB_TYPE": "mysql", "DB_HOST": text}).hosts == hosts
    again = ",".join(map(str, hosts))
    assert Settings.from_env(BASE | {"DB_TYPE": "mysql", "DB_HOST": again}).hosts == hosts


@pytest.mark.parametrize(
    "text",
    [
        *(
            "one:x",
            "one:0",
            "one:99999",
            "one:²",
            "one:",
            ",",
            ":33",
            "[::1",
            "[one]:33",
            "[::1]33",
            "::1::2",
            "1:2:3",
        ),
        *("a b", "user@one", "one/two", "a..b", "x" * 64, "fe80::1%a b", "tcp://one:33"),
    ],
)
def test_wrong_hosts(text: str) -> None:
    with pytest.raises(BadSettings, match="DB_HOST"):
        Settings.from_env(BASE | {"DB_HOST": text})


def test_a_url_sets_everything() -> None:
    settings = Settings.from_env(
        {"DATABASE_URL": "mariadb+pymysql://till:p%40ss%2F@db:33/shop?sslmode=require"}
    )
    assert (settings.db_type, settings.name, settings.hosts) == ("mysql", "shop", (Host("db", 33),))
    assert settings.secret() == "p@ss/"
    assert settings.sslmode == "require"
    assert Settings.from_env({"DATABASE_URL": "sqlite:////srv/shop.db"}).name == "/srv/shop.db"


@pytest.mark.parametrize("name", ["DB_POOL_SIZE", "DB_PORT", "DB_WORKERS"])
@pytest.mark.parametrize("text", ["²", "9" * 5000, "-1", "1.0", "0x1"])
def test_what_is_no_whole_number(name: str, text: str) -> None:
    with pytest.raises(BadSettings, match=f"{name} is no whole number from 1 to"):
        Settings.from_env(BASE | {name: text})


@pytest.mark.parametrize(
    "name",
    [
        "DB_HOST",
        "DB_NAME",
        "DB_USER",
        "DB_PASS",
        "DB_PASS_FILE",
        "DB_SSLROOTCERT",
        "DATABASE_URL",
        "DB_WORKERS",
    ],
)
def test_bytes_that_are_no_text_are_reported_by_their_variable(name: str) -> None:
    with pytest.raises(BadSettings, match=f"^.*:\n  {name} holds bytes that are no UTF-8 text$"):
        Settings.from_env(BASE | {name: os.fsdecode(b"caf\xe9")})


def test_a_url_beside_the_variables_is_a_mistake() -> None:
    with pytest.raises(BadSettings, match="DB_NAME, DB_TYPE, DB_USER"):
        Settings.from_env(BASE | {"DATABASE_URL": "postgresql://till:s3cret@db/shop"})


def test_a_password_file_is_read_again_each_time(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("one\n")
    settings = Settings.from_env(BASE | {"DB_PASS_FILE": str(path)})
    assert settings.secret() == "one"
    path.write_text("two")
    assert settings.secret() == "two"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BadSettings, match="UTF-8"):
        settings.secret()
    path.unlink()
    with pytest.raises(BadSettings, match="DB_PASS_FILE"):
        settings.secret()


def test_a_password_is_set_by_one_variable(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("one")
    with pytest.raises(BadSettings, match="set only one of them") as raised:
        Settings.from_env(BASE | {"DB_PASS_FILE": str(path), "DB_PASS": "s3cret"})
    assert "s3cret" not in str(raised.value)
    with pytest.raises(BadSettings, match="cannot be read"):
        Settings.from_env(BASE | {"DB_PASS_FILE": str(tmp_path / "none")})


def test_no_secret_is_shown() -> None:
    for env in (
        BASE | {"DB_PASS": "s3cret"},
        {"DATABASE_URL": "postgresql://till:s3cret@db/shop"},
    ):
        settings = Settings.from_env(env)
        assert settings.secret() == "s3cret"
        assert "s3cret" not in f"{settings} {settings!r} {settings.login()!r} {settings.password!s}"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret("s3cret"))
    for wrong in (
        "postgresql://till:s3cret@db",
        "oracle://till:s3cret@db/shop",
        "postgresql://till:s3cret@[db/shop",
    ):
        with pytest.raises(BadSettings) as raised:
            Settings.from_env({"DATABASE_URL": wrong})
        assert "s3cret" not in str(raised.value)


def test_verification_of_a_certificate_needs_its_authority() -> None:
    with pytest.raises(BadSettings, match="DB_SSLROOTCERT"):
        Settings.from_env(BASE | {"DB_SSLMODE": "verify-full"})
