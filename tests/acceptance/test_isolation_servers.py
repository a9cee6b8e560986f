"""What the page on isolation says of the servers, tried by plain statements: locks, catalogs, history, notifications."""

import pytest

from support.accounts import Plain, ask, code
from support.waiting import eventually

pytestmark = [pytest.mark.requires("accounts"), pytest.mark.newer]

FAMILY = pytest.mark.engines("mysql", "mariadb", "galera")
MARIADB = pytest.mark.engines("mariadb", "galera")
DENIED, WAITED = "42501", "55P03"
TABLE_DENIED, DATABASE_DENIED, LOCK_WAITED, DEADLOCK = 1142, 1044, 1205, 1213
MODES = (
    "ACCESS SHARE",
    "ROW SHARE",
    "ROW EXCLUSIVE",
    "SHARE UPDATE EXCLUSIVE",
    "SHARE",
    "SHARE ROW EXCLUSIVE",
    "EXCLUSIVE",
    "ACCESS EXCLUSIVE",
)
STRONGEST = MODES[-1]


@pytest.fixture
def plain(db):
    plain = Plain(db)
    db.execute(
        "CREATE TABLE note (id INT PRIMARY KEY, body VARCHAR(9), secret VARCHAR(9), tenant INT)",
        "INSERT INTO note VALUES (1, 'a', 'x', 1), (2, 'b', 'y', 2)",
        "CREATE TABLE hidden (id INT PRIMARY KEY)",
    )
    yield plain
    plain.close()


def impatient(plain):
    """An admin who waits for a lock a second at most."""
    admin = plain.open()
    words = (
        "lock_timeout = '1s'" if plain.postgresql else "innodb_lock_wait_timeout = 1, lock_wait_timeout = 1"
    )
    ask(admin, f"SET SESSION {words}")
    return admin


# -- locks


@pytest.mark.engines("postgresql", "mysql", "mariadb")
@pytest.mark.parametrize("grant", ["SELECT ON note", "SELECT (id) ON note"])
def test_a_migration_waits_for_an_open_transaction_that_has_read_and_a_writer_does_not(plain, grant):
    plain.make("reader", grant)
    reader, admin = plain.open("reader"), impatient(plain)
    ask(reader, "BEGIN")
    assert ask(reader, "SELECT id FROM note WHERE id = 1") == [(1,)]
    assert code(admin, "UPDATE note SET body = 'z' WHERE id = 1") is None
    waited = WAITED if plain.postgresql else LOCK_WAITED
    assert code(admin, "ALTER TABLE note ADD COLUMN more INT") == waited
    ask(reader, "ROLLBACK")
    assert code(admin, "ALTER TABLE note ADD COLUMN more INT") is None


@pytest.mark.engines("galera")
def test_a_migration_and_writers_on_other_nodes_end_an_open_transaction_on_galera(plain):
    plain.make("reader", "SELECT ON note")
    reader, admin = plain.open("reader"), impatient(plain)
    server = plain.database.server
    elsewhere = plain.database.connect(server.admin_user, server.admin_password, 1)
    locking = "SELECT id FROM note WHERE id = 1 FOR UPDATE"
    ask(reader, "BEGIN")
    assert ask(reader, "SELECT id FROM note") == [(1,), (2,)]
    assert code(admin, "ALTER TABLE note ADD COLUMN more INT") is None
    assert code(reader, "SELECT id FROM note") == DEADLOCK
    ask(reader, "ROLLBACK")
    ask(reader, "BEGIN")
    assert ask(reader, locking) == [(1,)]
    assert code(elsewhere, "UPDATE note SET body = 'z' WHERE id = 1") is None
    eventually(lambda: ask(admin, "SELECT body FROM note WHERE id = 1") == [("z",)])
    assert code(reader, locking) == DEADLOCK
    ask(reader, "ROLLBACK")
    elsewhere.close()


@pytest.mark.engines("postgresql")
def test_who_may_only_read_locks_no_row_and_no_table_on_postgresql(plain):
    plain.make("reader", "SELECT ON note")
    reader = plain.open("reader")
    for words in ("KEY SHARE", "SHARE", "NO KEY UPDATE", "UPDATE"):
        assert code(reader, f"SELECT id FROM note FOR {words}") == DENIED
    assert may_lock(reader) == [MODES[0]]


@pytest.mark.engines("postgresql")
@pytest.mark.parametrize(
    ("grant", "strongest", "rows"),
    [
        ("INSERT ON note", "ROW EXCLUSIVE", False),
        ("UPDATE ON note", STRONGEST, True),
        ("DELETE ON note", STRONGEST, False),
        ("UPDATE (body) ON note", None, True),
        ("INSERT (body) ON note", None, False),
    ],
)
def test_who_may_write_locks_as_much_as_the_verb_says_on_postgresql(plain, grant, strongest, rows):
    plain.make("writer", grant)
    writer = plain.open("writer")
    locks = may_lock(writer)
    assert (locks[-1] if locks else None) == strongest
    plain.grant("writer", "SELECT (id) ON note")
    assert (code(writer, "SELECT id FROM note FOR UPDATE") is None) == rows


def may_lock(connection):
    found = []
    for mode in MODES:
        ask(connection, "BEGIN")
        refused = code(connection, f"LOCK TABLE note IN {mode} MODE")
        ask(connection, "ROLLBACK")
        assert refused in (None, DENIED)
        found += [] if refused else [mode]
    return found


@FAMILY
@pytest.mark.parametrize("thing", ["note", "seen"])
def test_who_may_only_read_holds_off_writers_of_the_rows_it_reads_on_the_mysql_family(plain, thing):
    plain.database.execute("CREATE VIEW seen AS SELECT id, body FROM note WHERE tenant = 1")
    plain.make("reader", f"SELECT ON {thing}")
    reader, admin = plain.open("reader"), impatient(plain)
    shared, exclusive = (
        f"SELECT id FROM {thing} WHERE id = 1 {how}" for how in ("LOCK IN SHARE MODE", "FOR UPDATE")
    )
    ask(reader, "BEGIN")
    assert ask(reader, shared) == [(1,)]
    assert code(admin, "UPDATE note SET body = 'z' WHERE id = 1") == LOCK_WAITED
    assert code(admin, "UPDATE note SET body = 'z' WHERE id = 2") is None
    assert code(admin, "SELECT id FROM note WHERE id = 1 LOCK IN SHARE MODE") is None
    ask(reader, "ROLLBACK")
    ask(reader, "BEGIN")
    if plain.database.server.engine == "mysql":
        assert code(reader, exclusive) == TABLE_DENIED
    else:
        assert ask(reader, exclusive) == [(1,)]
        assert code(admin, "SELECT id FROM note WHERE id = 1 LOCK IN SHARE MODE") == LOCK_WAITED
    ask(reader, "ROLLBACK")
    assert code(admin, "UPDATE note SET body = 'z' WHERE id = 1") is None
    assert code(reader, f"LOCK TABLES {thing} READ") == DATABASE_DENIED


@pytest.mark.engines("mysql", "mariadb")
def test_a_serializable_read_holds_off_writers_on_the_mysql_family(plain):
    plain.make("reader", "SELECT ON note")
    reader, admin = plain.open("reader"), impatient(plain)
    ask(reader, "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE")
    ask(reader, "BEGIN")
    assert ask(reader, "SELECT id FROM note WHERE id = 1") == [(1,)]
    assert code(admin, "UPDATE note SET body = 'z' WHERE id = 1") == LOCK_WAITED
    ask(reader, "ROLLBACK")


@pytest.mark.requires("session_locks")
def test_a_named_lock_belongs_to_its_first_holder(plain):
    plain.make("one")
    plain.make("other")
    if not plain.postgresql:
        plain.grant("one", "SELECT ON note")
        plain.grant("other", "SELECT ON note")
    take, free = (
        ("SELECT pg_try_advisory_lock(4711)", (False,))
        if plain.postgresql
        else (f"SELECT GET_LOCK('{plain.database.prefix}job', 0)", (0,))
    )
    first, second = plain.open("one"), plain.open("other")
    assert ask(first, take)[0][0]
    assert ask(second, take) == [free]


# -- catalogs


def test_information_schema_lists_the_tables_and_columns_that_an_account_was_given(plain):
    plain.make("reader", "SELECT (id, body) ON note")
    reader = plain.open("reader")
    schema = "public" if plain.postgresql else plain.database.name
    of = f"FROM information_schema.{{}} WHERE table_schema = '{schema}'"
    assert ask(reader, f"SELECT table_name {of.format('tables')}") == [("note",)]
    columns = ask(reader, f"SELECT table_name, column_name {of.format('columns')} ORDER BY 2")
    assert columns == [("note", "body"), ("note", "id")]


@FAMILY
def test_mysql_names_indexed_columns_and_targets_of_foreign_keys_of_a_table_and_mariadb_does_not(plain):
    plain.database.execute(
        "CREATE TABLE kept (id INT PRIMARY KEY, code INT, to_hidden INT, KEY by_code (code),"
        " FOREIGN KEY (to_hidden) REFERENCES hidden (id))"
    )
    plain.make("reader", "SELECT (id, to_hidden) ON kept")
    reader = plain.open("reader")
    here = f"table_schema = '{plain.database.name}'"
    indexed = ask(reader, f"SELECT column_name FROM information_schema.statistics WHERE {here} ORDER BY 1")
    targets = ask(
        reader,
        "SELECT referenced_table_name FROM information_schema.referential_constraints"
        f" WHERE constraint_schema = '{plain.database.name}'",
    )
    if plain.database.server.engine == "mysql":
        assert (indexed, targets) == ([("code",), ("id",), ("to_hidden",)], [("hidden",)])
    else:
        assert (indexed, targets) == ([("id",), ("to_hidden",)], [])


@pytest.mark.engines("postgresql")
def test_the_catalog_of_postgresql_names_every_table_and_condition_and_no_statistics_of_scoped_ones(plain):
    plain.database.execute(
        "CREATE TABLE open_one (id INT, body TEXT, secret TEXT)",
        "INSERT INTO open_one SELECT g, 'm' || g % 3, 's' || g % 3 FROM generate_series(1, 300) g",
        "CREATE TABLE scoped (id INT, tenant INT)",
        "INSERT INTO scoped SELECT g, g % 3 FROM generate_series(1, 300) g",
        "ALTER TABLE scoped ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY mine ON scoped USING (tenant = 1)",
        "ANALYZE open_one, scoped",
    )
    plain.make("reader", "SELECT (id, body) ON open_one", "SELECT ON scoped")
    reader = plain.open("reader")
    named = ask(reader, "SELECT relname FROM pg_class WHERE relname IN ('hidden', 'scoped') ORDER BY 1")
    assert named == [("hidden",), ("scoped",)]
    assert ask(reader, "SELECT qual FROM pg_policies WHERE tablename = 'scoped'") == [("(tenant = 1)",)]
    shown = ask(reader, "SELECT tablename, attname FROM pg_stats WHERE schemaname = 'public' ORDER BY 2")
    assert shown == [("open_one", "body"), ("open_one", "id")]
    assert ask(reader, "SELECT reltuples FROM pg_class WHERE relname = 'scoped'") == [(300.0,)]


# -- history, and notifications


@MARIADB
def test_history_is_read_through_a_scoped_view_within_its_scope_and_columns(plain):
    plain.database.execute(
        "CREATE TABLE kept (id INT PRIMARY KEY, body VARCHAR(9), tenant INT) WITH SYSTEM VERSIONING",
        "INSERT INTO kept VALUES (1, 'first', 1), (2, 'other', 2)",
        "UPDATE kept SET body = 'second' WHERE id = 1",
        "DELETE FROM kept WHERE id = 2",
        "CREATE VIEW mine AS SELECT id, body FROM kept WHERE tenant = 1",
        "CREATE VIEW now AS SELECT id, body FROM kept FOR SYSTEM_TIME AS OF CURRENT_TIMESTAMP(6) WHERE tenant = 1",
    )
    plain.make("reader", "SELECT ON mine", "SELECT ON now")
    reader = plain.open("reader")
    assert ask(reader, "SELECT * FROM mine") == [(1, "second")]
    every = "SELECT body FROM {} FOR SYSTEM_TIME ALL ORDER BY body"
    assert ask(reader, every.format("mine")) == [("first",), ("second",)]
    assert code(reader, every.format("kept")) == TABLE_DENIED
    assert ask(reader, "SELECT * FROM now") == [(1, "second")]
    assert code(reader, every.format("now")) == 4124  # a view that names a time has no other
    assert code(reader, "DELETE HISTORY FROM mine") == TABLE_DENIED


@pytest.mark.engines("postgresql")
def test_every_account_hears_the_payload_of_a_channel_and_does_not_learn_who_listens(plain):
    plain.make("hears")
    plain.make("speaks")
    hears, speaks = plain.open("hears"), plain.open("speaks")
    ask(hears, "LISTEN news")
    assert ask(speaks, "SELECT count(*) FROM pg_listening_channels()") == [(0,)]
    ask(speaks, "NOTIFY news, 'seven'")
    ask(hears, "SELECT 1")
    hears.poll()
    assert [(one.channel, one.payload) for one in hears.notifies] == [("news", "seven")]
