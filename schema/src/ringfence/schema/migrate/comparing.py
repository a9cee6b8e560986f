"""The models beside the database: what Alembic compares for us, and what is different once a job is done."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from ringfence.schema.access.wanted import is_view
from ringfence.schema.autogenerate import render_item, tidy
from ringfence.schema.backends import Backend, needs_batch
from ringfence.schema.deployment import Deployment
from ringfence.schema.migrate import releases


@dataclass(frozen=True)
class Differences:
    """How the database differs from the models, each in words."""

    lacking: tuple[str, ...]
    """What the models have and the database has not, or has in another way."""
    beyond: tuple[str, ...]
    """What the database has alone: a contract that is still to come, or another program's."""


def options(deployment: Deployment, backend: Backend) -> dict[str, Any]:
    """What autogenerate compares, and how it writes: for Alembic's `context.configure`."""
    schemas = {table.schema for table in deployment.tables.values() if table.schema}

    def include_name(name: str | None, kind: str, parents: Mapping[str, str | None]) -> bool:
        if kind == "schema":
            return name is None or name in schemas
        return not (kind == "table" and name is not None and name.startswith(releases.PREFIX))

    def include_object(item: Any, name: str | None, kind: str, reflected: bool, compared: Any) -> bool:
        if kind == "column" and reflected and compared is None and name is not None:
            return not _is_left_out(deployment, item.table, name)
        # A view is no table: a migration makes it in its own words.
        return include_name(name, kind, {}) and not is_view(item) if kind == "table" else True

    def compare_default(*said: Any) -> bool | None:
        _, _, _, reflected, _, rendered = said
        return False if backend.same_default(reflected, rendered) else None

    return {
        "target_metadata": list(deployment.metadata),
        "include_schemas": bool(schemas),
        "include_name": include_name,
        "include_object": include_object,
        "render_as_batch": needs_batch(deployment.engines),
        "render_item": render_item,
        "process_revision_directives": tidy(deployment.engines),
        "compare_type": True,
        "compare_server_default": compare_default,
    }


def differences(deployment: Deployment, backend: Backend) -> Differences:
    """Compare the database with the models, as `alembic check` does."""
    with backend.engine().connect() as connection:
        context = MigrationContext.configure(connection, opts=options(deployment, backend))
        several: Any = list(deployment.metadata)  # Alembic takes them all, though its types do not say so
        found = list(_flat(compare_metadata(context, several)))
    lacking: list[str] = []
    beyond: list[str] = []
    for kind, *what in found:
        told = f"{kind.replace('_', ' ')} {_name(kind, what)}"
        (beyond if kind.startswith("remove") else lacking).append(told)
    # SQLAlchemy reads a backtick within a name of MySQL's as two.
    same = {f"add {told.removeprefix('remove ')}".replace("``", "`"): told for told in beyond if "``" in told}
    for told in set(lacking) & set(same):
        lacking.remove(told)
        beyond.remove(same[told])
    return Differences(tuple(sorted(lacking)), tuple(sorted(beyond)))


def missing_views(deployment: Deployment, backend: Backend) -> list[str]:
    """In words, each view of the models that the database lacks: no migration made it, and autogenerate makes none."""
    wanted = {
        (table.schema, str(table.name)): key for key, table in deployment.tables.items() if is_view(table)
    }
    if not wanted:
        return []
    with backend.engine().connect() as connection:
        there = {(schema, table) for schema, table, _ in backend.columns(connection)}
    return [
        f"no migration makes the view {key} of the models: write CREATE VIEW, with op.execute, into a revision of"
        " `ringfence revision --empty -m …` (docs/reference/manifest.md#views-and-functions)"
        for place, key in sorted(wanted.items(), key=lambda item: item[1])
        if place not in there
    ]


def _flat(found: Any) -> Iterator[tuple[Any, ...]]:
    """Alembic puts what it finds of one column into a list of its own."""
    for item in found:
        if isinstance(item, list):
            yield from _flat(item)
        else:
            yield item


def _name(kind: str, what: list[Any]) -> str:
    thing = what[0]
    if isinstance(thing, sa.Table):
        return str(thing.fullname)
    if hasattr(thing, "table"):
        return f"{thing.table.fullname}.{thing.name or '(unnamed)'}"
    schema, table, column = (*what, None, None)[:3]
    name = getattr(column, "name", column)
    return ".".join(str(part) for part in (schema, table, name) if part is not None)


def _is_left_out(deployment: Deployment, table: sa.Table, column: str) -> bool:
    """Whether the models know of a column, and leave it out because no portable type holds it."""
    modelled = deployment.tables.get(table.key)
    return modelled is not None and column in modelled.info.get("left_out", ())
