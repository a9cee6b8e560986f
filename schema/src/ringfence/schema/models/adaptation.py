"""Adapts models as `ringfence.toml` says: leaves out tables, columns and indexes, maps types, and names constraints.

The models' files are not changed. The adaptation changes SQLAlchemy's objects in memory, and `restore` undoes what was
left out when the deployment is loaded again.
"""

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from ringfence.schema import sqlalchemy_compat
from ringfence.schema.documents import suggestion
from ringfence.schema.errors import Mistake
from ringfence.schema.models.engine_types import MAPPABLE, map_type, parse_type
from ringfence.schema.models.object_names import apply_naming_convention
from ringfence.schema.sql.table_keys import referred_table

VERSION_TABLE = "alembic_version"
"""Alembic's own table, which Alembic creates; some packages have it in their models."""
_LEFT_OUT = "ringfence_left_out"
_INDEXES = "ringfence_left_out_indexes"
_INDEX = "index:"

Report = Callable[..., Mistake]
"""Makes a mistake in ringfence.toml: from a message, and words that lead to its line (see `_Source.line`)."""


def is_left_out(column: sa.Column[Any]) -> bool:
    """Whether ringfence.toml leaves a column out: migrations create it, but no account is granted it."""
    return bool(column.info.get(_LEFT_OUT))


def restore(metadata: Sequence[sa.MetaData]) -> None:
    """Put the tables and indexes back that an earlier load removed from the models.

    Args:
        metadata: of the models; it is changed.
    """
    for one in metadata:
        for table in one.info.pop(_LEFT_OUT, ()):
            sqlalchemy_compat.add_table(one, table)
        for table, index in one.info.pop(_INDEXES, ()):
            table.indexes.add(index)


def leave_out(metadata: Sequence[sa.MetaData], names: Sequence[str], report: Report) -> Iterator[Mistake]:
    """Remove tables and indexes from the models, and mark the columns that no account is granted.

    Args:
        metadata: of the models, after `restore`; it is changed.
        names: the entries of `leave_out`: `[schema.]table`, `[schema.]table.column` or `index:[schema.]table.index`.
        report: makes a mistake in ringfence.toml.

    Yields:
        A mistake for each entry that is unknown or cannot be left out.
    """
    tables = {key: table for one in metadata for key, table in one.tables.items()}
    columns = {f"{key}.{column.name}": column for key, table in tables.items() for column in table.columns}
    for column in columns.values():
        column.info.pop(_LEFT_OUT, None)
    for name in names:
        if name.startswith(_INDEX):
            yield from _index(name, tables, report)
        elif name in columns and name not in tables:
            yield from _column(name, columns[name], report)
        elif name not in tables:
            near = suggestion(name, (*tables, *columns))
            yield report(
                f"leave_out: there is no table or column {name!r} in the models{near}", "leave_out", name
            )
    gone = {name: tables[name] for name in (*names, VERSION_TABLE) if name in tables}
    for key, table in tables.items():
        for target in {referred_table(reference) for reference in table.foreign_keys}:
            if key not in gone and target in gone:
                problem = f"leave_out: {key!r} refers to {target!r}: leave both out, or neither"
                yield report(problem, "leave_out", target)
    for table in gone.values():
        remove_until_reload(table)


def remove_until_reload(table: sa.Table) -> None:
    """Remove a table from its MetaData until the next load; see `restore`."""
    table.metadata.remove(table)
    table.metadata.info.setdefault(_LEFT_OUT, []).append(table)


def left_out_tables(metadata: Iterable[sa.MetaData]) -> Iterator[sa.Table]:
    """The tables that were removed from the models; a duplicate in another MetaData may still be part of it.

    Args:
        metadata: of the models.
    """
    for one in metadata:
        yield from one.info.get(_LEFT_OUT, ())


def _index(name: str, tables: Mapping[str, sa.Table], report: Report) -> Iterator[Mistake]:
    """Remove an index from its table until the next load."""
    found = {f"{_INDEX}{key}.{index.name}": index for key, table in tables.items() for index in table.indexes}
    index = found.get(name)
    if index is None or index.table is None:
        yield report(
            f"leave_out: there is no index {name.removeprefix(_INDEX)!r} in the models{suggestion(name, found)}",
            "leave_out",
            name,
        )
    else:
        index.table.indexes.discard(index)
        index.table.metadata.info.setdefault(_INDEXES, []).append((index.table, index))


def _column(name: str, column: sa.Column[Any], report: Report) -> Iterator[Mistake]:
    if column.primary_key:
        yield report(f"leave_out: {name!r} is of the primary key, by which rows are found", "leave_out", name)
    column.info[_LEFT_OUT] = True


def map_types(tables: Mapping[str, sa.Table], types: Mapping[str, str], report: Report) -> Iterator[Mistake]:
    """Apply `types` of ringfence.toml: services see columns of a mapped type as the given portable type.

    Args:
        tables: those of the models, by key; their columns' types are marked.
        types: `module:Class` of the models' types -> the portable type, such as `Timestamp` or `String(40)`.
        report: makes a mistake in ringfence.toml.

    Yields:
        A mistake for each entry that names no type, or a type that no column has.
    """
    known: dict[type[Any], tuple[str, TypeEngine[Any]]] = {}
    for name, text in types.items():
        cls, mapped = _type(name), parse_type(text)
        if cls is None:
            yield report(f"types: {name!r} cannot be imported as a type; write MODULE:CLASS", "types", name)
        elif mapped is None:
            problem = f"types: {text!r} is not a portable type{suggestion(text, MAPPABLE)}; the types are"
            yield report(f"{problem} {', '.join(MAPPABLE)}", "types", name)
        else:
            known[cls] = name, mapped
    used = set()
    for table in tables.values():
        for column in table.columns:
            found = next((known[cls] for cls in type(column.type).__mro__ if cls in known), None)
            map_type(column.type, found[1] if found else None)
            used |= {found[0]} if found else set()
    for name, _ in known.values():
        if name not in used:
            yield report(f"types: no column of the models is of the type {name!r}", "types", name)


def _type(name: str) -> type[Any] | None:
    """Import the type that `module:Class` names; None where that fails or it is no SQLAlchemy type."""
    module, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except Exception:  # noqa: BLE001 - importing runs the deployment's code, which may raise anything
        return None
    return found if isinstance(found, type) and issubclass(found, TypeEngine) else None


def give_names(metadata: Sequence[sa.MetaData], convention: Mapping[str, str]) -> None:
    """Name the constraints and indexes that have no name.

    Args:
        metadata: of the models; it is changed.
        convention: a naming convention as `MetaData` takes it, kind -> pattern; where it is empty, nothing changes.
    """
    for one in metadata:
        if convention:
            apply_naming_convention(one, convention)
