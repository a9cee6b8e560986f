"""Writes values as literals and decodes the driver's values, by the codec of each type."""

import re
from collections.abc import Callable
from typing import Any

from pydal.helpers.classes import SQLCustomType
from pydal.objects import Expression, Field, Query

from ringfence.runtime.dal.decode_errors import find_unreadable
from ringfence.runtime.dal.expression_types import give_type
from ringfence.runtime.dal.operands import operand
from ringfence.runtime.dal.shapes import kept_row_class
from ringfence.runtime.dal.types import TypeTag
from ringfence.runtime.engines import Backend
from ringfence.runtime.errors import DataError, NotSupportedError
from ringfence.runtime.values.codecs import Codec

_ALIASED = re.compile(r"\s+AS\s+([^\s()]+)$")


class Representing:
    """Literals and decoding through codecs, mixed in before PyDAL's adapter of the engine."""

    backend: Backend
    sessions: Any
    _plain: dict[str, Codec]

    def store(self, value: Any, field: Any, query_env: dict[str, Any] | None = None) -> str:
        """Return the literal or expression that stores a value in a field.

        Args:
            value: the program's value or an expression.
            field: the field.
            query_env: PyDAL's.

        Raises:
            DataError: for a value that the column does not accept, with the field's name.
        """
        if isinstance(value, Expression | Field):
            return str(self.expand(value, field.type, query_env=query_env or {}))  # type: ignore[attr-defined]
        codec = self.codec(field.type)
        try:
            return codec.store(operand(value, field.type), self.backend.quote(self.sessions.connected()))
        except DataError as error:
            raise DataError(f"{field._tablename}.{field.name}: {error}") from error.__cause__

    def _expand(
        self, expression: Any, field_type: Any = None, colnames: bool = False, query_env: Any = None
    ) -> str:
        if isinstance(expression, Expression | Query):
            for each in (expression, expression.first):
                if isinstance(each, Expression) and each.type is None:
                    give_type(each, self._plain)
        return str(super()._expand(expression, field_type, colnames, query_env or {}))  # type: ignore[misc]  # defined by PyDAL's class, which is untyped

    def represent(self, obj: Any, field_type: Any) -> str:
        """Return the literal that a value is compared with.

        Args:
            obj: the program's value or an expression.
            field_type: the type of the field or expression.

        Raises:
            DataError: for a value that the type does not accept.
        """
        if isinstance(obj, Expression | Field):
            return str(obj)
        try:
            value = operand(obj, field_type)
            if callable(value):
                value = operand(value(), field_type)
            codec = self.codec(field_type)
            return codec.compare(value, self.backend.quote(self.sessions.connected()))
        except DataError as error:
            where = getattr(field_type, "column", "") or str(field_type)
            raise DataError(f"{where}: {error}") from error.__cause__

    def codec(self, field_type: Any) -> Codec:
        """Return the codec of a field's or expression's type.

        Raises:
            NotSupportedError: for an SQLCustomType, and for a PyDAL type that a mirror does not have.
        """
        if isinstance(field_type, TypeTag):
            return field_type.codec
        if isinstance(field_type, SQLCustomType):
            raise NotSupportedError(
                "SQLCustomType is PyDAL's own way of types: declare the column's type in the models instead"
            )
        name = str(field_type).partition("(")[0].partition(" ")[0]
        try:
            return self._plain[name]
        except KeyError:
            raise NotSupportedError(f"the PyDAL type {field_type} is not one of the mirror's") from None

    def adapt(self, obj: Any) -> str:
        """Return a text literal, for those parts of PyDAL that write one themselves."""
        return self.backend.quote(self.sessions.connected()).text(str(obj))

    def parse_value(self, value: Any, field_itype: Any, field_type: Any, blob_decode: bool = True) -> Any:
        """Return one value of the driver, decoded."""
        if value is None:
            return None
        if isinstance(value, _Read):
            return value.value
        if isinstance(field_type, TypeTag):
            decode = field_type.codec.decode
            return value if decode is None else decode(value)
        if not isinstance(field_type, str):
            return value
        codec = self.codec(field_type)
        read: Callable[[Any], Any] | None = codec.expression
        return value if read is None else read(value)

    def _parse(self, row: Any, tmps: Any, fields: Any, *rest: Any) -> Any:
        try:
            return self._parsed(row, tmps, fields, *rest)
        except Exception:
            found = find_unreadable(fields, [row])
            if found is None:
                raise
        raise found  # outside the handler, so that the original error, which may contain the value, is not its context

    def _parsed(self, row: Any, tmps: Any, fields: Any, *rest: Any) -> Any:
        # An expression has its field's type tag, but its result may have another driver type (a sum, a maximum).
        for index, tmp in enumerate(tmps):
            tag = getattr(fields[index], "type", None)
            if tmp is None and isinstance(tag, TypeTag) and row[index] is not None:
                read = tag.codec.expression
                row = [
                    *row[:index],
                    _Read(row[index] if read is None else read(row[index])),
                    *row[index + 1 :],
                ]
        made = super()._parse(row, tmps, fields, *rest)  # type: ignore[misc]
        for name, table in {tmp[0]: tmp[2] for tmp in tmps if tmp}.items():
            if hasattr(table, "_key_names"):
                part = made.__dict__[name]
                part.__class__ = kept_row_class(table, part.__dict__)
        return made

    def _regex_select_as_parser(self, colname: str) -> re.Match[str] | None:
        """Return the match of the alias at the end of a column's name; PyDAL would take the type in a CAST for one."""
        return _ALIASED.search(colname)

    def _add_operators_to_parsed_row(self, key: Any, table: Any, row: Any) -> None:
        if hasattr(table, "_key_names"):  # a nested select has no records
            super()._add_operators_to_parsed_row(key, table, row)  # type: ignore[misc]


class _Read:
    """A value that is already decoded."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value
