"""PyDAL's dialects, corrected where PyDAL is wrong or an engine would give a different result than the others."""

import re
from typing import Any

from pydal.dialects.mysql import MySQLDialect as PydalMySQL
from pydal.dialects.postgre import PostgreDialectBooleanJSON
from pydal.dialects.sqlite import SQLiteDialect as PydalSQLite
from pydal.objects import Expression, Field, Select

from ringfence.runtime.dal import casts
from ringfence.runtime.dal.expression_types import chosen_kind
from ringfence.runtime.dal.json_operators import PostgreSQLJson, Refused
from ringfence.runtime.dal.like import Likes, comparison_text
from ringfence.runtime.dal.operands import BadRequest, SelectText, operand, part_of_condition
from ringfence.runtime.dal.types import TypeTag, uniform
from ringfence.runtime.errors import ArgumentError, DataError, NotSupportedError

_EPOCH_OF_MYSQL = 62_167_219_200  # TO_SECONDS('1970-01-01')
_ALIAS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?")
_WHOLE = frozenset({"integer", "bigint", "id"})
_TEXT = frozenset({"string", "text", "password", "enum"})


class _Comparisons(Refused, casts.Casts, Likes):
    """Comparisons and arithmetic with the same meaning on every engine; JSON is compared by content."""

    adapter: Any
    distinct_on = False

    def eq(self, first: Any, second: Any = None, query_env: Any = None) -> str:
        """Return the SQL of an equality."""
        second = given(first, second)
        if second is None or not _is_json(first):
            return str(self._binary_cmp("=", first, second, "IS NULL", query_env or {}))
        return self._same(first, second, query_env or {})

    def ne(self, first: Any, second: Any = None, query_env: Any = None) -> str:
        """Return the SQL of an inequality."""
        second = given(first, second)
        if second is None or not _is_json(first):
            return str(self._binary_cmp("<>", first, second, "IS NOT NULL", query_env or {}))
        return f"(NOT {self._same(first, second, query_env or {})})"

    def _and(self, first: Any, second: Any = None, query_env: Any = None) -> str:
        return self._both("AND", first, second, query_env)

    def _or(self, first: Any, second: Any = None, query_env: Any = None) -> str:
        return self._both("OR", first, second, query_env)

    def _both(self, word: str, first: Any, second: Any, query_env: Any) -> str:
        one, other = (
            self.adapter.expand(part_of_condition(each), query_env=query_env or {})
            for each in (first, second)
        )
        return f"({one} {word} {other})"

    def on(self, first: Any, second: Any, query_env: Any = None) -> str:
        """Return the SQL of a table and its join condition."""
        return str(super().on(first, part_of_condition(second), query_env or {}))  # type: ignore[misc]  # defined by PyDAL's class, which is untyped

    def _not(self, val: Any, query_env: Any = None) -> str:
        return f"(NOT {self.adapter.expand(part_of_condition(val), query_env=query_env or {})})"

    def belongs(self, first: Any, second: Any, query_env: Any = None) -> str:
        """Return the SQL of membership in a list or a nested select.

        Raises:
            ArgumentError: for a nested select of several columns, and for text in place of a list.
        """
        if isinstance(second, Select) and len(second._qfields) != 1:
            raise ArgumentError(
                f"a nested select in {first}.belongs() selects one column, not {len(second._qfields)}"
            )
        if isinstance(second, str) and not isinstance(second, SelectText):
            raise ArgumentError(f"{first}.belongs() takes a list of values or a nested select, not a text")
        if not _is_json(first) or isinstance(second, str | Expression | Select):
            return str(super().belongs(first, second, query_env=query_env or {}))  # type: ignore[misc]
        same = [self._same(first, item, query_env or {}) for item in second]
        return f"({' OR '.join(same) or '1 = 0'})"

    def _binary_cmp(self, sign: str, first: Any, second: Any, null_form: Any, query_env: Any) -> str:
        """Return the SQL of a comparison with a value, a record or another expression.

        Raises:
            DataError: for an ordering comparison with None.
            BadRequest: for an ordering comparison of JSON.
        """
        second = given(first, second)
        if second is None and null_form is None:
            raise DataError(f"{first} {sign} None: nothing is more or less than None; == and != ask for it")
        if _is_json(first) and sign not in ("=", "<>"):
            raise BadRequest(
                f"{first} {sign} …: JSON has no order that is the same on every engine: compare in Python"
            )
        return str(super()._binary_cmp(sign, first, second, null_form, query_env or {}))  # type: ignore[misc]

    def _same(self, first: Any, second: Any, query_env: Any) -> str:
        left = self.adapter.expand(first, query_env=query_env)
        right = self.adapter.expand(second, first.type, query_env=query_env)
        return str(self.adapter.backend.json_equals(left, right))

    def update(self, table: Any, values: str, where: Any = None) -> str:
        """Return an UPDATE of the relation that the table's updates use."""
        return f"UPDATE {table._written('update')} SET {values}{self._only(where)}"

    def delete(self, table: Any, where: Any = None) -> str:
        """Return a DELETE from the relation that the table's deletes use."""
        return f"DELETE FROM {table._written('delete')}{self._only(where)}"

    def _only(self, where: Any) -> str:
        return f" {self.where(where)}" if where else ""  # type: ignore[attr-defined]  # defined by PyDAL's class, which is untyped

    def _as(self, first: Any, second: Any, query_env: Any = None) -> str:
        """Return an alias; PyDAL would write any text unchecked."""
        if not _ALIAS.fullmatch(str(second)):
            raise ArgumentError(f"an alias is a name, or table.name: not {second!r}")
        return str(super()._as(first, second, query_env=query_env or {}))  # type: ignore[misc]

    # -- arithmetic: only sums of numbers and intervals and concatenated texts mean the same on every engine

    def add(self, first: Any, second: Any, query_env: Any = None) -> str:
        """Return the SQL of a sum of numbers or intervals, or of concatenated texts.

        Raises:
            NotSupportedError: for other types.
        """
        if _counts(first):
            return self._infix(first, "+", second, query_env)
        if first.type in _TEXT:
            second = second if isinstance(second, Expression) else comparison_text(first, second)
            return self.joined([self._text(first, query_env), self._text(second, query_env)])
        raise _meaningless("+", first)

    def sub(self, first: Any, second: Any, query_env: Any = None) -> str:
        """Return the SQL of a difference of numbers or intervals.

        Raises:
            NotSupportedError: for other types.
        """
        if not _counts(first):
            raise _meaningless("-", first)
        return self._infix(first, "-", second, query_env)

    def div(self, first: Any, second: Any, query_env: Any = None) -> str:
        """Return the SQL of a quotient; that of integers is truncated to an integer."""
        operator = self.whole_division if first.type in _WHOLE else "/"
        return self._infix(first, operator, second, query_env)

    whole_division = "/"

    def _infix(self, first: Any, operator: str, second: Any, query_env: Any) -> str:
        left = self.adapter.expand(first, query_env=query_env or {})
        right = self.adapter.expand(second, first.type, query_env=query_env or {})
        return f"({left} {operator} {right})"

    def substring(self, field: Any, parameters: tuple[int, int | None], query_env: Any = None) -> str:
        """Return the SQL of a part of a text, with bounds counted as in a Python slice."""
        sql = self._text(field, query_env)
        start, stop = (_bound(bound, self.characters(sql)) for bound in parameters)
        return f"SUBSTR({sql},({start})+1,CASE WHEN {stop} > {start} THEN ({stop})-({start}) ELSE 0 END)"

    def characters(self, sql: str) -> str:
        """Return the SQL of a text's length in characters."""
        return f"LENGTH({sql})"

    def concat(self, *items: Any, **given: Any) -> str:
        """Return the SQL of concatenated texts."""
        return self.joined([self._text(item, given.get("query_env")) for item in items])

    def case(self, query: Any, true_false: Any, query_env: Any = None) -> str:
        """Return the SQL of a CASE with two alternatives."""
        condition = self.adapter.expand(query, query_env=query_env or {})
        yes, no = (self._chosen(value, query_env) for value in true_false)
        return f"CASE WHEN {condition} THEN {yes} ELSE {no} END"

    def _chosen(self, value: Any, query_env: Any) -> str:
        if isinstance(value, Expression):
            return str(self.adapter.expand(value, query_env=query_env or {}))
        return "NULL" if value is None else str(self.adapter.represent(value, chosen_kind(value)))


def given(first: Any, second: Any) -> Any:
    """Return the value that a column or expression is compared with, as `operand` converts it.

    Args:
        first: the column or expression.
        second: the program's value.

    Raises:
        DataError: as `operand`, with the column's name.
    """
    try:
        return operand(second, first.type)
    except DataError as error:
        raise DataError(f"{first}: {error}") from None


def _is_json(expression: Any) -> bool:
    kind = getattr(expression, "type", None)
    return isinstance(kind, TypeTag) and kind == "json"


def _bound(bound: int | None, length: str) -> str:
    if bound is None:
        return length
    return str(bound) if bound >= 0 else f"CASE WHEN {length} < {-bound} THEN 0 ELSE {length}-{-bound} END"


def _counts(expression: Any) -> bool:
    kind = str(expression.type)
    return (
        kind in _WHOLE
        or kind in ("double", "float", "interval")
        or kind.startswith(("decimal", "reference "))
    )


def _meaningless(operator: str, expression: Any) -> NotSupportedError:
    return NotSupportedError(
        f"{operator} on {expression.type} means something else on each engine: compute it in Python, or use executesql"
    )


class PostgreSQLDialect(PostgreSQLJson, _Comparisons, PostgreDialectBooleanJSON):  # type: ignore[misc]  # pydal is untyped
    """PostgreSQL's dialect."""

    casts = casts.POSTGRESQL
    distinct_on = True
    regexp_operator = "~"

    def cast_from(self, first: Any, family: str, sql: str) -> str:
        """Return the SQL of the value to cast: booleans as integers, timestamps in UTC whatever the server's zone."""
        if family == "boolean":
            return f"CAST({sql} AS INTEGER)"
        return f"({sql} AT TIME ZONE 'UTC')" if getattr(first.type, "aware", False) else sql

    def aggregate(self, first: Any, what: Any, query_env: Any = None) -> str:
        """Return the SQL of an aggregate; PostgreSQL has no SUM, MAX or MIN of booleans."""
        if str(first.type) != "boolean":
            return str(super().aggregate(first, what, query_env or {}))
        sql = str(self.adapter.expand(first, query_env=query_env or {}))
        function = {"MAX": "BOOL_OR", "MIN": "BOOL_AND"}.get(what)
        return f"{function}({sql})" if function else f"{what}(CAST({sql} AS INTEGER))"

    def extract(self, first: Any, what: Any, query_env: Any = None) -> str:
        """Return the SQL of a timestamp's part, in UTC whatever the server's zone, and whole as on other engines."""
        sql = self.adapter.expand(first, query_env=query_env or {})
        if getattr(first.type, "aware", False) and what != "epoch":
            sql = f"({sql} AT TIME ZONE 'UTC')"
        return f"FLOOR(EXTRACT({what} FROM {sql}))"


class MySQLDialect(_Comparisons, PydalMySQL):  # type: ignore[misc]  # pydal is untyped
    """The dialect of MySQL, MariaDB and Galera."""

    casts = casts.MYSQL
    exact_collation = " COLLATE utf8mb4_bin"
    whole_division = "DIV"

    def delete(self, table: Any, where: Any = None) -> str:
        """Return a DELETE with an alias for the table, which older servers accept in this form only."""
        if not where:  # that form requires SELECT
            return f"DELETE FROM {table._relation('delete')}"
        return f"DELETE {table.sql_shortref} FROM {table._written('delete')}{self._only(where)}"

    def as_text(self, sql: str) -> str:
        """Return the SQL of any expression as text."""
        return f"CAST({sql} AS CHAR)"

    def joined(self, parts: list[str]) -> str:
        """Return the SQL of concatenated texts; `||` means OR here."""
        return f"CONCAT({','.join(parts)})"

    def belongs(self, first: Any, second: Any, query_env: Any = None) -> str:
        """Return the SQL of membership; some nested selects are wrapped in another select.

        The server accepts no nested select with LIMIT, and none from the table that the UPDATE or DELETE writes to.
        """
        found = super().belongs(first, second, query_env)
        scope = (query_env or {}).get("current_scope", [])
        if not isinstance(second, Select):
            return found
        own = self.adapter.tables(second._query, *second._qfields)
        itself = bool((query_env or {}).get("written")) and set(own) <= set(scope)
        if not itself and not second._attributes.get("limitby"):
            return found
        nested = str(second._compile(scope)[1]).rstrip(";")
        # DISTINCT keeps the optimizer from merging the two selects.
        return found.replace(
            f"({nested})", f"(SELECT * FROM (SELECT DISTINCT * FROM ({nested}) AS nested) AS chosen)"
        )

    def aggregate(self, first: Any, what: Any, query_env: Any = None) -> str:
        """Return the SQL of an aggregate; of BIT columns as a number, as the server may send bits or digits."""
        return _number_of_bits(first, str(super().aggregate(first, what, query_env or {})))

    def coalesce(self, first: Any, second: Any, query_env: Any = None) -> str:
        """Return the SQL of the first value that is not NULL; of BIT columns as a number."""
        return _number_of_bits(first, str(super().coalesce(first, second, query_env or {})))

    def characters(self, sql: str) -> str:
        """Return the SQL of a text's length in characters; LENGTH counts bytes."""
        return f"CHAR_LENGTH({sql})"

    def length(self, val: Any, query_env: Any = None) -> str:
        """Return the SQL of a length: characters of a text, bytes of a blob; LENGTH counts bytes of both."""
        function = "LENGTH" if val.type == "blob" else "CHAR_LENGTH"
        return f"{function}({self.adapter.expand(val, query_env=query_env or {})})"

    def epoch(self, first: Any, query_env: Any = None) -> str:
        """Return the SQL of the seconds since 1970 in UTC; UNIX_TIMESTAMP would assume the session's zone."""
        sql = self.adapter.expand(first, query_env=query_env or {})
        return f"(TO_SECONDS({sql}) - {_EPOCH_OF_MYSQL})"


def _number_of_bits(of: Any, sql: str) -> str:
    kind = getattr(of, "type", None)
    is_bits = isinstance(kind, TypeTag) and kind.portable == "bit"
    return f"CAST({sql} AS UNSIGNED)" if is_bits else sql


_TAKEN_FOR_ONE = re.compile("[\ufffd-\uffff]")
"""Characters that SQLite's LIKE treats as equal."""
_LONGEST = 10_000
"""Characters of a pattern; SQLite's limit is 50,000 bytes."""


class SQLiteDialect(_Comparisons, PydalSQLite):  # type: ignore[misc]  # pydal is untyped
    """SQLite's dialect."""

    casts = casts.SQLITE

    def _binary_cmp(self, sign: str, first: Any, second: Any, null_form: Any, query_env: Any) -> str:
        """Return the SQL of a comparison; for timestamps with an extra condition that an index can answer."""
        second = given(first, second)
        if not isinstance(first, Field) or (written := uniform(first)) is None:
            return str(super()._binary_cmp(sign, first, second, null_form, query_env))
        column = str(first.sqlsafe)
        if second is None and null_form is not None:
            return f"({column} {null_form})"
        if second is None:
            return str(super()._binary_cmp(sign, first, second, null_form, query_env))
        compared = str(super()._binary_cmp(sign, first, second, null_form, query_env))
        return self._near(written.between(column, sign, self._fitting(first, [second])), compared)

    def belongs(self, first: Any, second: Any, query_env: Any = None) -> str:
        """Return the SQL of membership in a list or a nested select."""
        found = super().belongs(first, second, query_env)
        if not isinstance(first, Field) or (written := uniform(first)) is None:
            return found
        values = self._fitting(first, second) if isinstance(second, list | tuple | set | frozenset) else []
        return self._near(written.between(str(first.sqlsafe), "=", values), found)

    @staticmethod
    def _fitting(field: Any, given: Any) -> list[Any]:
        """Return the values in the form in which they are compared; an empty list if one of them is an expression."""
        if any(isinstance(value, Expression) or value is None or callable(value) for value in given):
            return []
        return [field.type.codec.check_compared(value) for value in given]

    @staticmethod
    def _near(condition: str, compared: str) -> str:
        return f"({condition} AND {compared})" if condition else compared

    def _like(self, first: Any, wanted: str, query_env: Any) -> str:
        return self._matched(self._text(first, query_env), wanted) or super()._like(first, wanted, query_env)

    def _ilike(self, first: Any, wanted: str, query_env: Any) -> str:
        text = self._lower(self._text(first, query_env))
        return self._matched(text, self._lower(wanted), wanted) or super()._ilike(first, wanted, query_env)

    @staticmethod
    def _matched(text: str, lowered: str, wanted: str = "") -> str:
        """Return a call of our LIKE function where SQLite's LIKE would match too much or nothing; else empty."""
        wanted = wanted or lowered
        literal = wanted.startswith("'")  # a column's pattern may contain any character
        if literal and len(wanted) <= _LONGEST and not _TAKEN_FOR_ONE.search(wanted):
            return ""
        return f"ringfence_like({text}, {lowered})"

    def _lower(self, sql: str) -> str:
        return f"ringfence_lower({sql})"

    def _upper(self, sql: str) -> str:
        return f"ringfence_upper({sql})"
