"""Cold start: from a new interpreter to tables that can be queried, each run in a process of its own."""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.place import Place
from ringfence.runtime import Settings
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import reach
from ringfence.schema.mirror import make_mirror
from servers.base import Database, clean_environment

COLUMNS = 25
_KINDS = ("int", "str", "decimal", "bool", "moment", "uuid")
HERE = Path(__file__).parent / "cold_scripts"

_MODELS = '''"""Many tables."""
import sqlalchemy as sa
from ringfence.schema.models import NAMING, Timestamp
metadata = sa.MetaData(naming_convention=NAMING)
KINDS = [sa.Integer, lambda: sa.String(40), lambda: sa.Numeric(12, 2), sa.Boolean, Timestamp, sa.Uuid]
for number in range(TABLES):
    columns = [sa.Column(f"c{index}", KINDS[index % 6]()) for index in range(1, COLUMNS)]
    sa.Table(f"t{number:04}", metadata, sa.Column("id", sa.Integer, primary_key=True), *columns)
'''


class ColdStarts:
    """Scripts that import a library, tell it of many tables, and say how long that took."""

    def __init__(self, place: Place, database: Database, folder: Path) -> None:
        tables = place.sizes.tables
        models = _MODELS.replace("TABLES", str(tables)).replace("COLUMNS", str(COLUMNS))
        (folder / "cold_models.py").write_text(models)
        (folder / "ringfence.toml").write_text(
            'name = "cold"\nengines = ["postgresql", "mariadb", "galera", "mysql", "sqlite"]\n'
            'models = ["cold_models:metadata"]\naccess = "access.yaml"\n'
            'migrations = "migrations"\nmirrors = "mirrors"\n'
        )
        (folder / "access.yaml").write_text(
            'version: 1\ndefaults: {login: "{service}"}\naccounts:\n  cold:\n    tables: {all: rw}\n'
        )
        deployment = Deployment.load(folder)
        mirror = folder / "cold.json"
        mirror.write_text(make_mirror(deployment, deployment.accounts["cold"], None).to_json())
        engine = reach(Settings.from_env(database.env())).engine()
        for metadata in deployment.metadata:
            metadata.create_all(engine)
        engine.dispose()
        there = Place(database, place.mirror, {}, place.sizes)
        kinds = {f"c{index}": _KINDS[index % 6] for index in range(1, COLUMNS)}
        self.parameters = folder / "parameters.json"
        self.parameters.touch(0o600)
        self.parameters.write_text(
            json.dumps(
                {
                    "driver": {"postgresql": "psycopg2", "mysql": "pymysql", "sqlite": "sqlite3"}[
                        place.db_type
                    ],
                    "db_type": place.db_type,
                    "env": database.env(),
                    "mirror": str(mirror),
                    "url": there.url().render_as_string(hide_password=False),
                    "tables": {f"t{number:04}": kinds for number in range(tables)},
                }
            )
        )

    def run(self, name: str) -> dict[str, float]:
        """Start one cold; returns seconds: `total`, and what else the script tells apart.

        Raises:
            RuntimeError: when the script fails.
        """
        done = subprocess.run(
            [sys.executable, str(_script(name)), str(self.parameters)],
            capture_output=True,
            text=True,
            check=False,
            env=clean_environment(),
        )
        if done.returncode:
            raise RuntimeError(f"cold start of {name}: {done.stderr.strip().splitlines()[-1]}")
        figures: dict[str, float] = json.loads(done.stdout)
        return figures


def has_script(name: str) -> bool:
    """Whether a peer has a cold start."""
    return _script(name).exists()


def _script(name: str) -> Path:
    return HERE / f"start_{name.replace('-', '_')}.py"


@contextlib.contextmanager
def cold_starts(place: Place) -> Iterator[ColdStarts]:
    """A database with many tables, and the scripts that open it."""
    with place.database.server.database() as database, tempfile.TemporaryDirectory() as folder:
        yield ColdStarts(place, database, Path(folder))


def interleaved(starts: ColdStarts, names: list[str], rounds: int) -> dict[str, list[dict[str, float]]]:
    """Start each in turn, over and over; one start of each before, so that files are in memory."""
    figures: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for number in range(-1, rounds):
        for name in names:
            taken = starts.run(name)
            if number >= 0:
                figures[name].append(taken)
    return figures
