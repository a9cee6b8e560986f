"""What tests of `ringfence reflect` share: a schema as text, the file made of it, and the file's own schema."""

from pathlib import Path
from typing import Any

from ringfence.runtime.settings import Settings
from ringfence.schema.engines import reach
from ringfence.schema.reflect.result import Reflected
from ringfence.schema.reflect.tables import reflect
from servers.base import Database
from support.deployments import TOML, Shop, lay_out


def statements(text: str) -> list[str]:
    """The statements of a text, each of which ends with a line."""
    return [statement for statement in text.split(";\n") if statement.strip()]


def file_of(shop: Shop, *schemas: str) -> Reflected:
    """What is reflected of the shop's database."""
    backend, deployment = reach(shop.settings()), shop.load()
    with backend.engine().connect() as connection:
        return reflect(backend, connection, deployment, schemas)


def make(text: str, database: Database) -> None:
    """Make the tables of a reflected file, and what they need, as any program of SQLAlchemy's would."""
    given: dict[str, Any] = {}
    exec(compile(text, "reflected", "exec"), given)  # noqa: S102 - the file, as who uses it imports it
    with reach(Settings.from_env(database.env())).engine().begin() as connection:
        tables = [table for table in given["metadata"].tables.values() if not table.info.get("view")]
        given["metadata"].create_all(connection, tables=tables)


def migrate_to(text: str, root: Path, database: Database) -> None:
    """Let a revision be written for a reflected file, in a deployment of its own, and run it on an empty database."""
    shop = lay_out(root, database)
    for revision in ("a1", "b2"):
        (shop.root / f"migrations/versions/{revision}.py").unlink()
    engines = '["postgresql", "mariadb", "galera", "mysql", "sqlite"]'
    toml = TOML.replace(engines, f'["{database.server.engine}"]').replace("shop_models", "reflected")
    shop.write("ringfence.toml", toml)
    shop.write("access.yaml", "version: 1\naccounts: {}\n")
    (shop.root / "reflected.py").write_text(text)
    written = shop.run("ringfence", "revision", "-m", "as it is")
    assert written.returncode == 0, written.stdout + written.stderr
    shop.migrate()
