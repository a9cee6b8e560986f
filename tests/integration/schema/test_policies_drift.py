"""Policies that were altered by hand are found and put right; those of others are left, or stand in the way by name."""

import concurrent.futures
import re

import pytest

from ringfence.schema.errors import JobFailed
from ringfence.schema.privileges.service import apply_access, plan_access
from support.tenants import ACCESS, MODELS, fill, lay_out_tenants

pytestmark = [pytest.mark.requires("row_security"), pytest.mark.newer]

OFF = "SELECT relrowsecurity, relforcerowsecurity FROM pg_class WHERE relname = 'invoice'"
POLICIES = "SELECT polname FROM pg_policy WHERE polrelid = 'invoice'::regclass ORDER BY 1"


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out_tenants(tmp_path, db)
    shop.migrate()
    fill(shop)
    return shop


def role(shop, service):
    return f'"{shop.login(service)}"'


def policy(shop, service, verb="select"):
    return f'"ringfence_{verb}_{shop.login(service)}"'


def narrowed(shop, change, text=ACCESS):
    shop.write("access.yaml", change(text))
    shop.load()


def without_rows(text):
    """The manifest with the accounts that have no rows, and portal with every row."""
    head, _, _ = text.partition("  strict:")
    return head.replace(', rows: {tenant_id: ":tenant"}', "")


def test_a_second_apply_finds_nothing_to_do_and_asks_no_more_for_more_accounts(shop):
    plan = plan_access(shop.load(), shop.env())
    assert plan.agrees, plan.sql()
    assert not plan.warnings or all("superuser" in warning for warning in plan.warnings)
    assert not apply_access(shop.load(), shop.env()).statements


def test_what_was_altered_by_hand_is_found_and_put_right(shop):
    before = shop.database.execute(POLICIES)
    changes = [
        f"ALTER POLICY {policy(shop, 'twitch')} ON invoice USING (true)",
        f"ALTER POLICY {policy(shop, 'twitch', 'insert')} ON invoice WITH CHECK (true)",
        f"ALTER POLICY {policy(shop, 'office')} ON invoice TO PUBLIC",
        f"ALTER POLICY {policy(shop, 'portal')} ON invoice RENAME TO portal_sees",
        f"DROP POLICY {policy(shop, 'verbs', 'delete')} ON invoice",
        f"COMMENT ON POLICY {policy(shop, 'office')} ON invoice IS NULL",
        f"CREATE POLICY everything ON invoice TO {role(shop, 'twitch')}, {role(shop, 'portal')} USING (true)",
        f"CREATE POLICY nothing ON invoice AS RESTRICTIVE TO {role(shop, 'office')} USING (false)",
        f"CREATE POLICY elsewhere ON note TO {role(shop, 'office')} USING (true)",
        "ALTER TABLE invoice DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE invoice FORCE ROW LEVEL SECURITY",
    ]
    deployment, env = shop.load(), shop.database.env()
    steps = 0
    for change in changes:
        shop.database.execute(change)
        plan = plan_access(deployment, env)
        assert {step.kind for step in plan.steps} == {"row-security"}, change
        assert plan.obstacles == []
        assert steps < len(plan.steps), change
        steps = len(plan.steps)
    shop.database.execute("BEGIN", *plan.sql(), "COMMIT")
    assert plan_access(deployment, env).agrees
    assert shop.database.execute(POLICIES) == before
    assert shop.database.execute(OFF) == [(True, False)]


def test_policies_of_others_are_left_or_stand_in_the_way(shop):
    guest = f'"{shop.database.prefix}guest"'
    shop.database.execute(
        f"CREATE ROLE {guest}",
        f"GRANT SELECT ON invoice TO {guest}",
        f"CREATE POLICY theirs ON invoice TO {guest} USING (true)",
    )
    assert plan_access(shop.load(), shop.env()).agrees
    for whom in ("PUBLIC", f"{guest}, {role(shop, 'twitch')}"):
        shop.database.execute(f"CREATE POLICY open_to_all ON invoice TO {whom} USING (true)")
        with pytest.raises(
            JobFailed, match=r'policy open_to_all on public.invoice is for .*DROP POLICY "open_to'
        ):
            apply_access(shop.load(), shop.env())
        shop.database.execute("DROP POLICY open_to_all ON invoice")
    narrowed(shop, without_rows)
    warnings = apply_access(shop.load(), shop.env()).warnings
    assert any(
        re.search(r"row security stays enabled on public.invoice.*other roles have policies", w)
        for w in warnings
    )
    # Others keep what they see, and the services, which have no scope now, see every row.
    assert ("theirs",) in shop.database.execute(POLICIES)
    with shop.connect("office") as office, office.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM invoice")
        assert cursor.fetchall() == shop.database.execute("SELECT count(*) FROM invoice")
    assert plan_access(shop.load(), shop.env()).agrees


def test_row_security_goes_with_the_last_scope_and_comes_with_the_first(shop):
    narrowed(shop, without_rows)
    apply_access(shop.load(), shop.env())
    assert shop.database.execute(POLICIES) == []
    assert shop.database.execute(OFF) == [(False, False)]
    assert plan_access(shop.load(), shop.env()).agrees
    guest = f'"{shop.database.prefix}guest"'
    shop.database.execute(f"CREATE ROLE {guest}", f"GRANT SELECT (code) ON invoice TO {guest}")
    narrowed(shop, str)
    with pytest.raises(JobFailed, match=r"guest holds privileges on public.invoice.*CREATE POLICY"):
        apply_access(shop.load(), shop.env())
    shop.database.execute(f"CREATE POLICY theirs ON invoice TO {guest} USING (true)")
    apply_access(shop.load(), shop.env())
    assert plan_access(shop.load(), shop.env()).agrees


def test_an_account_that_goes_takes_its_policies_along(shop):
    narrowed(shop, lambda text: text.partition("  verbs:")[0])
    apply_access(shop.load(), shop.env(), prune=True)
    assert not [name for (name,) in shop.database.execute(POLICIES) if "verbs" in name or "either" in name]
    found = (
        f"SELECT count(*) FROM pg_roles WHERE rolname IN ('{shop.login('verbs')}', '{shop.login('either')}')"
    )
    assert shop.database.execute(found) == [(0,)]
    assert plan_access(shop.load(), shop.env(), prune=True).agrees


def test_an_account_above_the_policies_is_brought_down_or_refused(shop):
    shop.database.execute(f"ALTER ROLE {role(shop, 'twitch')} BYPASSRLS")
    apply_access(shop.load(), shop.env())
    above = f"SELECT rolbypassrls FROM pg_roles WHERE rolname = '{shop.login('twitch')}'"
    assert shop.database.execute(above) == [(False,)]
    shop.database.execute(f"ALTER TABLE invoice OWNER TO {role(shop, 'twitch')}")
    with pytest.raises(JobFailed, match=r"twitch owns table invoice"):
        apply_access(shop.load(), shop.env())


def test_a_view_that_reads_past_the_rows_is_refused(shop):
    view = (
        "\n\nsa.Table('{0}', metadata, sa.Column('id', sa.Integer, primary_key=True), info={{'view': True}})"
    )
    shop.write("shop_models.py", MODELS + view.format("opened") + view.format("over"))
    rows = "tables: {invoice: {select: [id], rows: {platform: twitch}}}"
    accounts = f"  viewer: {{{rows}, views: {{opened: ro}}}}\n  above: {{{rows}, views: {{over: ro}}}}\n"
    shop.write("access.yaml", ACCESS + accounts + "  clerk: {views: {opened: ro}}\n")
    shop.database.execute(
        "CREATE VIEW opened AS SELECT id, code FROM invoice",
        "CREATE VIEW over WITH (security_invoker) AS SELECT id, code FROM opened",
    )
    obstacles = plan_access(shop.load(), shop.env()).obstacles
    way = r"ALTER VIEW opened SET \(security_invoker = true\)"
    assert len(obstacles) == 2
    assert re.search(rf"view opened reads invoice with.*{way}", obstacles[0])
    assert re.search(rf"view over reads invoice through opened with.*{way}", obstacles[1])
    shop.database.execute("ALTER VIEW opened SET (security_invoker = on)")
    assert plan_access(shop.load(), shop.env()).obstacles == []


def test_applies_at_once_wait_for_each_other(shop):
    shop.database.execute(f"ALTER POLICY {policy(shop, 'twitch')} ON invoice USING (true)")
    deployment, env = shop.load(), shop.env()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: apply_access(deployment, env), range(2)))
    assert sorted(bool(applied.statements) for applied in done) == [False, True]
    assert plan_access(deployment, env).agrees


def test_an_apply_does_not_make_others_wait_behind_it(shop):
    shop.database.execute(f"DROP POLICY {policy(shop, 'twitch')} ON invoice")
    busy = shop.database.connect()
    busy.cursor().execute("BEGIN; SELECT * FROM invoice")
    said = []

    def say(text):
        said.append(text)
        if "trying again in" in text:
            busy.close()

    assert apply_access(shop.load(), shop.env(), on_message=say).statements
    assert sum("trying again in" in text for text in said) == 1
    assert plan_access(shop.load(), shop.env()).agrees


def test_rows_of_what_is_no_table_are_refused(shop):
    shop.database.execute("ALTER TABLE invoice RENAME TO kept", "CREATE VIEW invoice AS SELECT * FROM kept")
    obstacles = plan_access(shop.load(), shop.env()).obstacles
    assert any(re.search(r"access.yaml:\d+: public.invoice is not a table", o) for o in obstacles)
