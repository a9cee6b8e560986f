"""`access verify` names what an apply refuses to begin over, and hides nothing behind a finding on another thing."""

import pytest

from ringfence.schema.privileges.service import apply_access, plan_access
from ringfence.schema.verification.verify import verify
from support.deployments import lay_out

ACCESS = """
version: 1
defaults: {login: "PREFIX{service}"}
accounts:
  till:
    tables:
      customer: rw
      purchase: rw
  report:
    tables:
      customer: {select: [id, active], rows: {active: true}}
      purchase: ro
"""
FUNCTION = "    functions: [refresh_totals(integer)]\n"


@pytest.fixture(scope="module")
def applied(server, tmp_path_factory):
    with server.database() as database:
        shop = lay_out(tmp_path_factory.mktemp("refused"), database)
        shop.write("access.yaml", ACCESS)
        toml = shop.root / "ringfence.toml"
        toml.write_text(toml.read_text().replace(', "sqlite"]', "]"))
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
    return verify(shop.load(), shop.settings(), shop.passwords(), **options).findings


def told(findings):
    return sorted(((f.kind, f.service, f.verb, f.table) for f in findings), key=str)


# -- what an apply refuses to begin over


@pytest.mark.engines("postgresql", "mariadb", "mysql")
def test_a_function_that_the_database_lacks_is_not_proven(shop):
    shop.write("access.yaml", ACCESS + FUNCTION)
    try:
        [obstacle] = plan_access(shop.load(), shop.env()).obstacles
        assert "refresh_totals" in obstacle
        [found] = prove(shop)
        assert (found.kind, found.service, found.login) == ("not-proven", "report", shop.login("report"))
        assert found.message == f"an apply refuses to begin: {obstacle}"
        assert prove(shop, services=["till"]) == []
    finally:
        shop.write("access.yaml", ACCESS)


@pytest.mark.engines("postgresql", "mariadb", "mysql")
def test_an_unmanaged_login_is_reported_as_such_and_not_as_lacking_privileges(shop):
    login = shop.login("report")
    [row] = shop.database.execute(
        f"SELECT login, service, state FROM ringfence_account WHERE login = '{login}'"
    )
    shop.database.execute(f"DELETE FROM ringfence_account WHERE login = '{login}'")
    try:
        [found] = prove(shop)
        assert (found.kind, found.service) == ("not-proven", "report")
        assert "was not made for this database" in found.message
    finally:
        values = ", ".join(f"'{value}'" for value in row)
        shop.database.execute(f"INSERT INTO ringfence_account (login, service, state) VALUES ({values})")


@pytest.mark.engines("postgresql", "mariadb", "mysql")
def test_a_login_that_no_longer_exists_is_reported_once(shop):
    name = who(shop, "report")
    owned = [f"DROP OWNED BY {name}"] if shop.database.server.db_type == "postgresql" else []
    shop.database.execute(*owned, f"DROP USER {name}")
    found = prove(shop)
    assert any("could not be tried" in f.message or "would not be ready" in f.message for f in found)
    assert [str(f) for f in found if "does not hold it" in f.message] == []
    assert {f.service for f in found if f.login} == {"report"}


@pytest.mark.requires("row_security")
def test_an_obstacle_that_holds_the_login_of_another_account_for_a_word_is_named(shop):
    policy = f'"{shop.login("till")}" ON customer'
    shop.database.execute(f"CREATE POLICY {policy} FOR SELECT USING (true)")
    try:
        found = prove(shop, services=["report"])
    finally:
        shop.database.execute(f"DROP POLICY {policy}")
    assert [(f.kind, f.service) for f in found] == [("not-proven", "all accounts")]
    assert "is for PUBLIC" in found[0].message


@pytest.mark.engines("postgresql")
def test_what_another_account_owns_is_left_out_of_one_service_s_proof(shop):
    shop.database.execute(
        "CREATE TABLE heirloom (id integer)", f"ALTER TABLE heirloom OWNER TO {who(shop, 'till')}"
    )
    try:
        alone, all_of_them = prove(shop, services=["report"]), prove(shop)
    finally:
        shop.database.execute("DROP TABLE heirloom")
    assert [str(f) for f in alone if "owns" in f.message] == []
    assert any("owns" in f.message and f.service == "till" for f in all_of_them)


# -- a thing of the same name, and what reaches further


@pytest.mark.engines("postgresql")
def test_a_right_on_a_table_of_the_same_name_in_another_schema_is_named_too(shop):
    name = who(shop, "report")
    shop.database.execute(
        "CREATE SCHEMA archive",
        "CREATE TABLE archive.purchase (id integer)",
        f"GRANT DELETE ON purchase TO {name}",
        f"GRANT DELETE ON archive.purchase TO {name}",
        f"GRANT CREATE ON SCHEMA public, archive TO {name}",
    )
    try:
        found = prove(shop)
    finally:
        shop.database.execute("DROP SCHEMA archive CASCADE")
    assert {
        ("excess", "report", "delete", "purchase"),
        ("excess", "report", "delete", "archive.purchase"),
        ("excess", "report", "create table", "the schema"),
        ("excess", "report", "create", "schema archive"),
    } <= set(told(found))
    assert ("excess", "report", "create", "schema public") not in told(found)


@pytest.mark.engines("mariadb", "mysql")
def test_a_right_on_more_databases_than_this_one_is_named_beside_that_on_its_tables(shop):
    name, wide = shop.database.name, f"{shop.database.name}%"
    shop.database.execute(f"GRANT DELETE ON `{name}`.* TO {who(shop, 'report')}")
    of_database = ("excess", "report", "delete", f"database {name}")
    found = told(prove(shop))
    assert ("excess", "report", "delete", "purchase") in found
    assert of_database not in found
    apply_access(shop.load(), shop.env())
    shop.database.execute(f"GRANT DELETE ON `{wide}`.* TO {who(shop, 'report')}")
    found = told(prove(shop))
    assert ("excess", "report", "delete", "purchase") in found
    assert ("excess", "report", "delete", f"database {wide}") in found
