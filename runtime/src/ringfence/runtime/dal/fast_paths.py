"""Fast paths for common operations: selects from tables by plain comparisons, and single-row inserts and updates.

Anything that a fast path does not support is left to PyDAL's code, with the same result.
"""

import datetime as dt
import decimal
import types
import uuid
from collections.abc import Mapping
from typing import Any

from pydal.helpers.classes import Reference
from pydal.helpers.methods import use_common_filters
from pydal.objects import Expression, Query, Set

from ringfence.runtime.dal.operands import refuse_condition
from ringfence.runtime.dal.pydal_compat import reference_to
from ringfence.runtime.dal.rows import Rows
from ringfence.runtime.dal.select import (
    SIMPLE,
    CompiledSelects,
    is_mirrored_column,
    matches_every_row,
    needs_no_processing,
)
from ringfence.runtime.dal.types import uniform
from ringfence.runtime.engines import StatementContext
from ringfence.runtime.errors import ArgumentError, DataError
from ringfence.runtime.values.codecs import Quote

_SIGNS = {"eq": "=", "ne": "<>", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
_WORDS = {"_and": "AND", "_or": "OR"}
_VALUES = frozenset(
    {
        int,
        str,
        float,
        bool,
        decimal.Decimal,
        dt.datetime,
        dt.date,
        dt.time,
        dt.timedelta,
        uuid.UUID,
        Reference,
    }
)
_FUNCTIONS = frozenset(
    {
        types.LambdaType,
        types.FunctionType,
        types.MethodType,
        types.BuiltinFunctionType,
        types.BuiltinMethodType,
    }
)
_PLANS_KEPT = 2_000
_NO_TABLE = "dal() names no table: write dal(dal.t), or name the fields to select"
Pairs = list[tuple[Any, Any]]


class FastSet(Set):  # type: ignore[misc]  # pydal is untyped
    """PyDAL's Set, which uses a fast path where one applies."""

    def where(self, query: Any, ignore_common_filters: Any = False) -> Any:
        """Return the rows of this set that also match another query.

        Raises:
            ArgumentError: for text or another value that is no condition.
        """
        refuse_condition(query)
        found = super().where(query, ignore_common_filters)
        found.__class__ = FastSet
        return found

    __call__ = where

    def select(self, *fields: Any, **attributes: Any) -> Any:
        """Return the rows.

        Args:
            fields: the fields and expressions; all readable fields when empty.
            attributes: PyDAL's options of a select.

        Raises:
            ArgumentError: when neither the query nor a field names a table.
        """
        if self.query is None and not fields:
            raise ArgumentError(_NO_TABLE)
        rows = self.db._adapter.fast_select(self.query, fields, attributes)
        return super().select(*fields, **attributes) if rows is None else rows

    def count(self, distinct: Any = None, cache: Any = None) -> Any:
        """Return how many rows match.

        Args:
            distinct: as for the adapter's `count`.
            cache: PyDAL's `cache=` option.

        Raises:
            ArgumentError: when the query names no table.
        """
        if self.query is None:
            raise ArgumentError(_NO_TABLE)
        adapter = self.db._adapter
        return (
            adapter.count_kept(self.query, distinct, cache) if cache else adapter.count(self.query, distinct)
        )

    def update(self, **values: Any) -> Any:
        """Update the matching records and return how many were found."""
        count = self.db._adapter.fast_update(self.query, values)
        return super().update(**values) if count is None else count

    def validate_and_update(self, **fields: Any) -> dict[str, Any]:
        """Validate values, or their text from a form, and store them in each record if all are valid.

        Returns:
            A dict: `updated`, how many records were found; `errors`, a message per invalid field. If a single record is
            found, it may keep its own unique value.
        """
        table = self.db._adapter.get_table(self.query)
        record: Any = {}  # to PyDAL, an empty record means an update of any records
        if table._key_names() and any(table[name].unique for name in fields if name in table.fields):
            found = self.select(*[table[name] for name in table._key_names()], limitby=(0, 2))
            record = found.first() if len(found) == 1 else record
        errors, values = table._validate_fields(fields, record)
        return {"updated": 0 if errors else self.update(**values), "errors": errors}


class _Column:
    """The cached parts of a column's comparisons."""

    __slots__ = ("compare", "field", "sql", "table")

    def __init__(self, field: Any) -> None:
        self.field = field  # keeps the field alive, as the cache is keyed by its id()
        self.table = field.table
        self.sql = str(field.sqlsafe)
        self.compare = field.type.codec.compare


class _Insert:
    """The cached parts of an INSERT with these columns: the text around its values, and how its key is determined."""

    __slots__ = ("after", "before", "context", "fields", "makes_key")

    def __init__(self, adapter: Any, table: Any, pairs: Pairs) -> None:
        self.fields = [field for field, _ in pairs]
        table._allowed("insert", [field.name for field in self.fields])
        columns = ",".join(field._rname for field in self.fields)
        returning = adapter._returning(table, pairs)
        text = str(adapter.dialect.insert(table._relation("insert"), columns, "\0", *returning))
        self.before, self.after = text.split("\0")
        self.context = StatementContext("insert", table._dalname)
        keys = [
            column for column in table._mirror.columns.values() if column.name in table._mirror.primary_key
        ]
        named = {field.name for field in self.fields}
        self.makes_key = (
            len(table._mirror.primary_key) == len(keys) == 1
            and keys[0].selectable
            and keys[0].field not in named
            and table[keys[0].field].type == "id"
        )


class FastPaths(CompiledSelects):
    """The fast paths, mixed in before the adapter."""

    _columns: dict[int, _Column]
    _inserts: dict[tuple[int, tuple[str, ...]], _Insert]

    def condition(self, query: Any, quote: Quote) -> tuple[Any, str] | None:
        """Return the table and SQL of a query that only compares one table's columns with values; else None.

        Args:
            query: the query.
            quote: writes literals.
        """
        word = query.op.__name__
        sign = _SIGNS.get(word)
        if sign is not None:
            second = query.second
            if second.__class__ not in _VALUES:
                return None
            column = self._columns.get(id(query.first)) or self._learnt(query.first)
            if column is None:
                return None
            value = int(second) if second.__class__ is Reference else second
            return column.table, f"({column.sql} {sign} {column.compare(value, quote)})"
        if word not in _WORDS or query.first.__class__ is not Query or query.second.__class__ is not Query:
            return None
        one = self.condition(query.first, quote)
        other = self.condition(query.second, quote) if one is not None else None
        if one is None or other is None or one[0] is not other[0]:
            return None
        return one[0], f"({one[1]} {_WORDS[word]} {other[1]})"

    def _learnt(self, field: Any) -> _Column | None:
        if (
            not is_mirrored_column(field)
            or field.type in ("json", "array", "blob")
            or uniform(field) is not None
        ):
            return None
        column = self._columns[id(field)] = _Column(field)
        return column

    def fast_select(self, query: Any, fields: tuple[Any, ...], attributes: dict[str, Any]) -> Rows | None:
        """Return the rows of a select by plain comparisons, or None where the fast path does not apply.

        Args:
            query: the condition.
            fields: the selected fields; all readable ones when empty.
            attributes: PyDAL's options of a select.
        """
        if not self.compiled or query.__class__ is not Query:
            return None
        if attributes and (not SIMPLE.issuperset(attributes) or attributes.get("for_update")):
            return None
        session = self.sessions.current()  # type: ignore[attr-defined]  # defined by the adapter
        try:
            found = self.condition(query, self.backend.quote(session.connection))  # type: ignore[attr-defined]
        except DataError:
            return None  # PyDAL's code raises it with the column's name
        if found is None:
            table, where = query.first.__dict__.get("_table"), ""
            if table is None or not is_mirrored_column(query.first) or not matches_every_row(query, table):
                return self._fast_join(query, fields, attributes, session)
        else:
            table, where = found
        shape = self.shape(fields or self.readable_of(table))
        if shape is None or (table._common_filter is not None and use_common_filters(query)):
            return None
        if len(shape.tables) != 1 or shape.tables[0] is not table or not needs_no_processing(shape):
            return None
        sql = self.one_table_sql(shape, where, attributes)
        context = shape.context
        raw = session.reading(session.execute(sql, context=context).fetchall, context)
        return shape.rows(self.db, raw)  # type: ignore[attr-defined]

    def _fast_join(
        self, query: Any, fields: tuple[Any, ...], attributes: Mapping[str, Any], session: Any
    ) -> Rows | None:
        """Return the rows of several tables, by plain comparisons of columns with values and each other; or None."""
        shape = None if attributes or not fields else self.shape(fields)
        if shape is None or not needs_no_processing(shape):
            return None
        tables: dict[str, Any] = {}
        try:
            where = self._joining(query, self.backend.quote(session.connection), tables)  # type: ignore[attr-defined]
        except DataError:
            return None
        if where is None:
            return None
        tables |= {table._tablename: table for table in shape.tables}
        if use_common_filters(query) and any(table._common_filter is not None for table in tables.values()):
            return None
        relations = ", ".join([table.query_name()[0] for table in tables.values()])
        sql = str(self.dialect.select(shape.columns, relations, where))  # type: ignore[attr-defined]
        context = StatementContext("select", ", ".join([table._dalname for table in tables.values()]))
        raw = session.reading(session.execute(sql, context=context).fetchall, context)
        return shape.rows(self.db, raw)  # type: ignore[attr-defined]

    def _joining(self, query: Query, quote: Quote, tables: dict[str, Any]) -> str | None:
        """Return the SQL of plain comparisons between columns and values, and add their tables to `tables`; or None."""
        word, first, second = query.op.__name__, query.first, query.second
        if word in _WORDS:
            if first.__class__ is not Query or second.__class__ is not Query:
                return None
            one = self._joining(first, quote, tables)
            other = None if one is None else self._joining(second, quote, tables)
            return None if other is None else f"({one} {_WORDS[word]} {other})"
        sign = _SIGNS.get(word)
        column = self._columns.get(id(first)) or self._learnt(first)
        if sign is None or column is None:
            return None
        tables[column.table._tablename] = column.table
        if second.__class__ in _VALUES:
            value = int(second) if second.__class__ is Reference else second
            return f"({column.sql} {sign} {column.compare(value, quote)})"
        other_column = self._columns.get(id(second)) or self._learnt(second)
        if other_column is None:
            return None
        tables[other_column.table._tablename] = other_column.table
        return f"({column.sql} {sign} {other_column.sql})"

    def fast_update(self, query: Any, values: Mapping[str, Any]) -> int | None:
        """Update one table by plain comparisons; return how many rows were found, or None where it does not apply.

        Args:
            query: the condition.
            values: the values by field name.
        """
        if not self.compiled or query.__class__ is not Query:
            return None
        session = self.sessions.current()  # type: ignore[attr-defined]
        quote = self.backend.quote(session.connection)  # type: ignore[attr-defined]
        try:
            found = self.condition(query, quote)
            if found is None:
                return None
            table, where = found
            if (
                table._hooked("update")
                or table._restricted("update")
                or (table._common_filter is not None and use_common_filters(query))
            ):
                return None
            pairs = plain_pairs(table, values, "update")
            if not pairs:
                return None
            table._allowed("update", [field.name for field, _ in pairs])
            sets = ",".join(
                [f"{field._rname}={field.type.codec.store(value, quote)}" for field, value in pairs]
            )
        except DataError:
            return None
        context = StatementContext("update", table._dalname)
        sql = self.dialect.update(table, sets, where)  # type: ignore[attr-defined]
        return int(session.execute(sql, context=context).rowcount)

    def fast_insert(self, table: Any, values: Mapping[str, Any]) -> tuple[bool, Any]:
        """Insert a row; return whether the fast path applied, and the key.

        Args:
            table: the table.
            values: the values by field name.
        """
        if not self.compiled or table._hooked("insert") or table._tablename != table._dalname:
            return False, None
        pairs = plain_pairs(table, values, "default")
        if not pairs:
            return False, None
        plan = self._insert_of(table, pairs)
        session = self.sessions.current()  # type: ignore[attr-defined]
        quote = self.backend.quote(session.connection)  # type: ignore[attr-defined]
        try:
            literals = ",".join([field.type.codec.store(value, quote) for field, value in pairs])
        except DataError:
            return False, None
        session.execute(f"{plan.before}{literals}{plan.after}", context=plan.context)
        if not plan.makes_key:
            return True, self.inserted_key(table, pairs)  # type: ignore[attr-defined]
        made = self.lastrowid(table)  # type: ignore[attr-defined]
        if made is None:
            return True, None
        return True, reference_to(table, made)

    def _insert_of(self, table: Any, pairs: Pairs) -> _Insert:
        key = (id(table), tuple([field.name for field, _ in pairs]))
        plan = self._inserts.get(key)
        if plan is None:
            if len(self._inserts) >= _PLANS_KEPT:
                self._inserts.clear()
            plan = self._inserts[key] = _Insert(self, table, pairs)
        return plan


def plain_pairs(table: Any, values: Mapping[str, Any], otherwise: str) -> Pairs | None:
    """Return the fields to write with their values and defaults; None where PyDAL must handle them.

    Args:
        table: the table.
        values: the values by field name.
        otherwise: the field attribute that supplies missing values: `default` or `update`.
    """
    pairs: Pairs = []
    left = len(values)
    for name, field in table._in_order():
        if field.compute is not None or field.filter_in is not None:
            return None
        if name in values:
            value = values[name]
            left -= 1
        else:
            value = getattr(field, otherwise)
            if value is None:
                if field.required:
                    return None
                continue
        kind = value.__class__
        if kind in _FUNCTIONS:
            value = value()
            kind = value.__class__
        if kind is Reference:
            value = int(value)
        elif kind not in _VALUES and (isinstance(value, Expression | Query) or hasattr(kind, "as_dict")):
            return None
        pairs.append((field, value))
    return pairs if not left else None
