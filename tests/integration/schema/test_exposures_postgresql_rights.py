"""Rights on PostgreSQL that no manifest gives, and owners: found, proven, taken away, or refused by name."""

import pytest

from ringfence.schema.errors import JobFailed
from ringfence.schema.privileges.service import apply_access, plan_access
from support.deployments import lay_out
from support.manual_changes import asked, change, findings, is_closed, is_refused, plan, quoted

pytestmark = [pytest.mark.engines("postgresql"), pytest.mark.newer]


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    return shop


MADE = [
    "CREATE FOREIGN DATA WRAPPER wrapper",
    "CREATE SERVER elsewhere FOREIGN DATA WRAPPER wrapper",
    "CREATE DOMAIN shortly AS text",
    "SELECT lo_create(4711)",
]
RIGHTS = {
    "USAGE ON FOREIGN DATA WRAPPER wrapper": "{} USAGE on foreign data wrapper wrapper",
    "USAGE ON FOREIGN SERVER elsewhere": "{} USAGE on foreign server elsewhere",
    "SELECT, UPDATE ON LARGE OBJECT 4711": "{} UPDATE on large object 4711",
}


def test_rights_that_no_manifest_gives_are_taken_away(shop):
    change(shop, *MADE)
    for right, says in RIGHTS.items():
        is_closed(shop, f'GRANT {right} TO "{{till}}"', says=says.format("the account {till} has"))
        is_closed(shop, f"GRANT {right} TO PUBLIC", says=says.format("PUBLIC has"))
    for right in ("USAGE ON TYPE shortly", "USAGE ON LANGUAGE plpgsql"):
        is_closed(
            shop, f'GRANT {right} TO "{{till}}" WITH GRANT OPTION', says="the account {till} has USAGE on "
        )


def test_a_parameter_is_no_account_s_to_set(shop, db):
    if shop.database.execute("SHOW server_version_num")[0][0] < "150000":
        pytest.skip("rights on parameters came with PostgreSQL 15")
    held = "SELECT count(*) FROM pg_parameter_acl, aclexplode(paracl) x JOIN pg_roles r ON r.oid = x.grantee WHERE r.rolname = '{till}'"
    for right in ("SET", "ALTER SYSTEM"):
        is_closed(
            shop,
            f'GRANT {right} ON PARAMETER session_replication_role TO "{{till}}"',
            says=f"the account {{till}} has {right} on parameter session_replication_role",
            query=held,
            left=[(0,)],
        )


def test_what_another_granted_is_refused_by_name(shop):
    change(
        shop,
        *MADE,
        *quoted(
            ["CREATE ROLE {kong}", "GRANT USAGE ON FOREIGN SERVER elsewhere TO {kong} WITH GRANT OPTION"]
        ),
    )
    is_refused(
        shop,
        *quoted(["SET ROLE {kong}", "GRANT USAGE ON FOREIGN SERVER elsewhere TO {till}", "RESET ROLE"]),
        says="the account {till} has USAGE on foreign server elsewhere",
        resolution='as {kong}: REVOKE USAGE ON FOREIGN SERVER elsewhere FROM "{till}"',
    )


def test_privileges_of_public_on_system_objects_are_revoked_again(shop):
    for right, says in {
        "SELECT ON pg_catalog.pg_authid": "PUBLIC has SELECT on table pg_authid",
        "EXECUTE ON FUNCTION pg_catalog.pg_read_file(text)": "PUBLIC has EXECUTE on function pg_read_file",
    }.items():
        is_closed(shop, f"GRANT {right} TO PUBLIC", says=says)


def test_a_user_mapping_is_left_to_a_person(shop):
    change(shop, *MADE)
    is_refused(
        shop,
        'CREATE USER MAPPING FOR "{till}" SERVER elsewhere',
        says="the account {till} has a user mapping.* for the foreign server elsewhere",
        resolution='DROP USER MAPPING FOR "{till}" SERVER "elsewhere"',
    )
    change(
        shop,
        'DROP USER MAPPING FOR "{till}" SERVER elsewhere',
        "CREATE USER MAPPING FOR PUBLIC SERVER elsewhere",
    )
    assert plan(shop).agrees
    assert any("PUBLIC has a user mapping" in one for one in plan(shop).warnings)
    assert findings(shop) == []


THINGS = {
    "TABLE": ("purchase", "the table public.purchase belongs to"),
    "SCHEMA": ("public", "the schema public belongs to"),
}


@pytest.mark.parametrize("kind", THINGS)
def test_an_object_of_another_owner_is_refused(shop, kind):
    name, says = THINGS[kind]
    owner = asked(shop, "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'public'")[0][0]
    admin = shop.database.server.admin_user
    change(shop, *quoted(["CREATE ROLE {kong} LOGIN", f'GRANT {{kong}} TO "{admin}"']))
    is_refused(
        shop,
        f'ALTER {kind} {name} OWNER TO "{{kong}}"',
        says=f"{says} {{kong}}: an owner and its members may do anything with it",
        resolution=f'ALTER {kind} {name if kind == "SCHEMA" else "public." + name} OWNER TO "{admin}"',
    )
    change(shop, f"ALTER {kind} {name} OWNER TO {owner if kind == 'SCHEMA' else admin}")
    assert plan(shop).agrees
    assert findings(shop) == []


def test_who_is_in_a_group_that_owns_is_named_with_it(shop):
    change(shop, *quoted(["CREATE ROLE {group}", "ALTER TABLE purchase OWNER TO {group}"]))
    is_refused(
        shop,
        *quoted(["CREATE ROLE {kong} LOGIN", "GRANT {group} TO {kong}"]),
        says="the table public.purchase belongs to {group}, of which {kong} is a member",
        resolution="ALTER TABLE public.purchase OWNER TO",
    )


def test_the_members_of_a_group_that_owns_the_database_are_admins(shop):
    """They own the schema public too, as members of pg_database_owner: on many a managed server all admins do."""
    change(
        shop,
        *quoted(
            [
                "CREATE ROLE {group}",
                "CREATE ROLE {kong} LOGIN",
                "GRANT {group} TO {kong}",
                "ALTER SCHEMA public OWNER TO pg_database_owner",
                "ALTER DATABASE {database} OWNER TO {group}",
            ]
        ),
        'GRANT CONNECT ON DATABASE "{database}" TO "{kong}"',
    )
    made = plan(shop)
    assert made.agrees, (made.sql(), made.obstacles)
    assert findings(shop) == []


def test_an_account_that_owns_is_proven_too(shop):
    is_refused(
        shop,
        'ALTER TABLE purchase OWNER TO "{till}"',
        says="the account {till} owns table .*purchase, and so",
        resolution='REASSIGN OWNED BY "{till}"',
    )


def test_a_function_of_another_owner_is_named(shop):
    change(
        shop,
        "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN NEW; END'",
        "CREATE TRIGGER noted BEFORE INSERT ON purchase FOR EACH ROW EXECUTE FUNCTION noted()",
        *quoted(["CREATE ROLE {kong} LOGIN"]),
    )
    assert plan(shop).obstacles == []
    is_refused(
        shop,
        'ALTER FUNCTION noted() OWNER TO "{kong}"',
        says=r"the routine noted\(\) belongs to {kong}",
        resolution="ALTER ROUTINE noted() OWNER TO",
    )


def test_rules_and_event_triggers_are_noted_and_their_functions_have_no_other_owner(shop):
    change(
        shop,
        "CREATE RULE also AS ON INSERT TO purchase DO ALSO DELETE FROM customer WHERE false",
        "CREATE FUNCTION heard() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN END'",
        "CREATE EVENT TRIGGER heard ON ddl_command_end EXECUTE FUNCTION heard()",
        *quoted(["CREATE ROLE {kong} LOGIN"]),
    )
    notes = plan(shop).notes
    admin = shop.database.server.admin_user
    assert any(
        f"the rule also of purchase runs with the rights of {admin}, not of " in one for one in notes
    ), notes
    assert any(
        f"the event trigger heard (ddl_command_end) runs with the rights of {admin}" in one for one in notes
    )
    assert plan(shop).agrees
    change(shop, 'ALTER FUNCTION heard() OWNER TO "{kong}"')
    (obstacle,) = plan(shop).obstacles
    assert "the routine heard() belongs to" in obstacle


def test_an_admin_without_superuser_rights_repairs_what_it_may_and_names_the_rest(db, tmp_path):
    shop = lay_out(tmp_path, db)
    boss = shop.login("boss")
    change(
        shop,
        *quoted(
            ["CREATE ROLE {boss} LOGIN CREATEROLE PASSWORD 'x'", "ALTER DATABASE {database} OWNER TO {boss}"]
        ),
    )
    as_boss = {"DB_USER": boss, "DB_PASS": "x"}
    shop.migrate(shop.env(**as_boss))

    def seen():
        return plan_access(shop.load(), shop.env(**as_boss))

    assert seen().agrees, (seen().sql(), seen().obstacles)
    assert seen().warnings == []
    assert findings(shop) == []
    newer = int(asked(shop, "SHOW server_version_num")[0][0]) >= 160000
    change(
        shop,
        *quoted(["CREATE ROLE {kong} LOGIN", "ALTER ROLE {till} CREATEROLE"]),
        'SET ROLE "{boss}"',
        'GRANT "{till}" TO "{kong}"',
        "RESET ROLE",
        'ALTER ROLE "{till}" SET statement_timeout = 5',
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    )
    apply_access(shop.load(), shop.env(**as_boss))
    assert seen().agrees
    for more, says in {
        'ALTER ROLE "{till}" BYPASSRLS': 'as a superuser: ALTER ROLE "{till}" NOBYPASSRLS',
        'ALTER ROLE "{till}" SET session_replication_role = replica': "as a superuser: ALTER ROLE",
        **(
            {'GRANT pg_read_all_data TO "{till}"': 'REVOKE "pg_read_all_data" FROM "{till}"'} if newer else {}
        ),
    }.items():
        change(shop, more)
        made = seen()
        said = says.format_map({"till": shop.login("till")})
        assert any(said in one for one in made.obstacles), (more, made.obstacles)
        with pytest.raises(JobFailed, match="no account was changed"):
            apply_access(shop.load(), shop.env(**as_boss))


def test_tables_of_another_admin_are_accepted(shop):
    """As the first admin left them: its own, and the second is a superuser or a member of it."""
    change(
        shop,
        *quoted(["CREATE ROLE {boss} LOGIN CREATEROLE"]),
        *(
            f'ALTER TABLE {table} OWNER TO "{{boss}}"'
            for table in (
                "customer",
                "purchase",
                "ringfence_release",
                "ringfence_retired",
                "ringfence_account",
                "alembic_version",
            )
        ),
    )
    made = plan_access(shop.load(), shop.database.env())
    assert made.agrees, made.obstacles
    assert findings(shop) == []
