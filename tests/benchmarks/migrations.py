"""What the job and its plan cost beside Alembic: 500 revisions on 300 tables, on a file of its own.

From the folder `tests`: `python -m benchmarks.migrations`.
"""

import sys
import tempfile
import time
from pathlib import Path

from servers.registry import Registry
from support.deployments import ENVIRONMENT, TEMPLATE, Shop

TABLES, REVISIONS, ROUNDS = 300, 500, 3
_TOML = 'name = "many"\nengines = ["sqlite"]\nmodels = ["shop_models:metadata"]\n'
_MODELS = """
import sqlalchemy as sa

metadata = sa.MetaData()
for number in range({tables}):
    sa.Table(
        f"t{{number}}",
        metadata,
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(40), nullable=False),
        *([sa.Column("note", sa.String(40))] if number < {grown} else []),
    )
"""
_REVISION = """
revision = "r{number:04d}"
down_revision = {down!r}
import sqlalchemy as sa
from alembic import op


def upgrade():
    {up}


def downgrade():
    {back}
"""
_ACCESS = "version: 1\naccounts:\n  keeper:\n    tables: {all: ro}\n"


def lay_out(shop: Shop) -> None:
    """Write the deployment."""
    shop.write("ringfence.toml", _TOML)
    shop.write("shop_models.py", _MODELS.format(tables=TABLES, grown=REVISIONS - TABLES))
    shop.write("access.yaml", _ACCESS)
    shop.write("migrations/env.py", ENVIRONMENT)
    shop.write("migrations/script.py.mako", TEMPLATE)
    shop.write(
        "alembic.ini", "[alembic]\nscript_location = %(here)s/migrations\nprepend_sys_path = %(here)s\n"
    )
    for number in range(REVISIONS):
        table = f"t{number % TABLES}"
        if number < TABLES:
            columns = 'sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(40), nullable=False)'
            up, back = f'op.create_table("{table}", {columns})', f'op.drop_table("{table}")'
        else:
            up = f'op.add_column("{table}", sa.Column("note", sa.String(40)))'
            back = f'op.drop_column("{table}", "note")'
        down = f"r{number - 1:04d}" if number else None
        text = _REVISION.format(number=number, down=down, up=up, back=back)
        shop.write(f"migrations/versions/r{number:04d}.py", text)


def timed(shop: Shop, *command: str) -> float:
    """Seconds that a command takes, start of the interpreter included: the shortest of some rounds."""
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        done = shop.run(*command)
        took.append(time.perf_counter() - began)
        if done.returncode not in {0, 2}:
            sys.exit(done.stdout + done.stderr)
    return min(took)


def main() -> None:
    """Print one line per command."""
    with tempfile.TemporaryDirectory() as folder, Registry().server("sqlite").database() as database:
        shop = Shop(Path(folder), database)
        lay_out(shop)
        print(f"{timed(shop, 'ringfence', 'plan'):6.2f} s  ringfence plan, of an empty database")
        for command in (("ringfence", "mirror"), ("alembic", "upgrade", f"r{REVISIONS - 2:04d}")):
            if (done := shop.run(*command)).returncode:
                sys.exit(done.stdout + done.stderr)
        print(f"{timed(shop, 'ringfence', 'plan'):6.2f} s  ringfence plan, one revision pending")
        if (done := shop.run("ringfence", "migrate")).returncode:
            sys.exit(done.stdout + done.stderr)
        for words in ("alembic current", "alembic upgrade head", "ringfence migrate", "ringfence plan"):
            print(f"{timed(shop, *words.split()):6.2f} s  {words}, nothing to do")


if __name__ == "__main__":
    main()
