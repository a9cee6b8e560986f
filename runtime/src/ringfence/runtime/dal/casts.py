"""CAST in each engine's SQL, for conversions that mean the same on all engines; others are refused."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ringfence.runtime.dal.types import TypeTag
from ringfence.runtime.errors import ArgumentError, NotSupportedError

_TYPE = re.compile(r"([a-z]+)(?:\((\d+),\s*(\d+)\))?")
_TEXTS = frozenset({"string", "text"})
_NUMBERS = frozenset({"integer", "bigint", "double", "float", "decimal"})
_MOMENTS = frozenset({"date", "time", "datetime"})
_KNOWN = ("string", "text", "integer", "bigint", "double", "float", "decimal", "boolean", *sorted(_MOMENTS))
_SIZES = {"string": {"length"}, "decimal": {"precision", "scale"}}
# Source type family -> allowed target types; a family that is not listed can become text only.
_TO: Mapping[str, frozenset[str]] = {
    "number": _TEXTS | _NUMBERS | {"boolean"},
    "boolean": _TEXTS | _NUMBERS | {"boolean"},
    "text": _TEXTS | _NUMBERS | _MOMENTS,
    "datetime": _TEXTS | _MOMENTS,
    "date": _TEXTS | {"date", "datetime"},
    "time": _TEXTS | {"time"},
    "blob": frozenset(),
    "interval": frozenset(),
    "array": frozenset(),
}


class Casts:
    """The cast operator, mixed in before PyDAL's dialect of the engine."""

    adapter: Any
    casts: Mapping[str, str]

    def target(self, cast_as: str, given: Mapping[str, Any]) -> tuple[str, dict[str, int]]:
        """Return the type of a cast expression, and its sizes.

        Args:
            cast_as: a PyDAL type name, such as `decimal(10,2)`.
            given: sizes: `length`, or `precision` and `scale`.

        Raises:
            NotSupportedError: for an unsupported type.
            ArgumentError: for an argument that the type does not have or that is no size.
        """
        match = _TYPE.fullmatch(str(cast_as))
        name = match[1] if match else ""
        if match is None or name not in _KNOWN or (match[2] and name != "decimal"):
            raise NotSupportedError(f"nothing is cast to {cast_as}: there are {', '.join(_KNOWN)}")
        sizes: dict[str, Any] = dict(given)
        if match[2]:
            sizes |= {"precision": int(match[2]), "scale": int(match[3])}
        wanted = _SIZES.get(name, set())
        wrong = [key for key, value in sizes.items() if key not in wanted or not _is_size(value)]
        if wrong or (name == "decimal" and sizes.keys() != wanted):
            allowed = " and ".join(sorted(wanted)) or "nothing"
            raise ArgumentError(
                f"a cast to {name} takes {allowed}, as whole numbers; given: {sizes or 'nothing'}"
            )
        return self._typed(name, sizes), sizes

    def _typed(self, name: str, sizes: Mapping[str, int]) -> str:
        if name != "decimal":
            return name
        codec = self.adapter.backend.codecs["decimal"](sizes)
        read = codec.decode or codec.expression
        return TypeTag(f"decimal({sizes['precision']},{sizes['scale']})", replace(codec, expression=read))

    def cast(self, first: Any, second: Any, query_env: Any = None) -> str:
        """Return the SQL of a cast.

        Args:
            first: the expression.
            second: the target type and sizes, as `target` returned them.
            query_env: PyDAL's.

        Raises:
            NotSupportedError: for a conversion that differs between engines.
        """
        if isinstance(second, str):  # a cast that PyDAL itself generates
            raise NotSupportedError(
                f"a cast of {first}: cast the values that it is made of, or use executesql"
            )
        kind, sizes = second
        name = str(kind).partition("(")[0]
        family = _family(first.type)
        if name not in _TO.get(family, _TEXTS):
            raise NotSupportedError(
                f"a cast of {first.type} to {name} means something else on each engine: do it in Python"
            )
        if name == "string" and not sizes:
            name = "text"
        sql = self.cast_from(first, family, str(self.adapter.expand(first, query_env=query_env or {})))
        template = self.casts.get(f"{family} {name}") or self.casts[name]
        return template.format(sql=sql, **sizes)

    def cast_from(self, first: Any, family: str, sql: str) -> str:
        """Return the SQL of the value to cast, in a form that the engine can convert."""
        return sql


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _family(kind: Any) -> str:
    name = str(kind).partition("(")[0].partition(" ")[0]
    if name in _NUMBERS or name in ("id", "reference"):
        return "number"
    return "text" if name in _TEXTS else name


POSTGRESQL = {
    "string": "CAST({sql} AS VARCHAR({length}))",
    "text": "CAST({sql} AS TEXT)",
    "integer": "CAST({sql} AS INTEGER)",
    "bigint": "CAST({sql} AS BIGINT)",
    "double": "CAST({sql} AS DOUBLE PRECISION)",
    "float": "CAST({sql} AS DOUBLE PRECISION)",
    "decimal": "CAST({sql} AS NUMERIC({precision},{scale}))",
    "boolean": "({sql} <> 0)",
    "date": "CAST({sql} AS DATE)",
    "time": "CAST({sql} AS TIME)",
    "datetime": "CAST({sql} AS TIMESTAMP)",
}
MYSQL = {
    "string": "CAST({sql} AS CHAR({length}))",
    "text": "CAST({sql} AS CHAR)",
    "integer": "CAST({sql} AS SIGNED)",
    "bigint": "CAST({sql} AS SIGNED)",
    "double": "CAST({sql} AS DOUBLE)",
    "float": "CAST({sql} AS DOUBLE)",
    "decimal": "CAST({sql} AS DECIMAL({precision},{scale}))",
    "boolean": "({sql} <> 0)",
    "date": "CAST({sql} AS DATE)",
    "time": "CAST({sql} AS TIME(6))",
    "datetime": "CAST({sql} AS DATETIME(6))",
}
SQLITE = {
    "string": "SUBSTR(CAST({sql} AS TEXT),1,{length})",
    "text": "CAST({sql} AS TEXT)",
    "integer": "CAST({sql} AS INTEGER)",
    "bigint": "CAST({sql} AS INTEGER)",
    # SQLite's CAST truncates the fraction, where servers round
    "number integer": "CAST(ROUND({sql}) AS INTEGER)",
    "number bigint": "CAST(ROUND({sql}) AS INTEGER)",
    "double": "CAST({sql} AS REAL)",
    "float": "CAST({sql} AS REAL)",
    "decimal": "ROUND(CAST({sql} AS REAL),{scale})",
    "boolean": "({sql} <> 0)",
    # its date functions have millisecond precision only; a timestamp is stored as `date time`
    "date": "DATE({sql})",
    "time": "STRFTIME('%H:%M:%f',{sql})",
    "datetime": "STRFTIME('%Y-%m-%d %H:%M:%f',{sql})",
    "datetime time": "SUBSTR({sql},12)",
    "datetime datetime": "{sql}",
    "time time": "{sql}",
}
