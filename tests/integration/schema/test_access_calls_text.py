"""A default of PostgreSQL that names its sequence by a text: the server keeps no dependency, and the grant comes all the same."""

import pytest

from deployments import lay_out
from exposing import change, findings, plan
from ringfence.schema.access.work import apply_access

pytestmark = pytest.mark.engines("postgresql")

DEFAULTS = {
    "a text": ("ALTER TABLE purchase ADD counted bigint DEFAULT nextval('counted'::text)",),
    "a text with its schema": (
        "CREATE SCHEMA apart",
        "ALTER SEQUENCE counted SET SCHEMA apart",
        "ALTER TABLE purchase ADD counted bigint DEFAULT nextval('apart.counted'::text) * 10",
    ),
    "a varchar": ("ALTER TABLE purchase ADD counted bigint DEFAULT nextval('counted'::varchar)",),
    "a quoted name": (
        """ALTER SEQUENCE counted RENAME TO "Counted on" """,
        """ALTER TABLE purchase ADD counted bigint DEFAULT nextval('public."Counted on"'::text)""",
    ),
    "a domain's default": (
        "CREATE DOMAIN number AS bigint DEFAULT nextval('counted'::text)",
        "ALTER TABLE purchase ADD counted number",
    ),
}


@pytest.mark.parametrize("kind", DEFAULTS)
def test_the_sequence_behind_a_text_is_given(db, tmp_path, kind):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    change(
        shop, "INSERT INTO customer (id, email, active) VALUES (1, 'a@b', true)", "CREATE SEQUENCE counted"
    )
    change(shop, *DEFAULTS[kind])
    assert [one for one in findings(shop) if one.kind == "missing"]
    apply_access(shop.load(), shop.env())
    with shop.connect("door") as door, door.cursor() as cursor:
        cursor.execute("INSERT INTO purchase (customer_id, amount) VALUES (1, 5)")
        assert cursor.rowcount == 1
    assert plan(shop).agrees


def test_a_text_that_no_sequence_can_be_named_by_is_passed_over(db, tmp_path):
    """The default fails for everybody: no grant helps."""
    shop = lay_out(tmp_path, db)
    shop.migrate()
    change(shop, "ALTER TABLE customer ALTER COLUMN id SET DEFAULT nextval('no such. name'::text)")
    assert plan(shop).obstacles == []
