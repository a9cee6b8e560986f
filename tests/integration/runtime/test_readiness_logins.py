"""What readiness reports for an account that is locked, lacks its grants, or is not the one of the mirror."""

import pytest

from ringfence.runtime import Login, Secret
from ringfence.runtime.readiness import Report, Stage
from servers.base import Database as FreshDatabase
from support import runtime_shop
from support.runtime_shop import PASSWORD, opened

pytestmark = [pytest.mark.newer, pytest.mark.runtime_only, pytest.mark.requires("networked")]


def _last(report: Report) -> Stage:
    return report.stages[-1]


def test_the_reason_names_an_account_that_is_locked_or_lacks_its_grants(shop_db: FreshDatabase) -> None:
    pg = shop_db.server.db_type == "postgresql"
    login = runtime_shop.make_account(shop_db)
    env = shop_db.env(login, PASSWORD)
    account = f'"{login}"' if pg else f"'{login}'@'%'"
    lock, unlock = ("NOLOGIN", "LOGIN") if pg else ("ACCOUNT LOCK", "ACCOUNT UNLOCK")
    word = "ROLE" if pg else "USER"
    shop_db.execute(f"ALTER {word} {account} {lock}")
    with opened(env, changes={"login": login}) as shop:
        stage = _last(shop.readiness())
        assert (stage.name, stage.state) == ("connected", "login")
        assert "the account is locked" in stage.detail
        assert "migration job" not in stage.detail
        assert "the mirror of" not in stage.detail
        shop_db.execute(f"ALTER {word} {account} {unlock}")
        assert shop.readiness().ready
        for table, what in (("ringfence_release", "releases"), ("ringfence_retired", "retired columns")):
            on = f"ON {table}" if pg else f"ON `{shop_db.name}`.{table}"
            shop_db.execute(f"REVOKE SELECT {on} FROM {account}")
            stage = _last(shop.readiness())
            # The job grants it at its end, so it is waited for.
            assert (stage.name, stage.state) == ("migrated", "behind")
            assert stage.detail == (
                f"{login} may not read the {what} of this database: the migration job has not granted it yet, or"
                " the account's grants were taken"
            )
            shop_db.execute(f"GRANT SELECT {on} TO {account}")


@pytest.mark.engines("postgresql")
def test_releases_that_the_account_does_not_see_are_no_missing_ones(shop_db: FreshDatabase) -> None:
    login = runtime_shop.make_account(shop_db)
    with opened(shop_db.env(login, PASSWORD), changes={"login": login}) as shop:
        assert shop.readiness().ready
        shop_db.execute("REVOKE USAGE ON SCHEMA public FROM PUBLIC")
        try:
            stage = _last(shop.readiness())
        finally:
            shop_db.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
        assert (stage.name, stage.state) == ("migrated", "behind")
        assert stage.detail == f"{login} may not use the schema public, where ringfence_release is"
    shop_db.execute(f'ALTER ROLE "{login}" SET search_path = elsewhere')
    with opened(shop_db.env(login, PASSWORD), changes={"login": login}) as shop:
        stage = _last(shop.readiness())
    assert (stage.name, stage.state) == ("migrated", "behind")
    assert stage.detail.endswith(
        "does not look into the schema public, where ringfence_release is: its search_path is elsewhere"
    )


def test_a_login_that_the_mirror_is_not_for(shop_db: FreshDatabase) -> None:
    pg = shop_db.server.db_type == "postgresql"
    login = runtime_shop.make_account(shop_db)
    account = f'"{login}"' if pg else f"'{login}'@'%'"
    env = shop_db.env(login, PASSWORD)
    with opened(env) as shop:
        assert shop.readiness().ready  # two logins of one service may take turns
        table = "part" if pg else f"`{shop_db.name}`.part"
        shop_db.execute(f"REVOKE SELECT ON {table} FROM {account}")
        stage = _last(shop.readiness())
    hint = f"; the mirror of till is for the login till, and this is {login}: is it another service's?"
    assert (stage.name, stage.state) == ("granted", "missing-grant")
    assert stage.detail == f"{login} may not select part as the mirror says{hint}"
    with opened(env, changes={"login": login}) as shop:
        told = _last(shop.readiness()).detail
        assert told == f"{login} may not select part as the mirror says: the migration job grants it"
    with opened(env, credentials=lambda: Login("nobody", Secret("wr0ng"))) as shop:
        stage = _last(shop.readiness())
    assert (stage.name, stage.state) == ("connected", "login")
    assert stage.detail.endswith("is for the login till, and this is nobody: is it another service's?")
    assert "wr0ng" not in stage.detail


@pytest.mark.engines("mysql", "mariadb", "galera")
def test_a_mirror_for_another_engine_of_the_family(shop_db: FreshDatabase) -> None:
    engine = shop_db.server.engine
    others = {"mysql": "mariadb", "mariadb": "mysql", "galera": "mariadb"}
    env = shop_db.env(runtime_shop.make_account(shop_db), PASSWORD)
    with opened(env, changes={"engines": [others[engine]]}) as shop:
        stage = _last(shop.readiness())
    assert (stage.name, stage.state) == ("connected", "misconfigured")
    assert (
        f"is {engine}, and the mirror is for {others[engine]}: add {engine} to ringfence.toml" in stage.detail
    )
