"""`access verify` names what `access plan` would change where no statement of an account can show it."""

import re

import pytest

from ringfence.schema.privileges.service import apply_access
from ringfence.schema.verification.planned_changes import RESOLUTION
from ringfence.schema.verification.verify import verify
from support.deployments import lay_out

ACCESS = """
version: 1
defaults: {login: "PREFIX{service}"}
accounts:
  till:
    tables:
      customer: {verbs: rw, also: [secret]}
      purchase: rw
  report:
    tables:
      customer: {select: [id, active], rows: {active: true}}
      purchase: ro
"""


@pytest.fixture(scope="module")
def applied(server, tmp_path_factory):
    with server.database() as database:
        shop = lay_out(tmp_path_factory.mktemp("planned"), database)
        shop.write("access.yaml", ACCESS)
        shop.migrate()
        yield shop


@pytest.fixture
def shop(applied):
    yield applied
    apply_access(applied.load(), applied.env())


def who(shop, service):
    login = shop.login(service)
    return f'"{login}"' if shop.database.server.db_type == "postgresql" else f"'{login}'@'%'"


def prove(shop, **options):
    return verify(shop.load(), shop.settings(), shop.passwords(), **options)


def change(shop, *statements):
    names = {
        "who": who(shop, "report"),
        "login": shop.login("report"),
        "database": shop.database.name,
        "till": shop.login("till"),
    }
    shop.database.execute(*(statement.format_map(names) for statement in statements))


def found_in(shop, **options):
    """The findings, but for what a service says itself of rights with which it does not start."""
    found = prove(shop, **options).findings
    return [one for one in found if "the service would not be ready: can-alter" not in one.message]


def is_named(shop, *expected, statements):
    """Each finding is expected, names the resolution, and is gone after an apply."""
    change(shop, *statements)
    found = found_in(shop)
    said = sorted(((f.kind, f.service, f.verb, f.table) for f in found), key=str)
    wanted = [
        (kind, "report", verb, table and table.format(database=shop.database.name))
        for kind, verb, table in expected
    ]
    assert said == sorted(wanted, key=str), list(map(str, found))
    assert {f.login for f in found} == {shop.login("report")}
    assert all(RESOLUTION in f.message for f in found), list(map(str, found))
    apply_access(shop.load(), shop.env())
    assert found_in(shop) == []
    return found


# -- what row scopes need


@pytest.mark.requires("row_security")
def test_a_policy_that_was_dropped_of_an_empty_table(shop):
    assert found_in(shop) == []
    change(shop, 'DROP POLICY "ringfence_select_{login}" ON customer')
    [found] = found_in(shop)
    assert (found.kind, found.service) == ("missing", "report")
    login = shop.login("report")
    assert (
        f"row security is on for public.customer, and no policy lets the account {login} select"
        in found.message
    )


@pytest.mark.requires("row_security")
def test_a_policy_that_was_altered_of_an_empty_table(shop):
    [found] = is_named(
        shop,
        ("excess", "select", "customer"),
        statements=['ALTER POLICY "ringfence_select_{login}" ON customer USING (true)'],
    )
    assert f"policy ringfence_select_{shop.login('report')} on public.customer is another" in found.message
    assert re.search(r"as access\.yaml:\d+ says", found.message)


@pytest.mark.requires("row_security")
def test_a_policy_more_of_an_empty_table(shop):
    [found] = is_named(
        shop,
        ("excess", "select", "customer"),
        statements=['CREATE POLICY shows_more ON customer FOR SELECT TO "{login}" USING (id > 0)'],
    )
    assert "policy shows_more on public.customer is (id > 0), and should be -" in found.message


@pytest.mark.requires("row_security")
def test_a_policy_that_hides_rows_of_an_empty_table(shop):
    is_named(
        shop,
        ("missing", None, "customer"),
        statements=['CREATE POLICY hides ON customer AS RESTRICTIVE TO "{login}" USING (id > 7)'],
    )


@pytest.mark.requires("row_security")
@pytest.mark.parametrize(
    ("word", "kind", "says"),
    [
        ("DISABLE", "excess", "row security of public.customer is off, and should be on"),
        (
            "FORCE",
            "missing",
            "row security of public.customer is for the owner too, and should be not for the owner",
        ),
    ],
)
def test_row_security_that_was_switched_of_an_empty_table(shop, word, kind, says):
    change(shop, f"ALTER TABLE customer {word} ROW LEVEL SECURITY")
    [found] = prove(shop).findings
    assert (found.kind, found.service, found.login, found.table) == (kind, "all accounts", "", "customer")
    assert says in found.message
    assert RESOLUTION in found.message


@pytest.mark.requires("row_security")
def test_a_policy_for_public_on_an_empty_table_is_reported(shop):
    change(shop, "CREATE POLICY for_all ON customer FOR SELECT USING (true)")
    try:
        [found] = prove(shop).findings
        assert (found.kind, found.service) == ("not-proven", "all accounts")
        assert "the policy for_all on public.customer is for PUBLIC" in found.message
        assert 'DROP POLICY "for_all"' in found.message
    finally:
        change(shop, "DROP POLICY for_all ON customer")
    assert prove(shop).findings == []


@pytest.mark.requires("row_security")
def test_what_a_login_proved_by_its_rows_is_no_second_finding(shop):
    change(
        shop,
        "INSERT INTO customer (id, email, active) VALUES (1, 'a@a', true), (2, 'b@b', false)",
        'ALTER POLICY "ringfence_select_{login}" ON customer USING (true)',
    )
    try:
        found = {(f.kind, f.service, f.verb, f.table) for f in prove(shop).findings}
        assert found == {("excess", "report", "select", "customer")}
        assert all(RESOLUTION not in f.message for f in prove(shop).findings)
    finally:
        change(shop, "DELETE FROM customer")


@pytest.mark.engines("mariadb", "mysql")
def test_a_view_before_an_empty_table_that_shows_more(shop):
    [[name, body]] = shop.database.execute(
        "SELECT table_name, view_definition FROM information_schema.views WHERE table_schema = DATABASE()"
    )
    body = re.sub(r"\bwhere\b.*", "", body, flags=re.DOTALL)
    [found] = is_named(
        shop,
        ("excess", None, "customer"),
        statements=[f"CREATE OR REPLACE SQL SECURITY DEFINER VIEW `{name}` AS {body}"],
    )
    assert f"view {shop.database.name}.{name} before customer is another" in found.message


# -- grants that no statement tries


def verbs_of(*verbs, table="purchase"):
    return [("excess", verb, table) for verb in verbs]


@pytest.mark.requires("row_security")
def test_rights_on_a_table_that_no_statement_tries_on_postgresql(shop):
    newer = int(shop.database.execute("SHOW server_version_num")[0][0]) >= 170000
    rights = ["references", "trigger", *(["maintain"] if newer else [])]
    found = is_named(
        shop, *verbs_of(*rights), statements=[f"GRANT {', '.join(rights)} ON purchase TO {{who}}"]
    )
    assert all(
        "holds it on table public.purchase, and the manifest does not give it" in f.message for f in found
    )


@pytest.mark.requires("row_security")
def test_rights_that_a_statement_tries_are_named_once(shop):
    change(shop, "GRANT TRUNCATE, DELETE ON purchase TO {who}", "GRANT CREATE ON SCHEMA public TO {who}")
    found = found_in(shop)
    assert sorted((f.kind, f.service, f.verb, f.table) for f in found) == [
        ("excess", "report", "create table", "the schema"),
        ("excess", "report", "create view", "the schema"),
        ("excess", "report", "delete", "purchase"),
        ("excess", "report", "truncate", "purchase"),
    ]
    assert all(RESOLUTION not in f.message for f in found)


@pytest.mark.requires("row_security")
def test_rights_to_pass_on_and_on_things_beside_tables_on_postgresql(shop):
    found = is_named(
        shop,
        ("excess", "grant option for select", "purchase"),
        ("excess", "temporary", "database {database}"),
        ("excess", "execute", "function counted()"),
        ("excess", "usage", "schema beside"),
        ("excess", "select", "sequence customer_id_seq"),
        ("excess", "select", "beside.more"),
        statements=[
            "CREATE FUNCTION counted() RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'",
            "REVOKE EXECUTE ON FUNCTION counted() FROM PUBLIC",
            "CREATE SCHEMA beside",
            "CREATE TABLE beside.more (id integer)",
            "GRANT SELECT ON purchase TO {who} WITH GRANT OPTION",
            'GRANT TEMPORARY ON DATABASE "{database}" TO {who}',
            "GRANT EXECUTE ON FUNCTION counted() TO {who}",
            "GRANT USAGE ON SCHEMA beside TO {who}",
            "GRANT SELECT ON beside.more TO {who}",
            "GRANT SELECT ON SEQUENCE customer_id_seq TO {who}",
        ],
    )
    assert {f.login for f in found} == {shop.login("report")}
    change(shop, "DROP FUNCTION counted()", "DROP SCHEMA beside CASCADE")


@pytest.mark.engines("mariadb", "mysql", "galera")
def test_rights_that_no_statement_tries_in_the_mysql_family(shop):
    found = is_named(
        shop,
        *verbs_of("references", "trigger", "show view"),
        ("excess", "event", "database {database}"),
        ("excess", "lock tables", "database {database}"),
        ("excess", "create temporary tables", "database {database}"),
        ("excess", "create routine", "database {database}"),
        ("excess", "execute", "function counted"),
        ("excess", None, None),
        statements=[
            "CREATE FUNCTION counted() RETURNS INT DETERMINISTIC NO SQL RETURN 1",
            "GRANT REFERENCES, TRIGGER, SHOW VIEW ON purchase TO {who}",
            "GRANT EVENT, LOCK TABLES, CREATE TEMPORARY TABLES, CREATE ROUTINE ON `{database}`.* TO {who}",
            "GRANT EXECUTE ON FUNCTION counted TO {who}",
            "ALTER USER {who} WITH MAX_USER_CONNECTIONS 3",
        ],
    )
    assert any("limit connection_limit" in f.message and "is 3, and should be -" in f.message for f in found)
    change(shop, "DROP FUNCTION counted")


@pytest.mark.engines("mariadb", "mysql", "galera")
def test_ddl_that_a_statement_tries_is_named_once_in_the_mysql_family(shop):
    change(shop, "GRANT ALTER, DROP, INDEX, DELETE ON purchase TO {who}")
    found = found_in(shop)
    assert sorted((f.kind, f.service, f.verb, f.table) for f in found) == [
        ("excess", "report", "alter", "purchase"),
        ("excess", "report", "delete", "purchase"),
        ("excess", "report", "drop", "purchase"),
        ("excess", "report", "index", "purchase"),
    ], list(map(str, found))


# -- whom it concerns


@pytest.mark.engines("postgresql", "mariadb")
def test_one_service_s_proof_leaves_out_what_concerns_another(shop):
    change(shop, "GRANT REFERENCES ON purchase TO {who}")
    assert prove(shop, services=["till"]).findings == []
    [found] = found_in(shop, services=["report"])
    assert (found.kind, found.service, found.verb, found.table) == (
        "excess",
        "report",
        "references",
        "purchase",
    )


@pytest.mark.engines("postgresql", "mariadb")
def test_an_account_that_is_no_longer_declared_and_still_open(shop):
    login = shop.login("report")
    shop.write("access.yaml", ACCESS.partition("  report:")[0])
    try:
        found = prove(shop).findings
    finally:
        shop.write("access.yaml", ACCESS)
    assert {one.login for one in found if one.kind == "excess"} >= {login}
    assert any(f"account of {login} is active, and should be locked" in one.message for one in found)
    assert ("excess", "select", "purchase") in {(one.kind, one.verb, one.table) for one in found}
