"""Attacks on secrets: no row value in what an error prints, and no password in a server's log or another's file."""

import logging
import os
import stat
import traceback
from pathlib import Path

import pytest

from ringfence.runtime import BadSettings, Database, Mirror, RingfenceError
from ringfence.schema.grants.passwords import generate
from support.deployments import lay_out

VALUE = "s3cret-row-value"


@pytest.fixture
def shop(db, tmp_path):
    laid_out = lay_out(tmp_path, db)
    laid_out.migrate()
    return laid_out


def enter(shop, service: str) -> Database:
    mirror = Mirror.load(shop.root / "mirrors" / f"{service}.json")
    return Database.from_env(shop.root / "mirrors" / f"{service}.json", shop_env(shop, mirror, service))


def shop_env(shop, mirror: Mirror, service: str) -> dict[str, str]:
    return shop.database.env(mirror.login, shop.password(service))


def test_no_error_prints_a_row_value_nor_does_its_cause(shop, caplog):
    caplog.set_level(logging.DEBUG)
    with enter(shop, "till") as database:
        with database.session() as dal:
            dal.customer.insert(email=VALUE, active=True, secret=VALUE)
        printed = []

        def attempt(work) -> None:
            with pytest.raises(RingfenceError) as raised, database.session() as dal:
                work(dal)
            printed.append("".join(traceback.format_exception(raised.value)))
            printed.append(repr(raised.value))

        quoted = f"'{VALUE}'"
        attempt(lambda dal: dal.customer.insert(email=VALUE, active=True))
        attempt(
            lambda dal: dal.executesql(
                f"INSERT INTO customer (email, active, secret) VALUES ({quoted}, NULL, {quoted})"
            )
        )
        attempt(
            lambda dal: dal.executesql(
                f"INSERT INTO purchase (customer_id, amount) VALUES ({quoted}, {quoted})"
            )
        )
        attempt(
            lambda dal: dal.executesql(
                f"UPDATE customer SET id = {quoted}, active = {quoted} WHERE email = {quoted}"
            )
        )
        attempt(
            lambda dal: dal.executesql(
                f"SELECT 1 FROM customer WHERE email = {quoted} AND nothing = {quoted}"
            )
        )
        attempt(lambda dal: dal.executesql(f"SELECT 1 FROM customer WHERE email = {quoted[:-1]}"))
        attempt(lambda dal: dal.executesql(f"SELECT 1 FRM customer WHERE {quoted}"))
        attempt(lambda dal: dal(dal.customer.id == VALUE).select())
        attempt(lambda dal: dal.customer.insert(email=VALUE * 20, active=True))
        attempt(lambda dal: dal.customer.insert(email=VALUE, active=VALUE))
    source = Path(__file__).read_text()
    for text in [*printed, caplog.text]:
        # a traceback shows lines of the program as well: none of those holds the value itself
        assert VALUE not in text.replace(source, "")


@pytest.mark.engines("postgresql", "mysql", "mariadb", "galera")
def test_no_password_reaches_the_log_of_the_server(server, tmp_path):
    if server.db_type == "postgresql" and not server.processes:
        pytest.skip("the log of a server given by URL cannot be read")
    with server.database() as database:
        shop = lay_out(tmp_path, database)
        if server.db_type == "postgresql":
            database.execute(f"ALTER DATABASE \"{database.name}\" SET log_statement = 'all'")
            shop.migrate()
            shop.migrate(shop.env(TILL_DB_PASS="an0ther-8kQ2z-secret"))
            text = "".join((one.folder / "log").read_text(errors="replace") for one in server.processes)
            assert "SCRAM-SHA-256$" in text
        else:
            before = database.execute("SELECT @@global.general_log, @@global.log_output")[0]
            database.execute("SET GLOBAL log_output = 'TABLE'", "SET GLOBAL general_log = ON")
            try:
                shop.migrate()
                shop.migrate(shop.env(TILL_DB_PASS="an0ther-8kQ2z-secret"))
            finally:
                database.execute(
                    f"SET GLOBAL general_log = {before[0]}", f"SET GLOBAL log_output = '{before[1]}'"
                )
            rows = database.execute("SELECT CONVERT(argument USING utf8mb4) FROM mysql.general_log")
            text = "\n".join(str(row[0]) for row in rows)
            assert "till" in text
        assert "an0ther-8kQ2z-secret" not in text
        assert shop.password("till") not in text
        assert "p'a" not in text


def accounts(tmp_path, sqlite_server):
    with sqlite_server.database() as database:
        return list(lay_out(tmp_path / "shop", database).load().accounts.values())


def test_generated_passwords_are_private_whatever_the_umask(tmp_path, sqlite_server):
    before = os.umask(0)
    try:
        made = generate(accounts(tmp_path, sqlite_server), tmp_path / "deep" / "secrets")
    finally:
        os.umask(before)
    assert {stat.S_IMODE(item.path.stat().st_mode) for item in made} == {0o600}
    assert stat.S_IMODE(made[0].path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("trap", ["link", "dangling", "readable", "folder", "fifo", "empty"])
def test_a_password_that_others_laid_out_is_not_taken(tmp_path, sqlite_server, trap):
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o700)
    theirs = tmp_path / "theirs"
    file = folder / "till_db_pass"
    if trap == "link":
        theirs.write_text("known\n")
        file.symlink_to(theirs)
    elif trap == "dangling":
        file.symlink_to(theirs)
    elif trap == "readable":
        file.write_text("known\n")
        file.chmod(0o644)
    elif trap == "folder":
        folder.chmod(0o777)
    elif trap == "fifo":
        os.mkfifo(file, 0o600)
    else:
        file.touch(0o600)
    with pytest.raises(BadSettings) as raised:
        generate(accounts(tmp_path, sqlite_server), folder)
    assert str(folder) in str(raised.value)
    assert not theirs.exists() or theirs.read_text() == "known\n"


def test_a_second_run_keeps_what_the_first_made(tmp_path, sqlite_server):
    wanted = accounts(tmp_path, sqlite_server)
    first = {item.path: item.path.read_text() for item in generate(wanted, tmp_path / "secrets")}
    again = generate(wanted, tmp_path / "secrets")
    assert not any(item.new for item in again)
    assert {item.path: item.path.read_text() for item in again} == first
