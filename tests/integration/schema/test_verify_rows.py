"""`access verify` proves row scopes in both directions, by rows that are there, and leaves no trace."""

import contextlib
import random
import re

import pytest
import yaml

from ringfence.schema.errors import BadDeployment
from ringfence.schema.privileges.service import apply_access
from ringfence.schema.verification.verify import verify
from support.tenants import ACCESS, HOSTILE, fill, lay_out_tenants

pytestmark = pytest.mark.newer


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


def prove(shop):
    return verify(shop.load(), shop.settings(), shop.passwords())


def everything(shop):
    return shop.database.execute("SELECT * FROM invoice ORDER BY id")


def test_scopes_that_were_applied_hold_and_nothing_is_left(shop):
    before = everything(shop)
    proof = prove(shop)
    assert proof.findings == []
    assert proof.allowed + proof.refused == proof.attempts
    assert everything(shop) == before
    assert not [w for w in proof.warnings if "there is no" in w], proof.warnings


def lacking(proof):
    """Which account's verb has no row on which side, as the warnings say."""
    said = (
        re.fullmatch(r"not proven: (\w+): (\w+) on invoice: there is no row (\w+) its scope to try", w)
        for w in proof.warnings
    )
    return {match.groups() for match in said if match}


def test_an_empty_table_is_tried_with_rows_that_are_made_and_taken_back(shop):
    shop.database.execute("DELETE FROM invoice")
    proof = prove(shop)
    assert proof.findings == []
    assert everything(shop) == []
    # Who may insert makes the row that it looks for, and tries to make one outside; the rest takes a row of somebody else.
    assert lacking(proof) == {
        *(
            (who, verb, "outside")
            for who in ("portal", "strict", "twitch", "hostile")
            for verb in ("select", "update", "delete")
        ),
        *(("verbs", verb, "outside") for verb in ("select", "update", "delete")),
        *(("either", "select", side) for side in ("inside", "outside")),
    }


@pytest.mark.engines("postgresql", "mariadb", "mysql")
def test_what_lets_rows_in_is_found_while_the_table_is_empty(shop):
    shop.database.execute("DELETE FROM invoice")
    login = shop.login("twitch")
    if shop.database.server.db_type == "postgresql":
        shop.database.execute(f'ALTER POLICY "ringfence_insert_{login}" ON invoice WITH CHECK (true)')
    else:
        views = shop.database.execute(
            "SELECT table_name, view_definition FROM information_schema.views WHERE table_schema = DATABASE()"
            " AND check_option = 'CASCADED'"
        )
        for name, body in views:
            if login in name or "twitch" in body:
                shop.database.execute(
                    f"CREATE OR REPLACE SQL SECURITY DEFINER VIEW `{name}` AS {body}".replace("%", "%%")
                )
    try:
        found = {(f.service, f.kind, f.verb) for f in prove(shop).findings}
        assert ("twitch", "excess", "insert") in found
    finally:
        apply_access(shop.load(), shop.env())
    assert prove(shop).findings == []


@pytest.mark.engines("sqlite", "postgresql")
def test_a_database_behind_the_models_is_not_proven(shop):
    shop.database.execute("ALTER TABLE invoice RENAME COLUMN closed_by TO shut_by")
    try:
        found = prove(shop).findings
    finally:
        shop.database.execute("ALTER TABLE invoice RENAME COLUMN shut_by TO closed_by")
    # Rights on a column go with it to its new name, which no model has.
    assert {finding.kind for finding in found if finding.columns != ("shut_by",)} == {"not-proven"}
    assert any("closed_by" in f.message and "rows could not be tried" in f.message for f in found)


@pytest.mark.requires("row_security")
def test_policies_that_say_something_else_are_found(shop):
    for policy in (
        "select_twitch USING (true)",
        "select_portal USING (true)",
        "select_hostile USING (false)",
        "insert_strict WITH CHECK (true)",
        "update_verbs USING (true) WITH CHECK (true)",
        "delete_verbs USING (true)",
    ):
        name, _, rest = policy.partition(" ")
        verb, _, service = name.partition("_")
        shop.database.execute(f'ALTER POLICY "ringfence_{verb}_{shop.login(service)}" ON invoice {rest}')
    try:
        assert {(finding.service, finding.kind, finding.verb) for finding in prove(shop).findings} == {
            ("twitch", "excess", "select"),
            ("portal", "excess", "select"),
            ("hostile", "missing", "select"),
            ("hostile", "missing", "update"),
            ("hostile", "missing", "delete"),
            ("strict", "excess", "insert"),
            ("verbs", "excess", "update"),
            ("verbs", "excess", "insert"),  # by an upsert
            ("verbs", "excess", "delete"),
        }
    finally:
        apply_access(shop.load(), shop.env())


COLUMNS = ["id", "tenant_id", "platform", "number", "code", "closed_by"]
CONDITIONS = [
    ("tenant_id", [1, 2, [1, 2], ":tenant", ":firm"]),
    ("platform", ["twitch", HOSTILE, ["twitch", "discord"]]),
    ("closed_by", [None, "somebody"]),
]


def drawn(dice):
    """A manifest of three accounts, each with rules of some verbs, columns and rows; not each is one that makes sense."""

    def rows():
        chosen = dice.sample(CONDITIONS, dice.choice([0, 1, 1, 2]))
        return {"rows": {column: dice.choice(values) for column, values in chosen}} if chosen else {}

    def some():
        return dice.choice(["all", sorted(dice.sample(COLUMNS, 4), key=COLUMNS.index)])

    def rule():
        if dice.random() < 0.4:
            return {"verbs": dice.choice(["ro", "rw"])} | rows()
        verbs = {
            verb: {"columns": some()} | rows()
            for verb in ("select", "insert", "update")
            if dice.random() < 0.7
        }
        return verbs | ({"delete": rows() or "all"} if dice.random() < 0.5 else {}) or rule()

    accounts = {
        f"drawn{number}": {
            "tables": {"invoice": [rule() for _ in range(dice.choice([1, 1, 2]))], "note": "ro"}
        }
        for number in range(3)
    }
    return ACCESS.partition("accounts:")[0] + yaml.safe_dump({"accounts": accounts})


@pytest.mark.engines("sqlite", "postgresql", "mariadb")
def test_manifests_drawn_at_random_hold_one_after_the_other(db, tmp_path):
    shop = lay_out_tenants(tmp_path, db)
    dice = random.Random(4711)  # noqa: S311 - a draw that can be repeated
    tried = 0
    while tried < 2:
        shop.write("access.yaml", text := drawn(dice))
        try:
            shop.load()
        except BadDeployment:
            continue
        shop.migrate()
        fill(shop)
        findings = prove(shop).findings
        assert findings == [], text
        assert shop.migrate().access.statements == []
        tried += 1


@pytest.mark.engines("mariadb")
def test_guards_that_are_gone_are_found_by_upserts(shop):
    triggers = shop.database.execute(
        "SELECT TRIGGER_NAME FROM information_schema.triggers WHERE TRIGGER_SCHEMA = DATABASE()"
    )
    shop.database.execute(*(f"DROP TRIGGER `{name}`" for (name,) in triggers))
    try:
        found = {(finding.kind, finding.verb) for finding in prove(shop).findings}
        assert found == {("excess", "insert")}
    finally:
        apply_access(shop.load(), shop.env())


@pytest.mark.engines("mariadb", "galera", "mysql")
def test_the_numbers_of_a_table_go_on_where_they_were(shop):
    def number():
        with contextlib.closing(shop.connect("office")) as connection, connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO invoice (tenant_id, platform, number, code) VALUES (8, 'x', 8, UUID())"
            )
            drawn = cursor.lastrowid
            cursor.execute("DELETE FROM invoice WHERE id = %s", (drawn,))
            return drawn

    before = number()
    assert prove(shop).findings == []
    assert before < number() < before + 1000
