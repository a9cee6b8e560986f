"""Row security on PostgreSQL that nobody asked for, and who would see no row of a table once it is asked for."""

import pytest

from ringfence.schema.privileges.service import apply_access
from support.deployments import lay_out
from support.manual_changes import asked, change, findings, is_closed, is_refused, plan, quoted

pytestmark = [pytest.mark.engines("postgresql"), pytest.mark.newer]

SECURITY = "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE relname = 'purchase'"
BLIND = "row security is on for public.purchase, and no policy lets the account {till} "
ON = "ALTER TABLE purchase ENABLE ROW LEVEL SECURITY"
SCOPED = "purchase: rw\n", "purchase: {verbs: rw, rows: {customer_id: 1}}\n"


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    db.execute(
        "INSERT INTO customer (id, email, active) VALUES (1, 'a@b', true)",
        "INSERT INTO purchase VALUES (1, 1, 5)",
    )
    return shop


def seen(shop, service="till"):
    with shop.connect(service) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM purchase")
        return cursor.fetchall()


def test_row_security_that_a_hand_switched_on_is_switched_off(shop):
    is_closed(shop, ON, says=BLIND, finding="missing", query=SECURITY, left=[(False, False)])
    is_closed(
        shop,
        ON,
        "ALTER TABLE purchase FORCE ROW LEVEL SECURITY",
        'CREATE POLICY shut ON purchase TO "{till}" USING (false)',
        says="no policy lets the account {report} select a row",
        finding="missing",
        query=SECURITY,
        left=[(False, False)],
    )
    assert asked(shop, "SELECT count(*) FROM pg_policy") == [(0,)]
    is_closed(
        shop,
        "ALTER TABLE ringfence_release ENABLE ROW LEVEL SECURITY",
        says="row security is on for public.ringfence_release",
        finding="missing",
    )
    assert seen(shop) == [(1,)]


GUESTS = {
    "whom a policy shows rows": ["CREATE POLICY theirs ON purchase TO {guest} USING (true)"],
    "whom it keeps from rows": [],
}


@pytest.mark.parametrize("case", GUESTS)
def test_where_others_need_it_our_accounts_get_policies_and_others_keep_what_they_see(shop, case):
    change(shop, *quoted(["CREATE ROLE {guest} LOGIN", "GRANT SELECT ON purchase TO {guest}"]))
    is_closed(
        shop, ON, *quoted(GUESTS[case]), says=BLIND, finding="missing", query=SECURITY, left=[(True, False)]
    )
    assert seen(shop) == seen(shop, "report") == [(1,)]
    mine = asked(shop, "SELECT count(*) FROM pg_policy WHERE polname = 'theirs'")
    assert mine == [(len(GUESTS[case]),)]
    change(
        shop, *quoted(["DROP POLICY IF EXISTS theirs ON purchase", "REVOKE SELECT ON purchase FROM {guest}"])
    )
    apply_access(shop.load(), shop.env())
    assert asked(shop, SECURITY) == [(False, False)]
    assert plan(shop).agrees


def test_policies_of_others_that_speak_of_our_accounts_are_not_undone(shop):
    change(shop, ON, "CREATE POLICY partly ON purchase USING (id = 1)")
    made = plan(shop)
    assert made.agrees
    assert any("may see only what partly shows" in one for one in made.warnings)
    change(shop, "DROP POLICY partly ON purchase")
    is_refused(
        shop,
        "CREATE POLICY narrowed ON purchase AS RESTRICTIVE USING (true)",
        says="the policy narrowed on public.purchase is for PUBLIC|row security is on for public.purchase",
        resolution='DROP POLICY "narrowed" ON "public"."purchase"',
        finding="missing",
    )


READERS = {
    "pg_read_all_data": ["GRANT pg_read_all_data TO {guest}"],
    "pg_write_all_data": [
        "CREATE ROLE {group}",
        "GRANT pg_write_all_data TO {group}",
        "GRANT {group} TO {guest}",
    ],
}


def test_who_reads_everything_is_asked_for_before_row_security_is_switched_on(own_server, tmp_path):
    """On a server of its own: such a login is one in every database that it may connect to."""
    with own_server("postgresql").database() as db:
        shop = lay_out(tmp_path, db)
        shop.migrate()
        shop.write("access.yaml", (shop.root / "access.yaml").read_text().replace(*SCOPED))
        guest = shop.login("guest")
        way = f'CREATE POLICY "{guest}" ON "public"."purchase" TO "{guest}" USING (true)'
        for by, statements in READERS.items():
            change(shop, *quoted(["CREATE ROLE {guest} LOGIN", *statements]))
            assert plan(shop).obstacles == []  # it may not connect
            change(shop, *quoted(["GRANT CONNECT ON DATABASE {database} TO {guest}"]))
            (obstacle,) = plan(shop).obstacles
            assert f"{guest} reads or writes public.purchase through {by}" in obstacle
            assert way in obstacle
            assert "BYPASSRLS" not in obstacle
            change(shop, way)
            assert plan(shop).obstacles == []
            change(shop, *quoted(["DROP OWNED BY {guest}", "DROP ROLE {guest}"]))
        change(
            shop,
            *quoted(["CREATE ROLE {guest} LOGIN", "GRANT {group} TO {guest}"]),
            *quoted(["GRANT CONNECT ON DATABASE {database} TO {guest}"]),
            way,
        )
        shop.migrate()
        assert asked(shop, SECURITY) == [(True, False)]
        assert findings(shop) == []
        assert plan(shop).agrees


def test_who_replicates_may_be_let_past_row_security(shop):
    change(shop, *quoted(["CREATE ROLE {guest} LOGIN REPLICATION", "GRANT SELECT ON purchase TO {guest}"]))
    shop.write("access.yaml", (shop.root / "access.yaml").read_text().replace(*SCOPED))
    (obstacle,) = plan(shop).obstacles
    assert f"{shop.login('guest')} holds privileges on public.purchase" in obstacle
    assert f'or ALTER ROLE "{shop.login("guest")}" BYPASSRLS, because it replicates' in obstacle
    change(shop, *quoted(["ALTER ROLE {guest} BYPASSRLS"]))
    assert plan(shop).obstacles == []
