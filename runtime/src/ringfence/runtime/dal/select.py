"""Selects compiled once per set of fields: columns, FROM and row decoder are cached; only conditions are built anew."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydal.helpers.methods import use_common_filters, xorify
from pydal.objects import Expression, Field, Query, Select, Table

from ringfence.runtime.dal.operands import BadRequest
from ringfence.runtime.dal.rows import Rows
from ringfence.runtime.dal.shapes import Decoder, Shape
from ringfence.runtime.errors import ArgumentError

# Text accepted as an order or grouping: column names only. PyDAL would write any text into the statement.
_NAMES = re.compile(r"<random>|[\w.\"`]+(\s+(asc|desc))?(\s*,\s*[\w.\"`]+(\s+(asc|desc))?)*", re.IGNORECASE)
_SHAPES_KEPT = 2_000
_LAST_ROW = 2**63 - 1  # the largest LIMIT of PostgreSQL and SQLite
SIMPLE = frozenset({"limitby", "orderby", "orderby_on_limitby", "for_update", "cacheable"})


class CompiledSelects:
    """Builds simple selects from cached parts and leaves all others to PyDAL; mixed in before PyDAL's adapter.

    The caches are dicts that threads read without a lock; two threads may build the same shape, and one result is kept.
    """

    compiled = True
    _shapes: dict[tuple[int, ...], Shape | None]

    def shape(self, fields: Sequence[Any]) -> Shape | None:
        """Return the cached shape of these fields, or None when PyDAL must handle them.

        Args:
            fields: the selected fields and expressions.
        """
        key = tuple(map(id, fields))
        try:
            return self._shapes[key]
        except KeyError:
            pass
        if not self.compiled or not all(map(is_mirrored_column, fields)):
            return None  # not cached: the id() of a short-lived object can be reused
        columns = ", ".join(str(field.sqlsafe) for field in fields)
        colnames = [str(self.expand(field, colnames=True)) for field in fields]  # type: ignore[attr-defined]
        if len(self._shapes) >= _SHAPES_KEPT:
            self._shapes.clear()
        shape = self._shapes[key] = Shape(fields, colnames, columns)
        return shape

    def simple_sql(self, query: Any, shape: Shape, attributes: dict[str, Any]) -> str | None:
        """Return the SQL of a select from one table with only conditions, order and limit; None for any other select.

        Args:
            query: the condition, or None.
            shape: of the selected fields.
            attributes: PyDAL's options of the select.
        """
        if len(shape.tables) != 1 or not SIMPLE.issuperset(attributes):
            return None
        table = shape.tables[0]
        if table._common_filter is not None and use_common_filters(query):
            return None
        tables = self.tables(query)  # type: ignore[attr-defined]
        if tables and (len(tables) > 1 or tables.get(table._tablename) is not table):
            return None
        scope = {"current_scope": [table._tablename], "parent_scope": []}
        where = None if matches_every_row(query, table) else self.expand(query, query_env=scope)  # type: ignore[attr-defined]
        return self.one_table_sql(shape, where, attributes)

    def one_table_sql(self, shape: Shape, where: Any, attributes: dict[str, Any]) -> str:
        """Return the SQL of a select from the only table of a shape.

        Args:
            shape: of the selected fields.
            where: SQL of the condition, or empty.
            attributes: PyDAL's options of the select.
        """
        table, scope = shape.tables[0], None
        order = None
        if attributes:
            scope = {"current_scope": [table._tablename], "parent_scope": []}
            order = self._order(table, attributes, scope)
            refuse_bounds(attributes.get("limitby"))
        return str(
            self.dialect.select(  # type: ignore[attr-defined]
                shape.columns,
                table.sql_fullref,
                where,
                None,
                None,
                order,
                attributes.get("limitby"),
                False,
                attributes.get("for_update", False) and self.can_select_for_update,  # type: ignore[attr-defined]
            )
        )

    def readable_of(self, table: Any) -> list[Any]:
        """Return the fields of a table that the account may read."""
        return readable(table)

    def _select_wcols(self, query: Any, fields: Any, *rest: Any, **attributes: Any) -> Any:
        for word in ("orderby", "groupby", "having"):
            refuse_text(word, attributes.get(word))
        refuse_bounds(attributes.get("limitby"))
        for word in ("join", "left"):
            refuse_join(word, attributes.get(word))
        if attributes.get("distinct"):
            attributes |= self.distinct_of(fields, attributes)  # type: ignore[attr-defined]  # defined by the adapter
        return super()._select_wcols(query, fields, *rest, **attributes)  # type: ignore[misc]

    def _order(self, table: Any, attributes: dict[str, Any], scope: dict[str, Any]) -> str | None:
        order = attributes.get("orderby")
        refuse_text("orderby", order)
        if order:
            if isinstance(order, list | tuple):
                order = xorify(order)
            if str(order) == "<random>":
                return str(self.dialect.random)  # type: ignore[attr-defined]
            return str(self.expand(order, query_env=scope))  # type: ignore[attr-defined]
        if attributes.get("limitby") and attributes.get("orderby_on_limitby", True):
            keys = [table[key] for key in getattr(table, "_primarykey", None) or ["_id"]]
            fields = readable(table)
            names = {field.name for field in fields}
            keys = [key for key in keys if key.name in names] or fields[:1]
            return ", ".join(key.sqlsafe for key in keys)
        return None

    def parse(
        self, rows: Any, fields: Any, colnames: Any, blob_decode: bool = True, cacheable: bool = False
    ) -> Any:
        """Return fetched rows as Rows: by the compiled decoder, or by PyDAL if virtual fields or filters see each row.

        Args:
            rows: the driver's tuples.
            fields: what was selected.
            colnames: PyDAL's names of the columns.
            blob_decode: PyDAL's; False leaves the work to PyDAL.
            cacheable: PyDAL's.
        """
        shape = self.shape(fields) if blob_decode and fields else None
        if shape is None or not needs_no_processing(shape):
            return super().parse(rows, fields, colnames, blob_decode, cacheable)  # type: ignore[misc]
        made: Rows = shape.rows(self.db, rows)  # type: ignore[attr-defined]
        made.colnames = colnames
        return made

    def batch_decoder(self, fields: Any, colnames: Any) -> Decoder:
        """Return a function that turns a batch of the driver's tuples into rows for iteration.

        Args:
            fields: what was selected.
            colnames: PyDAL's names of the columns.
        """
        shape = self.shape(fields)
        if shape is not None and needs_no_processing(shape):
            return shape.decode
        virtual, lazy, tmps = self._parse_expand_colnames(fields)  # type: ignore[attr-defined]

        def decode(rows: Sequence[Sequence[Any]]) -> list[Any]:
            made = [self._parse(row, tmps, fields, colnames, True, False, virtual, lazy) for row in rows]  # type: ignore[attr-defined]
            return [_flat(row) for row in made]

        return decode


class NestedSelect(Select):  # type: ignore[misc]  # pydal is untyped
    """A select inside another one; if all its tables are also in the outer select, its own FROM still lists them."""

    def _compile(self, outer_scoped: Any = (), with_alias: bool = False, cte_collector: Any = None) -> Any:
        own = self._db._adapter.tables(self._query, *self._qfields)
        outer = [] if set(own) <= set(outer_scoped) else list(outer_scoped)
        return super()._compile(outer, with_alias, cte_collector)


def _flat(row: Any) -> Any:
    """Return the row of the only table, without PyDAL's outer row around it."""
    parts = row.__dict__
    (name,) = parts if len(parts) == 1 else ("_extra",)
    return row if name == "_extra" else parts[name]


def readable(table: Any) -> list[Any]:
    """Return the fields of a table that the account may read; all fields where the table is not one of the mirror.

    Raises:
        AccessDenied: when the account may read none of the table's columns.
    """
    kept: list[Any] | None = table.__dict__.get("_readable")
    if kept is not None:
        return kept
    mirror = getattr(table, "_mirror", None)
    if mirror is None:
        return list(table)
    allowed = {column.field for column in mirror.columns.values() if column.selectable}
    found = [field for field in table if field.name in allowed] or list(table)
    if not found:  # as of an account with DELETE alone
        table._allowed("select", [])
    if table._tablename == table._dalname:  # not for an alias, whose fields are its own
        object.__setattr__(table, "_readable", found)
    return found


def joined(attributes: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of the tables in a select's `join` and `left`, given alone or as `table.on(condition)`."""
    for given in (attributes.get("join"), attributes.get("left")):
        for item in given if isinstance(given, list | tuple) else (given,):
            table = item.first if isinstance(item, Expression) else item
            if (name := getattr(table, "_dalname", None)) is not None:
                yield name


def refuse_text(word: str, given: Any) -> None:
    """Check an order, grouping or HAVING: SQL text other than column names would become part of the statement.

    Args:
        word: the name of the option.
        given: its value.

    Raises:
        ArgumentError: for text that is not a list of column names (for `having`, any text), and for a value of another
            type.
    """
    for part in given if isinstance(given, list | tuple) else (given,):
        if isinstance(part, str) and part and not (word != "having" and _NAMES.fullmatch(part.strip())):
            raise ArgumentError(
                f"{word} takes fields and expressions, such as ~dal.t.name: text that names no column would "
                "become part of the statement"
            )
        if part and not isinstance(part, str | Expression | Query):
            raise ArgumentError(f"{word} takes fields and expressions, not a {type(part).__name__}")


def refuse_bounds(given: Any) -> None:
    """Check a `limitby`, because engines treat invalid bounds differently.

    Args:
        given: the option's value: None or a pair of row numbers, counted from 0.

    Raises:
        BadRequest: for anything but two non-negative integers in ascending order, and for a number above 2**63 - 1.
    """
    if not given:
        return
    pair = tuple(given) if isinstance(given, list | tuple) else ()
    if len(pair) != 2 or not all(isinstance(bound, int) for bound in pair) or not 0 <= pair[0] <= pair[1]:
        raise BadRequest(
            f"limitby takes (first, end), counted from 0, the second not below the first: not {given!r}"
        )
    if pair[1] > _LAST_ROW:
        raise BadRequest(f"limitby counts rows up to {_LAST_ROW}: not {given!r}")


def refuse_join(word: str, given: Any) -> None:
    """Check a `join` or `left`: SQL text would become part of the statement.

    Args:
        word: the name of the option.
        given: its value: tables or `table.on(query)`.

    Raises:
        ArgumentError: for text, and for a left join without a condition.
    """
    for part in given if isinstance(given, list | tuple) else (given,):
        if part and isinstance(part, str):
            raise ArgumentError(
                f"{word} takes tables and table.on(query), not the text of a statement's part"
            )
        if word == "left" and isinstance(part, Table | Select):
            raise ArgumentError(
                f"left={part._tablename} says no condition to join by: {part._tablename}.on(query)"
            )


def matches_every_row(query: Any, table: Any) -> bool:
    """Return whether a query matches every row: None, or the `key != None` of `dal(table)` with a non-null key."""
    if query is None:
        return True
    key = table._id
    never_null = key.notnull or key.type == "id"
    return never_null and query.second is None and query.first is key and query.op.__name__ == "ne"


def needs_no_processing(shape: Shape) -> bool:
    """Return whether rows need no further processing: the tables have no virtual fields, the fields no `filter_out`."""
    for table in shape.tables:
        if table._virtual_fields or table._virtual_methods or table.virtualfields:
            return False
    return not any(field.filter_out for field in shape.fields)


def is_mirrored_column(field: Any) -> bool:
    """Return whether this is a field of a mirrored table itself: no expression, and not a field of an alias."""
    if not isinstance(field, Field):
        return False
    table = field.table
    return bool(
        getattr(table, "_frozen", False)
        and table._tablename == table._dalname
        and (table[field.name] is field or table._id is field)
    )
