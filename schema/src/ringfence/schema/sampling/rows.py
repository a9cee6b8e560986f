"""Generate rows for the tables of one revision, by column type and with valid foreign keys."""

import datetime as dt
import uuid
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from ringfence.schema.models.types import portable
from ringfence.schema.sql.table_keys import key_of
from ringfence.schema.state.releases import PREFIX

_EPOCH = dt.datetime(2026, 1, 1, 12, 0, 0, 250_000, dt.UTC)
Params = Mapping[str, Any]
Declared = Mapping[str, Mapping[str, Any]]

_SMALL = 30_000


def value(kind: str, params: Params, number: int, name: str) -> Any:
    """Return a value of a portable type, different for each number as far as the type allows it.

    Args:
        kind: name of the portable type.
        params: parameters of the type.
        number: number of the value, from 1.
        name: name of the column, with which text values begin.
    """
    make = _GENERATORS.get(kind, _text)
    return make(params, number, name)


def _text(params: Params, number: int, name: str) -> str:
    length = params.get("length") or 60
    tail = str(number)
    text = (name[: max(0, int(length) - len(tail))] + tail)[-int(length) :]
    return text.rjust(int(length), "0") if params.get("fixed") else text


def _decimal(params: Params, number: int, name: str) -> Decimal:
    scale = int(params.get("scale") or 0)
    whole = int(params.get("precision") or 9) - scale
    # Built from text, because arithmetic would round to the 28 digits of the decimal context.
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
    """Truncate a time to the fractional digits that the column stores."""
    step = 10 ** (6 - int(params.get("precision", 6)))
    return moment.replace(microsecond=moment.microsecond // step * step)


def _moment(params: Params, number: int, name: str) -> dt.datetime:
    moment = _cut(_EPOCH, params) + dt.timedelta(minutes=number)
    return moment if params.get("timezone") else moment.replace(tzinfo=None)


_GENERATORS: Mapping[str, Callable[[Params, int, str], Any]] = {
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
    """Inserts rows into the tables of a database; in every second row, nullable columns are NULL.

    Args:
        engine: the database.
        name: name of its engine, for the portable types.
        count: rows for a table without foreign keys; each level of references has one less, but at least one.
    """

    def __init__(self, engine: sa.Engine, name: str, count: int = 6) -> None:
        self._engine = engine
        self._name = name
        self._count = count
        self._number = 0
        self.missing: dict[str, str] = {}
        """table -> why no row could be inserted, for example a CHECK that the generated values violate."""

    def fill(self, declared: Declared) -> None:
        """Insert rows into the declared tables that are empty.

        Args:
            declared: table -> column -> type, as the migrations declare them up to the current revision.
        """
        metadata = sa.MetaData()
        with self._engine.connect() as connection, without_reflection_warnings():
            metadata.reflect(connection, only=_is_foreign)
            for schema in {key.rpartition(".")[0] for key in declared if "." in key}:
                metadata.reflect(connection, schema=schema)
        depth: dict[str, int] = {}
        for table in in_insert_order(metadata):
            key = key_of(table.schema, table.name)
            # Fewer rows than the referred tables, so that a free row is left for a unique foreign key.
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
            typed = (
                sa.type_coerce(other, kind) if kind is not None else other
            )  # SQLite has no UUID type, for example
            found = connection.execute(
                sa.select(typed).where(other.is_not(None)).order_by(other).limit(self._count)
            )
            values = found.scalars().all()
            if values:
                return values[index % len(values)]
            if (
                column.nullable
            ):  # a reference to the own table or in a circle: the referred table is still empty
                return None
        form = portable(kind or column.type, (self._name,))
        return value(form.type, form.params, self._number, column.name)


def _is_foreign(name: str, metadata: sa.MetaData) -> bool:
    return not name.startswith(PREFIX) and name != "alembic_version"


def _fills_itself(table: sa.Table, column: sa.Column[Any]) -> bool:
    counted = table.autoincrement_column is column and not column.foreign_keys
    return counted or column.computed is not None or column.identity is not None


def in_insert_order(metadata: sa.MetaData) -> list[sa.Table]:
    """Return the tables, each after those that it refers to, unless they refer to each other in a circle.

    Args:
        metadata: the reflected tables.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Cannot correctly sort tables", sa.exc.SAWarning)
        return metadata.sorted_tables


@contextmanager
def without_reflection_warnings() -> Iterator[None]:
    """Suppress SQLAlchemy's reflection warnings about dialect options of CHECKs and about unknown types."""
    with warnings.catch_warnings():
        for message in ("Can't validate argument 'dialect_options'", "Did not recognize type"):
            warnings.filterwarnings("ignore", message, sa.exc.SAWarning)
        yield


def existing_schemas(connection: sa.Connection, schemas: Collection[str | None]) -> list[str]:
    """Return the schemas that exist, sorted and without the default one.

    Args:
        connection: a connection to the database.
        schemas: names of schemas; None is the default one.
    """
    default = connection.dialect.default_schema_name
    wanted = {schema for schema in schemas if schema and schema != default}
    return sorted(wanted & set(sa.inspect(connection).get_schema_names())) if wanted else []


def row_counts(engine: sa.Engine, schemas: Collection[str | None] = ()) -> dict[str, int]:
    """Count the rows of each table, by `table` or `schema.table`, except Ringfence's and Alembic's own tables.

    Args:
        engine: the database.
        schemas: schemas to count in addition to the default one.
    """
    metadata = sa.MetaData()
    with engine.connect() as connection, without_reflection_warnings():
        for schema in (None, *existing_schemas(connection, schemas)):
            metadata.reflect(connection, schema=schema, only=_is_foreign)
        return {
            key_of(table.schema, table.name): connection.scalar(sa.select(sa.func.count()).select_from(table))
            or 0
            for table in metadata.tables.values()
        }
