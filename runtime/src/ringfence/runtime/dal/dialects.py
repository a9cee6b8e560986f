"""PyDAL's dialects, with what its own get wrong or what an engine would say in another way than the others."""

import re
from typing import Any

from pydal.dialects.mysql import MySQLDialect as PydalMySQL
from pydal.dialects.postgre import PostgreDialectBooleanJSON
from pydal.dialects.sqlite import SQLiteDialect as PydalSQLite
from pydal.objects import Expression, Field, Select

from ringfence.runtime.dal import casts
from ringfence.runtime.dal.json_operators import PostgreSQLJson, Refused
from ringfence.runtime.dal.likes import Likes, asked
from ringfence.runtime.dal.operands import BadRequest, SelectText, operand, part_of_condition
from ringfence.runtime.dal.types import TypeTag, uniform
from ringfence.runtime.dal.untyped import chosen_kind
from ringfence.runtime.errors import BadValue, Misuse

_EPOCH_OF_MYSQL = 62_167_219_200  # TO_SECONDS('1970-01-01')
_ALIAS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?")
_WHOLE = frozenset({"integer", "bigint", "id"})
_TEXT = frozenset({"string", "text", "password", "enum"})


class _Comparisons(Refused, casts.Casts, Likes):
    """JSON is compared by what it says, not by how it is written; elsewhere PyDAL's own comparisons are right."""

    adapter: Any
    distinct_on = False

    def eq(self, first: Any, second: Any = None, query_env: Any = None) -> str:
        """Equality."""
        second = given(first, second)
        if second is None or not _is_json(first):
            return str(self._binary_cmp("=", first, second, "IS NULL", query_env or {}))
        return self._same(first, second, query_env or {})

    def ne(self, first: Any, second: Any = None, query_env: Any = None) -> str:
        """Inequality."""
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
        """A table and the condition by which it is joined."""
        return str(super().on(first, part_of_condition(second), query_env or {}))  # type: ignore[misc]  # defined by PyDAL's class, which is untyped

    def _not(self, val: Any, query_env: Any = None) -> str:
        return f"(NOT {self.adapter.expand(part_of_condition(val), query_env=query_env or {})})"

    def belongs(self, first: Any, second: Any, query_env: Any = None) -> str:
        """Membership in a list or a nested select."""
        if isinstance(second, Select) and len(second._qfields) != 1:
            raise Misuse(
                f"a nested select in {first}.belongs() selects one column, not {len(second._qfields)}"
            )
        if isinstance(second, str) and not isinstance(second, SelectText):
            raise Misuse(f"{first}.belongs() takes a list of values or a nested select, not a text")
        if not _is_json(first) or isinstance(second, str | Expression | Select):
            return str(super().belongs(first, second, query_env=query_env or {}))  # type: ignore[misc]
        same = [self._same(first, item, query_env or {}) for item in second]
        return f"({' OR '.join(same) or '1 = 0'})"

    def _binary_cmp(self, sign: str, first: Any, second: Any, null_form: Any, query_env: Any) -> str:
        """A comparison with a value, a record, or another expression."""
        second = given(first, second)
        if second is None and null_form is None:
            raise BadValue(f"{first} {sign} None: nothing is more or less than None; == and != ask for it")
        if _is_json(first) and sign not in ("=", "<>"):
            raise BadRequest(
                f"{first} {sign} …: JSON has no order that is the same on every engine: compare in Python"
            )
        return str(super()._binary_cmp(sign, first, second, null_form, query_env or {}))  # type: ignore[misc]

    def _same(self, first: Any, second: Any, query_env: Any) -> str:
        left = self.adapter.expand(first, query_env=query_env)
        right = self.adapter.expand(second, first.type, query_env=query_env)
        return str(self.adapter.backend.same_json(left, right))

    def update(self, table: Any, values: str, where: Any = None) -> str:
        """An UPDATE of the relation that it goes through."""
        return f"UPDATE {table._written('update')} SET {values}{self._only(where)}"

    def delete(self, table: Any, where: Any = None) -> str:
        """A DELETE from the relation that it goes through."""
        return f"DELETE FROM {table._written('delete')}{self._only(where)}"

    def _only(self, where: Any) -> str:
        return f" {self.where(where)}" if where else ""  # type: ignore[attr-defined]  # defined by PyDAL's class, which is untyped

    def _as(self, first: Any, second: Any, query_env: Any = None) -> str:
        """An alias, which PyDAL writes as it is given."""
        if not _ALIAS.fullmatch(str(second)):
            raise Misuse(f"an alias is a name, or table.name: not {second!r}")
        return str(super()._as(first, second, query_env=query_env or {}))  # type: ignore[misc]

    # -- arithmetic: numbers and intervals are added, text is put together, and nothing else means the same everywhere

    def add(self, first: Any, second: Any, query_env: Any = None) -> str:
        """The sum of numbers or intervals, or texts put together."""
        if _counts(first):
            return self._infix(first, "+", second, query_env)
        if first.type in _TEXT:
            second = second if isinstance(second, Expression) else asked(first, second)
            return self.joined([self._text(first, query_env), self._text(second, query_env)])
        raise _meaningless("+", first)

    def sub(self, first: Any, second: Any, query_env: Any = None) -> str:
        """The difference of numbers or intervals."""
        if not _counts(first):
            raise _meaningless("-", first)
        return self._infix(first, "-", second, query_env)

    def div(self, first: Any, second: Any, query_env: Any = None) -> str:
        """The quotient; of whole numbers it is cut to a whole number."""
        operator = self.whole_division if first.type in _WHOLE else "/"
        return self._infix(first, operator, second, query_env)

    whole_division = "/"

    def _infix(self, first: Any, operator: str, second: Any, query_env: Any) -> str:
        left = self.adapter.expand(first, query_env=query_env or {})
        right = self.adapter.expand(second, first.type, query_env=query_env or {})
        return f"({left} {operator} {right})"

    def substring(self, field: Any, parameters: tuple[int, int | None], query_env: Any = None) -> str:
        """A part of a text, between two bounds that count as Python's do."""
        sql = self._text(field, query_env)
        start, stop = (_bound(bound, self.characters(sql)) for bound in parameters)
        return f"SUBSTR({sql},({start})+1,CASE WHEN {stop} > {start} THEN ({stop})-({start}) ELSE 0 END)"

    def characters(self, sql: str) -> str:
        """SQL of how many characters a text has."""
        return f"LENGTH({sql})"

    def concat(self, *items: Any, **given: Any) -> str:
        """Texts put together."""
        return self.joined([self._text(item, given.get("query_env")) for item in items])

    def case(self, query: Any, true_false: Any, query_env: Any = None) -> str:
        """One of two values."""
        condition = self.adapter.expand(query, query_env=query_env or {})
        yes, no = (self._chosen(value, query_env) for value in true_false)
        return f"CASE WHEN {condition} THEN {yes} ELSE {no} END"

    def _chosen(self, value: Any, query_env: Any) -> str:
        if isinstance(value, Expression):
            return str(self.adapter.expand(value, query_env=query_env or {}))
        return "NULL" if value is None else str(self.adapter.represent(value, chosen_kind(value)))


def given(first: Any, second: Any) -> Any:
    """What is compared with a column or an expression, as `operand` gives it."""
    try:
        return operand(second, first.type)
    except BadValue as error:
        raise BadValue(f"{first}: {error}") from None


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


def _meaningless(operator: str, expression: Any) -> Misuse:
    return Misuse(
        f"{operator} on {expression.type} means something else on each engine: compute it in Python, or use executesql"
    )


class PostgreSQLDialect(PostgreSQLJson, _Comparisons, PostgreDialectBooleanJSON):  # type: ignore[misc]  # pydal is untyped
    """PostgreSQL."""

    casts = casts.POSTGRESQL
    distinct_on = True
    regexp_operator = "~"

    def cast_from(self, first: Any, family: str, sql: str) -> str:
        """SQL of what is cast: a truth as a number, and a moment in UTC, whatever the server's zone."""
        if family == "boolean":
            return f"CAST({sql} AS INTEGER)"
        return f"({sql} AT TIME ZONE 'UTC')" if getattr(first.type, "aware", False) else sql

    def aggregate(self, first: Any, what: Any, query_env: Any = None) -> str:
        """A sum, maximum and so on; of truths, which PostgreSQL neither adds up nor compares so."""
        if str(first.type) != "boolean":
            return str(super().aggregate(first, what, query_env or {}))
        sql = str(self.adapter.expand(first, query_env=query_env or {}))
        function = {"MAX": "BOOL_OR", "MIN": "BOOL_AND"}.get(what)
        return f"{function}({sql})" if function else f"{what}(CAST({sql} AS INTEGER))"

    def extract(self, first: Any, what: Any, query_env: Any = None) -> str:
        """A part of a moment, in UTC whatever the server's zone, and whole as on other engines."""
        sql = self.adapter.expand(first, query_env=query_env or {})
        if getattr(first.type, "aware", False) and what != "epoch":
            sql = f"({sql} AT TIME ZONE 'UTC')"
        return f"FLOOR(EXTRACT({what} FROM {sql}))"


class MySQLDialect(_Comparisons, PydalMySQL):  # type: ignore[misc]  # pydal is untyped
    """MySQL, MariaDB and Galera."""

    casts = casts.MYSQL
    exact_collation = " COLLATE utf8mb4_bin"
    whole_division = "DIV"

    def delete(self, table: Any, where: Any = None) -> str:
        """A DELETE that may give its table another name, which older servers admit in this form alone."""
        if not where:  # that form wants the right to read
            return f"DELETE FROM {table._relation('delete')}"
        return f"DELETE {table.sql_shortref} FROM {table._written('delete')}{self._only(where)}"

    def as_text(self, sql: str) -> str:
        """SQL of anything, as text."""
        return f"CAST({sql} AS CHAR)"

    def joined(self, parts: list[str]) -> str:
        """SQL of texts put together: `||` means OR here."""
        return f"CONCAT({','.join(parts)})"

    def belongs(self, first: Any, second: Any, query_env: Any = None) -> str:
        """Membership; in a nested select that the server would not take as it is, by way of another around it.

        It takes none with a limit, and none from the table that an UPDATE or DELETE writes to.
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
        # DISTINCT keeps the server from merging the two again.
        return found.replace(
            f"({nested})", f"(SELECT * FROM (SELECT DISTINCT * FROM ({nested}) AS nested) AS chosen)"
        )

    def aggregate(self, first: Any, what: Any, query_env: Any = None) -> str:
        """A sum, maximum and so on; of bits as a number, for the server may send bits or digits."""
        return _number_of_bits(first, str(super().aggregate(first, what, query_env or {})))

    def coalesce(self, first: Any, second: Any, query_env: Any = None) -> str:
        """The first that is not NULL; of bits as a number."""
        return _number_of_bits(first, str(super().coalesce(first, second, query_env or {})))

    def characters(self, sql: str) -> str:
        """SQL of how many characters a text has; LENGTH counts bytes."""
        return f"CHAR_LENGTH({sql})"

    def length(self, val: Any, query_env: Any = None) -> str:
        """Characters of a text, bytes of a blob: LENGTH would count the bytes of either."""
        function = "LENGTH" if val.type == "blob" else "CHAR_LENGTH"
        return f"{function}({self.adapter.expand(val, query_env=query_env or {})})"

    def epoch(self, first: Any, query_env: Any = None) -> str:
        """Seconds since 1970 in UTC: UNIX_TIMESTAMP would take the moment for one of the session's zone."""
        sql = self.adapter.expand(first, query_env=query_env or {})
        return f"(TO_SECONDS({sql}) - {_EPOCH_OF_MYSQL})"


def _number_of_bits(of: Any, sql: str) -> str:
    kind = getattr(of, "type", None)
    is_bits = isinstance(kind, TypeTag) and kind.portable == "bit"
    return f"CAST({sql} AS UNSIGNED)" if is_bits else sql


_TAKEN_FOR_ONE = re.compile("[\ufffd-\uffff]")
"""Characters that SQLite's LIKE takes for one and the same."""
_LONGEST = 10_000
"""Characters of a pattern: SQLite takes 50,000 bytes."""


class SQLiteDialect(_Comparisons, PydalSQLite):  # type: ignore[misc]  # pydal is untyped
    """SQLite."""

    casts = casts.SQLITE

    def _binary_cmp(self, sign: str, first: Any, second: Any, null_form: Any, query_env: Any) -> str:
        """A comparison; of moments with a condition beside it that an index answers: a function stands over them."""
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
        """Membership in a list or a nested select."""
        found = super().belongs(first, second, query_env)
        if not isinstance(first, Field) or (written := uniform(first)) is None:
            return found
        values = self._fitting(first, second) if isinstance(second, list | tuple | set | frozenset) else []
        return self._near(written.between(str(first.sqlsafe), "=", values), found)

    @staticmethod
    def _fitting(field: Any, given: Any) -> list[Any]:
        """Values as they are compared; none where one of them is an expression."""
        if any(isinstance(value, Expression) or value is None or callable(value) for value in given):
            return []
        return [field.type.codec.take(value) for value in given]

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
        """A match by a function of ours, where SQLite's LIKE would find too much or nothing; else nothing."""
        wanted = wanted or lowered
        literal = wanted.startswith("'")  # else it may hold whatever its column does
        if literal and len(wanted) <= _LONGEST and not _TAKEN_FOR_ONE.search(wanted):
            return ""
        return f"ringfence_like({text}, {lowered})"

    def _lower(self, sql: str) -> str:
        return f"ringfence_lower({sql})"

    def _upper(self, sql: str) -> str:
        return f"ringfence_upper({sql})"
