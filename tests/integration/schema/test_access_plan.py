"""`access plan` and `access apply` on real servers: what would be done, is done, and is then nothing."""

import json
import re
import subprocess

import pytest
import sqlalchemy as sa

from ringfence.schema.errors import JobFailed
from ringfence.schema.privileges.service import apply_access, plan_access
from ringfence.schema.verification.verify import verify
from support.deployments import lay_out

pytestmark = pytest.mark.requires("accounts")


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    return shop


def account(shop, service):
    login = shop.login(service)
    return f'"{login}"' if shop.database.server.db_type == "postgresql" else f"'{login}'@'%'"


def sent_by(function):
    """The statements that SQLAlchemy sends during a call."""
    sent = []

    def hear(connection, cursor, statement, parameters, context, executemany):
        sent.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", hear)
    try:
        function()
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", hear)
    return sent


def findings(shop):
    return verify(shop.load(), shop.settings(), shop.passwords()).findings


def test_a_plan_shows_current_and_declared_rights_and_its_steps_and_apply_runs_them(shop):
    shop.database.execute(
        f"GRANT DELETE ON purchase TO {account(shop, 'report')}",
        f"REVOKE INSERT ON customer FROM {account(shop, 'till')}",
    )
    shop.write("access.yaml", (shop.root / "access.yaml").read_text() + "      customer: [insert]\n")
    planned = shop.run("ringfence", "access", "plan", "--json")
    assert planned.returncode == 2
    plan = json.loads(planned.stdout)["error"]["plan"]
    rows = {(row["login"], row["on"].rpartition(".")[2], row["verb"]): row for row in plan["differences"]}
    gone = rows[shop.login("report"), "purchase", "delete"]
    assert (gone["current"], gone["declared"], gone["action"]) == ("all", "-", "revoked")
    new = rows[shop.login("door"), "customer", "insert"]
    assert (new["current"], new["action"]) == ("-", "granted")
    assert re.fullmatch(r"access.yaml:\d+", new["origin"])
    assert (shop.login("till"), "customer", "insert") in rows
    done = shop.run("ringfence", "access", "apply")
    assert done.returncode == 0, done.stderr
    assert shop.run("ringfence", "access", "plan").returncode == 0
    shop.migrate()
    assert findings(shop) == []


def test_a_table_and_sql_for_people(shop):
    shop.database.execute(f"GRANT DELETE ON purchase TO {account(shop, 'report')}")
    shown = shop.run("ringfence", "access", "plan")
    assert shown.returncode == 2
    assert "ringfence access apply" in shown.stderr
    assert re.search(rf"{shop.login('report')} +table \S*purchase +delete +all +- +revoked", shown.stdout)
    sql = shop.run("ringfence", "access", "plan", "--sql").stdout.strip()
    assert re.fullmatch(r"REVOKE DELETE ON [^;\n]*;", sql)
    shop.database.execute(sql)
    assert shop.run("ringfence", "access", "plan").returncode == 0


def test_the_sql_of_a_plan_can_be_pasted_and_holds_no_secret(shop):
    text = (shop.root / "access.yaml").read_text()
    shop.write("access.yaml", text + "  new:\n    tables: {customer: ro}\n".replace("new", "new-one"))
    planned = shop.run("ringfence", "access", "plan", "--sql", TILL_DB_PASS="quite-another-one-4711")
    assert planned.returncode == 2
    everything = planned.stdout + planned.stderr
    assert not [a for a in ("till", "new-one") if shop.password(a) in everything]
    assert "quite-another" not in everything
    statements = [
        line.partition("; --")[0] for line in planned.stdout.splitlines() if not line.startswith("--")
    ]
    shop.database.execute(*statements)
    plan = plan_access(shop.load(), shop.env())
    assert {step.kind for step in plan.steps} <= {"unlock", "password"}
    apply_access(shop.load(), shop.env())
    shop.migrate()
    assert findings(shop) == []


def test_a_second_apply_executes_nothing_but_its_lock(shop):
    env, deployment = shop.env(), shop.load()
    apply_access(deployment, env)
    reads = re.compile(r"\s*(SELECT|SHOW|DESCRIBE|WITH|SET)\b", re.IGNORECASE)
    sent = sent_by(lambda: apply_access(deployment, env))
    assert [sql for sql in sent if not reads.match(sql) and "ringfence_lease" not in sql] == []


def test_catalog_queries_do_not_grow_with_accounts_and_tables(shop):
    few = len(sent_by(lambda: plan_access(shop.load(), shop.database.env())))
    text = (shop.root / "access.yaml").read_text()
    for number in range(20):
        text += f"  more{number}:\n    tables: {{customer: ro, purchase: rw}}\n"
    shop.write("access.yaml", text)
    assert len(sent_by(lambda: plan_access(shop.load(), shop.database.env()))) == few


def test_a_database_without_our_tables_is_planned_and_sent_to_migrate_first(db, tmp_path):
    shop = lay_out(tmp_path, db)
    guest = account(shop, "till")
    word = "WITH LOGIN PASSWORD" if db.server.db_type == "postgresql" else "IDENTIFIED BY"
    db.execute(f"CREATE USER {guest} {word} 'theirs'")
    with pytest.raises(JobFailed, match="ringfence migrate"):
        apply_access(shop.load(), shop.env(), adopt=True)
    plan = plan_access(shop.load(), shop.env())
    assert any("--adopt" in text for text in plan.obstacles)
    plan = plan_access(shop.load(), shop.env(), adopt=True)
    assert (plan.uninitialized, plan.adopted) == (True, [shop.login("till")])
    created = {step.login for step in plan.steps if step.kind == "create"}
    assert created == {shop.login("report"), shop.login("door")}
    job = shop.run("ringfence", "plan", "--adopt", "--json")
    assert json.loads(job.stdout)["error"]["plan"]["access"]["adopted"] == [shop.login("till")]
    assert job.returncode == 2, job.stderr


def test_a_history_of_alembic_alone_is_no_reason_to_show_nothing(shop):
    """The database is at head, and has none of our tables."""
    ours = shop.database.execute(
        "SELECT table_name, table_type FROM information_schema.tables WHERE table_name LIKE 'ringfence%'"
        f" AND table_schema IN ('public', '{shop.database.name}')"
    )
    quote = '"' if shop.database.server.db_type == "postgresql" else "`"
    for name, table_type in ours:
        kind = "VIEW" if table_type == "VIEW" else "TABLE"
        shop.database.execute(f"DROP {kind} {quote}{name}{quote}")
    shown = shop.run("ringfence", "access", "plan", "--adopt")
    assert shown.returncode == 2, shown.stderr
    assert f"adopting {shop.login('till')}" in shown.stdout
    assert shown.stderr.rstrip().endswith("ringfence migrate")
    assert shop.run("ringfence", "plan", "--adopt").returncode == 2
    shop.migrate(adopt=True)
    assert findings(shop) == []


def test_adopting_lists_what_it_takes_away(shop):
    login = account(shop, "guest")
    word = "WITH LOGIN PASSWORD" if shop.database.server.db_type == "postgresql" else "IDENTIFIED BY"
    shop.database.execute(f"CREATE USER {login} {word} 'theirs'", f"GRANT UPDATE ON purchase TO {login}")
    text = (shop.root / "access.yaml").read_text()
    shop.write("access.yaml", text + "  guest:\n    tables: {purchase: ro}\n")
    refused = shop.run("ringfence", "access", "apply")
    assert refused.returncode == 1
    assert "--adopt" in refused.stderr
    done = shop.run("ringfence", "access", "apply", "--adopt")
    assert re.search(rf"adopting revokes {shop.login('guest')}: update on table \S*purchase", done.stdout)
    shop.migrate()
    assert findings(shop) == []


def test_two_applies_at_once_wait_for_each_other(shop):
    text = (shop.root / "access.yaml").read_text()
    shop.write("access.yaml", text.replace("purchase: ro", "purchase: {select: [id]}"))
    import concurrent.futures

    def run() -> subprocess.CompletedProcess[str]:
        return shop.run("ringfence", "access", "apply", "--json")

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        done = [future.result() for future in [pool.submit(run), pool.submit(run)]]
    assert [item.returncode for item in done] == [0, 0], [item.stdout for item in done]
    assert sorted(bool(json.loads(item.stdout)["statements"]) for item in done) == [False, True]


@pytest.mark.engines("postgresql")
class TestDoors:
    def test_privileges_of_public_are_revoked(self, shop):
        shop.database.execute(
            "CREATE FUNCTION lucky() RETURNS integer LANGUAGE sql AS 'SELECT 7'",
            "ALTER TABLE purchase ALTER COLUMN amount SET DEFAULT lucky()",
            "GRANT SELECT ON ringfence_account TO PUBLIC",
            "GRANT SELECT (secret) ON customer TO PUBLIC",
            f'GRANT TEMPORARY, CONNECT ON DATABASE "{shop.database.name}" TO PUBLIC',
            f"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {account(shop, 'report')}",
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
        )
        sql = "\n".join(apply_access(shop.load(), shop.env()).statements)
        for said in (
            'REVOKE EXECUTE ON ROUTINE "public".lucky() FROM PUBLIC',
            'REVOKE SELECT ON TABLE "public"."ringfence_account" FROM PUBLIC',
            'REVOKE SELECT ("secret") ON TABLE "public"."customer" FROM PUBLIC',
            "REVOKE TEMPORARY ON DATABASE",
            "REVOKE CONNECT ON DATABASE",
            f"REVOKE SELECT ON TABLES FROM {account(shop, 'report')}",
            "REVOKE SELECT ON TABLES FROM PUBLIC",
            f'GRANT EXECUTE ON ROUTINE "public".lucky() TO {account(shop, "door")}',
        ):
            assert said in sql, sql
        assert f"lucky() TO {account(shop, 'report')}" not in sql
        assert plan_access(shop.load(), shop.env()).agrees
        assert findings(shop) == []
        door = shop.connect("door")
        cursor = door.cursor()
        shop.database.execute("INSERT INTO customer (id, email, active) VALUES (1, 'a@b', true)")
        cursor.execute("INSERT INTO purchase (customer_id) VALUES (1)")
        for refused in ("CREATE TEMPORARY TABLE t (i int)", "SELECT secret FROM customer"):
            with pytest.raises(Exception, match="denied"):
                cursor.execute(refused)
        door.close()

    def test_locking_an_unmanaged_login_is_reported(self, shop):
        guest, database = f'"{shop.database.prefix}legacy"', f'"{shop.database.name}"'
        shop.database.execute(
            f"GRANT CONNECT ON DATABASE {database} TO PUBLIC",
            f"CREATE ROLE {guest} LOGIN PASSWORD 'a password'",
            f"GRANT SELECT ON purchase TO {guest}",
        )
        applied = apply_access(shop.load(), shop.env())
        assert any(guest.strip('"') in warning and "GRANT CONNECT" in warning for warning in applied.warnings)
        assert "REVOKE CONNECT" not in "\n".join(applied.statements)
        shop.database.connect(guest.strip('"'), "a password").close()
        assert plan_access(shop.load(), shop.env()).agrees
        assert findings(shop) == []
        shop.database.execute(f"GRANT CONNECT ON DATABASE {database} TO {guest}")
        assert "REVOKE CONNECT" in "\n".join(apply_access(shop.load(), shop.env()).statements)
        shop.database.connect(guest.strip('"'), "a password").close()
        assert plan_access(shop.load(), shop.env()).agrees

    def test_an_extension_stays_usable(self, shop):
        shop.database.execute("CREATE EXTENSION citext")
        assert plan_access(shop.load(), shop.env()).agrees

    def test_an_account_that_owns_anything_is_refused(self, shop):
        shop.database.execute(f"ALTER TABLE purchase OWNER TO {account(shop, 'till')}")
        with pytest.raises(JobFailed, match=r"owns table purchase.*REASSIGN OWNED BY"):
            apply_access(shop.load(), shop.env())

    def test_a_right_to_pass_rights_on_is_taken_away_with_what_was_passed_on(self, shop):
        shop.database.execute(f"GRANT SELECT ON purchase TO {account(shop, 'report')} WITH GRANT OPTION")
        report = shop.connect("report")
        report.cursor().execute(f"GRANT SELECT ON purchase TO {account(shop, 'door')}")
        report.close()
        with pytest.raises(JobFailed, match=r"door: select on table public.purchase was granted by .*report"):
            apply_access(shop.load(), shop.env())
        shop.database.execute(
            f"REVOKE GRANT OPTION FOR SELECT ON purchase FROM {account(shop, 'report')} CASCADE",
            f"GRANT SELECT ON purchase TO {account(shop, 'report')} WITH GRANT OPTION",
        )
        apply_access(shop.load(), shop.env())
        assert plan_access(shop.load(), shop.env()).agrees
        assert findings(shop) == []


@pytest.mark.engines("mariadb")
def test_what_was_granted_to_public_is_closed(shop):
    if shop.database.execute("SELECT VERSION()")[0][0] < "10.11":
        pytest.skip("PUBLIC is known from 10.11 on")
    shop.database.execute("GRANT SELECT ON customer TO PUBLIC")
    try:
        done = apply_access(shop.load(), shop.env())
        assert [sql for sql in done.statements if re.match(r"REVOKE SELECT ON .*customer` FROM PUBLIC", sql)]
        assert plan_access(shop.load(), shop.env()).agrees
    finally:
        apply_access(shop.load(), shop.env())


@pytest.mark.engines("mariadb")
def test_a_row_of_mysql_db_for_any_user_stops_the_apply(shop):
    name = shop.database.name
    shop.database.execute(
        f"INSERT INTO mysql.db (Host, Db, User, Select_priv) VALUES ('%', '{name}', '', 'Y')",
        "FLUSH PRIVILEGES",
    )
    try:
        with pytest.raises(JobFailed, match=r"every account of the server may use this database"):
            apply_access(shop.load(), shop.env())
    finally:
        shop.database.execute(f"DELETE FROM mysql.db WHERE Db = '{name}' AND User = ''", "FLUSH PRIVILEGES")
