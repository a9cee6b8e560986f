"""Write the tables of an existing database that no model covers as a Python file, to be listed in `models`.

The models of the file create exactly what the database has, as the server's catalog spells it; everything else is
reported as left out or as differing. Both sides are read by `ringfence.schema.comparison`.
"""

import importlib
import operator
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ringfence.schema import sqlalchemy_compat
from ringfence.schema.comparison.snapshot import Name, Snapshot
from ringfence.schema.manifest.resolution import RESERVED_PREFIX
from ringfence.schema.reflect.proof import differences
from ringfence.schema.reflect.result import Reflected
from ringfence.schema.reflect.source_writer import SourceWriter

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment
    from ringfence.schema.engines import Backend
    from ringfence.schema.rendering.table_parts import Translator

__all__ = ["Reflected", "reflect"]

_DIALECTS = "from sqlalchemy.dialects import "
_HEAD = '"""Tables that were there before the models; written by `ringfence reflect`, and yours to edit."""'


def reflect(
    backend: "Backend", connection: sa.Connection, deployment: "Deployment", schemas: Sequence[str] = ()
) -> Reflected:
    """Read every table and view that the models do not cover, except Ringfence's and Alembic's own.

    Args:
        backend: the engine and the database.
        connection: a connection of the admin account.
        deployment: its models are not written again, and its engines decide which portable types are used.
        schemas: names of schemas to read in addition to the default one.

    Returns:
        The text of the file, its content, and what it leaves out or would create differently.
    """
    found = Reflected()
    snapshot = backend.introspection.catalog.read(connection, {None, *schemas})
    translator = backend.introspection.translator(connection)
    translator.prepare(connection, snapshot.items)
    tables = []
    for each in _missing(snapshot, "table", deployment):
        if (reason := _unwritable(each, snapshot, translator)) is None:
            tables.append(each)
        else:
            found.left_out.append(f"{each}: none of its columns can be written: {reason}")
    views = _missing(snapshot, "view", deployment)
    known = {*deployment.tables, *(each.key for each in tables)}
    writer = SourceWriter(connection, snapshot, translator, deployment.engines, known, found)
    heads = [
        each for each in snapshot.items if each.kind in ("enum", "sequence") and not _has(deployment, each)
    ]
    writer.name_types(heads)
    parts: list[str] = []
    for each in tables:
        found.tables.append(each.key)
        parts.append(writer.table(each))
    parts.append(writer.order_statements())
    for each in views:
        found.views.append(each.key)
        parts.append(writer.view(each))
    shared = _models_entry_of(deployment, writer.targets)
    body = "\n".join(filter(None, [writer.type_definitions(), *parts]))
    imports = {
        line for line in writer.imports if not line.startswith(_DIALECTS) or f"{line.split()[-1]}." in body
    }
    found.text = "\n".join([_head(imports, shared), body])
    if tables:
        found.differences = differences(
            backend, connection, deployment, snapshot, found, {*tables, *heads} - writer.not_written
        )
    return found


def _models_entry_of(deployment: "Deployment", targets: Collection[str]) -> str | None:
    """Return the first entry of `models` whose metadata has one of the tables (`targets`); None if there is none."""
    for entry in deployment.models:
        value = _imported(entry)
        metadata = value if isinstance(value, sa.MetaData) else value.metadata
        if not metadata.tables.keys().isdisjoint(targets):
            return entry
    return None


def _imported(entry: str) -> Any:
    """Import the object that an entry of `models` (`module:attribute`) names."""
    module, _, attribute = entry.partition(":")
    return operator.attrgetter(attribute)(importlib.import_module(module))


def _missing(snapshot: Snapshot, kind: str, deployment: "Deployment") -> list[Name]:
    """Return the tables or views that are in no model, sorted by name."""
    return sorted(
        each
        for each in snapshot.items
        if each.kind == kind
        and each.key not in deployment.tables
        and not each.table.startswith(RESERVED_PREFIX)
    )


def _unwritable(each: Name, snapshot: Snapshot, translator: "Translator") -> str | None:
    """Return why no column of a table can be written, since a table needs one; None if at least one can be."""
    reason = None
    for name, facets in snapshot.of("column", each.schema, each.table):
        try:
            translator.column(name, facets)
        except ValueError as error:
            reason = str(error)
        else:
            return None
    return reason


def _has(deployment: "Deployment", each: Name) -> bool:
    """Whether the models already have this enum type or sequence."""
    identity = (each.schema or None, each.name)
    if each.kind == "sequence":
        return any(
            (sequence.schema, str(sequence.name)) == identity
            for metadata in deployment.metadata
            for sequence in sqlalchemy_compat.sequences(metadata)
        )
    return any(
        isinstance(column.type, sa.Enum) and (column.type.schema, column.type.name) == identity
        for table in deployment.tables.values()
        for column in table.columns
    )


def _head(imports: Iterable[str], models: str | None) -> str:
    """Return the head of the file: imports, and the metadata, taken from `models` if foreign keys need its tables."""
    given = set(imports)
    lines = [
        _HEAD,
        "",
        *sorted(line for line in given if line.startswith("import ")),
        *sorted(line for line in given if not line.startswith("import ")),
    ]
    if models is None:
        return "\n".join([*lines, "", "metadata = sa.MetaData()", ""])
    module, _, attribute = models.partition(":")
    metadata = attribute if isinstance(_imported(models), sa.MetaData) else f"{attribute}.metadata"
    lines.append(f"from {module} import {attribute.partition('.')[0]}")
    return "\n".join([*lines, *([] if metadata == "metadata" else ["", f"metadata = {metadata}"]), ""])
