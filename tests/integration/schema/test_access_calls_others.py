"""A function that a table calls on PostgreSQL, that another role owns and that nobody was given: named, not passed over."""

import re

import pytest

from ringfence.schema.errors import JobFailed
from ringfence.schema.privileges.service import apply_access
from support.deployments import TOML, lay_out
from support.manual_changes import asked, change, findings, plan, quoted, said

pytestmark = [pytest.mark.engines("postgresql"), pytest.mark.newer]

YES = "CREATE FUNCTION fits({0}) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true'"
CLOSED = "REVOKE EXECUTE ON FUNCTION fits({0}) FROM PUBLIC"
TRIGGER = "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
KINDS = {
    "a check": (YES, "ALTER TABLE purchase ADD CHECK (fits(amount))"),
    "a trigger's WHEN": (
        YES,
        TRIGGER,
        "CREATE TRIGGER noted BEFORE INSERT ON purchase FOR EACH ROW WHEN (fits(NEW.amount)) EXECUTE FUNCTION noted()",
    ),
    "a domain's check": (
        YES,
        "CREATE DOMAIN number AS integer CHECK (fits(VALUE))",
        "ALTER TABLE purchase ALTER COLUMN amount TYPE number",
    ),
    "a partial index": (YES, "CREATE INDEX ON purchase (id) WHERE fits(amount)"),
}


@pytest.fixture
def shop(db, tmp_path):
    """The admin owns the database, and is no superuser; what a superuser owns is not its to grant."""
    shop = lay_out(tmp_path, db)
    shop.write("ringfence.toml", TOML.replace(re.search(r"engines = (.*)", TOML)[1], '["postgresql"]'))
    change(
        shop,
        *quoted(
            ["CREATE ROLE {boss} LOGIN CREATEROLE PASSWORD 'x'", "ALTER DATABASE {database} OWNER TO {boss}"]
        ),
    )
    shop.migrate(env(shop))
    return shop


def env(shop):
    return shop.env(DB_USER=shop.login("boss"), DB_PASS="x")


def insert(shop, service):
    with shop.connect(service) as connection, connection.cursor() as cursor:
        cursor.execute("INSERT INTO purchase (id, customer_id, amount) VALUES (1, 1, 5)")
        connection.rollback()


@pytest.mark.parametrize("kind", KINDS)
def test_an_object_of_another_owner_without_grants_is_named(shop, kind):
    change(shop, "INSERT INTO customer (id, email, active) VALUES (1, 'a@b', true)")
    change(shop, *(one.format("integer") for one in (*KINDS[kind], CLOSED)))
    owner = shop.database.server.admin_user
    obstacles = plan(shop, env(shop)).obstacles
    assert len(obstacles) == 2, obstacles
    for service, obstacle in zip(("door", "till"), obstacles, strict=True):
        does = "insert public.purchase" + (
            ", update public.purchase" if service == "till" and "WHEN" not in kind else ""
        )
        says = (
            f"the account {{{service}}} cannot {does}: that calls the function public.fits(integer), which belongs to"
            f" {owner} and neither {{{service}}} nor the admin may use; as {owner}: GRANT EXECUTE ON ROUTINE"
            f' "public".fits(integer) TO "{{{service}}}", or GRANT EXECUTE ON ROUTINE "public".fits(integer) TO'
            ' "{boss}" WITH GRANT OPTION'
        )
        assert obstacle.startswith(said(shop, says)), obstacle
    with pytest.raises(JobFailed, match="no account was changed"):
        apply_access(shop.load(), env(shop))
    # The owner gives it to one account by name, which keeps it, and to the admin, who gives it to the other.
    change(
        shop,
        *quoted(
            [
                "GRANT EXECUTE ON ROUTINE fits(integer) TO {door}",
                "GRANT EXECUTE ON ROUTINE fits(integer) TO {boss} WITH GRANT OPTION",
            ]
        ),
    )
    apply_access(shop.load(), env(shop))
    made = plan(shop, env(shop))
    assert made.agrees, (made.sql(), made.obstacles)
    held = asked(
        shop,
        "SELECT x.grantee::regrole::text, x.grantor::regrole::text FROM pg_proc, aclexplode(proacl) x"
        " WHERE proname = 'fits' AND x.grantee IN ('\"{door}\"'::regrole, '\"{till}\"'::regrole) ORDER BY 1",
    )
    assert held == [(said(shop, '"{door}"'), owner), (said(shop, '"{till}"'), said(shop, '"{boss}"'))]
    insert(shop, "till")
    insert(shop, "door")


def test_the_proof_says_that_the_right_is_missing(shop):
    change(shop, *(one.format("integer") for one in (*KINDS["a check"], CLOSED)))
    found = [one for one in findings(shop, env(shop)) if "public.fits(integer)" in one.message]
    assert [(one.kind, one.login) for one in found] == [
        ("missing", shop.login("door")),
        ("missing", shop.login("till")),
    ]


def test_a_sequence_of_another_owner_is_named(shop):
    change(
        shop,
        "CREATE SEQUENCE counted",
        "ALTER TABLE purchase ADD counted bigint DEFAULT nextval('counted')",
    )
    owner = shop.database.server.admin_user
    obstacles = plan(shop, env(shop)).obstacles
    assert len(obstacles) == 2, obstacles
    assert all(
        f"calls the sequence public.counted, which belongs to {owner}" in one
        and 'GRANT USAGE ON SEQUENCE "public"."counted" TO' in one
        for one in obstacles
    ), obstacles


def test_execute_of_public_stays_with_roles_that_the_owner_granted_it_too(shop):
    """The admin cannot take it away, passes it on or not; and nobody has more by it."""
    change(
        shop,
        "INSERT INTO customer (id, email, active) VALUES (1, 'a@b', true)",
        *(one.format("integer") for one in KINDS["a check"]),
    )
    apply_access(shop.load(), env(shop))
    change(shop, *quoted(["GRANT EXECUTE ON ROUTINE fits(integer) TO {door}, {till}"]))
    for passed_on in ((), quoted(["GRANT EXECUTE ON ROUTINE fits(integer) TO {boss} WITH GRANT OPTION"])):
        change(shop, *passed_on)
        made = plan(shop, env(shop))
        assert made.agrees, (made.sql(), made.obstacles)
        assert findings(shop, env(shop)) == []
        assert apply_access(shop.load(), env(shop)).statements == []
    insert(shop, "door")
    # Who calls it by no verb is to lose it, by whoever gave it.
    change(shop, *quoted(["GRANT EXECUTE ON ROUTINE fits(integer) TO {report}"]))
    (obstacle,) = plan(shop, env(shop)).obstacles
    assert said(shop, 'REVOKE EXECUTE ON ROUTINE "public".fits(integer) FROM "{report}"') in obstacle
