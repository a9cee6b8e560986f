"""Many accounts on many tables: a plan asks the server no more often for them, and an apply says it in few statements."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.access import Figures, Size, ringfence

pytestmark = pytest.mark.requires("accounts")

SMALL, LARGER = Size(3, tables=6, granted=3), Size(9, tables=24, granted=12)
PLAN = """
from pathlib import Path
from benchmarks.access import Size, lay_out, prepare
from ringfence.runtime.settings import Settings
from ringfence.schema.privileges.plan import make_plan
from ringfence.schema.engines import reach
deployment = lay_out(Path(), Size(200), "PREFIX")
backend = reach(Settings.from_env())
prepare(backend, deployment)
with backend.engine().connect() as connection:
    made = make_plan(connection, backend, deployment, None)
# Not getrusage: its figure is handed on to a child, and would be that of the test run.
[highest] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print(len(made.change.grant), highest.split()[1])
"""


def measured(server, size):
    found = Figures()
    with server.database() as database:
        ringfence(database, size, found)
    return found


def test_neither_tables_nor_accounts_cost_a_query_and_what_is_alike_is_one_statement(server):
    small, larger = measured(server, SMALL), measured(server, LARGER)
    assert small.queries == larger.queries
    granting = larger.statements - 3 * LARGER.services
    assert granting < LARGER.services * LARGER.granted


@pytest.mark.engines("postgresql")
def test_two_hundred_services_on_five_hundred_tables_are_planned_in_little_memory(db, tmp_path):
    environment = os.environ | db.env() | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", PLAN.replace("PREFIX", db.prefix)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    grants, kilobytes = map(int, done.stdout.split())
    assert grants > 20_000
    assert kilobytes < 200_000
