"""Parses `rows:` and `scopes:` of the manifest, and resolves them against a table's columns."""

import datetime as dt
import decimal
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ringfence.runtime.errors import DataError
from ringfence.runtime.values import values
from ringfence.schema.documents import Document, Name, Value, suggestion
from ringfence.schema.manifest.model import BoundScope, Condition, Conjunction, Origin
from ringfence.schema.models.types import portable

UNSET = ("none", "error")
LOGIN = "@login"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}\Z")
_SETTING = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)+\Z")

_FITS: Mapping[str, Callable[[Mapping[str, Any]], values.Fit]] = {
    "boolean": lambda params: values.boolean,
    "smallint": lambda params: values.bounded_integer(16, params),
    "integer": lambda params: values.bounded_integer(32, params),
    "bigint": lambda params: values.bounded_integer(64, params),
    "decimal": lambda params: values.bounded_decimal(params.get("precision"), params.get("scale")),
    "string": lambda params: values.bounded_text(params.get("length")),
    "text": lambda params: values.bounded_text(params.get("length"), octets_count=True),
    "citext": lambda params: values.text,
    "enum": values.choice,
    "date": lambda params: values.date,
    "datetime": lambda params: values.aware_datetime if params.get("timezone") else values.naive_datetime,
    "uuid": lambda params: values.identifier,
}
"""The check of a constant, by the portable type of its column; only these types can be compared for equality."""
_BINDABLE = tuple(kind for kind in _FITS if kind not in ("enum", "datetime"))
"""The types of a bound scope: without enum, bound as a string, and datetime, which may have a zone or not."""
_ALIKE = ({"smallint", "integer", "bigint"}, {"string", "text", "citext", "enum"})


@dataclass(frozen=True)
class RowsEntry:
    """The condition on one column as it is written, not yet checked against the column."""

    column: Name
    kind: str
    """equals, in, null, bound or login."""
    value: Any
    line: int


@dataclass(frozen=True)
class ScopeEntry:
    """One bound scope that `scopes:` declares."""

    name: Name
    type: Name
    setting: str
    unset: str


def read_rows(table: Name, body: Value) -> tuple[RowsEntry, ...]:
    """Parse `rows:` of one table, recording mistakes.

    Args:
        table: names the table in messages.
        body: the value of `rows:`.
    """
    what = f"rows of {table.text!r}"
    found = [entry for name, value in body.mapping(what) if (entry := _entry(name, value, what))]
    if body.is_mapping and not body.node.value:
        body.mistake(f"{what} names no column; take it out where every row is meant")
    return tuple(found)


def _entry(column: Name, value: Value, what: str) -> RowsEntry | None:
    if value.is_mapping:
        value.mistake(f"{column.text} in {what} must be a constant, a list of them, null, :name or {LOGIN}")
        return None
    if value.is_list:
        constants = [_constant(item, what) for item in value.items(what)]
        if not constants:
            value.mistake(f"{column.text} in {what}: the list is empty, and no row would match")
        return RowsEntry(column, "in", tuple(constants), value.line)
    if not value.is_scalar:
        return RowsEntry(column, "null", None, value.line)
    text = value.constant()
    if isinstance(text, str) and text.startswith(":") and not text.startswith("::"):
        if not _NAME.match(text[1:]):
            value.mistake(
                f"{text!r} in {what} is no name of a scope: a letter, then letters, digits and _, all small; a text"
                " that begins with a colon is written with two"
            )
            return None
        return RowsEntry(column, "bound", text[1:], value.line)
    if text == LOGIN:
        return RowsEntry(column, "login", None, value.line)
    return RowsEntry(column, "equals", _unescaped(text), value.line)


def _constant(item: Value, what: str) -> Any:
    if not item.is_scalar:
        item.mistake(f"a list in {what} holds constants only; write null in an entry of its own")
        return None
    text = item.constant()
    if isinstance(text, str) and (text == LOGIN or (text.startswith(":") and not text.startswith("::"))):
        item.mistake(f"a list in {what} holds constants only, and {text!r} is none")
    return _unescaped(text)


def _unescaped(constant: Any) -> Any:
    """Remove the first of a doubled `:` or `@` that a text begins with."""
    return constant[1:] if isinstance(constant, str) and constant.startswith(("::", "@@")) else constant


def read_scopes(value: Value) -> dict[str, ScopeEntry]:
    """Parse `scopes:`, recording mistakes; the result is keyed by the scope's name."""
    found = {}
    for name, body in value.mapping("scopes"):
        what = f"the scope {name.text!r}"
        document = value.document
        if not _NAME.match(name.text):
            document.mistake(name.line, f"{what}: a name is a letter, then letters, digits and _, all small")
            continue
        fields = body.fields(what, ("type", "setting", "unset"))
        if "type" not in fields:
            document.mistake(name.line, f"{what} says no `type:`; one of {', '.join(_BINDABLE)}")
            continue
        words = {key: word for key, (_, item) in fields.items() if (word := item.name(f"{key} of {what}"))}
        if len(words) != len(fields):
            continue
        setting = words["setting"].text if "setting" in words else f"ringfence.{name.text}"
        unset = words["unset"].text if "unset" in words else "none"
        if words["type"].text not in _BINDABLE:
            document.mistake(
                words["type"].line,
                f"{words['type'].text!r} is no type that a session can bind"
                f"{suggestion(words['type'].text, _BINDABLE)}",
            )
        elif not _SETTING.match(setting):
            document.mistake(words["setting"].line, f"{setting!r} is no setting: write it like app.tenant_id")
        elif unset not in UNSET:
            document.mistake(words["unset"].line, f"unset of {what} is one of {', '.join(UNSET)}")
        else:
            found[name.text] = ScopeEntry(name, words["type"], setting, unset)
    return found


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
        place = f"rows of {table.fullname!r}: {name}"
        if kind.type not in _FITS:
            self._document.mistake(
                entry.line, f"{place} is of type {kind.type}, by which rows cannot be told"
            )
            return None
        if entry.kind == "null":
            if not column.nullable:
                self._document.mistake(entry.line, f"{place} is never null, so no row would match")
            return Condition(name, "null")
        if entry.kind == "bound":
            return self._bound(name, kind.type, entry, place)
        given = (login,) if entry.kind == "login" else entry.value if entry.kind == "in" else (entry.value,)
        constants = []
        for constant in given:
            try:
                constants.append(_plain(_FITS[kind.type](kind.params)(_strict(constant, kind.type))))
            except DataError as error:
                self._document.mistake(entry.line, f"{place} cannot be {constant!r}: {error}")
                return None
        once = tuple(dict.fromkeys(constants))
        return Condition(name, "equals", once[0]) if len(once) == 1 else Condition(name, "in", once)

    def _bound(self, column: str, type_: str, entry: RowsEntry, place: str) -> Condition:
        """Resolve a bound scope; where the manifest has no `scopes:`, its first use declares it."""
        name = entry.value
        if name not in self.names and self._declared:
            near = suggestion(name, self._declared)
            self._document.mistake(entry.line, f"{place}: `scopes:` declares no {name!r}{near}")
        asked = "string" if type_ == "enum" else type_
        if asked not in _BINDABLE:
            self._document.mistake(entry.line, f"{place} is of type {type_}, which no session can bind")
        known = self.names.setdefault(
            name, BoundScope(name, asked, f"ringfence.{name}", origin=self._origin(entry.line))
        )
        if known.type != asked and not any({known.type, type_} <= alike for alike in _ALIKE):
            self._document.mistake(
                entry.line, f"{place} is of type {type_}, and {name!r} of type {known.type} ({known.origin})"
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
    return _FITS[kind.type](kind.params)(plain)
