"""`access verify` proves row scopes in both directions, by rows that are there, and leaves no trace."""

import pytest

from ringfence.schema.access.verify import verify
from ringfence.schema.access.work import apply_access
from tenancy import fill, lay_out_tenancy

pytestmark = pytest.mark.engines("postgresql", "sqlite")


@pytest.fixture(scope="module")
def migrated(server, tmp_path_factory):
    with server.database() as database:
        shop = lay_out_tenancy(tmp_path_factory.mktemp("tenancy"), database)
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


def test_what_there_is_no_row_to_try_with_is_said(shop):
    shop.database.execute("DELETE FROM invoice")
    proof = prove(shop)
    assert proof.findings == []
    assert any("portal: select on invoice: there is no row inside its scope" in w for w in proof.warnings)
    assert any("twitch: delete on invoice: there is no row outside its scope" in w for w in proof.warnings)


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
