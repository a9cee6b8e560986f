"""A column that moves keeps every value: also of rows that old services wrote between the expand and the contract."""

import pytest

from ringfence.schema.authoring.revise import revise
from ringfence.schema.autogenerate.renames import Renames
from ringfence.schema.backfills.declared import load
from ringfence.schema.backfills.run import Pace, run
from ringfence.schema.errors import BadDeployment, JobFailed
from ringfence.schema.job.contract_guard import Refused
from servers.capabilities import engines_with
from support.deployments import lay_out

SECRET = '    secret: Mapped[str | None] = mapped_column(sa.String(100), info={"sensitive": True})\n'
VAULT = """

class Vault(Base):
    __tablename__ = "vault"
    customer_id: Mapped[int] = mapped_column(sa.ForeignKey("customer.id", ondelete="CASCADE"), primary_key=True)
    secret: Mapped[str | None] = mapped_column(sa.String(100))
    kind: Mapped[str] = mapped_column(sa.String(10), server_default="plain")
"""
INTO = """
import sqlalchemy as sa
from ringfence.schema.backfills.declared import Backfill

backfill = Backfill(
    "customer", into="vault", set={"secret": VALUE}, where="secret IS NOT NULL", batch=2
)
"""
COLUMN = 'sa.func.lower(sa.column("secret"))'
LOWERED = INTO.replace("VALUE", COLUMN)
SECRETS = "SELECT customer_id, secret FROM vault ORDER BY customer_id"


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    write(shop, (1, "'One'"), (2, "NULL"), (3, "'Three'"), (4, "'Four'"))
    return shop


def write(shop, *rows):
    """As the till does, of before the change: under its own account where the engine has such."""
    texts = [
        f"INSERT INTO customer (id, email, secret, active) VALUES ({key}, 'c{key}', {secret}, '1')"
        for key, secret in rows
    ]
    if shop.database.server.engine not in engines_with("accounts"):
        shop.database.execute(*texts)
        return
    connection = shop.connect("till")
    try:
        cursor = connection.cursor()
        for text in texts:
            cursor.execute(text)
    finally:
        connection.close()


def split(shop, backfill=LOWERED):
    """Let the secret move to a table of its own."""
    models = (shop.root / "shop_models.py").read_text()
    shop.write("shop_models.py", models.replace(SECRET, "") + VAULT)
    access = (shop.root / "access.yaml").read_text().replace(", also: [secret]", "")
    shop.write(
        "access.yaml", access.replace("      purchase: rw\n", "      purchase: rw\n      vault: rw\n", 1)
    )
    made = revise(
        shop.load(), "vault", {"DB_TYPE": ""}, renames=Renames.from_options((), ("customer.secret",))
    )
    if backfill:
        shop.write("migrations/backfills/vault_secret.py", backfill)
    return made


def test_a_row_that_an_old_service_wrote_meanwhile_is_not_lost(shop):
    split(shop)
    with pytest.raises(
        Refused, match=r"3 rows hold a value there that the backfill vault_secret has not carried"
    ):
        shop.migrate()  # in one go: nothing can be carried over before the table is there
    shop.migrate(expand=True)
    done = run(shop.load(), "vault_secret", shop.database.env())
    assert (done.seen, done.changed) == (4, 3)
    write(shop, (5, "'Late'"), (6, "NULL"))
    with pytest.raises(Refused) as refused:
        shop.migrate()
    told = str(refused.value)
    assert (
        "drops customer.secret, and 1 row holds a value there that the backfill vault_secret has not carried over"
        " (the first by id: 5): `ringfence backfill vault_secret`" in told
    )
    assert "Run those backfills, then run this again" in told
    assert "mirrors" not in told
    assert shop.database.execute("SELECT secret FROM customer WHERE id = 5") == [("Late",)]

    done = run(shop.load(), "vault_secret", shop.database.env())
    assert (done.seen, done.changed) == (6, 1)
    assert run(shop.load(), "vault_secret", shop.database.env()).changed == 0
    shop.migrate()
    assert shop.database.execute(SECRETS) == [(1, "one"), (3, "three"), (4, "four"), (5, "late")]
    assert shop.database.execute("SELECT DISTINCT kind FROM vault") == [("plain",)]
    with pytest.raises(Exception, match="secret"):
        shop.database.execute("SELECT secret FROM customer")


def test_a_changed_value_is_reported_and_no_obstacle(shop):
    split(shop, INTO.replace("VALUE", 'sa.column("secret")'))
    shop.migrate(expand=True)
    run(shop.load(), "vault_secret", shop.database.env())
    shop.database.execute(
        "UPDATE vault SET secret = 'newer' WHERE customer_id = 1",
        "UPDATE vault SET secret = NULL WHERE customer_id = 3",
        "DELETE FROM vault WHERE customer_id = 4",
        "INSERT INTO vault (customer_id) VALUES (2)",
    )
    with pytest.raises(Refused, match=r"2 rows hold a value there .*\(the first by id: 3, 4\)"):
        shop.migrate()
    done = run(shop.load(), "vault_secret", shop.database.env())
    assert done.changed == 2  # one is filled, one is made again; what a new service wrote stays
    report = shop.migrate()
    assert [text for text in report.warnings if "another value" in text] == [
        f"{report.applied[-1]} drops customer.secret, and 1 row holds another value there than where the backfill"
        " vault_secret carried it (the first by id: 1): one of the two was written since"
    ]
    assert shop.database.execute(SECRETS) == [(1, "newer"), (2, None), (3, "Three"), (4, "Four")]


def test_within_a_table_too_and_a_reason_lets_it_go(shop):
    models = (shop.root / "shop_models.py").read_text()
    shop.write("shop_models.py", models.replace("    secret:", "    hidden:"))
    shop.write(
        "access.yaml", (shop.root / "access.yaml").read_text().replace("also: [secret]", "also: [hidden]")
    )
    told = Renames.from_options(["customer.secret=hidden"], ())
    made = revise(shop.load(), "hidden", {"DB_TYPE": ""}, renames=told)
    (path,) = made.backfills
    shop.migrate(expand=True)
    run(shop.load(), path.stem, shop.database.env())
    shop.migrate(expand=True)
    shop.database.execute(
        "INSERT INTO customer (id, email, secret, active) VALUES (5, 'c5', 'Late', '1'), (6, 'c6', NULL, '1')"
    )
    with pytest.raises(Refused, match=r"1 row holds a value there .*backfill customer_hidden .*by id: 5\)"):
        shop.migrate()
    shop.migrate(force="the five is ours")
    ((obstacles, reason),) = shop.database.execute("SELECT finding, reason FROM ringfence_override")
    assert "1 row holds a value there" in obstacles
    assert reason == "the five is ours"
    rows = shop.database.execute("SELECT id, hidden FROM customer WHERE hidden IS NOT NULL ORDER BY id")
    assert rows == [(1, "One"), (3, "Three"), (4, "Four")]


@pytest.mark.engines("sqlite", "postgresql", "mariadb")
def test_a_whole_table_row_by_row_and_a_condition_of_its_own(shop):
    """The purchases become rows of a table with another key; what is worth nothing is not carried over."""
    shop.database.execute(
        "INSERT INTO purchase (id, customer_id, amount) VALUES (1, 1, 5), (2, 1, 0), (3, 3, 7)"
    )
    models = (shop.root / "shop_models.py").read_text()
    shop.write(
        "shop_models.py",
        models[: models.index("class Purchase")] + "class Sale(Base):\n"
        '    __tablename__ = "sale"\n'
        "    number: Mapped[int] = mapped_column(BigKey, primary_key=True, autoincrement=False)\n"
        "    cents: Mapped[int]\n",
    )
    access = (
        'version: 1\ndefaults: {login: "PREFIX{service}"}\naccounts:\n  till:\n    tables:\n      sale: rw\n'
    )
    shop.write("access.yaml", access)
    told = Renames.from_options((), ("purchase",))
    revise(shop.load(), "sales", {"DB_TYPE": ""}, renames=told)
    text = (
        "from ringfence.schema.backfills.declared import Backfill\n\n"
        'backfill = Backfill("purchase", into="sale", key={"number": "id"}, reads=["amount"],\n'
        '    each=lambda row: {"cents": row["amount"] * 100} if row["amount"] else None,\n'
        '    covered="amount = 0 OR EXISTS (SELECT 1 FROM sale WHERE number = purchase.id)")\n'
    )
    shop.write("migrations/backfills/sales.py", text)
    shop.migrate(expand=True)
    run(shop.load(), "sales", shop.database.env(), pace=Pace(batch=1))
    shop.database.execute("INSERT INTO purchase (id, customer_id, amount) VALUES (4, 1, 9), (5, 1, 0)")
    with pytest.raises(Refused, match=r"drops purchase, and 1 row holds a value .*by id: 4\)"):
        shop.migrate()
    run(shop.load(), "sales", shop.database.env())
    shop.migrate()
    assert shop.database.execute("SELECT number, cents FROM sale ORDER BY number") == [
        (1, 500),
        (3, 700),
        (4, 900),
    ]


@pytest.mark.engines("sqlite")
def test_a_contract_may_name_a_backfill_that_rows_cannot_confirm(shop):
    once = 'import sqlalchemy as sa\nfrom ringfence.schema.backfills.declared import Backfill\n\nbackfill = Backfill("customer",'
    made = split(shop, once + " each=lambda row: None, where=sa.true())\n")
    shop.migrate(expand=True)
    contract = made.paths[-1]
    contract.write_text(contract.read_text() + '\nbackfills = ["nowhere"]\n')
    with pytest.raises(BadDeployment, match="there is no backfill 'nowhere'"):
        shop.migrate()
    contract.write_text(contract.read_text().replace("nowhere", "vault_secret"))
    with pytest.raises(Refused, match="the backfill vault_secret has not run to its end"):
        shop.migrate()
    run(shop.load(), "vault_secret", shop.database.env())
    shop.migrate()


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize(
    ("words", "says"),
    [
        ('into="nowhere", set={"secret": 1}', "into: there is no table 'nowhere'"),
        ('into="vault", set={"secert": 1}', "vault has no column 'secert'; did you mean 'secret'"),
        ('into="vault", set={"secret": ...}', "does not define yet what vault.secret becomes"),
        (
            'into="vault", key={"kind": "email"}, set={"secret": 1}',
            "vault may hold several rows of the same kind",
        ),
        ('into="vault", key={"id": "id"}, set={"secret": 1}', "key: vault has no column 'id'"),
        ('into="purchase", set={"id": 1}', "purchase.amount refuses NULL and the server gives it no value"),
        ('into="customer", set={"email": "x"}', "into: customer is the table that is read"),
    ],
)
def test_a_wrong_move_is_reported_with_its_file(shop, words, says):
    split(
        shop,
        f'from ringfence.schema.backfills.declared import Backfill\n\nbackfill = Backfill("customer", {words})\n',
    )
    with pytest.raises(BadDeployment, match=says) as told:
        load(shop.load(), "vault_secret")
    assert "migrations/backfills/vault_secret.py: " in str(told.value)


@pytest.mark.engines("sqlite")
def test_a_move_before_its_table_exists_names_what_creates_it(shop):
    split(shop)
    with pytest.raises(
        JobFailed, match="the database has no table vault: `ringfence migrate --expand` makes it"
    ):
        run(shop.load(), "vault_secret", shop.database.env())
