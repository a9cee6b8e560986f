"""A revision whose tables call what another role owns: what that role gave by name stays, and nothing is given again."""

import pytest

from support.deployments import lay_out
from support.manual_changes import asked, change, plan, quoted, said

pytestmark = pytest.mark.engines("postgresql")

ALTERS = """
revision = "c3"
down_revision = "b2"
from alembic import op


def upgrade():
    op.execute("ALTER TABLE purchase ADD CHECK (amount > -100)")


def downgrade():
    raise NotImplementedError
"""
MAKES = """
revision = "c3"
down_revision = "b2"
import sqlalchemy as sa
from alembic import op


def upgrade():
    op.create_table("parcel", sa.Column("id", sa.Integer, primary_key=True), sa.Column("weight", sa.Integer))
    op.create_check_constraint("positive", "purchase", "amount > -100")


def downgrade():
    raise NotImplementedError
"""
PARCEL = """

class Parcel(Base):
    __tablename__ = "parcel"
    id: Mapped[int] = mapped_column(primary_key=True)
    weight: Mapped[int | None]
"""
CALLS = {
    "a function": (
        "CREATE FUNCTION util.secret(integer) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true'",
        "REVOKE EXECUTE ON FUNCTION util.secret(integer) FROM PUBLIC",
        "ALTER TABLE purchase ADD CHECK (util.secret(amount))",
        "GRANT EXECUTE ON FUNCTION util.secret(integer) TO {door}, {till}",
    ),
    "a sequence": (
        "CREATE SEQUENCE util.counted",
        "ALTER TABLE purchase ADD counted bigint DEFAULT nextval('util.counted')",
        "GRANT USAGE ON SEQUENCE util.counted TO {door}, {till}",
        "GRANT USAGE ON SCHEMA util TO {door}, {till}",
    ),
    # The number of a sequence that a default names by a regclass is had without its schema.
    "a sequence of a closed schema": (
        "CREATE SEQUENCE util.counted",
        "ALTER TABLE purchase ADD counted bigint DEFAULT nextval('util.counted')",
        "GRANT USAGE ON SEQUENCE util.counted TO {door}, {till}",
        "REVOKE USAGE ON SCHEMA util FROM {boss}",
    ),
    "a sequence to pass on, of a schema not to": (
        "CREATE SEQUENCE util.counted",
        "ALTER TABLE purchase ADD counted bigint DEFAULT nextval('util.counted')",
        "GRANT USAGE ON SEQUENCE util.counted TO {boss} WITH GRANT OPTION",
        "GRANT USAGE ON SEQUENCE util.counted TO {door}, {till}",
    ),
}
HELD = """
    SELECT DISTINCT x.grantee::regrole::text, x.grantor::regrole::text
    FROM (SELECT proacl FROM pg_proc WHERE proname = 'secret'
          UNION ALL SELECT relacl FROM pg_class WHERE relname = 'counted') things (acl), aclexplode(acl) x
    WHERE x.grantee <> x.grantor ORDER BY 1
"""


@pytest.mark.parametrize("revision", [ALTERS, MAKES], ids=["alters", "makes"])
@pytest.mark.parametrize("kind", CALLS)
def test_what_another_gave_is_not_given_again(db, tmp_path, kind, revision):
    shop = lay_out(tmp_path, db)
    change(
        shop,
        *quoted(
            ["CREATE ROLE {boss} LOGIN CREATEROLE PASSWORD 'x'", "ALTER DATABASE {database} OWNER TO {boss}"]
        ),
    )
    env = shop.env(DB_USER=shop.login("boss"), DB_PASS="x")
    shop.migrate(env)
    change(
        shop,
        "INSERT INTO customer (id, email, active) VALUES (1, 'a@b', true)",
        "CREATE SCHEMA util",
        *quoted(["GRANT USAGE ON SCHEMA util TO {boss}"]),
        *quoted(CALLS[kind]),
    )
    shop.write("migrations/versions/c3.py", revision)
    if revision == MAKES:
        shop.write("shop_models.py", (shop.root / "shop_models.py").read_text() + PARCEL)
        access = (shop.root / "access.yaml").read_text()
        shop.write(
            "access.yaml", access.replace("      purchase: rw\n", "      purchase: rw\n      parcel: rw\n")
        )
    shop.migrate(env)
    owner = shop.database.server.admin_user
    assert {(said(shop, '"{door}"'), owner), (said(shop, '"{till}"'), owner)} <= set(asked(shop, HELD))
    if "pass on" not in kind:
        assert len(asked(shop, HELD)) == 2
    made = plan(shop, env)
    assert made.agrees, (made.sql(), made.obstacles)
    with shop.connect("door") as door, door.cursor() as cursor:
        cursor.execute("INSERT INTO purchase (customer_id, amount) VALUES (1, 5)")
        assert cursor.rowcount == 1
