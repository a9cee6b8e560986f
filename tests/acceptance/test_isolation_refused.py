"""What a service's account asks of the server itself is refused for lack of a privilege: files, programs, settings."""

import pytest

from support.accounts import ask, code

pytestmark = [pytest.mark.requires("accounts"), pytest.mark.newer]

NO_PRIVILEGE = {"42501"}
# A table or a database; FILE; a privilege over the server; a routine; the session of another.
DENIED = {1142, 1044, 1045, 1227, 1370, 1095}
MISSING = "/nonexistent-of-a-test"

POSTGRESQL = [
    f"COPY auth_user TO '{MISSING}'",
    f"COPY auth_user FROM '{MISSING}'",
    "COPY auth_user TO PROGRAM 'true'",
    "COPY auth_user FROM PROGRAM 'true'",
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT pg_ls_dir('.')",
    "SELECT pg_stat_file('PG_VERSION')",
    f"SELECT lo_import('{MISSING}')",
    "SELECT * FROM pg_file_settings",
    "ALTER SYSTEM SET work_mem = '5MB'",
    "ALTER DATABASE {database} SET work_mem = '5MB'",
    "ALTER ROLE {admin} SET work_mem = '5MB'",
    "SET session_replication_role = replica",
    "SET log_min_messages = panic",
    "LOAD '/nonexistent/library'",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE c AS 'nonexistent', 'mine'",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE internal AS 'pg_backend_pid'",
    "CREATE EVENT TRIGGER mine ON ddl_command_end EXECUTE FUNCTION nothing()",
    "CREATE FOREIGN DATA WRAPPER mine",
    "CREATE PUBLICATION mine",
    "CREATE PUBLICATION mine FOR ALL TABLES",
    f"CREATE TABLESPACE mine LOCATION '{MISSING}'",
    "CHECKPOINT",
    "SELECT pg_reload_conf()",
    "SELECT pg_rotate_logfile()",
    "SELECT pg_switch_wal()",
    "SELECT pg_create_restore_point('mine')",
    "SELECT pg_terminate_backend({session})",
    "SELECT pg_cancel_backend({session})",
]
FAMILY = [
    f"LOAD DATA INFILE '{MISSING}' INTO TABLE events",
    f"SELECT 1 INTO OUTFILE '{MISSING}'",
    f"SELECT 1 INTO DUMPFILE '{MISSING}'",
    "KILL {session}",
    "KILL QUERY {session}",
    "SET GLOBAL max_connections = 100",
    "SET GLOBAL event_scheduler = OFF",
    "SET SESSION sql_log_bin = 0",
    "INSTALL PLUGIN mine SONAME 'nonexistent.so'",
    "CREATE FUNCTION mine RETURNS INTEGER SONAME 'nonexistent.so'",
    "CREATE SERVER mine FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'nowhere.example')",
    "FLUSH LOGS",
    "FLUSH TABLES",
    "PURGE BINARY LOGS BEFORE '2000-01-01'",
    "SELECT * FROM mysql.user",
    "CREATE DEFINER = 'root'@'localhost' VIEW mine AS SELECT 1",
]
MORE = {
    "mysql": [
        "INSTALL COMPONENT 'file://component_nonexistent'",
        "SET PERSIST max_connections = 100",
        "LOCK INSTANCE FOR BACKUP",
        "CHANGE REPLICATION SOURCE TO SOURCE_HOST = 'nowhere.example'",
        "STOP REPLICA",
        f"IMPORT TABLE FROM '{MISSING}'",
    ],
    "mariadb": [
        "INSTALL SONAME 'nonexistent'",
        "BACKUP STAGE START",
        "CHANGE MASTER TO MASTER_HOST = 'nowhere.example'",
        "STOP SLAVE",
        "SHOW ALL SLAVES STATUS",
    ],
}
MORE["galera"] = [*MORE["mariadb"], "SET GLOBAL wsrep_on = OFF", "SET GLOBAL wsrep_desync = ON"]


@pytest.fixture
def service(platform):
    """A raw connection of a service's account."""
    env = platform.env("backend-api")
    connection = platform.database.connect(env["DB_USER"], env["DB_PASS"])
    yield connection
    connection.close()


@pytest.fixture
def words(platform):
    """What the statements speak of: the database, the admin, and a session that is somebody else's."""
    server = platform.database.server
    other = platform.database.connect(server.admin_user, server.admin_password)
    session = other.info.backend_pid if server.db_type == "postgresql" else other.thread_id()
    yield {"database": platform.database.name, "admin": server.admin_user, "session": session}
    assert ask(other, "SELECT 1") == [(1,)]  # nobody ended it
    other.close()


def refused_otherwise(connection, statements, words, codes):
    """The statements that were let through, or refused for something else than a privilege."""
    found = {}
    for statement in statements:
        sql = statement.format(**words)
        refused = code(connection, sql)
        if refused not in codes:
            found[sql] = refused
    return found


@pytest.mark.engines("postgresql")
def test_files_programs_and_the_server_itself_are_refused_on_postgresql(platform, service, words):
    assert refused_otherwise(service, POSTGRESQL, words, NO_PRIVILEGE) == {}


@pytest.mark.engines("postgresql")
def test_an_extension_is_refused_on_postgresql(platform, service):
    # One that requires another is refused for the lack of that first.
    available = (
        "SELECT name FROM pg_available_extension_versions GROUP BY name"
        " HAVING NOT bool_or(installed) AND bool_and(requires IS NULL) ORDER BY 1"
    )
    names = [name for (name,) in ask(service, available)]
    for name in names[:5]:
        assert code(service, f'CREATE EXTENSION "{name}"') in NO_PRIVILEGE, name


@pytest.mark.engines("mysql", "mariadb", "galera")
def test_files_plugins_and_the_server_itself_are_refused_on_the_mysql_family(platform, service, words):
    statements = [*FAMILY, *MORE[platform.database.server.engine]]
    assert refused_otherwise(service, statements, words, DENIED) == {}


@pytest.mark.engines("mysql", "mariadb", "galera")
def test_a_file_of_the_server_is_not_read_on_the_mysql_family(platform, service):
    assert ask(service, "SELECT LOAD_FILE(@@datadir), LOAD_FILE('/etc/hostname')") == [(None, None)]
