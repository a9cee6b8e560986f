"""Attacks on servers: each account of the reference deployment, through a raw connection, after what is not its own."""

import contextlib
import io
from typing import Any

import pytest

from servers.base import Server
from support.reference_platform import Platform

pytestmark = [pytest.mark.requires("accounts"), pytest.mark.newer]

CANARY = "CANARY"
# The account, and a column that it was not given.
THIEVES = [
    ("analytics", "auth_user", "password"),
    ("jukebox", "auth_user", "password"),
    ("discord-link", "auth_user", "password"),
    ("connector", "auth_user", "password"),
    ("backend-api", "platform_integrations", "token"),
]

# Nothing of these may show a canary, whether it is refused or not.
LOOKS = {
    "postgresql": [
        "SELECT most_common_vals::text FROM pg_stats WHERE tablename = '{table}' AND attname = '{column}'",
        "SELECT * FROM pg_stats_ext_exprs",
        "SELECT query FROM pg_stat_activity",
        "SELECT * FROM pg_stat_statements",
        "SELECT * FROM pg_prepared_statements",
        "SELECT * FROM pg_cursors",
        "SELECT * FROM pg_user_mappings",
        "SELECT * FROM pg_largeobject_metadata",
    ],
    "mysql": [
        "SHOW FULL PROCESSLIST",
        "SELECT * FROM information_schema.processlist",
        "SELECT * FROM information_schema.column_statistics",
        "SELECT sql_text FROM performance_schema.events_statements_history",
        "SELECT sql_text FROM performance_schema.events_statements_current",
        "SELECT digest_text, query_sample_text FROM performance_schema.events_statements_summary_by_digest",
        "SELECT * FROM sys.processlist",
        "SELECT * FROM information_schema.innodb_trx",
        "SHOW ENGINE INNODB STATUS",
        "SHOW VARIABLES LIKE '%%password%%'",
    ],
}
# All of these must be refused.
TAKES = {
    "postgresql": [
        "SELECT {column} FROM {table}",
        "TABLE {table}",
        "SELECT ctid, xmin, tableoid, {column} FROM {table}",
        "EXPLAIN SELECT {column} FROM {table}",
        "PREPARE p AS SELECT {column} FROM {table}; EXECUTE p",
        "COPY {table} TO STDOUT",
        "COPY (SELECT {column} FROM {table}) TO STDOUT",
        "SELECT * FROM pg_authid",
        "SELECT * FROM pg_shadow",
        "SELECT * FROM pg_statistic",
        "SELECT * FROM pg_largeobject",
        "SELECT * FROM pg_hba_file_rules",
        "SELECT * FROM ringfence_account",
        "UPDATE ringfence_release SET revision = 'x'",
        "INSERT INTO ringfence_retired VALUES (1, NULL, 'x', NULL)",
        "DELETE FROM alembic_version",
        "SELECT * FROM alembic_version",
        "UPDATE {table} SET {column} = 'x'",
        "UPDATE {table} SET id = id RETURNING {column}",
        "UPDATE events SET kind = 'x'",
        "DELETE FROM events",
        "TRUNCATE events",
        "TRUNCATE {table} CASCADE",
        "INSERT INTO events (id, kind, source, payload, occurred_at) VALUES (1, 'x', 'x', '{{}}', now())"
        " ON CONFLICT (id) DO UPDATE SET kind = 'x'",
        "MERGE INTO events e USING (SELECT 1 AS id) s ON e.id = s.id WHEN MATCHED THEN DELETE",
        "LOCK TABLE ringfence_account",
        "CREATE TABLE mine (LIKE {table})",
        "CREATE TABLE mine AS SELECT 1",
        "CREATE VIEW mine AS SELECT 1",
        "CREATE TEMP TABLE {table} (id int)",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE SCHEMA mine",
        "CREATE EXTENSION dblink",
        "CREATE TRIGGER mine BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE RULE mine AS ON INSERT TO events DO NOTHING",
        "ALTER TABLE events ADD COLUMN mine int",
        "ALTER TABLE events DISABLE TRIGGER ALL",
        "CREATE INDEX mine ON events (kind)",
        "DROP TABLE events",
        "COMMENT ON TABLE events IS 'mine'",
        "GRANT SELECT ON {table} TO PUBLIC; SELECT {column} FROM {table}",
        "GRANT {admin} TO CURRENT_USER",
        "SET ROLE {admin}",
        "SET SESSION AUTHORIZATION {admin}",
        'SET ROLE "{other}"',
        "ALTER ROLE CURRENT_USER SUPERUSER",
        "ALTER ROLE CURRENT_USER BYPASSRLS",
        "ALTER ROLE CURRENT_USER CREATEROLE",
        "CREATE ROLE mine",
        "CREATE DATABASE mine",
        "ALTER SYSTEM SET log_statement = 'all'",
        "SET session_replication_role = replica",
        "SET log_statement = 'none'",
        "SELECT pg_reload_conf()",
        "SELECT pg_create_logical_replication_slot('mine', 'test_decoding')",
        "SELECT setval(pg_get_serial_sequence('{table}', 'id'), 1)",
        "SELECT last_value FROM ringfence_release_seq_seq",
    ],
    "mysql": [
        "SELECT {column} FROM {table}",
        "TABLE {table}",
        "SHOW CREATE TABLE ringfence_account",
        "SELECT * FROM mysql.user",
        "SELECT * FROM mysql.global_priv",
        "SELECT * FROM mysql.general_log",
        "SELECT * FROM mysql.innodb_index_stats",
        "SELECT * FROM mysql.column_stats",
        "SELECT * FROM ringfence_account",
        "UPDATE ringfence_release SET revision = 'x'",
        "DELETE FROM alembic_version",
        "SELECT * FROM alembic_version",
        "UPDATE {table} SET {column} = 'x'",
        "UPDATE events SET kind = 'x'",
        "DELETE FROM events",
        "TRUNCATE TABLE events",
        "REPLACE INTO events (id, kind, source, payload, occurred_at) VALUES (1, 'x', 'x', '{{}}', now())",
        "INSERT INTO events (id, kind, source, payload, occurred_at) VALUES (1, 'x', 'x', '{{}}', now())"
        " ON DUPLICATE KEY UPDATE kind = 'x'",
        "INSERT INTO events (kind, source, payload, occurred_at) SELECT {column}, 'x', '{{}}', now() FROM {table}",
        "LOCK TABLES {table} WRITE",
        "FLUSH TABLES WITH READ LOCK",
        "FLUSH PRIVILEGES",
        "CREATE TABLE mine (id int)",
        "CREATE TABLE mine LIKE {table}",
        "CREATE TEMPORARY TABLE {table} (id int)",
        "CREATE VIEW mine AS SELECT 1",
        "CREATE FUNCTION mine() RETURNS int RETURN 1",
        "CREATE PROCEDURE mine() SELECT 1",
        "CREATE TRIGGER mine BEFORE INSERT ON events FOR EACH ROW SET NEW.kind = 'x'",
        "CREATE EVENT mine ON SCHEDULE EVERY 1 DAY DO SELECT 1",
        "CREATE DATABASE mine",
        "CREATE USER mine",
        "CREATE ROLE mine",
        "ALTER TABLE events ADD COLUMN mine int",
        "CREATE INDEX mine ON events (kind)",
        "DROP TABLE events",
        "RENAME TABLE events TO mine",
        "OPTIMIZE TABLE ringfence_account",
        "GRANT SELECT ON {table} TO CURRENT_USER()",
        "SET PASSWORD FOR '{other}'@'%%' = 'x'",
        "SHOW GRANTS FOR '{other}'@'%%'",
        "SET GLOBAL general_log = ON",
        "SET GLOBAL local_infile = ON",
        "SET ROLE '{other}'",
        "SHOW BINARY LOGS",
        "SHOW BINLOG EVENTS",
        "CREATE TABLE test.mine (id int)",
        "PREPARE p FROM 'SELECT {column} FROM {table}'",
    ],
}


@pytest.fixture(scope="module")
def platform(platform: Platform, server: Server) -> Platform:
    """The reference deployment with a canary in what only few may read."""
    database = platform.database
    now = "'2026-01-01 00:00:00'"
    database.execute(
        "INSERT INTO auth_user (id, email, password, active, fs_uniquifier, created_at, newsletter)"
        f" VALUES (1, 'a@x', 'CANARY-password', '1', 'u', {now}, '0')",
        "INSERT INTO platform_integrations (id, platform, account, token, active, created_at, updated_at)"
        f" VALUES (1, 'twitch', 'a', 'CANARY-token', '1', {now}, {now})",
        "INSERT INTO events (id, kind, source, payload, occurred_at)"
        f" VALUES (1, 'login', 'x', '{{}}', {now})",
    )
    database.execute(
        "ANALYZE" if server.db_type == "postgresql" else "ANALYZE TABLE auth_user, platform_integrations"
    )
    return platform


def login(platform: Platform, service: str) -> tuple[str, str]:
    env = platform.env(service)
    return env["DB_USER"], env["DB_PASS"]


def run(connection: Any, sql: str) -> list[Any]:
    """Run it and read what it gives, also what a COPY gives. Raises the driver's error."""
    cursor = connection.cursor()
    if sql.startswith("COPY") and "STDOUT" in sql:
        out = io.StringIO()
        cursor.copy_expert(sql, out)
        return [out.getvalue()]
    cursor.execute(sql, ())
    return list(cursor.fetchall()) if cursor.description else []


def stored(platform: Platform) -> list[Any]:
    tables = ("auth_user", "platform_integrations", "events", "ringfence_release", "alembic_version")
    return [platform.database.execute(f"SELECT * FROM {table} ORDER BY 1") for table in tables]


@pytest.mark.parametrize(("service", "table", "column"), THIEVES)
def test_an_account_gets_at_nothing_that_it_was_not_given(platform, service, table, column):
    server = platform.database.server
    before = stored(platform)
    words = {
        "table": table,
        "column": column,
        "admin": server.admin_user,
        "other": login(platform, "backend-api" if service != "backend-api" else "connector")[0],
    }
    taken = []
    for kind, list_ in (("look", LOOKS), ("take", TAKES)):
        for template in list_[server.db_type]:
            connection = platform.database.connect(*login(platform, service))
            sql = template.format(**words)
            sql = sql if server.db_type == "postgresql" else sql.replace("%%", "%")
            try:
                rows = run(connection, sql)
            except Exception as error:  # each driver has its own
                rows = [str(error)]
                if CANARY in str(error):
                    taken.append((sql, rows))
                continue
            finally:
                with contextlib.suppress(Exception):
                    connection.close()
            if kind == "take" or CANARY in str(rows):
                taken.append((sql, rows))
    assert taken == []
    assert stored(platform) == before


def test_row_locks_and_rows_of_an_append_only_table_are_kept(platform):
    """The account that appends may neither read what others wrote nor move the key's counter."""
    connection = platform.database.connect(*login(platform, "connector"))
    try:
        for sql in (
            "SELECT kind FROM events",
            "SELECT count(*) FROM events",
            "SELECT 1 FROM events FOR UPDATE",
            "INSERT INTO events (kind, source, payload, occurred_at) SELECT kind, source, payload, occurred_at FROM events",
        ):
            with pytest.raises(Exception, match=r"(?i)denied"):
                run(connection, sql)
    finally:
        connection.close()
