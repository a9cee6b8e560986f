"""No password in anything that is said of the environment, whatever is wrong with it and wherever it stands."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.runtime.errors import BadSettings
from ringfence.runtime.settings import Login, Settings
from support.secrets_in_errors import PASSWORDS, said, see_silence

NAMES = st.sampled_from(
    "DB_TYPE DB_HOST DB_PORT DB_NAME DB_USER DB_PASS DB_PASS_FILE DATABASE_URL DB_SSLMODE DB_SSLROOTCERT "
    "DB_CONNECT_TIMEOUT DB_POOL_SIZE DB_WORKERS DB_MAX_RETRIES DB_RETRY_DELAY DB_READY_TIMEOUT"
    " DB_TCP_TIMEOUT".split()
)
URLS = st.sampled_from(
    [
        "postgresql://till:{}@db:33/shop",
        "mysql://till:{}@db/shop?sslmode=require",
        "mariadb+pymysql://till:{}@db:x/shop",
        "postgresql://till@shop:{}@db/shop",
        "postgresql://{}@db/shop",
        "postgresql://till:{}@/shop",
        "postgresql://till:{}",
        "postgresql:till:{}@db/shop",
        "{}://till@db/shop",
        "till:{}@db/shop",
        "oracle://till:{}@db/shop",
        "postgresql://till:{}@[db/shop",
        "postgresql://db/shop?user=till&password={}",
        "postgresql://till:pw@db/shop?password={}",
        "postgresql://till@db/shop?passwort={}",
        "postgresql://till@db/shop?{}",
        "postgresql://till@db/shop?sslmode={}",
        "postgresql://till@db/shop?port={}",
        "postgresql://till@db/shop?host={}",
        "postgresql://till@db/shop#{}",
        "mysql://till:pw@db:{}/shop",
        "sqlite://till:{}@db/shop",
        "sqlite:///shop.db?key={}",
        "{}",
    ]
)


quick = settings(deadline=None)  # on a loaded machine too


def read(env: Mapping[str, str], password: str) -> Settings | None:
    try:
        return Settings.from_env(env)
    except BadSettings as error:
        see_silence(password, said(error))
        return None


@quick
@given(PASSWORDS, URLS, st.data())
def test_the_error_for_a_wrong_url_shows_no_password(password: str, form: str, data: st.DataObject) -> None:
    url = form.replace("{}", password)
    if data.draw(st.booleans(), "cut"):
        url = url[: data.draw(st.integers(0, len(url)), "up to")]
    env = {"DATABASE_URL": url}
    if data.draw(st.booleans(), "beside"):
        env[data.draw(NAMES, "name")] = password
    read(env, password)


@quick
@given(PASSWORDS, NAMES, st.sampled_from(["postgresql", "mysql", "sqlite"]))
def test_a_password_in_another_variable_is_not_shown(password: str, name: str, db_type: str) -> None:
    base = {"DB_TYPE": db_type, "DB_NAME": "shop", "DB_USER": "till", "DB_HOST": "db"}
    read(base | {name: password}, password)
    read({name: password}, password)


@quick
@given(PASSWORDS)
def test_a_url_with_percent_signs_gives_the_password(password: str) -> None:
    if "\0" in password or "\udcff" in password:
        return
    for scheme in ("postgresql", "mysql"):
        url = f"{scheme}://till:{quote(password, safe='')}@db:33/shop"
        settings = Settings.from_env({"DATABASE_URL": url})
        assert (settings.user, settings.secret(), settings.name) == ("till", password, "shop")
        see_silence(password, f"{settings} {settings!r} {settings.login()}")
        option = f"{scheme}://till@db/shop?password={quote(password, safe='')}"
        assert Settings.from_env({"DATABASE_URL": option}).secret() == password


def test_what_a_function_gives_is_looked_at() -> None:
    base = Settings.from_env({"DATABASE_URL": "mysql://till@db/shop"})
    for wrong in ("s3cret\0more", "s3cret\udcffmore"):
        settings = Settings(base.db_type, base.name, base.hosts, "till", credentials=lambda: wrong)  # noqa: B023 - asked at once
        with pytest.raises(BadSettings, match="credentials") as raised:
            settings.login()
        assert "s3cret" not in said(raised.value)
    settings = Settings(base.db_type, base.name, base.hosts, "till", credentials=lambda: "s3cret")
    assert settings.login().user == "till"
    assert isinstance(settings.login(), Login)


def test_a_password_in_place_of_its_file_is_reported_as_such(tmp_path: Path) -> None:
    base = {"DB_TYPE": "mysql", "DB_NAME": "shop", "DB_USER": "till"}
    for slip in ("hunter2hunter2", "/hunter2hunter2", "hunter2/hunter2"):
        with pytest.raises(BadSettings, match="is it the password itself") as raised:
            Settings.from_env(base | {"DB_PASS_FILE": slip})
        assert "hunter2" not in said(raised.value)
    with pytest.raises(BadSettings, match=f"DB_PASS_FILE: {tmp_path}/none: cannot be read"):
        Settings.from_env(base | {"DB_PASS_FILE": f"{tmp_path}/none"})
