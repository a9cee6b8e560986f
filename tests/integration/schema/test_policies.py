"""Row scopes on PostgreSQL, tried by logging in: what each account sees and writes, and what never gets through."""

import contextlib
import itertools

import psycopg2
import pytest

from ringfence.runtime import CheckViolation, DataError, InterfaceError, UniqueViolation
from ringfence.runtime.settings import Settings
from ringfence.schema.engines import reach
from ringfence.schema.engines.postgresql.row_security import policy_name
from ringfence.schema.privileges.service import apply_access, plan_access
from ringfence.schema.verification.verify import verify
from support.deployments import TOML
from support.runtime_shop import in_threads
from support.tenants import HOSTILE, codes, fill, lay_out_tenants

pytestmark = [pytest.mark.requires("row_security"), pytest.mark.newer]
_ids = itertools.count(5000)


@pytest.fixture(scope="module")
def migrated(server, tmp_path_factory):
    with server.database() as database:
        shop = lay_out_tenants(tmp_path_factory.mktemp("tenancy"), database)
        shop.migrate()
        yield shop


@pytest.fixture
def shop(migrated):
    fill(migrated)
    return migrated


@pytest.fixture
def log_in(shop):
    """A raw connection of a service, with the settings a client in another language would make."""
    opened = []

    def connect(service, **settings):
        opened.append(shop.connect(service))
        cursor = opened[-1].cursor()
        for name, value in settings.items():
            cursor.execute("SELECT set_config(%s, %s, false)", (f"app.{name}", value))
        return cursor

    yield connect
    for connection in opened:
        connection.close()


def seen(cursor):
    cursor.execute("SELECT code FROM invoice ORDER BY id")
    return [code for (code,) in cursor.fetchall()]


def row(**given):
    new = next(_ids)
    values = {"id": new, "tenant_id": 1, "platform": "twitch", "number": new, "code": f"new{new}"} | given
    text = {k: "NULL" if v is None else str(v) if isinstance(v, int) else f"'{v}'" for k, v in values.items()}
    return f"INTO invoice ({', '.join(text)}) VALUES ({', '.join(text.values())})"


def refused(cursor, *statements):
    """Each is denied, or hits no row."""
    for sql in statements:
        hit = 0
        with contextlib.suppress(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(sql)
            hit = cursor.rowcount
        assert hit == 0, sql


def test_each_account_sees_its_rows(shop, log_in):
    everything = codes(shop)
    assert seen(log_in("office")) == everything
    assert seen(log_in("twitch")) == ["one", "three"]
    assert seen(log_in("hostile")) == ["six"]
    assert seen(log_in("verbs")) == ["one", "two", "three", "four"]
    assert seen(log_in("either")) == ["one", "three", "four", "seven"]
    assert seen(log_in("portal")) == []
    assert seen(log_in("portal", tenant_id="2")) == ["three", "four"]
    assert seen(log_in("portal", tenant_id="2147483647")) == []


def test_writes_stay_inside(shop, log_in):
    twitch = log_in("twitch")
    twitch.execute("INSERT " + row() + " RETURNING code")
    twitch.execute("UPDATE invoice SET closed_by = 'me'")  # without a WHERE
    assert twitch.rowcount == 3
    refused(
        twitch,
        "INSERT " + row(platform="discord"),
        "UPDATE invoice SET number = 9 WHERE id = 1002",
        "DELETE FROM invoice WHERE id = 1002",
    )
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="permission denied"):
        twitch.execute("UPDATE invoice SET platform = 'discord'")
    twitch.execute("DELETE FROM invoice")
    assert twitch.rowcount == 3
    assert codes(shop) == ["two", "four", "five", "six", "seven"]


def test_upserts_merges_and_copies_stay_inside(shop, log_in):
    twitch = log_in("twitch")
    conflicts = [
        ("id", {"id": 1002}),
        ("code", {"code": "two"}),
        ("tenant_id, number", {"tenant_id": 2, "number": 2}),
    ]
    for key, given in conflicts:
        for do in (
            "DO NOTHING",
            "DO UPDATE SET closed_by = 'me'",
            "DO UPDATE SET code = 'mine' RETURNING code",
        ):
            refused(twitch, f"INSERT {row(**given)} ON CONFLICT ({key}) {do}")
        with pytest.raises(psycopg2.errors.UniqueViolation):
            twitch.execute("INSERT " + row(**given))
    twitch.execute(f"INSERT {row(id=1001)} ON CONFLICT (id) DO UPDATE SET closed_by = 'me'")
    merge = "MERGE INTO invoice i USING (VALUES (1001), (1002)) v(id) ON i.id = v.id WHEN MATCHED THEN"
    for act in ("UPDATE SET number = 99", "DELETE"):
        twitch.execute(f"{merge} {act}")
        assert twitch.rowcount == 1
    refused(
        twitch,
        merge.replace("MATCHED", "NOT MATCHED")
        + " INSERT (id) VALUES (1002)".replace(
            "(id) VALUES (1002)", "(id, tenant_id, platform, number, code) VALUES (77, 1, 'discord', 77, 'x')"
        ),
    )
    with pytest.raises(psycopg2.Error, match="row-level security"):
        twitch.execute("COPY invoice FROM STDIN")
    assert codes(shop) == ["two", "three", "four", "five", "six", "seven"]
    assert shop.database.execute("SELECT count(*) FROM invoice WHERE closed_by = 'me'") == [(0,)]


def test_verbs_have_rows_of_their_own_within_those_of_select(shop, log_in):
    verbs = log_in("verbs")
    verbs.execute("UPDATE invoice SET number = number + 10")
    assert verbs.rowcount == 2  # tenant 1
    refused(verbs, "UPDATE invoice SET code = 'x' WHERE id = 1003", "INSERT " + row(tenant_id=3))
    verbs.execute("INSERT " + row(tenant_id=2))
    verbs.execute("DELETE FROM invoice")
    assert verbs.rowcount == 2  # of twitch, with nobody who closed it: one, and the new one
    assert codes(shop) == ["two", "three", "four", "five", "six", "seven"]


def test_a_session_has_the_rows_of_what_it_binds_and_no_others(shop):
    with shop.open("portal") as db:
        with db.session(scope={"tenant": 2}) as dal:
            invoice = dal.invoice
            assert [r.code for r in dal(invoice).select(orderby=invoice.id)] == ["three", "four"]
            key = invoice.insert(tenant_id=2, platform="x", number=5, code="made")
            assert dal(invoice).update(closed_by="me") == 3
            assert dal(invoice.id == 1001).delete() == 0
            dal.commit()
            assert dal(invoice.id == key).count() == 1
        with (
            pytest.raises(CheckViolation, match="would leave the scope"),
            db.session(scope={"tenant": 2}) as dal,
        ):
            dal.invoice.insert(tenant_id=1, platform="x", number=5, code="other")
        with db.session() as dal:
            assert not dal(dal.invoice).select()
            assert dal(dal.invoice).update(closed_by="nobody") == 0
        told = r'session\(scope=\{"tenant": …\}\)'
        with pytest.raises(CheckViolation, match=told), db.session() as dal:
            dal.invoice.insert(tenant_id=2, platform="x", number=6, code="other")
        with pytest.raises(UniqueViolation), db.session(scope={"tenant": 2}) as dal:
            dal.invoice.insert(tenant_id=2, platform="x", number=7, code="two")
        with pytest.raises(DataError), db.session(scope={"tenant": "2 OR true"}):
            pass


def test_an_unset_scope_is_an_error_where_it_is_declared_so(shop, log_in):
    with shop.open("strict") as db:
        with pytest.raises(InterfaceError, match="must bind firm"), db.session() as dal:
            dal(dal.invoice).count()
        with pytest.raises(InterfaceError, match="the scope firm is not bound"), db.session() as dal:
            dal.executesql("SELECT * FROM invoice")
        with db.session(scope={"firm": 3}) as dal:
            assert {r.code for r in dal(dal.invoice).select()} == {"five", "six"}
        assert db.readiness().stages
    strict = log_in("strict")
    for sql in (
        "SELECT * FROM invoice",
        "INSERT " + row(),
        "DELETE FROM invoice",
        "UPDATE invoice SET number = 1",
    ):
        with pytest.raises(psycopg2.errors.UndefinedObject, match=r"SET LOCAL app\.firm_id first"):
            strict.execute(sql)
    assert seen(log_in("strict", firm_id="3")) == ["five", "six"]


def test_the_next_session_on_a_connection_never_has_the_rows_of_the_last(shop):
    with shop.open("portal", size=2) as db:
        want = {None: set(), 1: {"one", "two"}, 2: {"three", "four"}, 3: {"five", "six"}}

        def work(number):
            for round_ in range(8):
                tenant = [None, 1, 2, 3][(number + round_) % 4]
                with db.session(scope={} if tenant is None else {"tenant": tenant}) as dal:
                    assert {r.code for r in dal(dal.invoice).select()} == want[tenant]

        assert in_threads(8, work) == [None] * 8


def test_through_a_pooler_in_transaction_mode(postgres_server, pgbouncer, tmp_path):
    with postgres_server.database() as database:
        shop = lay_out_tenants(tmp_path, database)
        shop.migrate()
        fill(shop)
        host, port = pgbouncer.hosts[0]
        with shop.open("portal", DB_HOST=host, DB_PORT=str(port)) as db:

            def work(number):
                for tenant in (1, 2, 3) * 3:
                    with db.session(scope={"tenant": tenant} if number % 2 else {}) as dal:
                        assert dal(dal.invoice).count() == (2 if number % 2 else 0)

            assert in_threads(6, work) == [None] * 6


def test_a_bound_scope_is_worked_out_once_and_uses_the_index(shop, log_in):
    portal = log_in("portal", tenant_id="2")
    portal.execute("SET enable_seqscan = off")
    portal.execute("EXPLAIN SELECT * FROM invoice")
    plan = "\n".join(line for (line,) in portal.fetchall())
    assert "InitPlan" in plan
    assert "Index Cond: (tenant_id = " in plan


def test_names_fit_and_are_each_ones_own():
    long = ["a" * 60 + "x", "a" * 60 + "y", "é" * 31, "short"]
    names = [policy_name(login, verb) for login in long for verb in ("select", "insert", "update", "delete")]
    assert len(set(names)) == len(names)
    assert all(len(name.encode()) <= 63 and name.startswith("ringfence_") for name in names)


def test_detached_policies_hang_on_no_column_and_show_nothing_and_the_others_stay(shop, log_in):
    backend = reach(shop.settings())
    with backend.engine().begin() as connection:
        going = {(None, "invoice"): {"platform", "tenant_id"}}
        for statement in backend.accounts.row_security.detach(connection, shop.load(), going):
            connection.exec_driver_sql(statement.sql)
        connection.exec_driver_sql(
            "ALTER TABLE invoice ALTER platform TYPE text, ALTER tenant_id TYPE bigint"
        )
    assert len(seen(log_in("office"))) == 7
    assert seen(log_in("twitch")) == []
    refused(log_in("twitch"), "INSERT " + row())
    apply_access(shop.load(), shop.env())
    assert len(seen(log_in("office"))) == 7
    assert seen(log_in("hostile")) == ["six"]
    assert HOSTILE in shop.database.execute("SELECT string_agg(platform, '') FROM invoice")[0][0]


ODD = """
import sqlalchemy as sa

metadata = sa.MetaData()
sa.Table(
    'In-"voice.%s', metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column('Ten\\'ant "%d', sa.Integer),
    sa.Column("mood", sa.Enum("glad", "it's", "50%", name="Mood")), sa.Column("key", sa.Uuid), sa.Column("day", sa.Date),
    sa.Column("short", sa.String(3)), sa.Column("moment", sa.DateTime(timezone=True)),
    sa.Column("price", sa.Numeric(6, 2)), sa.Column("ready", sa.Boolean),
)
"""
ODD_ACCESS = r"""
version: 1
accounts:
  odd:
    login: 'PREFIXo"d%s.X'
    tables:
      'In-"voice.%s':
      - {verbs: rw, rows: {'Ten''ant "%d': 7, mood: "it's", ready: true, price: 1.5}}
      - {verbs: rw, rows: {mood: ["50%", "glad"], key: 00000000-0000-0000-0000-00000000000a, day: "2026-01-02"}}
  bound:
    tables:
      'In-"voice.%s': {verbs: rw, rows: {mood: ":mood", short: ":short", key: ":key", moment: "2026-01-02T03:04:05Z"}}
"""


def test_names_and_constants_of_every_kind_under_an_admin_of_few_rights(db, tmp_path):
    shop = lay_out_tenants(tmp_path, db)
    shop.write("shop_models.py", ODD)
    shop.write("access.yaml", ODD_ACCESS.replace("  bound:\n", "  bound:\n    login: PREFIXbound\n"))
    shop.write(
        "ringfence.toml", TOML.replace('"postgresql", "mariadb", "galera", "mysql", "sqlite"', '"postgresql"')
    )
    boss = shop.login("boss")
    db.execute(
        f"CREATE ROLE \"{boss}\" LOGIN CREATEROLE PASSWORD 'a password'",
        f'ALTER DATABASE "{db.name}" OWNER TO "{boss}"',
    )
    env = shop.env() | {"DB_USER": boss, "DB_PASS": "a password"}
    shop.migrate(env)
    table = '"In-""voice.%s"'
    ours = "'00000000-0000-0000-0000-00000000000a'"
    db.execute(
        f"INSERT INTO {table} VALUES (1, 7, 'it''s', NULL, NULL, 'abc', NULL, 1.5, true)",
        f"INSERT INTO {table} VALUES (2, 8, '50%', {ours}, '2026-01-02', 'abc', '2026-01-02 03:04:05+00', 1, true)",
        f"INSERT INTO {table} VALUES (3, 7, 'it''s', NULL, NULL, 'abc', NULL, 1.51, true)",
    )
    assert plan_access(shop.load(), env).agrees
    proof = verify(shop.load(), Settings.from_env(env), shop.passwords())
    assert proof.findings == []
    bound = psycopg2.connect(
        host=env["DB_HOST"],
        port=env["DB_PORT"],
        dbname=db.name,
        user=shop.login("bound"),
        password=shop.password("bound"),
    )
    cursor = bound.cursor()
    for short, mood, rows in (
        ("abc", "50%", [2]),
        ("abcd", "50%", []),
        ("abc", "no label", []),
        ("abc", "glad", []),
    ):
        cursor.execute(
            "SELECT set_config('ringfence.short', %s, true), set_config('ringfence.mood', %s, true),"
            " set_config('ringfence.key', %s, true)",
            (short, mood, ours.strip("'")),
        )
        cursor.execute(f"SELECT id FROM {table}")
        assert [key for (key,) in cursor.fetchall()] == rows
    bound.close()
