"""Logins that no manifest names and that reach every table of PostgreSQL are named, and nothing of theirs is touched."""

import pytest

from ringfence.schema.privileges.service import apply_access, plan_access
from ringfence.schema.verification.verify import verify
from support.deployments import lay_out
from support.manual_changes import asked, change, findings, plan, quoted, said

pytestmark = [pytest.mark.engines("postgresql"), pytest.mark.newer]

REACH = {
    "read": (
        ["GRANT pg_read_all_data TO {kong}"],
        "may read every table and view: it is a member of pg_read_all_data",
        'REVOKE "pg_read_all_data" FROM "{kong}"',
    ),
    "write": (
        ["CREATE ROLE {group}", "GRANT pg_write_all_data TO {group}", "GRANT {group} TO {kong}"],
        "may write to every table and view: it is a member of {group}, and by that of pg_write_all_data",
        'REVOKE "pg_write_all_data" FROM "{group}"',
    ),
    "files": (
        ["GRANT pg_read_server_files TO {kong}"],
        "may read the files of the server, every table's too, past grants and row scopes: it is a member of"
        " pg_read_server_files",
        'REVOKE "pg_read_server_files" FROM "{kong}"',
    ),
    "replication": (
        ["ALTER ROLE {kong} REPLICATION"],
        "has REPLICATION: it may read every change of the whole server, past grants and row scopes",
        'ALTER ROLE "{kong}" NOREPLICATION',
    ),
}
MEANT = ", or name its login under `protected:` if that is meant"


def test_an_outsider_who_reaches_every_table_is_named_on_a_standing_deployment(own_server, tmp_path):
    """On a server of its own: such a login is one in every database."""
    with own_server("postgresql").database() as db:
        shop = lay_out(tmp_path, db)
        shop.migrate()

        def warned():
            made = plan_access(shop.load(), shop.database.env())
            assert made.agrees, (made.sql(), made.obstacles)
            return [one for one in made.warnings if "is a superuser, and the job" not in one]

        change(
            shop,
            *quoted(["CREATE ROLE {kong} LOGIN", "GRANT CONNECT ON DATABASE {database} TO {kong}"]),
            *quoted(["CREATE ROLE {boss} LOGIN SUPERUSER REPLICATION"]),
        )
        assert warned() == []
        expected = []
        for statements, does, resolution in REACH.values():
            change(shop, *quoted(statements))
            says = f"{{kong}}, which is not an account of the manifest, {does}; {resolution}{MEANT}"
            expected.append(said(shop, says))
            assert expected[-1] in warned()
        assert sorted(warned()) == sorted(expected)
        proof = verify(shop.load(), shop.settings(), shop.passwords())
        assert proof.findings == []
        assert set(expected) <= set(proof.warnings)
        apply_access(shop.load(), shop.env())
        held = "SELECT rolreplication, pg_has_role(oid, 'pg_read_all_data', 'USAGE') FROM pg_roles WHERE rolname = '{kong}'"
        assert asked(shop, held) == [(True, True)]
        # Who cannot connect reads no table; files and changes are read from elsewhere.
        change(shop, *quoted(["REVOKE CONNECT ON DATABASE {database} FROM {kong}"]))
        assert sorted(warned()) == sorted(one for one in expected if "_all_data" not in one)
        access = (shop.root / "access.yaml").read_text()
        shop.write("access.yaml", access + f"protected: [{shop.login('kong')}]\n")
        assert warned() == []
        assert findings(shop) == []


FUNCTION = "CREATE FUNCTION {0}() RETURNS integer LANGUAGE sql AS 'SELECT 1'"


def test_roles_that_lose_execute_of_public_are_named_before_it_is_revoked(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()

    def losing():
        warnings = plan_access(shop.load(), shop.database.env()).warnings
        return [one for one in warnings if "may execute" in one]

    names = [f"counted_{number}" for number in range(7)]
    change(
        shop,
        *quoted(["CREATE ROLE {kong} LOGIN", "CREATE ROLE {group}", "CREATE ROLE {guest} LOGIN"]),
        *quoted(["GRANT SELECT ON customer TO {kong}", "ALTER TABLE purchase OWNER TO {group}"]),
        *(FUNCTION.format(name) for name in names),
    )
    # The admin's next functions are closed as they are made: these were before Ringfence came.
    change(shop, *(f"GRANT EXECUTE ON FUNCTION {name}() TO PUBLIC" for name in names))
    (warning,) = losing()
    shown = ", ".join(f"public.{name}()" for name in names[:5])
    who = said(shop, "{group}, {kong}")
    assert warning == said(
        shop,
        f"{who} may execute {shown} and 2 more through PUBLIC only, and an apply revokes that; before it, GRANT EXECUTE ON"
        f' ROUTINE {shown} TO "{{group}}", "{{kong}}" if they call them, or leave it with `public: [execute]` in the'
        " manifest",
    )
    change(
        shop,
        *quoted(["ALTER TABLE purchase OWNER TO CURRENT_USER"]),
        *(f'GRANT EXECUTE ON FUNCTION {name}() TO "{{kong}}"' for name in names[1:]),
    )
    (warning,) = losing()
    assert warning.startswith(said(shop, "{kong} may execute public.counted_0() through PUBLIC only"))
    apply_access(shop.load(), shop.env())
    assert losing() == []
    held = "SELECT count(*) FROM pg_proc WHERE proname LIKE 'counted_%' AND has_function_privilege('{kong}', oid, 'EXECUTE')"
    assert asked(shop, held) == [(6,)]


def test_privileges_of_public_in_all_databases_are_reported_and_left(own_server, tmp_path):
    """On a server of its own: it is everybody's in every database."""
    server = own_server("postgresql")
    with server.database() as db:
        shop = lay_out(tmp_path, db)
        shop.migrate()
        rights = {"CREATE ON TABLESPACE pg_default": "CREATE on tablespace pg_default"}
        if int(asked(shop, "SHOW server_version_num")[0][0]) >= 150000:
            rights["SET ON PARAMETER log_statement"] = "SET on parameter log_statement"
        for right, says in rights.items():
            change(shop, f"GRANT {right} TO PUBLIC", f'GRANT {right} TO "{{till}}"')
            made = plan(shop)
            assert made.obstacles == []
            assert [
                one
                for one in made.warnings
                if f"PUBLIC has {says}" in one and f"REVOKE {right} FROM PUBLIC" in one
            ]
            assert any(f"{says}, and may" in one.message and one.login for one in findings(shop))
            apply_access(shop.load(), shop.env())
            made = plan(shop)
            assert made.agrees, made.sql()
            assert any(f"PUBLIC has {says}" in one for one in made.warnings)
            assert findings(shop) == []
