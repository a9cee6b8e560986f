"""Whatever is changed by hand, `plan --json` names it, what is done about it, and which statements do that."""

import json

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ringfence.schema.privileges.service import apply_access, plan_access
from support.tenants import ACCESS, lay_out_tenants

pytestmark = pytest.mark.requires("accounts")

_OTHER = "quite-another-secret-4711"
# What a hand does -> the kind and the account of what a plan must name, and a part of its name.
_POSTGRESQL = {
    'ALTER POLICY "ringfence_select_{twitch}" ON invoice USING (true)': ("policy", "twitch", "invoice"),
    'DROP POLICY "ringfence_delete_{verbs}" ON invoice': ("policy", "verbs", "ringfence_delete"),
    "ALTER TABLE invoice DISABLE ROW LEVEL SECURITY": ("row", "", "invoice"),
    "ALTER TABLE invoice FORCE ROW LEVEL SECURITY": ("row", "", "invoice"),
    "GRANT SELECT ON note TO PUBLIC": ("public", "", "note"),
    "GRANT CREATE ON SCHEMA public TO PUBLIC": ("public", "", "public"),
    'ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO "{portal}"': ("default privilege", "portal", ""),
    'ALTER ROLE "{office}" CONNECTION LIMIT 3': ("limit", "office", "connection_limit"),
    'ALTER ROLE "{strict}" PASSWORD \'' + _OTHER + "'": ("password", "strict", "password"),
    'ALTER ROLE "{either}" NOLOGIN': ("account", "either", "account"),
    'GRANT DELETE ON note TO "{either}"': ("privilege", "either", "table public.note"),
    'REVOKE UPDATE ON note FROM "{office}"': ("privilege", "office", "table public.note"),
}
_FAMILY = {
    "DROP VIEW `{view:twitch}`": ("view", "twitch", "before invoice"),
    "CREATE OR REPLACE VIEW `{view:portal}` AS SELECT * FROM invoice": ("view", "portal", "before invoice"),
    "DROP TRIGGER `{trigger}`": ("trigger", "", "before invoice"),
    "DROP FUNCTION ringfence_scope_tenant": ("function", "", "ringfence_scope_tenant"),
    "GRANT SELECT ON `{database}`.note TO PUBLIC": ("public", "", "note"),
    "ALTER USER '{office}'@'%' WITH MAX_USER_CONNECTIONS 3": ("limit", "office", "connection_limit"),
    "ALTER USER '{strict}'@'%' IDENTIFIED BY '" + _OTHER + "'": ("password", "strict", "password"),
    "ALTER USER '{either}'@'%' ACCOUNT LOCK": ("account", "either", "account"),
    "GRANT DELETE ON note TO '{either}'@'%'": ("privilege", "either", "note"),
    "REVOKE UPDATE ON note FROM '{office}'@'%'": ("privilege", "office", "note"),
}


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out_tenants(tmp_path, db)
    shop.migrate()
    return shop


def written(shop, statement):
    """A statement with the names that things have on this server."""
    names = {account.service: account.login for account in shop.load().accounts.values()}
    for service, login in names.items():
        statement = statement.replace(f"{{{service}}}", login)
    for service in ("twitch", "portal"):
        if f"{{view:{service}}}" in statement:
            found = shop.database.execute(
                "SELECT table_name FROM information_schema.views WHERE table_schema = DATABASE()"
                f" AND table_name LIKE 'ringfence%{service}%'"
            )
            statement = statement.replace(f"{{view:{service}}}", found[0][0])
    if "{trigger}" in statement:
        found = shop.database.execute(
            "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE() LIMIT 1"
        )
        statement = statement.replace("{trigger}", found[0][0])
    return statement.replace("{database}", shop.database.name)


def seen(shop, **options):
    """The plan as a machine gets it, of which the invariants hold."""
    made = plan_access(shop.load(), shop.env(), **options)
    document = made.as_dict()
    text = json.dumps(document)
    assert _OTHER not in text
    assert not [secret for secret in shop.passwords().values() if secret.reveal() in text]
    differences, steps = document["differences"], document["steps"]
    assert {number for row in differences for number in row["steps"]} == set(range(len(steps)))
    assert all(row["steps"] or row["action"] == "refused" for row in differences)
    assert document["agrees"] is not bool(differences or document["obstacles"])
    assert bool(differences) is bool(steps) or document["obstacles"]
    return differences


def hands(shop):
    """What is tried on this server: PUBLIC can be granted something on some alone."""
    if shop.database.server.db_type == "postgresql":
        return _POSTGRESQL
    public = shop.database.server.engine != "mysql"
    return {hand: told for hand, told in _FAMILY.items() if public or told[0] != "public"}


def test_every_difference_is_named_with_the_statements_that_mend_it(shop):
    assert seen(shop) == []
    known = hands(shop)
    login = {account.service: account.login for account in shop.load().accounts.values()} | {"": ""}

    # What failed is still there in the database: there is nothing to shrink.
    @settings(
        max_examples=2,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=[Phase.generate],
    )
    @given(st.permutations(sorted(known)))
    def each_half_holds(order):
        half = len(order) // 2
        holds(order[:half])
        holds(order[half:])

    def holds(chosen):
        for hand in sorted(chosen):
            shop.database.execute(written(shop, hand))
        found = seen(shop)
        for kind, service, part in (known[hand] for hand in chosen):
            assert [
                row
                for row in found
                if row["kind"].startswith(kind)
                and (row["login"] == login[service] or login[service] in row["on"])
                and part in row["on"]
            ], (kind, service, part, found)
        apply_access(shop.load(), shop.env())
        assert seen(shop) == []

    each_half_holds()


def test_accounts_to_make_to_lock_and_to_drop_are_differences(shop):
    manifest = (shop.root / "access.yaml").read_text()
    shop.write("access.yaml", manifest + "  newcomer:\n    tables: {note: ro}\n")
    rows = {(row["kind"], row["login"]): row for row in seen(shop)}
    made = rows["account", shop.login("newcomer")]
    assert (made["current"], made["declared"], made["action"]) == ("-", "active", "created")
    assert made["origin"] == f"access.yaml:{len(manifest.splitlines()) + 1}"
    assert len(made["steps"]) == 2, "the record and the account"
    head, _, tail = ACCESS.partition("  strict:")
    shop.write("access.yaml", head + "  twitch:" + tail.partition("  twitch:")[2])
    rows = [row for row in seen(shop) if row["kind"] == "account"]
    assert [(row["login"], row["current"], row["declared"], row["action"]) for row in rows] == [
        (shop.login("strict"), "active", "locked", "locked")
    ]
    apply_access(shop.load(), shop.env())
    rows = [row for row in seen(shop, prune=True) if row["kind"] == "account"]
    assert [(row["login"], row["declared"], row["action"]) for row in rows] == [
        (shop.login("strict"), "-", "dropped")
    ]
    apply_access(shop.load(), shop.env(), prune=True)
    assert seen(shop, prune=True) == []


def test_a_person_sees_the_same(shop):
    hand, (_, service, part) = next(iter(hands(shop).items()))
    shop.database.execute(written(shop, hand))
    shown = shop.run("ringfence", "access", "plan")
    assert shown.returncode == 2, shown.stderr
    (line,) = [
        line for line in shown.stdout.splitlines() if line.startswith(shop.login(service)) and part in line
    ]
    assert "access.yaml:" in line
