"""Each error of the tree, from each engine, with what it names and without what it must not show."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ringfence.runtime import (
    AccessDenied,
    CheckViolation,
    ConnectionLost,
    Database,
    DataError,
    ForeignKeyViolation,
    IntegrityError,
    NotNullViolation,
    NotReady,
    ProgrammingError,
    RingfenceError,
    Unavailable,
    UniqueViolation,
)
from ringfence.runtime.engines.base import StatementContext
from servers.base import Database as FreshDatabase
from servers.process import free_ports
from support import runtime_shop
from support.runtime_shop import kill_connections, opened

pytestmark = [pytest.mark.runtime_only, pytest.mark.newer]
MARKER = "m4rk3r-of-a-value"
networked = pytest.mark.requires("networked")


def _raised(shop: Database, kind: type[RingfenceError], *steps: Callable[[Any], object]) -> RingfenceError:
    """The error of the last step; it names no value, and keeps the driver's as its cause."""
    with pytest.raises(kind) as raised, shop.session() as dal:
        for step in steps:
            step(dal)
    error = raised.value
    assert MARKER not in f"{error} {error!r}"
    assert isinstance(error.__cause__, shop.backend.driver_error)
    return error


def _insert(name: str, amount: int = 1) -> Callable[[Any], object]:
    return lambda dal: dal.item.insert(name=name, amount=amount)


def _sql(statement: str) -> Callable[[Any], object]:
    return lambda dal: dal.executesql(statement)


def test_unique(shop: Database) -> None:
    error = _raised(shop, UniqueViolation, _insert(MARKER), _insert(MARKER))
    assert isinstance(error, IntegrityError)
    assert (error.constraint, tuple(error.columns), error.table) == ("uq_item_name", ("name",), "item")
    assert "uq_item_name" in str(error)


def test_primary_key(shop: Database) -> None:
    error = _raised(
        shop,
        UniqueViolation,
        lambda dal: dal.item.insert(id=7, name="one", amount=1),
        lambda dal: dal.item.insert(id=7, name="two", amount=1),
    )
    assert isinstance(error, IntegrityError)
    assert error.table == "item"
    assert "None" not in str(error)


def test_foreign_key(shop: Database) -> None:
    error = _raised(shop, ForeignKeyViolation, lambda dal: dal.part.insert(item_id=4711, label=MARKER))
    assert isinstance(error, IntegrityError)
    assert error.table == "part"
    if shop.settings.db_type != "sqlite":  # which does not say which one
        assert (error.constraint, tuple(error.columns)) == ("fk_part_item", ("item_id",))
    assert "None" not in str(error)


def test_not_null(shop: Database) -> None:
    error = _raised(
        shop, NotNullViolation, _sql(f"INSERT INTO item (name, amount) VALUES ('{MARKER}', NULL)")
    )
    assert isinstance(error, IntegrityError)
    assert tuple(error.columns) == ("amount",)


def test_not_null_through_pydal(shop: Database) -> None:
    error = _raised(shop, NotNullViolation, lambda dal: dal.item.insert(name=None, amount=1))
    assert isinstance(error, IntegrityError)
    assert (error.table, tuple(error.columns)) == ("item", ("name",))


def test_check(shop: Database) -> None:
    error = _raised(shop, CheckViolation, _insert(MARKER, -1))
    assert isinstance(error, IntegrityError)
    assert (error.constraint, tuple(error.columns), error.table) == ("ck_item_amount", ("amount",), "item")


@pytest.mark.parametrize(
    "statement",
    [
        f"SELECT * FROM item WHERE name == '{MARKER}' nonsense '{MARKER}",
        "SELECT nothing FROM item",
        "SELECT * FROM nowhere",
        f"SELECT no_such_function('{MARKER}')",
        f"INSERT INTO item (name, nothing) VALUES ('{MARKER}', 1)",
    ],
)
def test_a_wrong_statement(shop: Database, statement: str) -> None:
    with pytest.raises((ProgrammingError, AccessDenied)) as raised, shop.session() as dal:
        dal.executesql(statement)
    assert MARKER not in f"{raised.value} {raised.value!r}"


@networked
def test_a_value_that_does_not_fit(shop: Database) -> None:
    mark = MARKER * 10
    error = _raised(shop, DataError, _sql(f"INSERT INTO item (name, amount) VALUES ('{mark}', 1)"))
    assert "m4rk" not in str(error)
    _raised(shop, DataError, _sql("INSERT INTO item (name, amount) VALUES ('x', 99999999999)"))


@networked
def test_access_denied_names_account_verb_and_table(shop_db: FreshDatabase) -> None:
    login = runtime_shop.make_account(shop_db)
    if shop_db.server.db_type == "postgresql":
        shop_db.execute(f'REVOKE DELETE ON item FROM "{login}"')
    else:
        shop_db.execute(f"REVOKE DELETE ON `{shop_db.name}`.item FROM '{login}'@'%'")
    with opened(shop_db.env(login, runtime_shop.PASSWORD)) as shop:
        error = _raised(shop, AccessDenied, lambda dal: dal(dal.item.name == MARKER).delete())
        assert isinstance(error, AccessDenied)
        assert (error.account, error.verb, error.table) == (login, "delete", "item")
        for part in (login, "delete", "item"):
            assert part in str(error)


@networked
def test_access_denied_names_the_table_whatever_the_statement(shop_db: FreshDatabase) -> None:
    login = runtime_shop.make_account(shop_db)
    postgresql = shop_db.server.db_type == "postgresql"
    item, to = ("item", f'"{login}"') if postgresql else (f"`{shop_db.name}`.item", f"'{login}'@'%'")
    shop_db.execute(
        "CREATE VIEW window_of_hidden AS SELECT word FROM hidden",
        f"REVOKE ALL ON {item} FROM {to}",
        f"GRANT SELECT (id, name), UPDATE (name), INSERT (name) ON {item} TO {to}",
    )
    value = f"'{MARKER}'"
    with opened(shop_db.env(login, runtime_shop.PASSWORD)) as shop:
        for statement, verb, table, column in (
            (f"SELECT word FROM hidden WHERE word = {value}", "select", "hidden", ""),
            (f"SELECT word FROM window_of_hidden WHERE word = {value}", "select", "window_of_hidden", ""),
            (f"SELECT amount FROM item WHERE name = {value}", "select", "item", "amount"),
            (f"UPDATE item SET amount = 1 WHERE name = {value}", "update", "item", "amount"),
            (f"INSERT INTO item (name, amount) VALUES ({value}, 1)", "insert", "item", "amount"),
            (f"DELETE FROM item WHERE name = {value}", "delete", "item", ""),
            ("SELECT part.id FROM part JOIN hidden ON hidden.id = part.item_id", "select", "hidden", ""),
            ("WITH words AS (SELECT word FROM hidden) SELECT word FROM words", None, "hidden", ""),
            ("DROP TABLE item", "drop", "item", ""),
        ):
            error = _raised(shop, AccessDenied, _sql(statement))
            assert isinstance(error, AccessDenied)
            assert (error.account, error.table) == (login, table), (statement, error)
            assert error.verb == verb or (verb is None and error.verb == "select" and not postgresql)
            named = table if postgresql or not column else f"{table}.{column}"
            assert named in str(error), (statement, error)
        error = _raised(
            shop, AccessDenied, lambda dal: dal(dal.part.item_id == dal.item.id).select(dal.item.amount)
        )
        assert isinstance(error, AccessDenied)
        assert (error.account, error.verb, error.table) == (login, "select", "item")


@pytest.mark.requires("networked")
@pytest.mark.engines("mariadb", "galera", "mysql")
def test_a_view_that_reads_what_the_account_may_not_is_named(shop_db: FreshDatabase) -> None:
    login = runtime_shop.make_account(shop_db)
    shop_db.execute(
        "CREATE SQL SECURITY INVOKER VIEW pane AS SELECT word FROM hidden",
        f"GRANT SELECT ON `{shop_db.name}`.pane TO '{login}'@'%'",
    )
    with opened(shop_db.env(login, runtime_shop.PASSWORD)) as shop:
        error = _raised(shop, ProgrammingError, _sql(f"SELECT word FROM pane WHERE word = '{MARKER}'"))
    assert "pane" in str(error)
    assert "lacks rights" in str(error)


@pytest.mark.engines("sqlite")
def test_access_denied_on_sqlite(shop: Database) -> None:
    error = _raised(shop, AccessDenied, _sql("SELECT word FROM hidden"))
    assert isinstance(error, AccessDenied)
    assert (error.account, error.verb, error.table) == ("till", "select", "hidden")


@networked
def test_a_lost_connection(shop: Database, shop_db: FreshDatabase) -> None:
    _raised(shop, ConnectionLost, _insert("tea"), lambda dal: kill_connections(shop_db), _insert(MARKER))
    assert shop.pool.stats().open == 0


@networked
def test_a_missing_server(shop_db: FreshDatabase) -> None:
    (port,) = free_ports(1)
    env = shop_db.env() | {"DB_PORT": str(port), "DB_PASS": "s3cret-password"}
    if "," in env["DB_HOST"]:
        env["DB_HOST"] = f"127.0.0.1:{port}"
    with opened(env) as shop:
        error = _raised(shop, Unavailable, _insert(MARKER))
        assert "s3cret" not in f"{error!r}"
        assert str(port) in str(error)
        assert shop.pool.stats().open == 0


@networked
def test_a_missing_database(shop_db: FreshDatabase) -> None:
    with opened(shop_db.env() | {"DB_NAME": "there_is_none"}) as shop:
        error = _raised(shop, NotReady, _insert(MARKER))
        assert isinstance(error, NotReady)
        assert error.state == "misconfigured"
        assert "there_is_none" in str(error)


@pytest.mark.engines("sqlite")
def test_a_file_that_is_missing_or_is_no_database(shop_db: FreshDatabase) -> None:
    with opened({"DB_TYPE": "sqlite", "DB_NAME": shop_db.name + ".none"}) as shop:
        error = _raised(shop, Unavailable, _insert(MARKER))
        assert "ringfence migrate" in str(error)
    with open(shop_db.name + ".text", "w") as file:  # noqa: PTH123
        file.write("this is no database " * 100)
    with opened({"DB_TYPE": "sqlite", "DB_NAME": shop_db.name + ".text"}) as shop:
        _raised(shop, Unavailable, _insert(MARKER))


def test_the_drivers_error_is_never_raised_bare(shop: Database) -> None:
    refused = 0
    for statement in ("SELECT", "SELECT 1 +", ")", "SELECT 'abc", "INSERT INTO item", "\0", ""):
        try:  # some engine finds sense in some of them
            with shop.session() as dal:
                dal.executesql("SELECT 1")
                dal.executesql(statement)
        except RingfenceError as error:
            refused += 1
            assert not isinstance(error, Unavailable)  # noqa: PT017  # nothing was lost
    assert refused >= 4
    assert shop.pool.stats().in_use == 0


def test_a_table_that_was_not_given_is_named_with_those_that_were(shop: Database) -> None:
    with shop.session() as dal:
        with pytest.raises(
            AttributeError, match=r"mirror of \S+ has no table itme; did you mean item\?"
        ) as raised:
            _ = dal.itme
        assert "access.yaml" in str(raised.value)
        with pytest.raises(AttributeError, match=r"has no table customers; it has .*item"):
            _ = dal["customers"]
        with pytest.raises(
            KeyError, match="item has no field amuont that this service may touch; did you mean amount"
        ):
            _ = dal.item["amuont"]
        assert not hasattr(dal, "customers")


def test_what_the_mirror_does_not_give_is_refused_in_the_accounts_name(shop_db: FreshDatabase) -> None:
    tables = copy.deepcopy(runtime_shop.MIRROR["tables"])
    del tables["item"]["verbs"]["delete"]
    tables["item"]["columns"]["amount"]["updatable"] = False
    with opened(shop_db.env(), changes={"tables": tables}) as shop:
        with pytest.raises(AccessDenied) as raised, shop.session() as dal:
            dal(dal.item.name == "x").delete()
        error = raised.value
        assert (error.account, error.verb, error.table) == ("till", "delete", "item")
        assert str(error) == "till is not allowed to delete on item"
        with (
            pytest.raises(AccessDenied, match=r"^till is not allowed to update on item\.amount$"),
            shop.session() as dal,
        ):
            dal(dal.item.name == "x").update(amount=3)


@pytest.mark.engines("postgresql")
def test_a_disk_that_is_full_at_commit_is_no_doubt(shop: Database, shop_db: FreshDatabase) -> None:
    shop_db.execute(
        "CREATE FUNCTION full_() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END$$",
        "CREATE CONSTRAINT TRIGGER full_ AFTER INSERT ON item DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION full_()",
    )
    try:
        with pytest.raises(Unavailable, match=r"out of memory or disk \(53100\): nothing .* is stored"):
            shop.run(_insert("tea"))
    finally:
        shop_db.execute("DROP TRIGGER full_ ON item", "DROP FUNCTION full_()")
    with shop.session() as dal:
        assert dal(dal.item).count() == 0


@pytest.mark.engines("mysql", "mariadb")
def test_a_server_without_room_is_unavailable(shop: Database) -> None:
    for code in (1021, 1114):
        error = shop.backend.driver_error(code, f"The table is full: {MARKER}")
        told = shop.backend.translate(error, StatementContext("insert", "item"))
        assert type(told) is Unavailable
        assert f"on item ({code})" in str(told)
        assert MARKER not in f"{told} {error}"
