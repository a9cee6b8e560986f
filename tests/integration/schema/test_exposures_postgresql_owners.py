"""Owners on PostgreSQL: what was handed to a role that only the admin is in is named; one that owns it all is meant."""

import re

import pytest

from ringfence.schema.errors import JobFailed
from ringfence.schema.privileges.service import apply_access
from support.deployments import MODELS, lay_out
from support.manual_changes import change, findings, plan, quoted, said

pytestmark = [pytest.mark.engines("postgresql"), pytest.mark.newer]

VIEW = """

sa.Table("seen", metadata, sa.Column("id", sa.Integer, primary_key=True), info={"view": True})
"""
MADE = (
    "CREATE VIEW seen AS SELECT id FROM purchase",
    "CREATE SEQUENCE counted",
    "CREATE FUNCTION fits(integer) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true'",
    "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE TYPE mood AS ENUM ('well', 'ill')",
    "CREATE DOMAIN number AS integer",
    "ALTER TABLE purchase ADD mood mood, ADD counted bigint DEFAULT nextval('counted'), ADD number number[]",
    "ALTER TABLE purchase ADD CHECK (fits(amount))",
    "CREATE TRIGGER noted BEFORE INSERT ON purchase FOR EACH ROW EXECUTE FUNCTION noted()",
)
HANDED_OVER = {
    "TABLE": "public.purchase",
    "VIEW": "public.seen",
    "SEQUENCE": "public.counted",
    "SCHEMA": "public",
    "TYPE": "public.mood",
    "DOMAIN": "public.number",
}
ROUTINES = ("fits(integer)", "noted()")
OWN = ("ringfence_release", "ringfence_retired", "ringfence_account", "alembic_version")


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.write("shop_models.py", MODELS + VIEW)
    shop.migrate()
    change(
        shop,
        *quoted(["CREATE ROLE {group}", "CREATE ROLE {inner}"]),
        f'GRANT "{{group}}", "{{inner}}" TO "{db.server.admin_user}"',
    )
    return shop


def give(shop, owner, *tables):
    change(shop, *(f'ALTER TABLE {table} OWNER TO "{{{owner}}}"' for table in tables))


def test_what_was_handed_to_a_role_that_only_the_admin_is_in_is_named(shop):
    change(shop, *MADE)
    apply_access(shop.load(), shop.env())
    assert plan(shop).obstacles == []
    assert findings(shop) == []
    admin = shop.database.server.admin_user
    things = [*HANDED_OVER.items(), *(("ROUTINE", routine) for routine in ROUTINES)]
    change(shop, *(f'ALTER {kind} {name} OWNER TO "{{group}}"' for kind, name in things))
    obstacles = plan(shop).obstacles
    proven = [one for one in findings(shop) if "belongs to" in one.message]
    assert {one.kind for one in proven} == {"excess"}
    ways = []
    for kind, name in things:
        says = said(shop, f"the {kind.lower()} {name} belongs to {{group}}, and not to {admin} as the rest")
        (found,) = [one for one in obstacles if one.startswith(says)]
        assert any(one.message == found for one in proven), (found, proven)
        ways.append(found.partition("; ")[2])
        assert ways[-1] == f'ALTER {kind} {name} OWNER TO "{admin}"'
    assert len(obstacles) == len(proven) == len(things), obstacles
    with pytest.raises(JobFailed, match="no account was changed"):
        apply_access(shop.load(), shop.env())
    change(shop, *ways)
    assert plan(shop).agrees
    assert findings(shop) == []


def test_a_role_that_owns_all_of_it_is_meant_and_what_differs_from_it_is_named(shop):
    give(shop, "group", "customer", "purchase", *OWN)
    change(shop, *quoted(["ALTER SCHEMA public OWNER TO {group}"]))
    made = plan(shop)
    assert made.agrees, (made.sql(), made.obstacles)
    assert not any("belongs to" in one.message for one in findings(shop))
    give(shop, "inner", "purchase")
    (obstacle,) = plan(shop).obstacles
    assert said(shop, "public.purchase belongs to {inner}, and not to {group} as the rest") in obstacle
    assert obstacle.endswith(said(shop, 'ALTER TABLE public.purchase OWNER TO "{group}"'))


def test_the_tables_of_the_models_alone_may_have_an_owner_of_their_own(shop):
    """As one that owned them before Ringfence made its own tables beside them."""
    give(shop, "group", "customer")
    (obstacle,) = plan(shop).obstacles
    assert said(shop, "the table public.customer belongs to {group}, and not to ") in obstacle
    give(shop, "group", "purchase")
    assert plan(shop).agrees
    change(shop, *quoted(["CREATE ROLE {kong} LOGIN", "GRANT {group} TO {kong}"]))
    obstacles = plan(shop).obstacles
    assert len(obstacles) == 2
    assert all(
        re.search(said(shop, "belongs to {group}, of which {kong} is a member"), one) for one in obstacles
    )


def test_a_schema_of_functions_may_have_an_owner_of_its_own(shop):
    change(
        shop,
        *quoted(["CREATE SCHEMA library AUTHORIZATION {inner}"]),
        "CREATE FUNCTION library.fits(integer) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true'",
        *quoted(["ALTER FUNCTION library.fits(integer) OWNER TO {inner}"]),
        "ALTER TABLE purchase ADD CHECK (library.fits(amount))",
    )
    assert plan(shop).obstacles == []


def test_a_partition_is_part_of_its_table(shop):
    change(
        shop,
        "CREATE TABLE theirs () INHERITS (purchase)",
        *quoted(["ALTER TABLE theirs OWNER TO {group}"]),
    )
    (obstacle,) = plan(shop).obstacles
    assert said(shop, "the table public.theirs belongs to {group}") in obstacle
