"""Resolves `rows:` and `scopes:` of the manifest against the columns of tables."""

import datetime as dt
import decimal
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from ringfence.runtime.errors import DataError
from ringfence.runtime.values import values
from ringfence.schema.documents import Document, suggestion
from ringfence.schema.manifest.grammar import RowsEntry
from ringfence.schema.manifest.model import BoundScope, Condition, Conjunction, Origin
from ringfence.schema.manifest.parsing import ScopeEntry
from ringfence.schema.models.types import portable
from ringfence.schema.models.value_checks import BINDABLE, CHECKS, COMPARABLE

_ALIKE = ({"smallint", "integer", "bigint"}, {"string", "text", "citext", "enum"})


class RowsResolver:
    """Resolves `rows:` against tables, and collects the bound scopes in `names`.

    Args:
        document: the manifest; it records mistakes.
        declared: what `scopes:` declares, by name.
        engines: the names of the deployment's engines.
    """

    def __init__(
        self, document: Document, declared: Mapping[str, ScopeEntry], engines: Iterable[str]
    ) -> None:
        self._document = document
        self._engines = tuple(engines)
        self._declared = declared
        self.names: dict[str, BoundScope] = {
            name: BoundScope(name, entry.type.text, entry.setting, entry.unset, self._origin(entry.name.line))
            for name, entry in declared.items()
        }
        self._check_settings()

    def _origin(self, line: int) -> Origin:
        return Origin(self._document.file, line)

    def _check_settings(self) -> None:
        known: dict[str, ScopeEntry] = {}
        for entry in self._declared.values():
            if (other := known.setdefault(entry.setting, entry)) is not entry:
                self._document.mistake(
                    entry.name.line,
                    f"{entry.name.text!r} and {other.name.text!r} share the setting {entry.setting!r}",
                )

    def conjunction(self, table: sa.Table, rows: tuple[RowsEntry, ...], login: str) -> Conjunction | None:
        """Resolve the entries of one `rows:` for one account.

        Args:
            table: that the rows are of.
            rows: the entries as they are written.
            login: of the account, for `@login`.

        Returns:
            The conditions in the order of the table's columns; None where none is valid.
        """
        known = {str(column.name): column for column in table.columns}
        found: dict[str, Condition] = {}
        for entry in rows:
            name = entry.column.text
            if name not in known:
                self._document.mistake(
                    entry.column.line,
                    f"rows: {table.fullname!r} has no column {name!r}{suggestion(name, known)}",
                )
            elif (condition := self._condition(table, known[name], entry, login)) is not None:
                found[name] = condition
        return tuple(found[name] for name in known if name in found) or None

    def _condition(
        self, table: sa.Table, column: sa.Column[Any], entry: RowsEntry, login: str
    ) -> Condition | None:
        name = str(column.name)
        kind = portable(column.type, self._engines)
        where = f"rows of {table.fullname!r}: {name}"
        if kind.type not in COMPARABLE:
            self._document.mistake(
                entry.line, f"{where} is of type {kind.type}, which cannot be used in rows"
            )
            return None
        if entry.kind == "null":
            if not column.nullable:
                self._document.mistake(entry.line, f"{where} is never NULL, so no row would match")
            return Condition(name, "null")
        if entry.kind == "bound":
            return self._bound(name, kind.type, entry, where)
        given = (login,) if entry.kind == "login" else entry.value if entry.kind == "in" else (entry.value,)
        constants = []
        for constant in given:
            try:
                constants.append(_plain(CHECKS[kind.type](kind.params)(_strict(constant, kind.type))))
            except DataError as error:
                self._document.mistake(entry.line, f"{where} cannot be {constant!r}: {error}")
                return None
        once = tuple(dict.fromkeys(constants))
        return Condition(name, "equals", once[0]) if len(once) == 1 else Condition(name, "in", once)

    def _bound(self, column: str, type_: str, entry: RowsEntry, where: str) -> Condition:
        """Resolve a bound scope; where the manifest has no `scopes:`, its first use declares it."""
        name = entry.value
        if name not in self.names and self._declared:
            near = suggestion(name, self._declared)
            self._document.mistake(entry.line, f"{where}: `scopes:` declares no {name!r}{near}")
        asked = "string" if type_ == "enum" else type_
        if asked not in BINDABLE:
            self._document.mistake(entry.line, f"{where} is of type {type_}, which no session can bind")
        known = self.names.setdefault(
            name, BoundScope(name, asked, f"ringfence.{name}", origin=self._origin(entry.line))
        )
        if known.type != asked and not any({known.type, type_} <= alike for alike in _ALIKE):
            self._document.mistake(
                entry.line, f"{where} is of type {type_}, and {name!r} of type {known.type} ({known.origin})"
            )
        return Condition(column, "bound", name)


def _strict(constant: Any, type_: str) -> Any:
    """Refuse a YAML constant of another type than the column's, rather than convert it; raises DataError."""
    texts = ("string", "text", "citext", "enum", "uuid")
    if type_ in texts and not isinstance(constant, str):
        raise DataError("put it in quotes, so that YAML reads a text")
    if type_ in values.INTEGER_BITS and (isinstance(constant, bool) or not isinstance(constant, int)):
        raise DataError("a whole number is needed")
    if type_ == "boolean" and not isinstance(constant, bool):
        raise DataError("true or false is needed")
    return constant


def _plain(value: Any) -> Any:
    """Convert a constant to what JSON can hold."""
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, decimal.Decimal):
        return f"{value:f}"
    return value.isoformat() if isinstance(value, dt.date) else str(value)


def constant(column: sa.Column[Any], engines: tuple[str, ...], plain: Any) -> Any:
    """Convert a constant of a scope back to a value of its column.

    Args:
        column: that the condition is on.
        engines: the names of the deployment's engines.
        plain: the constant as `Condition.value` holds it, in a form that JSON can hold.
    """
    kind = portable(column.type, engines)
    return CHECKS[kind.type](kind.params)(plain)
