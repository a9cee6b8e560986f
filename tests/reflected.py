"""What tests of `ringfence reflect` share: a schema as text, the file made of it, and the file's own schema."""

from typing import Any

from deployments import Shop
from ringfence.runtime.settings import Settings
from ringfence.schema.backends import reach
from ringfence.schema.reflecting.found import Reflected
from ringfence.schema.reflecting.reading import reflect
from servers.base import Database


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
