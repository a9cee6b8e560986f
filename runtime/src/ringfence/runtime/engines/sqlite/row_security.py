"""Row scopes on SQLite: a temporary view in place of each scoped table, and guard triggers for writes.

SQLite looks for a name among the connection's temporary objects first, so every read of the table's plain name goes
through the view, in the program's own SQL too. Writes name `main.table`, as writes through a view would report neither
keys nor counts; the guards are temporary triggers, which survive another connection's rebuild of the table and affect
this connection only.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ringfence.runtime.engines.relations import double_quoted
from ringfence.runtime.engines.sqlite.codecs import CODECS, QUOTE
from ringfence.runtime.engines.sqlite.statements import lower
from ringfence.runtime.mirror import Mirror, Table
from ringfence.runtime.values.codecs import Codec, codec_for

OUTSIDE = "outside the scope of the account: "
"""The beginning of a guard trigger's message, which the table's name follows."""
PASS, SKIP, REFUSE = range(3)
"""What a guard trigger does with a row outside the scope."""
_WRITES = ("insert", "update", "delete")


@dataclass(frozen=True, slots=True)
class Scoped:
    """A table with a scope on some verb; names are in lower case, as `lower` returns them."""

    name: str
    viewed: bool
    """Whether it is read through a view, having a scope on select."""
    guards: Mapping[str, str]
    """Verb -> the name of its guard trigger."""
    columns: frozenset[str]
    """The columns that the guard triggers read."""
    demanded: Mapping[str, tuple[str, ...]]
    """Verb -> the scopes that a session must bind for it."""
    statements: tuple[str, ...]


class Scopes:
    """The scopes of one mirror.

    Raises:
        BadMirror: for a constant of a type that SQLite does not have.
        DataError: for a constant that its type does not accept.
    """

    def __init__(self, mirror: Mirror) -> None:
        self._login = mirror.login
        self._codecs = {name: _codec(item) for name, item in mirror.scopes.items()}
        self._demanding = {name for name, item in mirror.scopes.items() if item.get("unset") == "error"}
        self.tables: dict[str, Scoped] = {
            lower(table.name): self._scoped(table)
            for table in mirror.tables.values()
            if any(verb.scope is not None for verb in table.verbs.values())
        }
        self.views: dict[str, tuple[str, ...]] = {
            lower(table.name): demanded
            for table in mirror.tables.values()
            if "select" in table.verbs
            and (demanded := tuple(sorted(self._demanding.intersection(table.verbs["select"].binds))))
        }
        """The views of the schema that read scopes which a session must bind, with the names of these."""

    def build(self, connection: sqlite3.Connection, made: Iterable[str] = ()) -> frozenset[str]:
        """Create the views and guard triggers of existing tables that have none.

        Args:
            connection: a connection without a transaction and an authorizer.
            made: the tables that have theirs already.

        Returns:
            The tables that have theirs now.
        """
        there = {
            lower(str(name))
            for (name,) in connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")
        }
        done = set(made)
        for name in (self.tables.keys() & there) - done:
            for statement in self.tables[name].statements:
                connection.execute(statement)
            done.add(name)
        return frozenset(done)

    def relation(self, table: Table, verb: str) -> str | None:
        """Return the relation of a verb where it is not the table's plain name, else None."""
        scoped = self.tables.get(lower(table.name))
        if scoped is None or not scoped.viewed or verb == "select":
            return None
        return f"main.{double_quoted(table.name)}"

    def restriction(self, table: Table, verb: str, name: str) -> str | None:
        """Return the condition that limits an UPDATE or DELETE to its scope, or None.

        The guard triggers would skip other rows as well; with the condition an index can find the right ones. It may
        only read columns that the account may read.

        Args:
            table: a table of the mirror.
            verb: update or delete.
            name: the quoted name or alias of the table in the statement.
        """
        given = table.verbs.get(verb)
        if given is None or given.scope is None or "select" not in table.verbs:
            return None
        columns = {column for part in given.scope for column in part}
        if not all(column in table.columns and table.columns[column].selectable for column in columns):
            return None
        return self._condition(given.scope, name)

    def values(self, bound: Mapping[str, Any]) -> dict[str, Any]:
        """Return the scope values that a session binds, as columns store them."""
        return {name: _stored(self._codecs[name], value) for name, value in bound.items()}

    def _scoped(self, table: Table) -> Scoped:
        scopes = {verb: given.scope for verb, given in table.verbs.items() if given.scope is not None}
        writes = {verb: scopes[verb] for verb in _WRITES if verb in scopes}
        guards = {verb: f"ringfence_{verb}_{table.name}" for verb in writes}
        statements = [
            self._guard(table, verb, scope, double_quoted(guards[verb])) for verb, scope in writes.items()
        ]
        if "select" in scopes:
            statements.append(self._view(table, scopes["select"]))
        return Scoped(
            name=lower(table.name),
            viewed="select" in scopes,
            guards={verb: lower(name) for verb, name in guards.items()},
            columns=frozenset(
                lower(column) for scope in writes.values() for part in scope for column in part
            ),
            demanded={verb: names for verb, scope in scopes.items() if (names := self._demanded(scope))},
            statements=tuple(statements),
        )

    def _demanded(self, scope: Iterable[Mapping[str, Mapping[str, Any]]]) -> tuple[str, ...]:
        names = {condition.get("bound") for part in scope for condition in part.values()}
        return tuple(sorted(self._demanding & names))

    def _view(self, table: Table, scope: Any) -> str:
        # The authorizer refuses the columns that are not granted, as for any table.
        name = double_quoted(table.name)
        return f"CREATE TEMP VIEW {name} AS SELECT * FROM main.{name} WHERE {self._condition(scope, name)}"

    def _guard(self, table: Table, verb: str, scope: Any, name: str) -> str:
        said = QUOTE.text(OUTSIDE + table.name)
        rows = {"insert": ("NEW",), "update": ("OLD", "NEW"), "delete": ("OLD",)}[verb]
        checks = []
        for row in rows:
            # A row already outside the scope is skipped; one that would leave the scope is an error.
            asked = f"{QUOTE.text(lower(table.name))}, {QUOTE.text(verb if row == 'OLD' else 'become')}"
            checks.append(
                f"SELECT CASE ringfence_guard({asked})"
                f" WHEN {SKIP} THEN RAISE(IGNORE) WHEN {REFUSE} THEN RAISE(ABORT, {said}) END"
                f" WHERE {self._condition(scope, row)} IS NOT TRUE;"
            )
        # A key that SQLite generates is not known before the insert.
        keys = {column for part in scope for column in part} & set(table.primary_key)
        when = "AFTER" if verb == "insert" and keys else "BEFORE"
        return (
            f"CREATE TEMP TRIGGER {name} {when} {verb.upper()} ON main.{double_quoted(table.name)}"
            f" BEGIN {' '.join(checks)} END"
        )

    def _condition(self, scope: Iterable[Mapping[str, Mapping[str, Any]]], name: str) -> str:
        """Return the SQL of a scope, in parentheses."""
        parts = [
            " AND ".join(self._test(f"{name}.{double_quoted(column)}", test) for column, test in part.items())
            or "1"
            for part in scope
        ]
        return f"({' OR '.join(f'({part})' for part in parts) or '0'})"

    def _test(self, column: str, condition: Mapping[str, Any]) -> str:
        if "bound" in condition:
            return f"{column} = ringfence_scope({QUOTE.text(condition['bound'])})"
        if "null" in condition:
            return f"{column} IS NULL"
        if "login" in condition:
            return f"{column} = {QUOTE.text(self._login)}"
        codec = _codec(condition)
        if "in" in condition:
            return f"{column} IN ({', '.join(codec.compare(value, QUOTE) for value in condition['in'])})"
        return f"{column} = {codec.compare(condition['equals'], QUOTE)}"


class _Unquoted:
    """Writes a text as itself instead of as a literal."""

    def text(self, value: str) -> str:
        """Return the text."""
        return value

    def octets(self, value: bytes) -> str:
        """Raise TypeError: no scope has the type bytes."""
        raise TypeError("no scope is bound to bytes")


_AS_IT_IS = _Unquoted()


def _stored(codec: Codec, value: Any) -> Any:
    if isinstance(value, int):
        return int(value)
    return f"{value:f}" if isinstance(value, Decimal) else codec.literal(value, _AS_IT_IS)


def _codec(item: Mapping[str, Any]) -> Codec:
    kind = "text" if item["type"] in ("enum", "string", "citext") else item["type"]
    return codec_for(CODECS, kind, item.get("params", {}), "a scope")
