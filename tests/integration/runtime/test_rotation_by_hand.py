"""The page on rotation: its SQL on each engine, under a service that goes on, and its function for two logins."""

import re
from pathlib import Path

import pytest

from ringfence.runtime import PoolOptions
from ringfence.schema.grants.passwords import scram_verifier
from servers.base import Database as FreshDatabase
from support import runtime_shop
from support.repository import ROOT, blocks
from support.runtime_shop import env_with_file, mirror_file, opened, replace_file
from support.waiting import eventually

pytestmark = pytest.mark.requires("accounts")
PAGE = (ROOT / "docs/how-to/rotate-passwords.md").read_text()
OLD, NEW = "the old passw0rd", "the new passw0rd"


def _sql(title: str, login: str) -> str:
    """A statement of the page, for this account and the new password."""
    (found,) = re.findall(rf"^```sql\n-- {title}\n(.*?);\n```", PAGE, re.MULTILINE | re.DOTALL)
    return (
        str(found).replace("backend-api", login).replace("VERIFIER", scram_verifier(NEW)).replace("NEW", NEW)
    )


def test_the_statements_of_the_page(shop_db: FreshDatabase, tmp_path: Path) -> None:
    engine = {"galera": "mariadb"}.get(shop_db.server.engine, shop_db.server.engine)
    login = runtime_shop.make_account(shop_db, OLD)
    path = tmp_path / "password"
    replace_file(path, f"{OLD}\n")
    with opened(env_with_file(shop_db, login, path), PoolOptions(size=2)) as shop:
        shop.run(lambda dal: dal.item.insert(name="before", amount=1))
        shop_db.execute(_sql(engine, login))
        if engine == "mysql":  # both hold, for connections that are new too
            for password in (OLD, NEW):
                with opened(shop_db.env(login, password)) as other:
                    assert other.readiness().ready
        replace_file(path, f"{NEW}\n")
        opened_before = shop.pool.stats().opened
        eventually(
            lambda: shop.run(lambda dal: dal(dal.item).count()) and shop.pool.stats().opened > opened_before
        )
        if engine == "mysql":
            shop_db.execute(_sql("mysql, at the end", login))
        shop.run(lambda dal: dal.item.insert(name="after", amount=1))
    with opened(shop_db.env(login, OLD)) as other:
        assert other.readiness().state == "login"
    with opened(shop_db.env(login, NEW)) as other:
        assert other.run(lambda dal: {row.name for row in dal(dal.item).select()}) == {"before", "after"}


def test_two_logins_that_take_turns_by_the_function_of_the_page(
    shop_db: FreshDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = runtime_shop.make_account(shop_db, OLD), runtime_shop.make_account(shop_db, NEW)
    path = tmp_path / "login"
    replace_file(path, f"{one} {OLD}\n")
    for name, value in shop_db.env("unused", "").items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DB_PASS")
    (code,) = blocks(PAGE)
    code = code.replace("/run/secrets/backend-api", str(path))
    code = code.replace("mirrors/backend-api.json", str(mirror_file(tmp_path)))
    defined: dict[str, object] = {}
    exec(compile(code, "rotate-passwords.md", "exec"), defined)  # noqa: S102 - our own page
    db = defined["db"]
    who = "SELECT current_user" if shop_db.server.db_type == "postgresql" else "SELECT CURRENT_USER()"

    def is_now(login: str) -> bool:
        return login in str(db.run(lambda dal: dal.executesql(who)))  # type: ignore[attr-defined]  # the page's Database

    try:
        assert is_now(one)
        replace_file(path, f"{other} {NEW}\n")
        eventually(lambda: is_now(other))
        assert db.readiness().ready  # type: ignore[attr-defined]  # as above
    finally:
        db.close()  # type: ignore[attr-defined]  # as above
