"""From where an account may log in, on the MySQL family: an account is a login at a host there."""

import pytest

from ringfence.schema.engines import reach
from ringfence.schema.engines.mysql import hosts as mysql_hosts
from ringfence.schema.errors import JobFailed
from ringfence.schema.grants import passwords as given
from ringfence.schema.job.plan import plan_job
from ringfence.schema.privileges.service import apply_access, plan_access
from ringfence.schema.verification.verify import verify
from support.deployments import ACCESS, TOML, lay_out

pytestmark = pytest.mark.engines("mariadb", "galera", "mysql")


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.write("ringfence.toml", TOML.replace('"postgresql", ', ""))
    return shop


def let_in(shop, host):
    shop.write("access.yaml", ACCESS.replace("  report:\n", f"  report:\n    host: '{host}'\n"))


def hosts(shop, service="report"):
    rows = shop.database.execute(
        f"SELECT Host FROM mysql.user WHERE User = '{shop.login(service)}' ORDER BY Host"
    )
    return [row[0] for row in rows]


def sees(connection):
    with connection.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM purchase")
        return cursor.fetchone()[0] is not None


def proof(shop):
    deployment = shop.load()
    secrets = given.from_environment(deployment.accounts.values(), shop.env(), None, shop.root)
    return verify(deployment, shop.settings(), secrets)


def test_an_account_moves_from_host_to_host_without_closing_permitted_sessions(shop):
    shop.migrate()
    before = shop.connect("report")
    let_in(shop, "127.0.0.%")
    plan = plan_access(shop.load(), shop.env())
    assert not plan.agrees
    assert any("CREATE USER" in sql and "'127.0.0.%'" in sql for sql in plan.sql())
    assert f"DROP USER IF EXISTS '{shop.login('report')}'@'%';" in plan.sql()
    apply_access(shop.load(), shop.env())
    assert hosts(shop) == ["127.0.0.%"]
    assert sees(before), "a connection that was open lost its rights, though its address may log in"
    before.close()
    again = apply_access(shop.load(), shop.env())
    assert again.statements == []
    found = proof(shop)
    assert found.findings == []

    # Rights and the password are compared there as elsewhere.
    who = f"'{shop.login('report')}'@'127.0.0.%'"
    shop.database.execute(
        f"GRANT DELETE ON purchase TO {who}", f"ALTER USER {who} IDENTIFIED BY 'Another-1-word'"
    )
    plan = plan_access(shop.load(), shop.env())
    assert sorted({step.kind for step in plan.steps}) == ["password", "revoke"]
    apply_access(shop.load(), shop.env())
    assert plan_access(shop.load(), shop.env()).agrees
    shop.connect("report").close()

    # To where nobody can prove it.
    let_in(shop, "10.1.%")
    apply_access(shop.load(), shop.env())
    assert hosts(shop) == ["10.1.%"]
    assert plan_access(shop.load(), shop.env()).agrees
    kinds = {(finding.service, finding.kind) for finding in proof(shop).findings}
    assert kinds == {("report", "not-proven")}

    shop.write("access.yaml", ACCESS)
    apply_access(shop.load(), shop.env())
    assert hosts(shop) == ["%"]
    assert plan_access(shop.load(), shop.env()).agrees
    assert sees(shop.connect("report"))


def test_a_new_account_is_created_and_dropped_at_its_host(shop):
    let_in(shop, "127.0.0.1")
    shop.migrate()
    assert hosts(shop) == ["127.0.0.1"]
    assert hosts(shop, "till") == ["%"]
    assert plan_access(shop.load(), shop.env()).agrees
    assert sees(shop.connect("report"))
    shop.write("access.yaml", ACCESS.partition("  report:")[0])
    done = apply_access(shop.load(), shop.env(), prune=True)
    assert shop.login("report") in done.dropped
    assert hosts(shop) == []
    shop.write("access.yaml", ACCESS)
    apply_access(shop.load(), shop.env())
    assert hosts(shop) == ["%"]
    assert plan_access(shop.load(), shop.env()).agrees


def test_an_unmanaged_account_of_the_login_stops_the_job(shop):
    shop.migrate()
    theirs = f"'{shop.login('report')}'@'10.1.%'"
    shop.database.execute(f"CREATE USER {theirs} IDENTIFIED BY 'Theirs-1-word'")
    try:
        for host in ("%", "127.0.0.1", "10.1.%"):
            let_in(shop, host)
            with pytest.raises(JobFailed, match=r"shadows .* DROP USER .*10\.1"):
                apply_access(shop.load(), shop.env())
            assert hosts(shop) == ["%", "10.1.%"]
    finally:
        shop.database.execute(f"DROP USER {theirs}")


def test_an_apply_that_ended_between_two_hosts_is_gone_on_with(shop):
    shop.migrate()
    login = shop.login("report")
    shop.database.execute(
        f"INSERT INTO ringfence_host (login, host) VALUES ('{login}', '%'), ('{login}', '127.0.0.1')",
        f"CREATE USER '{login}'@'127.0.0.1' IDENTIFIED BY 'Another-1-word'",
        f"GRANT SELECT ON purchase TO '{login}'@'127.0.0.1'",
    )
    let_in(shop, "127.0.0.1")
    backend = reach(shop.settings())
    with backend.engine().connect() as connection:
        sides = [
            (
                there.host(login),
                sorted(p.name for p in there.privileges.held(connection, [login], [shop.database.name])),
            )
            for there, logins in backend.accounts.hosts.at_current(connection)
            if login in logins
        ]
    assert [host for host, _ in sides] == ["%", "127.0.0.1"]
    assert sides[1][1] == ["purchase"]
    assert "ringfence_release" in sides[0][1]
    apply_access(shop.load(), shop.env())
    assert hosts(shop) == ["127.0.0.1"]
    assert plan_access(shop.load(), shop.env()).agrees
    assert sees(shop.connect("report"))


def test_rights_at_an_old_host_are_reported_for_open_connections(shop):
    shop.migrate()
    login, name = shop.login("report"), shop.database.name
    shop.database.execute(f"GRANT SELECT ON `{name}`.* TO '{login}'@'%'")
    before = shop.connect("report")
    let_in(shop, "127.0.0.%")
    plan = plan_access(shop.load(), shop.env())
    (found,) = plan.open_connections
    assert (found.login, sum(one.count for one in found.opened), found.leaves) == (login, 1, False)
    assert [kept.replace("\\", "") for kept in found.keeps] == [f"SELECT on the database {name}"]
    apply_access(shop.load(), shop.env())
    with before.cursor() as cursor:
        cursor.execute("SELECT secret FROM customer")
    before.close()


def test_a_table_that_another_job_makes_meanwhile_is_read_from_a_new_beginning(shop, monkeypatch):
    """The server refuses it to a transaction that began to read before (1412)."""
    shop.migrate()
    (create,) = shop.database.execute("SHOW CREATE TABLE ringfence_host")
    made = []

    def has_table(connection, table):
        if table == "ringfence_host" and not made:
            connection.exec_driver_sql("SELECT login FROM ringfence_account").all()
            shop.database.execute("DROP TABLE ringfence_host", create[1])
            made.append(table)
        return True

    monkeypatch.setattr(mysql_hosts, "has_table", has_table)
    for look in (
        lambda: plan_access(shop.load(), shop.env()).agrees,
        lambda: apply_access(shop.load(), shop.env()).statements == [],
        lambda: shop.migrate().access.statements == [],
        lambda: plan_job(shop.load(), shop.env()).nothing,
        lambda: proof(shop).findings == [],
    ):
        made.clear()
        assert look()
        assert made
