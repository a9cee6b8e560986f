"""A manifest of forty accounts, with real logins on every engine; and the faults that one written by hand in SQL had."""

import pytest

from ringfence.runtime import AccessDenied, Database, RingfenceError
from ringfence.schema.errors import BadDeployment
from ringfence.schema.privileges.service import plan_access
from ringfence.schema.review.lint import lint
from ringfence.schema.verification.verify import verify
from servers.capabilities import engines_with
from support.large_manifest import EACH, ROWS, lay_out_catalog, manifest


def enter(shop, service):
    env = shop.database.env(shop.login(service), shop.password(service))
    return Database.from_env(shop.root / "mirrors" / f"{service}.json", env)


def refused(shop, service, *statements, scope=None):
    """That each statement is refused to the account, as hand-written SQL."""
    with enter(shop, service) as database:
        for sql in statements:
            with pytest.raises(AccessDenied), database.session(scope=scope or {}) as dal:
                dal.executesql(sql)


def test_forty_accounts_may_do_what_their_lines_say_and_nothing_else(db, tmp_path):
    shop = lay_out_catalog(tmp_path, db)
    report = shop.migrate()
    assert report.accounts == 4 * EACH
    db.execute(*(sql.replace("PREFIX", db.prefix) for sql in ROWS))

    with enter(shop, "trigger0") as database, database.session() as dal:
        assert [row.platform for row in dal(dal.integration).select()] == ["trigger0"]
        assert dal(dal.integration.id > 0).update(token="new") == 1
    with enter(shop, "action0") as database, database.session() as dal:
        assert dal(dal.job).count() == 2
        assert dal(dal.job.id > 0).update(state="done") == 1
    with enter(shop, "interactive0") as database:
        for tenant in (1, 2):
            with database.session(scope={"tenant": tenant}) as dal:
                assert [row.tenant_id for row in dal(dal.invoice).select()] == [tenant]
        with database.session() as dal:
            assert dal(dal.invoice).count() == 0
        with pytest.raises(RingfenceError), database.session(scope={"tenant": 1}) as dal:
            dal.invoice.insert(id=3, tenant_id=2, state="x", note="x")
    refused(shop, "trigger0", "SELECT email FROM auth_user", "DELETE FROM event")
    refused(shop, "router", "SELECT password FROM auth_user", "DELETE FROM event")
    refused(shop, "core0", "SELECT token FROM integration", "UPDATE auth_user SET email = 'x'")
    assert db.execute("SELECT token FROM integration ORDER BY id") == [("new",), ("two",)]

    proof = verify(shop.load(), shop.settings(), shop.passwords())
    assert proof.findings == []
    assert len(proof.accounts) == 4 * EACH


@pytest.mark.requires("accounts")
def test_the_faults_of_a_catalog_written_by_hand_are_seen_by_the_plan(db, tmp_path):
    shop = lay_out_catalog(tmp_path, db)
    shop.migrate()
    account = shop.login("router")
    named = f'"{account}"' if db.server.db_type == "postgresql" else f"'{account}'@'%'"
    db.execute(f"GRANT SELECT ON auth_user TO {named}")
    if db.server.engine in engines_with("row_security"):
        db.execute(f"CREATE POLICY by_hand ON event FOR DELETE TO {named} USING (true)")
    plan = plan_access(shop.load(), shop.env())
    assert not plan.agrees
    assert any(row.login == account and row.current.startswith("all") and row.action for row in plan.rows())
    if db.server.engine in engines_with("row_security"):
        assert any("by_hand" in told for told in (*plan.sql(), *plan.obstacles, *plan.warnings))
    db.execute("DROP TABLE event")
    told = "\n".join(plan_access(shop.load(), shop.env()).obstacles)
    assert told.count("the database has no table event; is a migration missing?") >= 2


def test_the_faults_of_a_catalog_written_by_hand_are_seen_without_a_server(tmp_path, sqlite_server):
    with sqlite_server.database() as db:
        shop = lay_out_catalog(tmp_path, db)
        assert lint(shop.load()) == []
        # A policy that no grant stands behind: the rows that may be written cannot be chosen.
        shop.write(
            "access.yaml",
            manifest().replace("        select: all\n        update: [token]", "        update: [token]", 1),
        )
        assert [finding.id for finding in lint(shop.load())] == ["blind-write"]
        # Every column of a table is not the password; a guard holds whatever line names it.
        assert shop.load().accounts["router"].grants[0].columns == ("id", "email", "state")
        shop.write(
            "access.yaml", manifest().replace("auth_user: ro,", "auth_user: {verbs: ro, also: [passwort]},")
        )
        with pytest.raises(
            BadDeployment, match=r"access.yaml:\d+: 'auth_user' has no column 'passwort'; did you mean"
        ):
            shop.load()
        shop.write("access.yaml", manifest().replace("job: rw", "jobs: rw"))
        with pytest.raises(
            BadDeployment,
            match=r"access.yaml:\d+: there is no table 'jobs' in the models; did you mean 'job'",
        ):
            shop.load()
