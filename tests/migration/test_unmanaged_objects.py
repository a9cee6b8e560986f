"""Objects that no migration made are never dropped; managed objects are dropped on request."""

import re

import pytest

from ringfence.schema.authoring.revise import revise
from ringfence.schema.autogenerate.renames import BadRename, Renames, Unconfirmed
from ringfence.schema.job.job import migrate
from ringfence.schema.job.plan import plan_job
from ringfence.schema.lint import UnsafeRevisions
from support.deployments import lay_out

pytestmark = pytest.mark.newer

SECRET = '    secret: Mapped[str | None] = mapped_column(sa.String(100), info={"sensitive": True})\n'
AMOUNT = "    amount: Mapped[int]\n"
BY_HAND = (
    "CREATE TABLE stranger (id INTEGER PRIMARY KEY, note VARCHAR(10))",
    "CREATE TABLE stranger_too (id INTEGER PRIMARY KEY)",
    "INSERT INTO stranger VALUES (1, 'kept')",
    "CREATE INDEX ix_strange ON customer (secret, email)",
    "ALTER TABLE customer ADD COLUMN strange INTEGER",
)


ONLY_CUSTOMER = """
version: 1
defaults: {login: "PREFIX{service}"}
accounts:
  till:
    tables:
      customer: {select: [id]}
"""


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    return shop


def no_secret(shop):
    models = (shop.root / "shop_models.py").read_text()
    shop.write("shop_models.py", models.replace(SECRET, ""))
    shop.write("access.yaml", (shop.root / "access.yaml").read_text().replace(", also: [secret]", ""))


def written(shop):
    return sorted(path.name for path in (shop.root / "migrations/versions").glob("*.py"))


def test_what_was_made_by_hand_is_listed_and_stays(shop):
    shop.database.execute(*BY_HAND)
    deployment, env = shop.load(), shop.database.env()
    said = (
        "4 objects are not ours: left alone: column customer.strange, index customer.ix_strange, table stranger,"
        " table stranger_too; name them in ringfence.toml"
    )
    made = revise(deployment, "nothing is new", env)
    assert made.paths == ()
    assert [text.startswith(said) for text in made.warnings] == [True]

    models = (shop.root / "shop_models.py").read_text()
    note = "    note: Mapped[str | None] = mapped_column(sa.String(20))\n"
    shop.write("shop_models.py", models.replace(AMOUNT, AMOUNT + note))
    made = revise(shop.load(), "a note", env, renames=Renames.from_options((), ("all",)))
    assert len(made.paths) == 1
    assert "strange" not in made.paths[0].read_text()
    report = shop.migrate(env | {k: v for k, v in shop.env().items() if k not in env})
    assert [text.startswith(said) for text in report.warnings if "not ours" in text] == [True]
    assert shop.database.execute("SELECT note FROM stranger") == [("kept",)]

    assert [
        text.startswith(said) for text in plan_job(shop.load(), shop.env()).warnings if "ours" in text
    ] == [True]
    checked = shop.run("alembic", "check")
    assert checked.returncode == 0, checked.stderr
    assert said in checked.stderr

    toml = (shop.root / "ringfence.toml").read_text()
    shop.write("ringfence.toml", toml + 'leave = ["stranger*", "customer.strange", "index:customer.ix_*"]\n')
    assert revise(shop.load(), "nothing is new", env).warnings == ()

    # A person may name it once, for one revision; `all` is what is ours.
    shop.write("ringfence.toml", toml)
    assert revise(shop.load(), "all", env, renames=Renames.from_options((), ("all",))).paths == ()
    made = revise(
        shop.load(), "no stranger", env, renames=Renames.from_options((), ("stranger", "customer.strange"))
    )
    text = made.paths[-1].read_text()
    assert "retires = {'customer': ['strange'], 'stranger': None}" in text
    assert not made.findings
    shop.migrate(no_lint="tested above")
    with pytest.raises(Exception, match=r"stranger"):
        shop.database.execute("SELECT note FROM stranger")
    assert shop.database.execute("SELECT count(*) FROM stranger_too") == [(0,)]
    with pytest.raises(BadRename, match="no such rename or drop is needed: stranger"):
        revise(shop.load(), "again", env, renames=Renames.from_options((), ("stranger",)))


@pytest.mark.engines("sqlite", "postgresql")
def test_what_is_left_out_of_the_models_is_not_dropped_though_a_migration_made_it(shop):
    toml = (shop.root / "ringfence.toml").read_text()
    shop.write("ringfence.toml", toml + 'leave_out = ["purchase"]\n')
    shop.write("access.yaml", ONLY_CUSTOMER)
    made = revise(shop.load(), "nothing is new", shop.database.env())
    assert made.paths == ()
    assert not made.warnings
    report = shop.migrate(write_mirrors=True)
    assert not [text for text in report.warnings if "purchase" in text]


def test_what_ringfence_toml_names_is_managed(shop):
    shop.database.execute(*BY_HAND)
    toml = (shop.root / "ringfence.toml").read_text()
    shop.write(
        "ringfence.toml", toml + 'drop = ["stranger", "index:customer.ix_strange"]\nleave = ["*strange*"]\n'
    )
    env = shop.database.env()
    with pytest.raises(
        Unconfirmed, match=r"table stranger with its 1 row\. Confirm them: .*--retire stranger`"
    ):
        revise(shop.load(), "tidy", env)
    made = revise(shop.load(), "tidy", env, renames=Renames.from_options((), ("all",)))
    texts = "".join(path.read_text() for path in made.paths)
    assert "drop_table('stranger')" in texts
    assert re.search(r"drop_index\(.*ix_strange", texts)
    assert "stranger_too" not in texts
    assert made.warnings == ()


def test_a_drop_is_confirmed_by_a_person_or_nothing_is_written(shop):
    shop.database.execute(
        "INSERT INTO customer (id, email, secret, active) VALUES (1, 'a', 'one', '1'), (2, 'b', NULL, '1')"
    )
    no_secret(shop)
    before, env = written(shop), shop.database.env()
    command = "ringfence revision -m 'no secret, any more' --retire customer.secret"
    told = r"column customer\.secret with its values \(1 row holds one\)"
    with pytest.raises(Unconfirmed, match=rf"{told}\. Confirm them: `{command}`, or --retire all") as caught:
        revise(shop.load(), "no secret, any more", env)
    assert caught.value.details == {"retire": ["customer.secret"]}
    done = shop.run("ringfence", "revision", "-m", "x")
    assert done.returncode == 1
    assert "--retire customer.secret" in " ".join(done.stderr.split())

    heard = []

    def no(question):
        heard.append(question)
        return False

    with pytest.raises(Unconfirmed):
        revise(shop.load(), "x", env, renames=Renames.from_options((), (), None, no))
    assert heard == ["Drop column customer.secret with its values (1 row holds one)?"]
    with pytest.raises(BadRename, match="names no object"):
        Renames.from_options((), ("a.b.c.d",))
    assert written(shop) == before
    with pytest.raises(
        Unconfirmed, match=r"with its values\. Confirm them"
    ):  # a scratch file has no rows to count
        revise(shop.load(), "x", {"DB_TYPE": ""})

    done = shop.run("ringfence", "revision", "-m", "x", "--retire", "customer.secret")
    assert done.returncode == 0, done.stderr
    (contract,) = (path for path in (shop.root / "migrations/versions").glob("*contract*.py"))
    assert "retires = {'customer': ['secret']}  # None: the whole table" in contract.read_text()


@pytest.mark.engines("sqlite", "postgresql")
def test_plain_alembic_declares_nothing_and_the_lint_refuses_until_a_person_does(shop):
    no_secret(shop)
    done = shop.run("alembic", "revision", "--autogenerate", "-m", "plain")
    assert done.returncode == 0, done.stderr
    (contract,) = (path for path in (shop.root / "migrations/versions").glob("*contract*.py"))
    text = contract.read_text()
    assert (
        "retires = {}  # None: the whole table. The lint refuses the drop until this line is: retires = "
        in text
    )
    assert "{'customer': ['secret']}" in text
    shop.run("ringfence", "mirror")
    with pytest.raises(UnsafeRevisions, match="RF102"):
        migrate(shop.load(), shop.env())
    contract.write_text(text.replace("retires = {}", "retires = {'customer': ['secret']}"))
    migrate(shop.load(), shop.env())
    with pytest.raises(Exception, match="secret"):
        shop.database.execute("SELECT secret FROM customer")


@pytest.mark.engines("sqlite", "postgresql")
def test_a_model_of_an_adopted_database_goes_by_a_persons_word(shop):
    """An empty baseline, stamped: nobody's migration made the tables."""
    for name in written(shop):
        (shop.root / "migrations/versions" / name).unlink()
    baseline = 'revision = "b2"\ndown_revision = None\n\n\ndef upgrade():\n    pass\n\n\ndef downgrade():\n    pass\n'
    shop.write("migrations/versions/b2.py", baseline)
    models = (shop.root / "shop_models.py").read_text()
    shop.write("shop_models.py", models[: models.index("class Purchase")])
    shop.write("access.yaml", "version: 1\naccounts: {}\n")
    made = revise(shop.load(), "no purchase", shop.database.env(), renames=Renames.from_options((), ("all",)))
    assert made.paths == ()
    assert "1 table is not ours: left alone: purchase" in made.warnings[0]
    named = Renames.from_options((), ("purchase",))
    made = revise(shop.load(), "no purchase", shop.database.env(), renames=named)
    assert "drop_table('purchase')" in made.paths[-1].read_text()


@pytest.mark.engines("postgresql")
def test_partitions_belong_to_their_table(shop):
    models = (shop.root / "shop_models.py").read_text()
    reading = (
        "\n\nclass Reading(Base):\n"
        '    __tablename__ = "reading"\n'
        '    __table_args__ = {"postgresql_partition_by": "RANGE (id)"}\n'
        "    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)\n"
    )
    shop.write("shop_models.py", models + reading)
    env = shop.database.env()
    revise(shop.load(), "readings", env)
    shop.migrate()
    shop.database.execute(
        "CREATE TABLE reading_1 PARTITION OF reading FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE reading_2 PARTITION OF reading FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (id)",
        "CREATE TABLE reading_21 PARTITION OF reading_2 FOR VALUES FROM (10) TO (15)",
        "INSERT INTO reading VALUES (3), (12)",
    )
    made = revise(shop.load(), "nothing", env, renames=Renames.from_options((), ("all",)))
    assert (made.paths, made.warnings) == ((), ())
    shop.write("shop_models.py", models)
    with pytest.raises(Unconfirmed, match=r"table reading with its 2 rows\. Confirm them"):
        revise(shop.load(), "no readings", env)
    revise(shop.load(), "no readings", env, renames=Renames.from_options((), ("reading",)))
    shop.migrate()
    assert shop.database.execute("SELECT count(*) FROM pg_class WHERE relname LIKE 'reading%'") == [(0,)]
