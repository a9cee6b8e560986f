"""What the lint claims of Galera's nodes, on a real cluster: where they part, that it is found, and the ways out."""

import contextlib
import time

import pytest

from ringfence.schema.engines import reach
from ringfence.schema.errors import JobFailed
from ringfence.schema.lint import UnsafeRevisions
from support.deployments import lay_out

pytestmark = pytest.mark.engines("galera")
NODES = 3
REVISION = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from alembic import op


def upgrade():
    {}


def downgrade():
    pass
"""


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    return shop


def on(database, node, *statements):
    """The rows of the last statement, in one session of a node that has all that was written before."""
    with contextlib.closing(database.connect(node=node)) as connection:
        cursor = connection.cursor()
        cursor.execute("SET SESSION wsrep_sync_wait = 7")
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall()


def everywhere(database, statement):
    return [on(database, node, statement) for node in range(NODES)]


def disagreeing(shop):
    with reach(shop.settings()).engine().connect() as connection:
        return reach(shop.settings()).nodes.compare_schemas(connection, {None})


APART = [
    (
        "SET SESSION default_storage_engine = 'Aria'",
        "CREATE TABLE odd (id INT PRIMARY KEY)",
        "the table odd as ENGINE=Aria",
    ),
    (
        "SET SESSION innodb_compression_default = ON",
        "CREATE TABLE odd (id INT PRIMARY KEY)",
        "the table odd as ENGINE=InnoDB, ROW_FORMAT=Dynamic, `PAGE_COMPRESSED`='ON'",
    ),
    (
        "SET SESSION innodb_strict_mode = OFF",
        "CREATE TABLE odd (id INT PRIMARY KEY) ROW_FORMAT=COMPRESSED KEY_BLOCK_SIZE=64",
        "the column odd.id as int(11) NOT NULL",
    ),
    (
        "SET SESSION system_versioning_alter_history = 'KEEP'",
        "ALTER TABLE kept ADD COLUMN odd INT",
        "the column kept.odd as int(11)",
    ),
]


@pytest.mark.parametrize(("setting", "ddl", "apart"), APART)
def test_a_setting_of_the_session_parts_the_nodes_and_the_job_finds_it(shop, setting, ddl, apart):
    shop.database.execute("CREATE TABLE kept (id INT PRIMARY KEY) WITH SYSTEM VERSIONING")
    on(shop.database, 0, setting, ddl)
    states = everywhere(shop.database, "SHOW STATUS LIKE 'wsrep_local_state_comment'")
    assert [state for ((_, state),) in states] == ["Synced"] * NODES
    wrong, unproven = disagreeing(shop)
    assert unproven == []
    assert len(wrong) == NODES - 1
    assert all(f"has not {apart}" in text for text in wrong)
    with pytest.raises(JobFailed, match=r"(?s)the nodes do not agree on the schema.*has not the"):
        shop.migrate()


@pytest.mark.parametrize(("setting", "ddl", "apart"), APART)
def test_set_statement_is_the_same_on_every_node(shop, setting, ddl, apart):
    shop.database.execute("CREATE TABLE kept (id INT PRIMARY KEY) WITH SYSTEM VERSIONING")
    on(shop.database, 0, f"{setting.replace('SESSION', 'STATEMENT')} FOR {ddl}")
    assert disagreeing(shop) == ([], [])
    shop.migrate()


def test_a_migration_that_sets_it_is_refused_before_anything_is_changed(shop):
    body = 'op.execute("SET default_storage_engine = Aria")\n    op.execute("CREATE TABLE odd (id INT PRIMARY KEY)")'
    shop.write("migrations/versions/c3.py", REVISION.format(body))
    with pytest.raises(UnsafeRevisions) as raised:
        shop.migrate(no_lint=None)
    assert "RF601" in {finding.rule for finding in raised.value.findings}
    assert shop.database.execute("SHOW TABLES LIKE 'odd'") == []


def _status(shop):
    return [rows[0][0] for rows in everywhere(shop.database, _EVENT)]


_EVENT = "SELECT status FROM information_schema.events WHERE event_schema = DATABASE()"
_ASLEEP = "SLAVESIDE_DISABLED"


def test_an_event_that_is_altered_on_another_node_runs_nowhere_and_is_found(shop):
    shop.database.execute("CREATE EVENT tidy ON SCHEDULE EVERY 1 DAY DO DELETE FROM purchase")
    assert _status(shop) == ["ENABLED", _ASLEEP, _ASLEEP]
    assert disagreeing(shop) == ([], [])
    on(shop.database, 1, "ALTER EVENT tidy ON SCHEDULE EVERY 2 DAY")
    assert _status(shop) == [_ASLEEP] * NODES
    wrong, _ = disagreeing(shop)
    assert len(wrong) == 1
    assert "the event tidy is SLAVESIDE_DISABLED on every node" in wrong[0]
    with pytest.raises(JobFailed, match="ALTER EVENT tidy ENABLE on the node that is to run it"):
        shop.migrate()
    on(shop.database, 1, "ALTER EVENT tidy ON SCHEDULE EVERY 3 DAY ENABLE")  # resolves RF603
    assert _status(shop) == [_ASLEEP, "ENABLED", _ASLEEP]
    assert disagreeing(shop) == ([], [])
    on(shop.database, 2, "ALTER EVENT tidy ON SCHEDULE EVERY 4 DAY DISABLE")
    assert "ENABLED" not in _status(shop)
    assert disagreeing(shop) == ([], [])
    shop.migrate()


def test_an_event_that_runs_twice_or_otherwise_on_a_node_is_found(shop):
    shop.database.execute("CREATE EVENT tidy ON SCHEDULE EVERY 1 DAY DO DELETE FROM purchase")
    assert _status(shop) == ["ENABLED", _ASLEEP, _ASLEEP]
    alone = "SET SESSION wsrep_OSU_method = 'RSU'"
    on(shop.database, 1, alone, "ALTER EVENT tidy ENABLE")
    wrong, _ = disagreeing(shop)
    assert [text for text in wrong if "the event tidy is enabled on 2 nodes, and each runs it" in text]
    on(shop.database, 1, alone, "ALTER EVENT tidy ON SCHEDULE EVERY 5 DAY DISABLE ON SLAVE")
    wrong, _ = disagreeing(shop)
    assert [text for text in wrong if "has, alone, the event tidy as RECURRING 5 DAY of server" in text]


def test_system_versioning_that_is_added_starts_at_another_moment_on_each_node(shop):
    shop.database.execute(
        "CREATE TABLE kept (id INT PRIMARY KEY)",
        "INSERT INTO kept VALUES (1)",
        "ALTER TABLE kept ADD SYSTEM VERSIONING",
        "CREATE TABLE made (id INT PRIMARY KEY) WITH SYSTEM VERSIONING",  # resolves RF605
        "INSERT INTO made SELECT id FROM kept",
    )
    moments = set(everywhere(shop.database, "SELECT row_start FROM kept"))
    assert len(moments) > 1
    assert len(set(everywhere(shop.database, "SELECT row_start FROM made"))) == 1


@pytest.mark.parametrize(
    "default", ["UUID()", "RAND()", "UTC_TIMESTAMP(6)", "CURRENT_TIMESTAMP(6)", "SYSDATE(6)"]
)
def test_a_new_column_has_other_values_on_each_node(shop, default):
    shop.database.execute("CREATE TABLE kept (id INT PRIMARY KEY)", "INSERT INTO kept VALUES (1)")
    time.sleep(0.01)
    shop.database.execute(f"ALTER TABLE kept ADD COLUMN x VARCHAR(60) DEFAULT ({default})")
    assert len(set(everywhere(shop.database, "SELECT x FROM kept"))) > 1
    shop.database.execute("INSERT INTO kept (id) VALUES (2)")
    assert len(set(everywhere(shop.database, "SELECT x FROM kept WHERE id = 2"))) == 1


def test_a_new_column_of_whole_seconds_is_the_same_everywhere(shop):
    shop.database.execute(
        "CREATE TABLE kept (id INT PRIMARY KEY)",
        "INSERT INTO kept VALUES (1)",
        "ALTER TABLE kept ADD COLUMN x VARCHAR(60) DEFAULT (UTC_TIMESTAMP())",
    )
    assert len(set(everywhere(shop.database, "SELECT x FROM kept"))) == 1
