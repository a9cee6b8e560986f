"""LIKE and related operators with the same meaning on every engine: exact code points, one escape character."""

import datetime as dt
import decimal
import enum
import uuid
from typing import Any

from pydal.objects import Expression

from ringfence.runtime.errors import ArgumentError, DataError

# No engine treats it specially in a literal or a pattern, as some do the backslash.
ESCAPE = "!"
_TEXT = frozenset({"string", "text", "password"})


def pattern(given: str, escape: str | None = None) -> str:
    """Return a LIKE pattern with our escape character.

    Args:
        given: the program's pattern, with the wildcards `%` and `_`.
        escape: the program's escape character; None if it has none.

    Raises:
        DataError: when the pattern ends with its escape character.
    """
    made, literal = [], False
    for character in given:
        if literal:
            made.append(exactly(character))
            literal = False
        elif character == escape:
            literal = True
        else:
            made.append(ESCAPE + ESCAPE if character == ESCAPE else character)
    if literal:
        raise DataError("the pattern ends with its escape character")
    return "".join(made)


def exactly(text: str) -> str:
    """Return the pattern that matches only this text."""
    for special in (ESCAPE, "%", "_"):
        text = text.replace(special, ESCAPE + special)
    return text


def comparison_text(field: Any, value: Any) -> str:
    """Return the text to compare with: text itself, or the `str()` of a number, a date, a time or a UUID.

    Args:
        field: the field or expression, for the error.
        value: the program's value.

    Raises:
        DataError: for any other class, whose `str()` is hardly intended.
    """
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, enum.Enum) or not isinstance(value, _PRINTED):
        where = getattr(getattr(field, "type", None), "column", "") or "a text"
        raise DataError(f"{where}: text is asked for, not a {type(value).__name__}")
    return str(int.__int__(value)) if isinstance(value, int) and not isinstance(value, bool) else str(value)


_PRINTED = (int, float, decimal.Decimal, dt.date, dt.time, uuid.UUID)


class Likes:
    """LIKE and related operators, mixed in before PyDAL's dialect of the engine."""

    adapter: Any
    exact_collation = ""  # makes a comparison use code points, whatever the column's collation
    regexp_operator = "REGEXP"

    def like(self, first: Any, second: Any, escape: str | None = None, query_env: Any = None) -> str:
        """Return the SQL of a case-sensitive pattern match."""
        return self._like(first, self._pattern(first, second, escape, query_env), query_env)

    def ilike(self, first: Any, second: Any, escape: str | None = None, query_env: Any = None) -> str:
        """Return the SQL of a case-insensitive pattern match."""
        return self._ilike(first, self._pattern(first, second, escape, query_env), query_env)

    def startswith(self, first: Any, second: Any, query_env: Any = None) -> str:
        """Return the SQL that tests whether a text begins with exactly another."""
        return self._like(first, self._exactly(first, second, query_env, after="%"), query_env)

    def endswith(self, first: Any, second: Any, query_env: Any = None) -> str:
        """Return the SQL that tests whether a text ends with exactly another."""
        return self._like(first, self._exactly(first, second, query_env, before="%"), query_env)

    def contains(self, first: Any, second: Any, case_sensitive: bool = True, query_env: Any = None) -> str:
        """Return the SQL that tests whether a text contains exactly another."""
        wanted = self._exactly(first, second, query_env, before="%", after="%")
        return (self._like if case_sensitive else self._ilike)(first, wanted, query_env)

    def regexp(
        self, first: Any, second: Any, match_parameter: str | None = None, query_env: Any = None
    ) -> str:
        """Return the SQL of a regular expression match, in the engine's syntax.

        Args:
            first: the text.
            second: the regular expression.
            match_parameter: `i` to ignore case; `c` or None otherwise.
            query_env: PyDAL's.

        Raises:
            ArgumentError: for another match parameter.
        """
        if match_parameter not in (None, "", "c", "i"):
            raise ArgumentError("the match parameter of regexp is 'i' or 'c' on every engine")
        if not isinstance(second, Expression):
            second = ("(?i)" if match_parameter == "i" else "") + comparison_text(first, second)
        wanted = self._text(second, query_env)
        return f"({self._text(first, query_env)} {self.regexp_operator} {wanted}{self.exact_collation})"

    def lower(self, val: Any, query_env: Any = None) -> str:
        """Return the SQL of a text in lower case, by Unicode rules."""
        return self._lower(self._text(val, query_env))

    def upper(self, first: Any, query_env: Any = None) -> str:
        """Return the SQL of a text in upper case, by Unicode rules."""
        return self._upper(self._text(first, query_env))

    def _lower(self, sql: str) -> str:
        return f"LOWER({sql})"

    def _upper(self, sql: str) -> str:
        return f"UPPER({sql})"

    def _like(self, first: Any, wanted: str, query_env: Any) -> str:
        text = self._text(first, query_env)
        return f"({text} LIKE {wanted}{self.exact_collation} ESCAPE '{ESCAPE}')"

    def _ilike(self, first: Any, wanted: str, query_env: Any) -> str:
        text = self._lower(self._text(first, query_env))
        return f"({text} LIKE {self._lower(wanted)}{self.exact_collation} ESCAPE '{ESCAPE}')"

    def _text(self, value: Any, query_env: Any) -> str:
        """Return the SQL of a text: a value as a literal, an expression of another type as a cast."""
        if not isinstance(value, Expression):
            return str(self.adapter.represent(comparison_text(None, value), "text"))
        sql = str(self.adapter.expand(value, query_env=query_env or {}))
        return sql if value.type in _TEXT else self.as_text(sql)

    def as_text(self, sql: str) -> str:
        """Return the SQL of any expression as text."""
        return f"CAST({sql} AS TEXT)"

    def _pattern(self, first: Any, second: Any, escape: str | None, query_env: Any) -> str:
        if not isinstance(second, Expression):
            return self._text(pattern(comparison_text(first, second), escape), query_env)
        if escape is not None:
            raise ArgumentError("a pattern that is a column takes no escape: its only wildcards are % and _")
        return self._replaced(self._text(second, query_env), ESCAPE)

    def _exactly(self, first: Any, second: Any, query_env: Any, before: str = "", after: str = "") -> str:
        if not isinstance(second, Expression):
            return self._text(f"{before}{exactly(comparison_text(first, second))}{after}", query_env)
        sql = self._replaced(self._text(second, query_env), ESCAPE, "%", "_")
        parts = [*(["'%'"] if before else []), sql, *(["'%'"] if after else [])]
        return self.joined(parts)

    def joined(self, parts: list[str]) -> str:
        """Return the SQL of concatenated texts."""
        return f"({' || '.join(parts)})"

    def _replaced(self, sql: str, *specials: str) -> str:
        for special in specials:
            sql = f"REPLACE({sql},'{special}','{ESCAPE}{special}')"
        return sql
