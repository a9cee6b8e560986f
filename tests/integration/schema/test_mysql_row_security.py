"""The fence of MySQL, MariaDB and Galera: definer views, guard triggers and scope functions, by logging in."""

import contextlib
from typing import Any

import pymysql
import pytest

from ringfence.runtime import CheckViolation
from ringfence.schema.engines import reach
from ringfence.schema.errors import JobFailed
from ringfence.schema.privileges.service import apply_access, plan_access
from servers.mysql_family import definer
from support.contacts import lay_out_contacts

pytestmark = pytest.mark.engines("mysql", "mariadb", "galera")


@pytest.fixture(scope="module")
def made(server, tmp_path_factory):
    with server.database() as database:
        shop = lay_out_contacts(tmp_path_factory.mktemp("contacts"), database)
        shop.migrate()
        yield shop


@pytest.fixture
def contacts(made):
    made.reset()
    return made


def refused(run: Any, sql: str, *codes: int) -> None:
    with pytest.raises(pymysql.MySQLError) as raised:
        run(sql)
    assert raised.value.args[0] in codes, (sql, raised.value.args)


def test_a_second_apply_sends_nothing_and_every_service_is_ready(contacts):
    shop = contacts
    assert plan_access(shop.load(), shop.env()).sql() == []
    assert apply_access(shop.load(), shop.env()).statements == []
    for service in ("owner", "twitch", "reader", "chooser", "tenant"):
        with contacts.open(service, size=1) as db:
            report = db.readiness()
            assert report.ready, (service, str(report))


def test_an_account_sees_and_touches_its_rows_alone(contacts):
    before = contacts.rows()
    view = contacts.view("twitch")
    assert {contacts.view("twitch", verb) for verb in ("insert", "update", "delete")} == {view}
    with contacts.statements("twitch") as run:
        assert run(f"SELECT id FROM {view} ORDER BY id") == [
            (1,),
            (2,),
        ]  # and not 4, for Twitch is not twitch
        for sql in (
            "SELECT 1 FROM contact",
            "UPDATE contact SET hits = 1",
            "DELETE FROM contact",
            "INSERT INTO contact (platform, name) VALUES ('twitch', 'z')",
            f"SHOW CREATE VIEW {view}",
        ):
            refused(run, sql, 1142, 1045, 1227)
        assert run(f"UPDATE {view} SET hits = 5 WHERE id = 3") == 0
        assert run(f"DELETE FROM {view} WHERE id = 3") == 0
        assert run(f"UPDATE {view} a JOIN {view} b ON a.id = b.id SET a.hits = 6") == 2
        assert run(f"DELETE a FROM {view} a JOIN {view} b ON a.id = b.id WHERE b.id > 2") == 0
        refused(run, f"INSERT INTO {view} (platform, name) VALUES ('discord', 'z')", 1369)
        refused(run, f"INSERT INTO {view} (platform, name) VALUES ('Twitch', 'z')", 1369)
        refused(run, f"UPDATE {view} SET platform = 'discord'", 1369, 1143)
        assert run(f"SELECT id FROM {view} WHERE id = 1 FOR UPDATE") == [(1,)]
        assert run(f"INSERT INTO {view} (platform, name) VALUES ('twitch', 'new')") == 1
    after = contacts.rows()
    assert [after.pop(id_)[3] for id_ in sorted(set(after) - set(before))] == ["new"]
    assert after == before


def test_no_upsert_and_no_replace_reaches_another_row(contacts):
    before = contacts.rows()
    view = contacts.view("twitch")
    with contacts.statements("twitch") as run:
        for column, value in (("id", "3"), ("name", "'c'"), ("code", "'C'")):
            given = {"platform": "'twitch'", "name": "'n'", column: value}
            insert = f"INTO {view} ({', '.join(given)}) VALUES ({', '.join(given.values())})"
            for sql in (
                f"INSERT {insert} ON DUPLICATE KEY UPDATE hits = 9",
                f"INSERT {insert} ON DUPLICATE KEY UPDATE token = 'mine'",
                f"INSERT IGNORE {insert} ON DUPLICATE KEY UPDATE hits = 9",
                f"REPLACE {insert}",
            ):
                refused(run, sql, 1644, 3059, 1143)
        # On its own rows both work; MariaDB wants the right to update every column that is named, the scope's too.
        own = f"INSERT INTO {view} (platform, name) VALUES ('twitch', 'b') ON DUPLICATE KEY UPDATE token = 'own'"
        if contacts.database.server.engine == "mysql":
            run(own)
        else:
            refused(run, own, 1143)
        run(f"REPLACE INTO {view} (platform, name, code) VALUES ('twitch', 'a', 'new')")
    after = contacts.rows()
    assert {id_: after[id_] for id_ in (3, 4, 5)} == {id_: before[id_] for id_ in (3, 4, 5)}
    assert sorted(row[4] for row in after.values()) == ["B", "C", "D", "E", "new"]


def test_the_triggers_leave_other_accounts_alone(contacts):
    contacts.database.execute("UPDATE contact SET hits = hits + 1")
    with contacts.statements("owner") as run:
        assert run("UPDATE contact SET hits = 2") == 5
        assert run("REPLACE INTO contact (id, platform, name) VALUES (3, 'discord', 'c')") == 2
        assert run("DELETE FROM contact WHERE id = 1") == 1
        assert run("SELECT COUNT(*) FROM note WHERE contact_id = 1") == [(0,)]  # the cascade


def test_a_select_of_some_columns_shows_no_other(contacts):
    view = contacts.view("reader")
    with contacts.statements("reader") as run:
        assert len(run(f"SELECT * FROM {view}")[0]) == 2
        refused(run, "SELECT id FROM contact", 1142)
        refused(run, f"SELECT token FROM {view}", 1054)
        refused(run, f"SELECT id FROM {contacts.view('reader', 'insert')}", 1142)
    with contacts.open("reader", size=1) as db, db.session() as dal:
        assert dal.contact.insert(platform="x", name="one", token="t") > 5
        keys = dal.contact.bulk_insert([{"platform": "x", "name": f"n{i}", "token": "t"} for i in range(3)])
        assert len(keys) == 3
        assert not db.backend.returns_keys(db.mirror.tables["contact"])
        assert dal(dal.contact.name == "one").update(hits=4) == 1
        assert dal(dal.contact.name == "one").select().first().as_dict().keys() == {"id", "name"}


def test_alternatives_lists_and_null(contacts):
    with contacts.statements("chooser") as run:
        assert run(f"SELECT id FROM {contacts.view('chooser')} ORDER BY id") == [(1,), (2,), (3,), (5,)]


def test_a_bound_scope_holds_through_a_pooled_connection(contacts):
    before = contacts.rows()
    with contacts.open("tenant", size=1) as db:
        for tenant, seen in ((7, {1, 3}), (8, {2, 4}), (None, set()), (7, {1, 3})):
            with db.session(scope={} if tenant is None else {"tenant": tenant}) as dal:
                assert {row.id for row in dal(dal.contact).select()} == seen
                joined = dal(dal.note.contact_id == dal.contact.id).select(dal.note.word)
                assert {row.word for row in joined} == ({"x", "y"} if tenant == 7 else set())
                assert dal(dal.contact.id == 2).update(hits=3) == (tenant == 8)
        with db.session(scope={"tenant": 7}):
            connection = db.current().connection
            assert db.current().execute("SELECT @ringfence_tenant").fetchone()[0] == 7
        with connection.cursor() as cursor:
            cursor.execute("SELECT @ringfence_tenant")
            assert cursor.fetchone() == (None,)
        for scope in ({"tenant": 7}, {}):
            with pytest.raises(CheckViolation, match="scope"), db.session(scope=scope) as dal:
                dal.contact.insert(platform="p", name="z", tenant_id=8)
        with db.session(scope={"tenant": 9}) as dal:
            assert dal.contact.insert(platform="p", name="nine", tenant_id=9) > 5
    assert {id_: row for id_, row in contacts.rows().items() if id_ in before} == before


def test_a_connection_whose_scope_cannot_be_cleared_is_not_reused(contacts, monkeypatch):
    with contacts.open("tenant", size=1) as db:
        with db.session(scope={"tenant": 7}) as dal:
            dal(dal.contact).count()
            first = db.current().connection

            def broken(connection: Any) -> None:
                raise pymysql.err.OperationalError(2013, "lost")

            monkeypatch.setattr(db.backend, "unbind", broken)
        monkeypatch.undo()
        with db.session() as dal:
            assert dal(dal.contact).count() == 0
            assert db.current().connection is not first


def test_a_bound_scope_uses_the_index(contacts):
    name = contacts.database.name
    values = ", ".join(f"('p', {number % 50 + 100}, 'n{number}')" for number in range(500))
    contacts.database.execute(
        f"INSERT INTO contact (platform, tenant_id, name) VALUES {values}", "ANALYZE TABLE contact"
    )
    connection = contacts.database.connect()
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute("SET @ringfence_tenant = 101")
        cursor.execute(f"EXPLAIN FORMAT=JSON SELECT id FROM `{name}`.{contacts.view('tenant')}")
        told = str(cursor.fetchall())
    assert "ix_contact_tenant_id" in told
    assert "ref" in told


def test_what_was_altered_by_hand_is_put_right(contacts):
    shop, database = contacts, contacts.database
    view = contacts.view("twitch")
    triggers = [row[0] for row in database.execute("SHOW TRIGGERS")]
    assert len(triggers) == 2
    database.execute(
        f"CREATE OR REPLACE VIEW {view} AS SELECT id, platform FROM contact",
        f"DROP TRIGGER {triggers[0]}",
        f"DROP TRIGGER {triggers[1]}",
        f"CREATE TRIGGER {triggers[1]} BEFORE UPDATE ON contact FOR EACH ROW SET NEW.hits = NEW.hits",
        "DROP FUNCTION ringfence_scope_tenant",
        "CREATE FUNCTION ringfence_scope_tenant() RETURNS INT DETERMINISTIC NO SQL RETURN 7",
        "CREATE VIEW ringfence_left AS SELECT id FROM contact",
    )
    told = "\n".join(plan_access(shop.load(), shop.env()).sql())
    for name in (view, *triggers, "ringfence_scope_tenant", "ringfence_left"):
        assert name in told
    apply_access(shop.load(), shop.env())
    assert plan_access(shop.load(), shop.env()).sql() == []
    test_an_account_sees_and_touches_its_rows_alone(contacts)
    contacts.reset()
    test_no_upsert_and_no_replace_reaches_another_row(contacts)


def test_what_is_detached_comes_back_and_what_has_no_scope_any_more_goes(server, tmp_path):
    with server.database() as database:
        shop = lay_out_contacts(tmp_path, database)
        shop.migrate()
        backend = reach(shop.settings())
        with backend.engine().connect() as connection:
            statements = backend.accounts.row_security.detach(
                connection, shop.load(), {(None, "contact"): {"platform"}}
            )
            for statement in statements:
                connection.exec_driver_sql(statement.sql)
        assert len(statements) == 8  # the views, of which reader has three, and two guards
        assert objects(database) == (0, 0, 1)
        # Wider, and as the models say again.
        database.execute(*(f"ALTER TABLE contact MODIFY platform VARCHAR({n}) NOT NULL" for n in (30, 20)))
        shop.migrate()
        assert objects(database) == (6, 2, 1)
        shop.write("access.yaml", "version: 1\naccounts: {PREFIXowner: {tables: {note: ro}}}")
        shop.migrate()
        assert objects(database) == (0, 0, 0)
        assert database.execute("SELECT COUNT(*) FROM ringfence_row_security")[0][0] == 0
        login = definer(database.name)
        assert database.execute(f"SELECT COUNT(*) FROM mysql.user WHERE User = '{login}'")[0][0] == 0
        shop.write(
            "access.yaml", f'version: 1\naccounts: {{"{login}": {{tables: {{contact: {{select: [id]}}}}}}}}'
        )
        with pytest.raises(JobFailed, match="is the account that views run as"):
            shop.migrate()


def objects(database: Any) -> tuple[int, int, int]:
    """How many views, triggers and functions there are."""
    views, triggers, functions = (
        database.execute(
            f"SELECT COUNT(*) FROM information_schema.{catalog} WHERE {column}_schema = DATABASE()"
        )[0][0]
        for catalog, column in (("views", "table"), ("triggers", "trigger"), ("routines", "routine"))
    )
    return views, triggers, functions
