"""Attacks on sessions and the pool: what one session leaves behind, and what ends where it should not."""

import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest

from ringfence.runtime import ArgumentError, Database, RingfenceError, Settings, UsageError
from ringfence.runtime.pool import PoolOptions
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import reach
from ringfence.schema.mirror import make_mirror
from support.deployments import lay_out

MODELS = """
import sqlalchemy as sa
from ringfence.schema.models import NAMING

metadata = sa.MetaData(naming_convention=NAMING)

sa.Table(
    "note", metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("body", sa.String(10)),
)
"""

ACCESS = "{version: 1, accounts: {keeper: {tables: {note: rw}}}}"


@pytest.fixture(scope="module")
def deployment(sqlite_server, tmp_path_factory) -> Deployment:
    with sqlite_server.database() as database:
        shop = lay_out(tmp_path_factory.mktemp("attacked"), database)
        shop.write("shop_models.py", MODELS)
        shop.write("access.yaml", ACCESS)
        return shop.load()


@pytest.fixture
def database(from_template: Callable[..., object], deployment: Deployment) -> Iterator[Database]:
    """A door of one connection, so that each session meets what the one before left."""

    def fill(made) -> None:
        engine = reach(Settings.from_env(made.env())).engine()
        deployment.metadata[0].create_all(engine)
        engine.dispose()

    fresh = from_template("kept", fill)
    mirror = make_mirror(deployment, deployment.accounts["keeper"], None)
    with Database(Settings.from_env(fresh.env()), mirror, PoolOptions(size=1, wait=2.0)) as opened:
        yield opened


def bodies(database: Database) -> list[str]:
    with database.session(read_only=True) as dal:
        return [row.body for row in dal(dal.note.id != None).select(orderby=dal.note.id)]  # noqa: E711


@pytest.mark.engines("postgresql")
@pytest.mark.parametrize(
    ("sql", "seen"),
    [
        ("CREATE TEMP TABLE note (id int, body text)", "SELECT count(*) FROM pg_class WHERE relname = 'note'"),
        ("SELECT pg_advisory_lock(7)", "SELECT count(*) + 1 FROM pg_locks WHERE locktype = 'advisory'"),
        ("SELECT set_config('ringfence.x', 'mine', false)", "SELECT 1 + length(current_setting('ringfence.x', true))"),
        ("DO $$ BEGIN PERFORM set_config('ringfence.x', 'mine', false); END $$",
         "SELECT 1 + length(current_setting('ringfence.x', true))"),
        ("""SELECT "set_config"('ringfence.x', 'mine', false)""",
         "SELECT 1 + length(current_setting('ringfence.x', true))"),
        ("UPDATE pg_settings SET setting = '7ms' WHERE name = 'lock_timeout'",
         "SELECT CASE WHEN current_setting('lock_timeout') = '0' THEN 1 ELSE 2 END"),
        ("LISTEN others", "SELECT count(*) + 1 FROM pg_listening_channels()"),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", "SELECT count(*) + 1 FROM pg_cursors WHERE name = 'c'"),
    ],
)  # fmt: skip
def test_nothing_is_left_for_the_next_session_on_postgresql(database, sql, seen):
    with database.session() as dal:
        dal.executesql(sql)
    with database.session() as dal:
        assert dal.executesql(seen)[0][0] in (1, None)


@pytest.mark.engines("mysql", "mariadb", "galera")
@pytest.mark.parametrize(
    ("sql", "seen", "clean"),
    [
        ("SELECT @mine := 5", "SELECT @mine", None),
        ("SELECT 5 INTO @mine", "SELECT @mine", None),
        ("SELECT /*! 5 INTO @mine */", "SELECT @mine", None),
        ("SELECT GET_LOCK('attack', 0)", "SELECT IS_USED_LOCK('attack')", None),
        ("SET LOCAL sql_mode = ''", "SELECT IF(@@session.sql_mode LIKE '%%STRICT%%', NULL, 1)", None),
    ],
)
def test_nothing_is_left_for_the_next_session_on_the_mysql_family(database, sql, seen, clean):
    with database.session() as dal:
        dal.executesql(sql)
    with database.session() as dal:
        assert dal.executesql(seen)[0][0] == clean


@pytest.mark.engines("mysql", "mariadb", "galera")
def test_a_temporary_table_is_not_left_in_place_of_the_real_one(database):
    with database.session() as dal:
        dal.executesql("CREATE TEMPORARY TABLE note (id int, body varchar(10))")
    with database.session() as dal:
        dal.note.insert(body="kept")
    database.pool.evict()
    assert bodies(database) == ["kept"]
    with database.session(read_only=True) as dal:
        assert len(dal.executesql("SHOW COLUMNS FROM note LIKE 'id'")[0]) > 0
        assert dal.executesql("SHOW COLUMNS FROM note LIKE 'id'")[0][3] == "PRI"


@pytest.mark.parametrize(
    "sql",
    [
        "COMMIT",
        "/* x */ COMMIT",
        "-- x\nROLLBACK",
        "; COMMIT",
        "SELECT 1; COMMIT; BEGIN",
        "SELECT ';'; COMMIT; BEGIN",
        "SELECT 1; ROLLBACK; BEGIN",
        "SAVEPOINT mine",
        "BEGIN",
    ],
)
def test_the_transaction_is_ended_by_the_session_alone(database, sql):
    with pytest.raises(RingfenceError), database.session() as dal:
        dal.note.insert(body="first")
        dal.executesql(sql)
    assert bodies(database) == []


@pytest.mark.engines("mysql", "mariadb", "galera")
@pytest.mark.parametrize("sql", ["# x\nCOMMIT", "/*! COMMIT */", "/*!50000 COMMIT */", "/*M! COMMIT */"])
def test_comments_of_the_mysql_family_hide_nothing(database, sql):
    with contextlib.suppress(UsageError), database.session() as dal:
        dal.note.insert(body="first")
        dal.executesql(sql)
        raise UsageError("as MySQL takes /*M! for a comment")
    assert bodies(database) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, SystemExit, MemoryError])
def test_an_odd_end_stores_nothing_and_gives_the_connection_back(database, error):
    with pytest.raises(error), database.session() as dal:
        dal.note.insert(body="lost")
        raise error
    assert bodies(database) == []
    assert database.pool.stats().in_use == 0


def test_a_session_held_by_a_generator_ends_with_it(database):
    def rows() -> Iterator[int]:
        with database.session() as dal:
            dal.note.insert(body="lost")
            yield 1

    held = rows()
    assert next(held) == 1
    held.close()
    assert bodies(database) == []

    left = rows()
    next(left)
    closer = threading.Thread(target=left.close)  # a thread that does not own the session
    closer.start()
    closer.join()
    assert database.pool.stats().in_use == 0
    assert bodies(database) == []


def test_two_generators_do_not_mix_their_sessions(database):
    def work(body: str) -> Iterator[None]:
        with database.session() as dal:
            dal.note.insert(body=body)
            yield

    outer = work("outer")
    next(outer)
    inner = work("inner")  # nested in the outer one, and left after it
    next(inner)
    with pytest.raises((StopIteration, UsageError)):
        next(outer)
    with contextlib.suppress(RingfenceError, StopIteration):
        next(inner)
    assert bodies(database) == []  # neither said that it is done while the other was not
    assert database.pool.stats().in_use == 0
    with database.session() as dal:
        dal.note.insert(body="after")
    assert bodies(database)[-1] == "after"


def test_a_database_closed_under_a_session_lets_it_end(database):
    with contextlib.suppress(RingfenceError), database.session() as dal:
        dal.note.insert(body="open")
        database.close(deadline=0.1)
    assert database.pool.stats().open == 0
    with pytest.raises(UsageError), database.session() as dal:
        dal.note.insert(body="late")


def test_a_text_is_not_taken_for_sql_where_values_are_meant(database):
    with database.session() as dal:
        dal.note.insert(body="mine")
        with pytest.raises(ArgumentError, match="list of values"):
            dal(dal.note.body.belongs("'x')) OR ((1=1) ")).count()
        nested = dal(dal.note.body == "mine")._select(dal.note.id)
        assert dal(dal.note.id.belongs(nested)).count() == 1
