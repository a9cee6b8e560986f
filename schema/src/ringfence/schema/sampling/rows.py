"""Rows for tables as they are at one revision: by type, with what constraints and foreign keys ask for."""

import datetime as dt
import uuid
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from ringfence.schema.models.types import portable
from ringfence.schema.revisions.table_state import key_of
from ringfence.schema.state.releases import PREFIX

_EPOCH = dt.datetime(2026, 1, 1, 12, 0, 0, 250_000, dt.UTC)
Params = Mapping[str, Any]
Declared = Mapping[str, Mapping[str, Any]]

_SMALL = 30_000


def value(kind: str, params: Params, number: int, name: str) -> Any:
    """The value with this number, of a portable type: another one for each number, as far as the type goes.

    Args:
        kind: the portable type.
        params: its parameters.
        number: from 1.
        name: the column, which texts begin with.
    """
    make = _MAKERS.get(kind, _text)
    return make(params, number, name)


def _text(params: Params, number: int, name: str) -> str:
    length = params.get("length") or 60
    tail = str(number)
    text = (name[: max(0, int(length) - len(tail))] + tail)[-int(length) :]
    return text.rjust(int(length), "0") if params.get("fixed") else text


def _decimal(params: Params, number: int, name: str) -> Decimal:
    scale = int(params.get("scale") or 0)
    whole = int(params.get("precision") or 9) - scale
    # As text: arithmetic would round to the 28 digits of a context.
    return Decimal(f"{number % 10**whole}.{'0' * scale}") if whole else Decimal(0)


def _bytes(params: Params, number: int) -> bytes:
    text = f"{number}".encode()
    return text.rjust(params["length"], b"0")[-params["length"] :] if params.get("fixed") else text


def _enum(params: Params, number: int, name: str) -> str:
    labels: Sequence[str] = params["values"]
    return labels[number % len(labels)]


def _array(params: Params, number: int, name: str) -> list[Any]:
    item = params["item"]
    return [value(item["type"], item.get("params", {}), number, name)]


def _cut(moment: dt.datetime, params: Params) -> dt.datetime:
    """With as many digits of a second as the column keeps."""
    step = 10 ** (6 - int(params.get("precision", 6)))
    return moment.replace(microsecond=moment.microsecond // step * step)


def _moment(params: Params, number: int, name: str) -> dt.datetime:
    moment = _cut(_EPOCH, params) + dt.timedelta(minutes=number)
    return moment if params.get("timezone") else moment.replace(tzinfo=None)


_MAKERS: Mapping[str, Callable[[Params, int, str], Any]] = {
    "boolean": lambda params, number, name: bool(number % 2),
    "float": lambda params, number, name: number + 0.5,
    "decimal": _decimal,
    "bytes": lambda params, number, name: _bytes(params, number),
    "date": lambda params, number, name: (_EPOCH + dt.timedelta(days=number)).date(),
    "time": lambda params, number, name: (_cut(_EPOCH, params) + dt.timedelta(seconds=number)).time(),
    "datetime": _moment,
    "interval": lambda params, number, name: dt.timedelta(seconds=number, microseconds=7),
    "uuid": lambda params, number, name: uuid.UUID(int=number),
    "json": lambda params, number, name: {"number": number},
    "enum": _enum,
    "array": _array,
    "inet": lambda params, number, name: f"10.0.{number // 250 % 250}.{number % 250}",
    "smallint": lambda params, number, name: number % (100 if "bits" in params else _SMALL),
    "integer": lambda params, number, name: number,
    "bigint": lambda params, number, name: number,
    "set": lambda params, number, name: {_enum(params, number, name)},
    "bit": lambda params, number, name: number % (1 << params["length"]),
    "year": lambda params, number, name: 1901 + number % 200,
}


class Filler:
    """Puts rows into the tables of a database; every second one leaves out what may be NULL."""

    def __init__(self, engine: sa.Engine, name: str, count: int = 6) -> None:
        self._engine = engine
        self._name = name
        self._count = count
        self._number = 0
        self.missing: dict[str, str] = {}
        """Tables for which no row could be made, and why: a CHECK that generated values do not meet, say."""

    def fill(self, declared: Declared) -> None:
        """Fill the tables that are empty.

        Args:
            declared: table -> column -> type, as the migrations declare them up to here.
        """
        metadata = sa.MetaData()
        with self._engine.connect() as connection, quietly():
            metadata.reflect(connection, only=_is_theirs)
            for schema in {key.rpartition(".")[0] for key in declared if "." in key}:
                metadata.reflect(connection, schema=schema)
        depth: dict[str, int] = {}
        for table in in_order(metadata):
            key = key_of(table.schema, table.name)
            # Fewer rows than those they refer to, so that one is left for a foreign key that must be unique.
            parents = (one.referred_table.key for one in table.foreign_key_constraints)
            depth[table.key] = 1 + max((depth.get(parent, -1) for parent in parents), default=-1)
            if key not in declared:
                continue
            try:
                with self._engine.begin() as connection:
                    if (
                        connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first()
                        is None
                    ):
                        self._rows(connection, table, declared[key], max(1, self._count - depth[table.key]))
                self.missing.pop(key, None)
            except sa.exc.DBAPIError as error:
                self.missing[key] = str(error.orig)

    def _rows(self, connection: sa.Connection, table: sa.Table, types: Mapping[str, Any], count: int) -> None:
        columns = [sa.column(c.name, types.get(c.name) or c.type) for c in table.columns]
        target = sa.table(table.name, *columns, schema=table.schema)
        for index in range(count):
            self._number += 1
            row = {
                column.name: self._value(connection, column, types.get(column.name), index)
                for column in table.columns
                if not _fills_itself(table, column)
            }
            connection.execute(
                sa.insert(target).values({name: v for name, v in row.items() if v is not None})
            )

    def _value(self, connection: sa.Connection, column: sa.Column[Any], kind: Any, index: int) -> Any:
        if column.nullable and index % 2:
            return None
        for key in column.foreign_keys:
            other = key.column
            told = sa.type_coerce(other, kind) if kind is not None else other  # SQLite knows no UUID, say
            found = connection.execute(
                sa.select(told).where(other.is_not(None)).order_by(other).limit(self._count)
            )
            values = found.scalars().all()
            if values:
                return values[index % len(values)]
            if column.nullable:  # its own table, or one that refers to it in turn: there is no row yet
                return None
        form = portable(kind or column.type, (self._name,))
        return value(form.type, form.params, self._number, column.name)


def _is_theirs(name: str, metadata: sa.MetaData) -> bool:
    return not name.startswith(PREFIX) and name != "alembic_version"


def _fills_itself(table: sa.Table, column: sa.Column[Any]) -> bool:
    counted = table.autoincrement_column is column and not column.foreign_keys
    return counted or column.computed is not None or column.identity is not None


def in_order(metadata: sa.MetaData) -> list[sa.Table]:
    """Each table after those that it refers to, as far as they do not refer to each other."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Cannot correctly sort tables", sa.exc.SAWarning)
        return metadata.sorted_tables


@contextmanager
def quietly() -> Iterator[None]:
    """Read tables by SQLAlchemy, without its warnings of CHECKs that were not looked at yet and of types of others."""
    with warnings.catch_warnings():
        for message in ("Can't validate argument 'dialect_options'", "Did not recognize type"):
            warnings.filterwarnings("ignore", message, sa.exc.SAWarning)
        yield


def others(connection: sa.Connection, schemas: Collection[str | None]) -> list[str]:
    """Those of these schemas that exist, the default one aside, which needs no name."""
    default = connection.dialect.default_schema_name
    wanted = {schema for schema in schemas if schema and schema != default}
    return sorted(wanted & set(sa.inspect(connection).get_schema_names())) if wanted else []


def counts(engine: sa.Engine, schemas: Collection[str | None] = ()) -> dict[str, int]:
    """How many rows each table of the default schema and of these has, by `table` or `schema.table`; ours aside."""
    metadata = sa.MetaData()
    with engine.connect() as connection, quietly():
        for schema in (None, *others(connection, schemas)):
            metadata.reflect(connection, schema=schema, only=_is_theirs)
        return {
            key_of(table.schema, table.name): connection.scalar(sa.select(sa.func.count()).select_from(table))
            or 0
            for table in metadata.tables.values()
        }
