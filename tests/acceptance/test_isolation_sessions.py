"""What the page on isolation says of connections that are open while rights are taken away, on each server."""

import pytest

from support.accounts import Plain, ask, code

pytestmark = [pytest.mark.requires("accounts"), pytest.mark.newer]

FAMILY = pytest.mark.engines("mysql", "mariadb", "galera")
POSTGRESQL = pytest.mark.engines("postgresql")
DENIED, NO_ROLE = "42501", "42704"
TABLE_DENIED, DATABASE_DENIED = 1142, 1044
READ = "SELECT id FROM note ORDER BY 1"
ROWS = [(1,), (2,)]


@pytest.fixture
def plain(db):
    plain = Plain(db)
    db.execute(
        "CREATE TABLE note (id INT PRIMARY KEY, body VARCHAR(9))",
        "INSERT INTO note VALUES (1, 'a'), (2, 'b')",
    )
    yield plain
    plain.close()


@pytest.fixture
def role(plain):
    """A role that the account may be granted."""
    quote = '"' if plain.postgresql else "'"
    name = f"{quote}{plain.database.prefix}role{quote}"
    plain.database.execute(f"CREATE ROLE {name}")
    yield name
    if not plain.postgresql:  # there it goes with the database
        plain.database.execute(f"DROP ROLE IF EXISTS {name}")


# -- at once


@pytest.mark.parametrize("right", ["SELECT ON note", "SELECT (id) ON note"])
def test_a_right_on_a_table_ends_at_once_in_a_transaction_and_for_what_is_prepared(plain, right):
    plain.make("reader", right)
    reader = plain.open("reader")
    ask(reader, f"PREPARE kept AS {READ}" if plain.postgresql else f"PREPARE kept FROM '{READ}'")
    ask(reader, "BEGIN")
    assert ask(reader, READ) == ask(reader, "EXECUTE kept") == ROWS
    plain.revoke("reader", right)
    denied = DENIED if plain.postgresql else TABLE_DENIED
    assert code(reader, READ) == denied
    ask(reader, "ROLLBACK")
    assert code(reader, "EXECUTE kept") == denied


@POSTGRESQL
def test_a_cursor_that_is_open_gives_its_rows(plain):
    plain.make("reader", "SELECT ON note")
    reader = plain.open("reader")
    ask(reader, "BEGIN")
    ask(reader, f"DECLARE kept CURSOR FOR {READ}")
    assert ask(reader, "FETCH 1 FROM kept") == [(1,)]
    plain.revoke("reader", "SELECT ON note")
    assert ask(reader, "FETCH 1 FROM kept") == [(2,)]
    assert code(reader, READ) == DENIED


@POSTGRESQL
def test_connect_is_for_the_login_alone_and_temp_is_not(plain):
    plain.make("reader", "SELECT ON note", "TEMPORARY ON DATABASE {db}")
    plain.database.execute(f"REVOKE TEMPORARY, CONNECT ON DATABASE {plain.database.name} FROM PUBLIC")
    reader = plain.open("reader")
    plain.revoke("reader", "CONNECT, TEMPORARY ON DATABASE {db}")
    assert ask(reader, READ) == ROWS
    assert code(reader, "CREATE TEMP TABLE mine (id INT)") == DENIED
    with pytest.raises(Exception, match="permission denied for database"):
        plain.open("reader")


# -- with the connection


@FAMILY
def test_a_right_on_a_database_is_kept_until_another_is_opened(plain):
    plain.make("reader", "SELECT ON `{db}`.*")
    here, away = plain.open("reader"), plain.open("reader")
    ask(away, "USE information_schema")
    table = f"`{plain.database.name}`.note"
    plain.revoke("reader", "SELECT ON `{db}`.*")
    assert ask(here, READ) == ROWS
    assert code(here, f"USE `{plain.database.name}`") == DATABASE_DENIED
    assert ask(here, READ) == ROWS
    assert code(away, f"SELECT id FROM {table}") == TABLE_DENIED
    ask(here, "USE information_schema")
    assert code(here, f"SELECT id FROM {table}") == TABLE_DENIED


@FAMILY
def test_a_right_on_the_server_is_kept_whichever_database_is_opened(plain):
    plain.make("reader", "SELECT ON *.*")
    reader = plain.open("reader")
    plain.revoke("reader", "SELECT ON *.*")
    ask(reader, "USE information_schema")
    ask(reader, f"USE `{plain.database.name}`")
    assert ask(reader, READ) == ROWS


@FAMILY
@pytest.mark.parametrize(
    ("right", "kept"),
    [("SELECT ON note", False), ("SELECT ON `{db}`.*", True), ("SELECT ON *.*", True)],
)
def test_a_dropped_account_keeps_what_is_not_a_tables(plain, right, kept):
    plain.make("reader", right)
    reader = plain.open("reader")
    plain.database.execute(f"DROP USER {plain.name('reader')}")
    if kept:
        assert ask(reader, READ) == ROWS
    else:
        assert code(reader, READ) == TABLE_DENIED


@FAMILY
@pytest.mark.parametrize("right", ["SELECT ON note", "SELECT ON `{db}`.*", "SELECT ON *.*"])
def test_a_role_that_is_on_outlasts_its_revoke(plain, role, right):
    words = right.format(db=plain.database.name)
    plain.database.execute(f"GRANT {words} TO {role}")
    plain.make("reader", "SELECT (id) ON note", role)
    reader = plain.open("reader")
    ask(reader, f"SET ROLE {role}")
    ask(reader, f"USE `{plain.database.name}`")
    body = "SELECT body FROM note WHERE id = 1"
    assert ask(reader, body) == [("a",)]
    plain.revoke("reader", role)
    if right == "SELECT ON note" and plain.database.server.engine == "mysql":
        assert code(reader, body) in (TABLE_DENIED, 1143)
    else:
        assert ask(reader, body) == [("a",)]
    ask(reader, "SET ROLE NONE")
    assert code(reader, body) in (TABLE_DENIED, 1143)


@POSTGRESQL
def test_who_has_taken_a_role_on_stays_it_and_what_is_inherited_ends_at_once(plain, role):
    plain.database.execute(f"GRANT SELECT ON note TO {role}")
    plain.make("reader", role)
    taken, inherits = plain.open("reader"), plain.open("reader")
    ask(taken, f"SET ROLE {role}")
    assert ask(taken, READ) == ask(inherits, READ) == ROWS
    plain.revoke("reader", role)
    assert ask(taken, READ) == ROWS
    assert code(inherits, READ) == DENIED
    ask(taken, "RESET ROLE")
    assert code(taken, READ) == DENIED


@POSTGRESQL
def test_a_dropped_account_keeps_the_privileges_of_public(plain):
    reader_is = plain.make("reader", "SELECT ON note")
    reader = plain.open("reader")
    plain.database.execute("GRANT SELECT ON note TO PUBLIC")
    plain.database.execute(f"DROP OWNED BY {reader_is}", f"DROP ROLE {reader_is}")
    assert code(reader, "SELECT current_user") == NO_ROLE
    assert ask(reader, READ) == ROWS
    plain.database.execute("REVOKE SELECT ON note FROM PUBLIC")
    assert code(reader, READ) == DENIED


@POSTGRESQL
def test_rights_that_an_account_has_by_itself_end_at_once(plain):
    reader_is = plain.make("reader")
    plain.database.execute(f"ALTER ROLE {reader_is} SUPERUSER CREATEROLE")
    reader = plain.open("reader")
    assert ask(reader, READ) == ROWS
    plain.database.execute(f"ALTER ROLE {reader_is} NOSUPERUSER NOCREATEROLE")
    assert code(reader, READ) == DENIED
    assert code(reader, f'CREATE ROLE "{plain.database.prefix}mine"') == DENIED


def test_an_account_that_is_locked_goes_on_where_it_is_connected(plain):
    reader_is = plain.make("reader", "SELECT ON note")
    reader = plain.open("reader")
    plain.database.execute(
        f"ALTER ROLE {reader_is} NOLOGIN" if plain.postgresql else f"ALTER USER {reader_is} ACCOUNT LOCK"
    )
    assert ask(reader, READ) == ROWS
    with pytest.raises(Exception, match=r"not permitted to log in|locked"):
        plain.open("reader")


@POSTGRESQL
def test_settings_of_an_account_are_for_its_next_login(plain):
    reader_is = plain.make("reader")
    reader = plain.open("reader")
    plain.database.execute(f"ALTER ROLE {reader_is} SET statement_timeout = '7s'")
    assert ask(reader, "SHOW statement_timeout") == [("0",)]
    assert ask(plain.open("reader"), "SHOW statement_timeout") == [("7s",)]
