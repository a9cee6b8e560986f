"""A `sa.Sequence` in the models numbers what a service inserts, and the account may draw from it; never a guess."""

import pytest
import sqlalchemy as sa

from ringfence.runtime import AccessDenied, Database
from ringfence.schema.engines import reach
from ringfence.schema.errors import BadDeployment
from ringfence.schema.privileges.service import plan_access
from ringfence.schema.verification.verify import verify
from support.deployments import TOML, lay_out

pytestmark = pytest.mark.newer

WITH = '["postgresql", "mariadb", "galera"]'
WITHOUT = '["mysql", "sqlite"]'
ALL = '["postgresql", "mariadb", "galera", "mysql", "sqlite"]'
MODELS = """
import sqlalchemy as sa

metadata = sa.MetaData()
numbers = sa.Sequence("Numbers", metadata=metadata, start=1000, increment=5, cache=1)
bill = sa.Table(
    "bill",
    metadata,
    sa.Column("id", sa.Integer, sa.Sequence("bill_ids", start=50, increment=10, cache=1), primary_key=True),
    sa.Column("code", sa.String(9)),
    sa.Column("number", sa.Integer, numbers),
    sa.PrimaryKeyConstraint("id", name="pk_bill"),
    sa.UniqueConstraint("code", name="uq_bill_code"),
)
"""
KEY_ALONE = """
import sqlalchemy as sa

metadata = sa.MetaData()
bill = sa.Table(
    "bill",
    metadata,
    sa.Column("id", sa.Integer, sa.Sequence("bill_ids"), primary_key=True),
    sa.Column("code", sa.String(9)),
    sa.PrimaryKeyConstraint("id", name="pk_bill"),
)
"""
FIRST = """
revision = "a1"
down_revision = None
from alembic import op


def upgrade():
    from shop_models import metadata

    metadata.create_all(op.get_bind())
"""
ACCESS = """
version: 1
defaults: {login: "PREFIX{service}"}
accounts:
  till:
    tables:
      bill: rw
  east:
    tables:
      bill: {verbs: rw, rows: {code: east}}
  report:
    tables:
      bill: ro
"""


def shop_of(tmp_path, db, models, engines):
    shop = lay_out(tmp_path, db)
    (shop.root / "migrations/versions/b2.py").unlink()
    shop.write("ringfence.toml", TOML.replace(ALL, engines))
    # Galera takes no sequence that keeps values ready, and PostgreSQL none that keeps no value ready.
    shop.write(
        "shop_models.py", models.replace("cache=1", "cache=0") if db.server.engine == "galera" else models
    )
    shop.write("migrations/versions/a1.py", FIRST)
    shop.write("access.yaml", ACCESS)
    return shop


@pytest.fixture
def shop(db, tmp_path):
    shop = shop_of(tmp_path, db, MODELS, WITH)
    shop.migrate()
    return shop


def opened(shop, service):
    given = shop.database.env(shop.login(service), shop.password(service))
    return Database.from_env(shop.root / f"mirrors/{service}.json", given)


def rows(shop):
    return [
        tuple(int(number) for number in row)
        for row in shop.database.execute("SELECT id, number FROM bill ORDER BY id")
    ]


@pytest.mark.requires("sequences")
def test_every_way_to_insert_draws(shop):
    with opened(shop, "till") as db, db.session() as dal:
        assert int(dal.bill.insert(code="a")) == 50
        assert [int(key) for key in dal.bill.bulk_insert([{"code": "b"}, {"code": "c"}])] == [60, 70]
        assert int(dal.bill.upsert(code="d")) == 80
        assert int(dal.bill.upsert(_key="code", code="d")) == 80
        assert int(dal.bill.update_or_insert(dal.bill.code == "e", code="e")) in (90, 100)
        assert int(dal.bill.insert(id=7, code="g", number=3)) == 7
        assert dal.bill(7).number == 3
        assert dal.bill(50).code == "a"
        numbers = [row.number for row in dal(dal.bill.id >= 50).select(orderby=dal.bill.id)]
    assert all(number >= 1000 and number % 5 == 0 for number in numbers)
    assert len(set(numbers)) == len(numbers) == 5


@pytest.mark.requires("sequences")
def test_it_counts_on_where_sqlalchemy_stopped(shop):
    with opened(shop, "till") as db, db.session() as dal:
        ours = int(dal.bill.insert(code="a"))
    (table,) = shop.load().tables.values()
    engine = reach(shop.settings()).engine()
    with engine.begin() as connection:
        theirs = connection.execute(sa.insert(table).values(code="b")).inserted_primary_key[0]
    with opened(shop, "till") as db, db.session() as dal:
        then = int(dal.bill.insert(code="c"))
    assert (ours, theirs, then) == (50, 60, 70)
    drawn = sorted(number for _, *pair in rows(shop) for number in pair)
    assert drawn == [1000 + 5 * step for step in range(3)]


@pytest.mark.requires("sequences")
def test_a_scoped_account_draws_too(shop):
    with opened(shop, "east") as db, db.session() as dal:
        assert int(dal.bill.insert(code="east")) == 50
        assert dal.bill(50).number >= 1000


@pytest.mark.requires("sequences")
def test_an_account_without_insert_may_not_use_the_sequence(shop):
    with opened(shop, "report") as db, pytest.raises(AccessDenied), db.session() as dal:
        dal.executesql(
            {"postgresql": "SELECT nextval('bill_ids')"}.get(
                shop.database.server.db_type, "SELECT NEXTVAL(bill_ids)"
            )
        )
    assert verify(shop.load(), shop.settings(), shop.passwords()).findings == []


@pytest.mark.requires("sequences")
def test_the_right_to_draw_is_planned_missed_and_taken_back(shop):
    login = shop.login("till")
    quoted = f'"{login}"' if shop.database.server.db_type == "postgresql" else f"'{login}'@'%'"
    right = {"postgresql": "USAGE ON SEQUENCE bill_ids"}.get(
        shop.database.server.db_type, "INSERT ON bill_ids"
    )
    shop.database.execute(f"REVOKE {right} FROM {quoted}")
    planned = shop.run("ringfence", "access", "plan")
    assert planned.returncode == 2, planned.stdout + planned.stderr
    assert "bill_ids" in planned.stdout
    found = verify(shop.load(), shop.settings(), shop.passwords()).findings
    assert any("bill_ids" in str(finding) for finding in found)
    assert shop.run("ringfence", "migrate").returncode == 0
    assert verify(shop.load(), shop.settings(), shop.passwords()).findings == []
    shop.write("access.yaml", ACCESS.replace("bill: rw", "bill: [select, delete]"))
    shop.migrate()
    with pytest.raises(Exception, match=r"denied"):
        shop.connect("till").cursor().execute(
            {"postgresql": "SELECT nextval('bill_ids')"}.get(
                shop.database.server.db_type, "SELECT NEXTVAL(bill_ids)"
            )
        )


@pytest.mark.requires("sequences")
def test_a_default_of_the_server_draws_with_the_account_s_right(db, tmp_path):
    models = MODELS.replace(
        '"number", sa.Integer, numbers', '"number", sa.Integer, server_default=numbers.next_value()'
    )
    shop = shop_of(tmp_path, db, models, WITH)
    shop.migrate()
    with opened(shop, "till") as service, service.session() as dal:
        assert dal.bill(dal.bill.insert(code="a")).number == 1000
    proof = verify(shop.load(), shop.settings(), shop.passwords())
    assert proof.findings == []


@pytest.mark.engines("mysql", "sqlite")
def test_a_key_is_generated_on_engines_without_sequences(db, tmp_path):
    shop = shop_of(tmp_path, db, KEY_ALONE, ALL)
    shop.migrate()
    with opened(shop, "till") as service, service.session() as dal:
        first = int(dal.bill.insert(code="a"))
        assert [int(key) for key in dal.bill.bulk_insert([{"code": "b"}]) if key is not None] in (
            [],
            [first + 1],
        )
        assert int(dal.bill.insert(code="c")) == first + 2


def test_what_no_sequence_can_number_is_refused(db, tmp_path):
    shop = shop_of(tmp_path, db, MODELS, ALL)
    with pytest.raises(
        BadDeployment, match=r"bill\.number .*: the sequence 'Numbers' cannot number it on mysql, sqlite"
    ):
        shop.load()


@pytest.mark.engines("mariadb", "galera", "postgresql")
@pytest.mark.parametrize("default", ["numbers", "server_default=numbers.next_value()"])
def test_who_only_inserts_cannot_draw_where_drawing_wants_more(db, tmp_path, default):
    """MariaDB asks for SELECT and INSERT on the sequence, and with these it can be set back."""
    models = MODELS.replace('sa.Sequence("bill_ids", start=50, increment=10, cache=1), ', "").replace(
        '"number", sa.Integer, numbers', f'"number", sa.Integer, {default}'
    )
    shop = shop_of(tmp_path, db, models, f'["{db.server.engine}"]')
    shop.write("access.yaml", ACCESS + "  audit:\n    tables:\n      bill: {insert: [code, number]}\n")
    if db.server.engine == "postgresql":
        shop.migrate()
        with opened(shop, "audit") as service, service.session() as dal:
            dal.bill.insert(code="a")
        assert rows(shop)[0][1] == 1000
        return
    with pytest.raises(BadDeployment) as raised:
        shop.load()
    line = (shop.root / "access.yaml").read_text().splitlines().index(
        "      bill: {insert: [code, number]}"
    ) + 1
    told = str(raised.value)
    assert f"access.yaml:{line}: 'audit' gets insert on bill.number (" in told
    assert (
        f"it is numbered by the sequence 'Numbers', which {db.server.engine} let an account use only" in told
    )
    assert "give it select on the table too" in told
    shop.write(
        "access.yaml",
        ACCESS + "  audit:\n    tables:\n      bill: {select: [code], insert: [code, number]}\n",
    )
    shop.migrate()
    with opened(shop, "audit") as service, service.session() as dal:
        dal.bill.insert(code="a")
    assert rows(shop)[0][1] == 1000


@pytest.mark.engines("mariadb", "galera")
def test_a_default_made_by_hand_that_draws_is_refused_to_who_only_inserts(db, tmp_path):
    models = MODELS.replace('sa.Sequence("bill_ids", start=50, increment=10, cache=1), ', "")
    shop = shop_of(
        tmp_path, db, models.replace("sa.Integer, numbers", "sa.Integer"), f'["{db.server.engine}"]'
    )
    shop.write("access.yaml", ACCESS + "  audit:\n    tables:\n      bill: [insert]\n")
    shop.migrate()
    assert plan_access(shop.load(), shop.env()).agrees
    db.execute("ALTER TABLE bill ALTER COLUMN number SET DEFAULT NEXTVAL(`Numbers`)")
    [told] = plan_access(shop.load(), shop.env()).obstacles
    assert f"{shop.login('audit')} only inserts into bill, where a default draws" in told
    assert "give it select on the table too" in told
    db.execute("ALTER TABLE bill ALTER COLUMN number DROP DEFAULT")
