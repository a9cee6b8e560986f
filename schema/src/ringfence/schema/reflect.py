"""The tables of an old database that no model covers, written as a Python file that `models` can name."""

import contextlib
import importlib
import operator
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import render_op_text
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.types import TypeEngine

from ringfence.schema import columns
from ringfence.schema.access.wanted import OURS
from ringfence.schema.autogenerate import render_item
from ringfence.schema.deployment import Deployment
from ringfence.schema.types import portable

_ALEMBIC = "alembic_version"
_COUNTED = "nextval("
_SHORT = (mysql.TINYTEXT, mysql.TEXT, mysql.MEDIUMTEXT, mysql.TINYBLOB, mysql.BLOB, mysql.MEDIUMBLOB)
_MICROSECONDS = 6


@dataclass
class Reflected:
    """What was found: the file's text, and the tables, views and columns that it holds or leaves out."""

    text: str = ""
    tables: list[str] = field(default_factory=list)
    views: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Columns that no portable type holds, and references to them, each with the reason."""


def reflect(connection: sa.Connection, deployment: Deployment, schemas: Sequence[str] = ()) -> Reflected:
    """Read every table and view that the models do not cover; ours and Alembic's aside.

    Args:
        connection: the admin's.
        deployment: its models, and the engines that types must hold on.
        schemas: to be looked into beside the default one.
    """
    found = Reflected()
    writer = _Writer(connection, deployment, found)
    inspector = sa.inspect(connection)
    parts = []
    for schema in (None, *schemas):
        names = [(name, False) for name in sorted(inspector.get_table_names(schema))]
        names += [(name, True) for name in sorted(inspector.get_view_names(schema))]
        for name, is_view in names:
            key = f"{schema}.{name}" if schema else name
            if key not in deployment.tables and not name.startswith(OURS) and name != _ALEMBIC:
                (found.views if is_view else found.tables).append(key)
                parts.append(writer.table(name, schema, is_view=is_view))
    found.text = writer.head(deployment.models[0]) + "\n" + "\n".join(parts)
    return found


class _Writer:
    """Writes tables in the words that Alembic would use for them in a migration."""

    def __init__(self, connection: sa.Connection, deployment: Deployment, found: Reflected) -> None:
        self._connection = connection
        self._deployment = deployment
        self._found = found
        words = {
            "sqlalchemy_module_prefix": "sa.",
            "alembic_module_prefix": "op.",
            "user_module_prefix": None,
        }
        migration = MigrationContext.configure(connection, opts={**words, "render_item": render_item})
        self._context = AutogenContext(migration, metadata=sa.MetaData(), autogenerate=False)
        self._context.imports = set()

    def head(self, models: str) -> str:
        """The imports, and the metadata of the deployment's own models: foreign keys may point there."""
        module, _, attribute = models.partition(":")
        value = operator.attrgetter(attribute)(importlib.import_module(module))
        metadata = attribute if isinstance(value, sa.MetaData) else f"{attribute}.metadata"
        given = {"import sqlalchemy as sa", *self._context.imports}
        lines = [
            '"""Tables that were there before the models; written by `ringfence reflect`, and yours to edit."""',
            "",
            *sorted(line for line in given if line.startswith("import ")),
            *sorted(line for line in given if not line.startswith("import ")),
            f"from {module} import {attribute.partition('.')[0]}",
            *([] if metadata == "metadata" else ["", f"metadata = {metadata}"]),
        ]
        return "\n".join(lines) + "\n"

    def table(self, name: str, schema: str | None, *, is_view: bool) -> str:
        """One table or view, with its indexes."""
        with warnings.catch_warnings():
            # What SQLAlchemy does not know is left out, and told.
            warnings.filterwarnings("ignore", "Did not recognize type", sa.exc.SAWarning)
            there = sa.Table(
                name, sa.MetaData(), schema=schema, autoload_with=self._connection, resolve_fks=False
            )
        key = there.key
        kept: dict[str, sa.Column[Any]] = {}
        comments = []
        left_out = []
        for column in there.columns:
            chosen, why = self._type(column)
            if chosen is None:
                known = "" if isinstance(column.type, sa.types.NullType) else f"{column.type!r}: "
                told = f"{column.name}: {known}{why}"
                comments.append(f"# left out: {told}")
                left_out.append(str(column.name))
                self._found.left_out.append(f"{key}.{told}")
            else:
                kept[column.name] = _copy(column, chosen)
        constraints = [] if is_view else list(_constraints(there, kept))
        copy = sa.Table(name, sa.MetaData(), *kept.values(), *constraints, schema=schema)
        text = render_op_text(self._context, ops.CreateTableOp.from_table(copy))
        text = text.replace(f"op.create_table({name!r},", f"sa.Table(\n{name!r},\nmetadata,", 1)
        info = ({"view": True} if is_view else {}) | ({"left_out": left_out} if left_out else {})
        lines = [*comments, *_indented(text, [f"info={info!r},"] if info else [])]
        if not is_view:
            lines += _indexes(there, kept)
        return "\n".join(lines) + "\n"

    def _type(self, column: sa.Column[Any]) -> tuple[TypeEngine[Any] | None, str]:
        """The first type that every engine of the deployment holds; else why there is none."""
        if isinstance(column.type, sa.types.NullType):
            return None, "SQLAlchemy does not know what the server says its type is"
        why = ""
        for candidate in _candidates(column):
            problems = portable(candidate, self._deployment.engines).problems
            if not problems:
                return candidate, ""
            why = why or problems[0]
        return None, why


def _fine(there: Any) -> bool:
    """Whether a moment keeps its microseconds."""
    return getattr(there, "fsp", None) == _MICROSECONDS


# What the server says, and the type of ours that means the same on every engine; the first match counts.
_SAME: tuple[tuple[Callable[[Any], bool], Callable[[], TypeEngine[Any]]], ...] = (
    (lambda t: isinstance(t, postgresql.TIMESTAMP) and t.timezone, columns.Timestamp),
    (lambda t: isinstance(t, postgresql.TIMESTAMP), columns.NaiveTimestamp),
    (lambda t: isinstance(t, mysql.DATETIME | mysql.TIMESTAMP) and _fine(t), columns.NaiveTimestamp),
    (lambda t: isinstance(t, mysql.TIME) and _fine(t), columns.PreciseTime),
    (lambda t: isinstance(t, postgresql.TIME) and not t.timezone, columns.PreciseTime),
    (lambda t: isinstance(t, mysql.TINYINT) and t.display_width == 1, sa.Boolean),
    (lambda t: isinstance(t, postgresql.INTERVAL), columns.Duration),
    (lambda t: isinstance(t, sa.JSON), columns.Json),
    (lambda t: isinstance(t, sa.Text) and not isinstance(t, _SHORT), columns.LongText),
    (lambda t: isinstance(t, sa.LargeBinary) and not isinstance(t, _SHORT), columns.LongBytes),
    (lambda t: isinstance(t, sa.Double), sa.Double),
)


def _candidates(column: sa.Column[Any]) -> Iterator[TypeEngine[Any]]:
    """Types that mean what the server has, those that hold on every engine first. None of them holds more than it."""
    there = column.type
    if column.primary_key and isinstance(there, sa.BigInteger):
        yield columns.BigKey()
    yield from [make() for fits, make in _SAME if fits(there)][:1]
    with contextlib.suppress(NotImplementedError):
        yield there.as_generic()
    yield there


def _copy(column: sa.Column[Any], kind: TypeEngine[Any]) -> sa.Column[Any]:
    default = column.server_default
    counted = isinstance(default, sa.DefaultClause) and _COUNTED in str(default.arg)
    extra = [default] if isinstance(default, sa.Identity | sa.Computed) else []
    plain = None if extra or counted else default
    return sa.Column(
        str(column.name),
        kind,
        *(item._copy() for item in extra),  # noqa: SLF001 - SQLAlchemy has no public way to copy one
        primary_key=column.primary_key,
        nullable=column.nullable,
        autoincrement=column.autoincrement if column.primary_key else "auto",
        server_default=plain,
    )


def _constraints(table: sa.Table, kept: dict[str, sa.Column[Any]]) -> Iterator[sa.Constraint]:
    """Those of which every column is kept."""
    for item in sorted(table.constraints, key=lambda item: str(item.name)):
        names = [column.name for column in getattr(item, "columns", ())]
        if not names or not set(names) <= set(kept):
            continue
        if isinstance(item, sa.PrimaryKeyConstraint):
            yield sa.PrimaryKeyConstraint(*names, name=_name(item))
        elif isinstance(item, sa.UniqueConstraint):
            yield sa.UniqueConstraint(*names, name=_name(item))
        elif isinstance(item, sa.ForeignKeyConstraint):
            targets = [element.target_fullname for element in item.elements]
            yield sa.ForeignKeyConstraint(
                names, targets, name=_name(item), ondelete=item.ondelete, onupdate=item.onupdate
            )


def _name(item: sa.Constraint) -> str | None:
    return str(item.name) if isinstance(item.name, str) else None


def _indexes(table: sa.Table, kept: dict[str, sa.Column[Any]]) -> Iterator[str]:
    """Indexes of plain columns; one of an expression is not compared by Alembic either."""
    unique = {str(item.name) for item in table.constraints if isinstance(item, sa.UniqueConstraint)}
    for index in sorted(table.indexes, key=lambda item: str(item.name)):
        names = [getattr(item, "name", None) for item in index.expressions]
        if index.name in unique or not names or not all(name in kept for name in names):
            continue
        columns_ = ", ".join(f"metadata.tables[{table.key!r}].c[{name!r}]" for name in names)
        yield f"sa.Index({str(index.name)!r}, {columns_}{', unique=True' if index.unique else ''})"


def _indented(text: str, more: Sequence[str]) -> list[str]:
    """Alembic's lines as one call, an argument on each."""
    first, *rest = text.strip().splitlines()
    said = [line.strip().removesuffix(",") for line in rest if line.strip() not in ("", ")")]
    return [first, *(f"    {line}," for line in said), *(f"    {line}" for line in more), ")"]
