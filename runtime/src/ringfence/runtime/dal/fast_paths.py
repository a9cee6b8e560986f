"""The short way for what a program does most: rows of one table by plain conditions, and one row written.

Whatever it does not know for certain it leaves to PyDAL's own way, which gives the same.
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
from ringfence.runtime.dal.rows import Rows
from ringfence.runtime.dal.select import SIMPLE, CompiledSelects, lasting, undressed, whole
from ringfence.runtime.dal.types import uniform
from ringfence.runtime.engines import Doing
from ringfence.runtime.errors import BadValue, Misuse
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
_NO_TABLE = "dal() asks for no table: say dal(dal.t), or which fields are to be selected"
Pairs = list[tuple[Any, Any]]


class QuickSet(Set):  # type: ignore[misc]  # pydal is untyped
    """PyDAL's Set, which takes the short way where there is one."""

    def where(self, query: Any, ignore_common_filters: Any = False) -> Any:
        """The rows of this set for which another condition holds, too."""
        refuse_condition(query)
        found = super().where(query, ignore_common_filters)
        found.__class__ = QuickSet
        return found

    __call__ = where

    def select(self, *fields: Any, **attributes: Any) -> Any:
        """The rows. Raises Misuse where neither a condition nor a field says of which table."""
        if self.query is None and not fields:
            raise Misuse(_NO_TABLE)
        rows = self.db._adapter.quick_select(self.query, fields, attributes)
        return super().select(*fields, **attributes) if rows is None else rows

    def count(self, distinct: Any = None, cache: Any = None) -> Any:
        """How many rows there are. Raises Misuse as `select` does."""
        if self.query is None:
            raise Misuse(_NO_TABLE)
        adapter = self.db._adapter
        return (
            adapter.count_kept(self.query, distinct, cache) if cache else adapter.count(self.query, distinct)
        )

    def update(self, **values: Any) -> Any:
        """Store values in each record; returns how many were found."""
        count = self.db._adapter.quick_update(self.query, values)
        return super().update(**values) if count is None else count

    def validate_and_update(self, **fields: Any) -> dict[str, Any]:
        """Store values, or the text that a form has for them, in each record, if all are valid.

        Returns:
            `updated`, how many were found; and `errors`, a text for each field that is wrong. A unique value may be
            that of the one record that is found.
        """
        table = self.db._adapter.get_table(self.query)
        record: Any = {}  # PyDAL's: values for an update, of whatever records
        if table._key_names() and any(table[name].unique for name in fields if name in table.fields):
            found = self.select(*[table[name] for name in table._key_names()], limitby=(0, 2))
            record = found.first() if len(found) == 1 else record
        errors, values = table._validate_fields(fields, record)
        return {"updated": 0 if errors else self.update(**values), "errors": errors}


class _Column:
    """What is known for good of a column that conditions name."""

    __slots__ = ("compare", "field", "sql", "table")

    def __init__(self, field: Any) -> None:
        self.field = field  # held, so that the identity the cache goes by stays its own
        self.table = field.table
        self.sql = str(field.sqlsafe)
        self.compare = field.type.codec.compare


class _Insert:
    """An INSERT of these columns: the text around its values, and how its key is known."""

    __slots__ = ("after", "before", "doing", "fields", "makes_key")

    def __init__(self, adapter: Any, table: Any, pairs: Pairs) -> None:
        self.fields = [field for field, _ in pairs]
        table._allowed("insert", [field.name for field in self.fields])
        columns = ",".join(field._rname for field in self.fields)
        returning = adapter._returning(table, pairs)
        text = str(adapter.dialect.insert(table._relation("insert"), columns, "\0", *returning))
        self.before, self.after = text.split("\0")
        self.doing = Doing("insert", table._dalname)
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


class QuickPaths(CompiledSelects):
    """Mixed in before the adapter."""

    _columns: dict[int, _Column]
    _inserts: dict[tuple[int, tuple[str, ...]], _Insert]

    def condition(self, query: Any, quote: Quote) -> tuple[Any, str] | None:
        """The table and the SQL of comparisons of its columns with values, else None."""
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
        if not lasting(field) or field.type in ("json", "array", "blob") or uniform(field) is not None:
            return None
        column = self._columns[id(field)] = _Column(field)
        return column

    def quick_select(self, query: Any, fields: tuple[Any, ...], attributes: dict[str, Any]) -> Rows | None:
        """The rows of one table by plain conditions, or None."""
        if not self.compiled or query.__class__ is not Query:
            return None
        if attributes and (not SIMPLE.issuperset(attributes) or attributes.get("for_update")):
            return None
        session = self.sessions.current()  # type: ignore[attr-defined]  # the adapter's
        try:
            found = self.condition(query, self.backend.quote(session.connection))  # type: ignore[attr-defined]
        except BadValue:
            return None  # PyDAL's way tells it with the column's name
        if found is None:
            table, where = query.first.__dict__.get("_table"), ""
            if table is None or not lasting(query.first) or not whole(query, table):
                return self._quick_join(query, fields, attributes, session)
        else:
            table, where = found
        shape = self.shape(fields or self.readable_of(table))
        if shape is None or (table._common_filter is not None and use_common_filters(query)):
            return None
        if len(shape.tables) != 1 or shape.tables[0] is not table or not undressed(shape):
            return None
        sql = self.one_table_sql(shape, where, attributes)
        session.doing = shape.doing
        return shape.rows(self.db, session.reading(session.execute(sql).fetchall))  # type: ignore[attr-defined]

    def _quick_join(
        self, query: Any, fields: tuple[Any, ...], attributes: Mapping[str, Any], session: Any
    ) -> Rows | None:
        """The rows of several tables, by plain conditions on their columns and between them; or None."""
        shape = None if attributes or not fields else self.shape(fields)
        if shape is None or not undressed(shape):
            return None
        tables: dict[str, Any] = {}
        try:
            where = self._joining(query, self.backend.quote(session.connection), tables)  # type: ignore[attr-defined]
        except BadValue:
            return None
        if where is None:
            return None
        tables |= {table._tablename: table for table in shape.tables}
        if use_common_filters(query) and any(table._common_filter is not None for table in tables.values()):
            return None
        relations = ", ".join([table.query_name()[0] for table in tables.values()])
        sql = str(self.dialect.select(shape.columns, relations, where))  # type: ignore[attr-defined]
        session.doing = Doing("select", ", ".join([table._dalname for table in tables.values()]))
        return shape.rows(self.db, session.reading(session.execute(sql).fetchall))  # type: ignore[attr-defined]

    def _joining(self, query: Query, quote: Quote, tables: dict[str, Any]) -> str | None:
        """The SQL of comparisons of columns with values and with each other, else None; notes their tables."""
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

    def quick_update(self, query: Any, values: Mapping[str, Any]) -> int | None:
        """How many rows of one table were found by plain conditions and updated, or None."""
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
        except BadValue:
            return None
        session.doing = Doing("update", table._dalname)
        return int(session.execute(self.dialect.update(table, sets, where)).rowcount)  # type: ignore[attr-defined]

    def quick_insert(self, table: Any, values: Mapping[str, Any]) -> tuple[bool, Any]:
        """Whether a row was inserted this way, and its key."""
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
        except BadValue:
            return False, None
        session.doing = plan.doing
        session.execute(f"{plan.before}{literals}{plan.after}")
        if not plan.makes_key:
            return True, self.inserted_key(table, pairs)  # type: ignore[attr-defined]
        made = self.lastrowid(table)  # type: ignore[attr-defined]
        if made is None:
            return True, None
        reference = Reference(made)
        reference._table, reference._record = table, None
        return True, reference

    def _insert_of(self, table: Any, pairs: Pairs) -> _Insert:
        key = (id(table), tuple([field.name for field, _ in pairs]))
        plan = self._inserts.get(key)
        if plan is None:
            if len(self._inserts) >= _PLANS_KEPT:
                self._inserts.clear()
            plan = self._inserts[key] = _Insert(self, table, pairs)
        return plan


def plain_pairs(table: Any, values: Mapping[str, Any], otherwise: str) -> Pairs | None:
    """The fields to write and their values, with defaults or on-updates for others; None for what is not plain."""
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
