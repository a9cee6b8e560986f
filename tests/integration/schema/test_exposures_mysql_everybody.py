"""What MySQL and MariaDB give to every account of a server: on a server of the test's own, for it concerns all of them."""

import contextlib

import pytest

from ringfence.schema.errors import JobFailed
from ringfence.schema.privileges.service import apply_access, plan_access
from ringfence.schema.verification.verify import verify
from support.deployments import lay_out


@pytest.fixture
def deployed(own_server, tmp_path):
    with contextlib.ExitStack() as stack:

        def on(engine):
            database = stack.enter_context(own_server(engine).database())
            shop = lay_out(tmp_path, database)
            shop.migrate()
            return shop

        yield on


def exposures(shop):
    return [str(one) for one in plan_access(shop.load(), shop.env()).exposures]


@pytest.mark.engines("mysql")
def test_mandatory_roles_of_mysql(deployed):
    shop = deployed("mysql")
    database, name = shop.database, shop.database.name
    assert exposures(shop) == []
    database.execute(
        "CREATE ROLE auditor, 'idle'@'localhost'",
        f"GRANT SELECT ON `{name}`.customer TO auditor",
        "SET GLOBAL mandatory_roles = 'auditor,`idle`@`localhost`'",
    )
    with pytest.raises(JobFailed, match="no account was changed") as raised:
        apply_access(shop.load(), shop.env())
    assert f"has the role 'auditor'@'%' (mandatory_roles), which reaches {name}" in str(raised.value)
    assert "idle" not in str(raised.value)
    database.execute(
        "SET GLOBAL mandatory_roles = ''",
        f"REVOKE SELECT ON `{name}`.customer FROM auditor",
        "CREATE ROLE clerk",
        f"GRANT SELECT (email) ON `{name}`.customer TO clerk",
        "GRANT clerk TO auditor",
        "SET GLOBAL mandatory_roles = 'auditor'",
    )
    [obstacle] = plan_access(shop.load(), shop.env()).obstacles
    assert f"has the role 'auditor'@'%' (mandatory_roles), which reaches {name}" in obstacle
    assert "excess" in {f.kind for f in verify(shop.load(), shop.settings(), shop.passwords()).findings}
    database.execute("SET GLOBAL mandatory_roles = ''", "DROP ROLE auditor, clerk, 'idle'@'localhost'")
    assert exposures(shop) == []
    database.execute(f"SET GLOBAL mandatory_roles = '`{shop.login('till')}`@`%`'")
    [obstacle] = plan_access(shop.load(), shop.env()).obstacles
    assert f"the role '{shop.login('till')}'@'%' (mandatory_roles)" in obstacle
    database.execute("SET GLOBAL mandatory_roles = ''")
    assert exposures(shop) == []


@pytest.mark.engines("mariadb")
def test_what_mariadb_gives_to_public(deployed):
    shop = deployed("mariadb")
    database, name = shop.database, shop.database.name
    assert exposures(shop) == []
    database.execute(
        "CREATE DATABASE other",
        "CREATE ROLE staff",
        f"GRANT SELECT ON `{name}`.customer TO staff",
        "GRANT staff TO PUBLIC",
        f"GRANT INSERT ON `{name}`.purchase TO PUBLIC",
        f"GRANT UPDATE (email) ON `{name}`.customer TO PUBLIC",
        f"GRANT DELETE ON `{name}`.* TO PUBLIC",
    )
    assert len(exposures(shop)) == 4 + 1  # and the role's own grant is obstacle
    assert apply_access(shop.load(), shop.env()).statements != []
    assert database.execute("SELECT COUNT(*) FROM mysql.roles_mapping WHERE User = 'PUBLIC'") == [(0,)]
    assert plan_access(shop.load(), shop.env()).agrees
    proof = verify(shop.load(), shop.settings(), shop.passwords())
    assert proof.findings == []
    database.execute(
        "CREATE FUNCTION total() RETURNS BIGINT READS SQL DATA RETURN (SELECT COUNT(*) FROM customer)",
        "GRANT EXECUTE ON FUNCTION total TO PUBLIC",
    )
    given = f"PUBLIC has EXECUTE ON FUNCTION `{name}`.`total`"
    assert given in exposures(shop)
    findings = verify(shop.load(), shop.settings(), shop.passwords()).findings
    assert [one.kind for one in findings] == ["excess"]
    assert given in findings[0].message
    apply_access(shop.load(), shop.env())
    assert database.execute("SELECT COUNT(*) FROM mysql.procs_priv WHERE User = 'PUBLIC'") == [(0,)]
    # A role that reaches the deployment through another.
    database.execute(
        "CREATE ROLE inner_staff, outer_staff",
        "GRANT EXECUTE ON FUNCTION total TO inner_staff",
        "GRANT inner_staff TO outer_staff",
        "GRANT outer_staff TO PUBLIC",
    )
    assert any("the role `outer_staff`, which reaches" in one for one in exposures(shop))
    database.execute("DROP ROLE inner_staff, outer_staff", "DROP FUNCTION total")
    # What serves others too is theirs to decide.
    database.execute("GRANT SELECT ON other.* TO staff", "GRANT staff TO PUBLIC")
    [obstacle] = plan_access(shop.load(), shop.env()).obstacles
    assert "every account of the server may activate the role `staff`" in obstacle
    database.execute("REVOKE staff FROM PUBLIC", f"GRANT SELECT ON `{name[:-1]}%`.* TO PUBLIC")
    [obstacle] = plan_access(shop.load(), shop.env()).obstacles
    assert f"PUBLIC has SELECT ON `{name[:-1]}%`.*" in obstacle
    database.execute(
        f"REVOKE SELECT ON `{name[:-1]}%`.* FROM PUBLIC", "GRANT SELECT, INSERT ON *.* TO PUBLIC"
    )
    [obstacle] = plan_access(shop.load(), shop.env()).obstacles
    assert "PUBLIC has SELECT, INSERT ON *.*" in obstacle
    database.execute("REVOKE SELECT, INSERT ON *.* FROM PUBLIC", "GRANT SELECT ON other.* TO PUBLIC")
    plan = plan_access(shop.load(), shop.env())
    assert plan.agrees
    assert "PUBLIC has SELECT ON `other`.*" in " | ".join(plan.warnings)
