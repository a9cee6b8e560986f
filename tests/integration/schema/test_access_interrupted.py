"""An apply that is cut off half-way: it says where it stands, and the next run goes on."""

from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from ringfence.runtime.settings import Settings
from ringfence.schema.errors import JobFailed
from ringfence.schema.mirror import write_mirrors
from ringfence.schema.privileges.service import apply_access, plan_access
from ringfence.schema.verification.verify import verify
from support.deployments import ACCESS, lay_out

pytestmark = pytest.mark.requires("accounts")

WIDER = ACCESS.replace("purchase: [insert]", "purchase: [insert, select]\n      customer: ro").replace(
    "purchase: ro", "purchase: {select: [id, amount]}"
)
KILL = {"postgresql": "SELECT pg_terminate_backend({})", "mysql": "KILL {}"}


@pytest.fixture
def shop(db, tmp_path):
    shop = lay_out(tmp_path, db)
    shop.migrate()
    return shop


@contextmanager
def cut_off(shop, word, number):
    """Kill the connection of the admin as it begins its statement of that number that starts with the word."""
    seen = []

    def kill(connection, cursor, statement, parameters, context, executemany):
        if statement.startswith(word):
            seen.append(statement)
            if len(seen) == number:
                driver = connection.connection.dbapi_connection
                postgresql = shop.database.server.db_type == "postgresql"
                mine = driver.get_backend_pid() if postgresql else driver.thread_id()
                shop.database.execute(KILL[shop.database.server.db_type].format(mine))

    sa.event.listen(sa.Engine, "before_cursor_execute", kill)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", kill)


@pytest.mark.every_case
@pytest.mark.parametrize(("word", "number"), [("GRANT", 2), ("REVOKE", 1), ("CREATE", 1)])
def test_an_interrupted_apply_reports_its_step_and_continues(shop, word, number):
    shop.write(
        "access.yaml", WIDER.replace("  door:\n", "  window: {tables: {customer: [insert]}}\n  door:\n")
    )
    deployment = shop.load()
    write_mirrors(deployment)
    atomic = shop.database.server.db_type == "postgresql"
    with (
        cut_off(shop, word + (" USER" if word == "CREATE" and not atomic else ""), number),
        pytest.raises(JobFailed) as raised,
    ):
        apply_access(deployment, shop.env())
    told = str(raised.value)
    assert f"\n  {word} " in told
    assert ("rolled back" in told) is atomic
    stopped = plan_access(deployment, shop.env()).unfinished
    if atomic:
        assert stopped is None
    else:
        assert stopped.statement.startswith(word)
        assert told.startswith(f"statement {stopped.step} of {stopped.steps} failed")
    said = []
    apply_access(deployment, shop.env(), on_message=said.append)
    assert any(line.startswith("an apply stopped before, at statement") for line in said) is not atomic
    assert verify(deployment, shop.settings(), shop.passwords()).findings == []
    left = plan_access(deployment, shop.env())
    assert left.agrees
    assert left.unfinished is None


@pytest.mark.engines("galera")
def test_every_node_is_compared_after_an_apply(shop):
    door = f"'{shop.login('door')}'@'%'"
    node = Settings.from_env(shop.database.env()).hosts[2]
    with shop.database.connect(node=2) as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION wsrep_on = OFF")  # a statement that the others never see
        cursor.execute(f"GRANT DELETE ON purchase TO {door}")
        try:
            with pytest.raises(
                JobFailed, match=rf"the node {node} has, alone, .*door: delete on table .*purchase"
            ):
                apply_access(shop.load(), shop.env())
        finally:
            cursor.execute(f"REVOKE DELETE ON purchase FROM {door}")
    lonely = shop.env() | {"DB_HOST": str(Settings.from_env(shop.database.env()).hosts[0])}
    done = apply_access(shop.load(), lonely)
    assert done.statements == []
    assert all(
        "node" not in warning or "could not be compared" in warning or "of 3 nodes" in warning
        for warning in done.warnings
    )


@pytest.mark.engines("mariadb", "mysql")
def test_an_apply_of_which_a_person_did_the_rest_is_over(shop):
    till = f"'{shop.login('till')}'@'%'"
    shop.database.execute(f"GRANT INDEX ON purchase TO {till}")
    with cut_off(shop, "REVOKE", 1), pytest.raises(JobFailed):
        apply_access(shop.load(), shop.env())
    assert plan_access(shop.load(), shop.env()).unfinished is not None
    if not plan_access(shop.load(), shop.env()).agrees:
        shop.database.execute(f"REVOKE INDEX ON purchase FROM {till}")
    assert apply_access(shop.load(), shop.env()).statements == []
    assert plan_access(shop.load(), shop.env()).unfinished is None
