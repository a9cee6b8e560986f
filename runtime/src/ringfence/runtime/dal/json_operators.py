"""PyDAL's JSON operators for PostgreSQL; on other engines, and for geometry, they raise NotSupportedError."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from ringfence.runtime.dal.operands import operand
from ringfence.runtime.dal.types import TypeTag
from ringfence.runtime.errors import ArgumentError, DataError, NotSupportedError
from ringfence.runtime.values.codecs import text_codec

_NUMBER = r"'^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$'"


class JsonText(TypeTag):
    """The type of a value extracted from JSON as text."""


JSON_TEXT = JsonText("string", text_codec(None))


class Refused:
    """Raises NotSupportedError for operators that the engine does not have; mixed in before PyDAL's dialect of it."""

    json_operators = False


def _refused(name: str, why: str) -> Callable[..., str]:
    def refused(self: Any, first: Any, *arguments: Any, **options: Any) -> str:
        raise NotSupportedError(f"{name}() on {first}: {why}")

    refused.__doc__ = "Refused."
    return refused


_JSON = "PyDAL has it for PostgreSQL alone: select the document and look in Python, or use executesql"
_GIS = "a mirror has no geometry types: use executesql"
for _name in ("json_contains", "json_key", "json_key_value", "json_path", "json_path_value"):
    setattr(Refused, _name, _refused(_name, _JSON))
for _name in (
    *("st_asgeojson", "st_astext", "st_aswkb", "st_contains", "st_distance", "st_dwithin", "st_equals"),
    *("st_intersects", "st_overlaps", "st_simplify", "st_simplifypreservetopology", "st_touches"),
    *("st_transform", "st_within", "st_x", "st_y"),
):
    setattr(Refused, _name, _refused(_name, _GIS))


class PostgreSQLJson:
    """PostgreSQL's JSON operators, parenthesized as PyDAL's have the wrong precedence; mixed in before its dialect."""

    adapter: Any
    json_operators = True

    def json_key(self, first: Any, key: str | int, query_env: Any = None) -> str:
        """Return the SQL of an object's or array's member, as JSON."""
        return f"({self._json(first, query_env)} -> {self._key(key)})"

    def json_key_value(self, first: Any, key: str | int, query_env: Any = None) -> str:
        """Return the SQL of an object's or array's member, as text."""
        return f"({self._json(first, query_env)} ->> {self._key(key)})"

    def json_path(self, first: Any, path: str, query_env: Any = None) -> str:
        """Return the SQL of the value at a path, as JSON."""
        return f"({self._json(first, query_env)} #> {self._path(path)})"

    def json_path_value(self, first: Any, path: str, query_env: Any = None) -> str:
        """Return the SQL of the value at a path, as text."""
        return f"({self._json(first, query_env)} #>> {self._path(path)})"

    def json_contains(self, first: Any, jsonvalue: Any, query_env: Any = None) -> str:
        """Return the SQL that tests whether a document contains another.

        Args:
            first: the JSON expression.
            jsonvalue: JSON text, or plain data other than text.
            query_env: PyDAL's.

        Raises:
            DataError: for text that is not JSON.
        """
        text = jsonvalue
        if isinstance(jsonvalue, str):
            try:
                json.loads(jsonvalue)
            except ValueError:
                raise DataError(
                    f"json_contains() on {first} takes JSON text, or data other than a text"
                ) from None
        else:
            text = json.dumps(jsonvalue)
        return f"({self._json(first, query_env)}::jsonb @> {self.adapter.represent(text, 'text')}::jsonb)"

    def _binary_cmp(self, sign: str, first: Any, second: Any, null_form: Any, query_env: Any) -> str:
        """Return the SQL of a comparison; text from JSON compares with numbers as a number, with booleans as text."""
        second = operand(second)
        if isinstance(first.type, JsonText):
            if isinstance(second, bool):
                second = "true" if second else "false"
            elif isinstance(second, int | float | Decimal):
                text = self.adapter.expand(first, query_env=query_env or {})
                kind = "double" if isinstance(second, float) else "decimal"
                number = f"CASE WHEN {text} ~ {_NUMBER} THEN CAST({text} AS NUMERIC) END"
                return f"(({number}) {sign} {self.adapter.represent(second, kind)})"
        return str(super()._binary_cmp(sign, first, second, null_form, query_env))  # type: ignore[misc]

    def belongs(self, first: Any, second: Any, query_env: Any = None) -> str:
        """Return the SQL of membership in a list or a nested select."""
        if isinstance(first.type, JsonText) and isinstance(second, list):
            same = [self._binary_cmp("=", first, item, "IS NULL AND 1 = 0", query_env) for item in second]
            return f"({' OR '.join(same) or '1 = 0'})"
        return str(super().belongs(first, second, query_env))  # type: ignore[misc]

    def _json(self, first: Any, query_env: Any) -> str:
        return str(self.adapter.expand(first, query_env=query_env or {}))

    def _key(self, key: Any) -> str:
        if isinstance(key, bool) or not isinstance(key, str | int):
            raise ArgumentError(
                f"a key of a JSON object is a text, a position in an array a whole number: not {key!r}"
            )
        return str(key) if isinstance(key, int) else str(self.adapter.represent(key, "text"))

    def _path(self, path: Any) -> str:
        if not isinstance(path, str) or not (path.startswith("{") and path.endswith("}")):
            raise ArgumentError(
                f"a path in JSON is written '{{key,0,key}}', with positions counted from 0: not {path!r}"
            )
        return str(self.adapter.represent(path, "text"))
