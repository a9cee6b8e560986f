"""A backfill: killed and resumed, run twice at once, slowed down; every row is changed once."""

import signal
import subprocess
import sys
import time

import pytest
import sqlalchemy as sa

from ringfence.runtime.errors import NotReady
from ringfence.schema.backfills.keys import Keys
from ringfence.schema.backfills.run import run
from ringfence.schema.engines import reach
from ringfence.schema.errors import BadDeployment, JobFailed
from servers.base import clean_environment
from support.deployments import lay_out

ROWS = 120
RAISE = """
import sqlalchemy as sa
from ringfence.schema.backfills.declared import Backfill

backfill = Backfill("purchase", set={"amount": sa.text("amount + 1")}, where=sa.true(), batch=10)
"""
EACH = """
from ringfence.schema.backfills.declared import Backfill

backfill = Backfill(
    "customer",
    each=lambda row: {"secret": row["email"].upper()} if row["email"] != "c@d" else None,
    where="secret IS NULL",
    reads=["email"],
)
"""


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.run("alembic", "upgrade", "head")
    shop.database.execute(
        "INSERT INTO customer (id, email, secret, active) VALUES (1, 'a@b', NULL, '1'), (2, 'c@d', NULL, '1'),"
        " (3, 'e@f', 'kept', '1')",
        "INSERT INTO purchase (id, customer_id, amount) VALUES "
        + ", ".join(f"({number * 3}, 1, 0)" for number in range(1, ROWS + 1)),
    )
    shop.write("migrations/backfills/raise_amounts.py", RAISE)
    shop.write("migrations/backfills/secrets.py", EACH)
    return shop


def one(shop, sql):
    return shop.database.execute(sql)[0][0]


def wait_for(shop, rows, process):
    deadline = time.monotonic() + 60
    while True:
        try:
            if one(shop, "SELECT COALESCE(MAX(seen), 0) FROM ringfence_backfill") >= rows:
                return
        except Exception as error:
            told = error  # its table is not made yet
        else:
            told = None
        assert time.monotonic() < deadline, told
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def test_a_run_that_is_killed_is_resumed_and_two_runs_do_not_double_the_work(shop):
    program = [
        sys.executable,
        "-c",
        "from ringfence.schema.cli import main; main()",
        "backfill",
        "raise_amounts",
    ]
    first = subprocess.Popen(
        [*program, "--rate", "20"],
        cwd=shop.root,
        env=clean_environment() | shop.database.env(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        wait_for(shop, 20, first)
        with pytest.raises(NotReady, match="another run of the backfill raise_amounts is still running"):
            run(shop.load(), "raise_amounts", shop.database.env(), stale=30)
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate()
    done = one(shop, "SELECT SUM(amount) FROM purchase")
    assert 20 <= done < ROWS
    assert done == one(shop, "SELECT changed FROM ringfence_backfill")
    shown = []
    heard = []
    progress = run(
        shop.load(),
        "raise_amounts",
        shop.database.env(),
        stale=0.5,
        show=lambda p: shown.append(str(p)),
        on_message=heard.append,
    )
    assert (progress.seen, progress.changed, progress.resumed) == (ROWS, ROWS, True)
    assert "another run of raise_amounts has not recorded its end" in heard[0]
    assert shown[0].startswith(f"{done} of {ROWS} rows")
    assert "s left" in shown[1]
    assert one(shop, "SELECT COUNT(*) FROM purchase WHERE amount = 1") == ROWS
    with pytest.raises(JobFailed, match="--again runs it nevertheless"):
        run(shop.load(), "raise_amounts", shop.database.env())


def test_rows_are_computed_one_by_one_and_a_second_run_does_what_is_left(shop):
    deployment, env = shop.load(), shop.database.env()
    assert run(deployment, "secrets", env).changed == 1
    found = shop.database.execute("SELECT secret FROM customer ORDER BY id")
    assert [row[0] for row in found] == ["A@B", None, "kept"]
    shop.database.execute("UPDATE customer SET email = 'x@y' WHERE id = 2")
    again = run(deployment, "secrets", env)
    assert (again.seen, again.changed) == (3, 1)
    assert one(shop, "SELECT secret FROM customer WHERE id = 2") == "X@Y"


@pytest.mark.engines("sqlite")
def test_an_invalid_backfill_is_reported_before_anything_is_changed(shop):
    deployment, env = shop.load(), shop.database.env()
    with pytest.raises(BadDeployment, match="no backfill 'secret'; did you mean 'secrets'"):
        run(deployment, "secret", env)
    for body, match in (
        ('backfill = Backfill("nowhere", set={"a": 1})', "there is no table 'nowhere'"),
        ('backfill = Backfill("customer", set={"secrets": 1})', "customer has no column 'secrets'"),
        (
            'backfill = Backfill("customer", set={"secret": ...})',
            "does not define yet what customer.secret becomes",
        ),
        ('backfill = Backfill("customer", set={"id": 1})', "primary key, in whose order rows are taken"),
        ('backfill = Backfill("customer")', "sets neither values nor a function"),
        ('backfill = Backfill("customer", each=lambda row: None)', "`each=` needs `where=`"),
        ("other = 1", "holds no `backfill = Backfill"),
        ("1 / 0", "migrations/backfills/bad.py: cannot be imported: ZeroDivisionError"),
    ):
        shop.write(
            "migrations/backfills/bad.py",
            f"from ringfence.schema.backfills.declared import Backfill\n{body}\n",
        )
        with pytest.raises(BadDeployment, match=match):
            run(deployment, "bad", env)
    shop.write(
        "migrations/backfills/bad.py",
        """
        from ringfence.schema.backfills.declared import Backfill

        backfill = Backfill("customer", set={"email": None}, where="id > 1")
        """,
    )
    with pytest.raises(JobFailed, match=r"the backfill bad stopped after 0 rows, which are kept"):
        run(deployment, "bad", env)
    (shop.root / "migrations/backfills/bad.py").unlink()
    assert shop.run("ringfence", "backfill").stdout == "raise_amounts: purchase\nsecrets: customer\n"


@pytest.mark.engines("sqlite", "postgresql", "mariadb")
def test_rows_of_a_composite_key_are_taken_in_its_order(db):
    db.execute(
        "CREATE TABLE seat (a INTEGER NOT NULL, b VARCHAR(9) NOT NULL, PRIMARY KEY (a, b))",
        "INSERT INTO seat VALUES (1, 'x'), (1, 'y'), (2, 'a'), (3, 'z')",
    )
    from ringfence.runtime.settings import Settings

    table = sa.table("seat", sa.column("a", sa.Integer), sa.column("b", sa.String(9)))
    keys = Keys([table.c.a, table.c.b])
    with reach(Settings.from_env(db.env())).engine().connect() as connection:

        def found(condition):
            rows = connection.execute(
                sa.select(table.c.a, table.c.b).where(condition).order_by(*keys.columns)
            )
            return [tuple(row) for row in rows]

        assert found(keys.after(None)) == [(1, "x"), (1, "y"), (2, "a"), (3, "z")]
        assert found(keys.after((1, "y"))) == [(2, "a"), (3, "z")]
        assert found(sa.and_(keys.after((1, "x")), keys.until((2, "a")))) == [(1, "y"), (2, "a")]
        assert keys.decode(keys.encode((1, "x"))) == (1, "x")
