"""Enforces the mirror by SQLite's authorizer callback: it refuses what a server would refuse the account.

SQLite calls it for each statement that is prepared. It guards honest code against its own mistakes, not a file against
a hostile process.
"""

import re
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ringfence.runtime.engines.base import NO_SCOPE, Mode
from ringfence.runtime.engines.sqlite.row_security import PASS, REFUSE, SKIP, Scoped, Scopes
from ringfence.runtime.engines.sqlite.statements import Statement, lower
from ringfence.runtime.mirror import Mirror, Table

_OPEN_TO_ALL = frozenset({"ringfence_release", "ringfence_retired"})
_WRITES = {
    sqlite3.SQLITE_INSERT: "insert",
    sqlite3.SQLITE_UPDATE: "update",
    sqlite3.SQLITE_DELETE: "delete",
}
_ROWIDS = ("rowid", "oid", "_rowid_")  # names of an integer primary key
_FREE = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE})
_DANGEROUS_FUNCTIONS = frozenset({"load_extension", "writefile", "readfile", "edit", "fts3_tokenizer"})
_DDL = {
    code: name.removeprefix("SQLITE_").replace("_", " ").lower()
    for name, code in vars(sqlite3).items()
    if re.fullmatch(r"SQLITE_(CREATE|DROP|ALTER)_\w+|SQLITE_(ATTACH|DETACH|PRAGMA|REINDEX|ANALYZE)", name)
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason of a refusal, for the error message."""

    verb: str
    table: str | None = None
    column: str | None = None
    read_only: bool = False
    unbound: str | None = None
    """The scope that the session must bind and did not."""


@dataclass(frozen=True, slots=True)
class _Rights:
    readable: frozenset[str]
    hidden: frozenset[str]
    insert: frozenset[str]
    update: frozenset[str]
    verbs: frozenset[str]
    whole_insert: bool


class Authorizer:
    """The authorizer callback of one connection.

    `trusted` is set while the runtime runs statements of its own (BEGIN, COMMIT, savepoints).
    """

    def __init__(self, mirror: Mirror, connection: sqlite3.Connection, scopes: Scopes) -> None:
        self.trusted = False
        self.refusal: Refusal | None = None
        self.swallowed: BaseException | None = None
        """An exception raised in the callback, e.g. by a signal handler, which SQLite swallows."""
        self.secured: frozenset[str] = frozenset()
        """The scoped tables whose views and guard triggers exist; the other scoped tables are refused."""
        self._scopes = scopes
        self._mode = Mode()
        self._bound: Mapping[str, Any] = {}
        self._statement = Statement("")
        self._target: str | None = None
        self._verb: str | None = None
        present = _columns(connection)
        self._rights = {
            lower(table.name): _rights(table, present.get(lower(table.name), frozenset()))
            for table in mirror.tables.values()
        }
        self._views = frozenset(
            lower(name)
            for (name,) in connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'view'")
        )
        self._keys = _ForeignKeys(connection)

    def start(self, sql: str, mode: Mode) -> None:
        """Prepare for the next statement.

        Args:
            sql: its text.
            mode: the session's mode.
        """
        self.refusal = None
        self._target = None
        self._verb = None
        if mode is not self._mode:
            self._mode = mode
            self._bound = {} if mode.scope is NO_SCOPE else self._scopes.values(mode.scope)
        self._statement = Statement(sql)

    def scope(self, name: str) -> Any:
        """Return the value that the session binds to a scope; an SQL function."""
        return self._bound.get(name)

    def guard(self, table: str, what: str) -> int:
        """Return what happens to a row outside the scope; an SQL function that the guard triggers call.

        As on servers, a cascade passes, and a row that the statement would move out of the scope is an error.

        Args:
            table: the trigger's table.
            what: the verb, or `become` for the new row of a write.
        """
        if table != self._target:
            return PASS
        return SKIP if what == self._verb else REFUSE

    def __call__(
        self, action: int, first: str | None, second: str | None, database: str | None, source: str | None
    ) -> int:
        """Decide on one access of a statement, as SQLite's authorizer callback."""
        try:
            if self.trusted or action in _FREE:
                return sqlite3.SQLITE_OK
            if action == sqlite3.SQLITE_READ:  # called for each column
                return self._read(lower(first or ""), lower(second or ""), database, source)
            return self._answer(action, first, second)
        except BaseException as error:  # noqa: BLE001  # SQLite would swallow it
            self.swallowed = error
            return sqlite3.SQLITE_DENY

    def _answer(self, action: int, first: str | None, second: str | None) -> int:
        if action == sqlite3.SQLITE_FUNCTION:
            if lower(second or "") in _DANGEROUS_FUNCTIONS:
                return self._refuse(Refusal(f"call {second}"))
            return sqlite3.SQLITE_OK
        if action in _WRITES:
            return self._write(_WRITES[action], lower(first or ""), lower(second or ""))
        named = first if isinstance(first, str) and action != sqlite3.SQLITE_PRAGMA else None
        return self._refuse(Refusal(_DDL.get(action, "do this"), named))

    def _read(self, table: str, column: str, database: str | None, source: str | None) -> int:
        if table in _OPEN_TO_ALL:
            return sqlite3.SQLITE_OK
        if source is not None and self._within_view(table, lower(source)):
            return sqlite3.SQLITE_OK
        rights = self._rights.get(table)
        selects = rights is not None and "select" in rights.verbs
        scoped = self._scopes.tables.get(table)
        if scoped is not None and source is not None and lower(source) in scoped.guards.values():
            return self._for_guard(scoped, column, lower(source))
        if scoped is not None and scoped.viewed and selects:
            answer = self._through_view(table, column, database, source)
            if answer is not None:
                return answer
            statement = self._statement
            selects = (
                source is None and statement.writes_to_main(table) and not statement.reads_from_main(table)
            )
        if rights is not None and selects and self._gives(rights, column):
            unbound = next((n for n in self._scopes.views.get(table, ()) if n not in self._bound), None)
            if unbound is None:
                return sqlite3.SQLITE_OK
            return self._refuse(Refusal("select", table, None, unbound=unbound))
        if self._keeps_reference(table, column):
            return sqlite3.SQLITE_OK
        if not column and source is None and scoped is None and self._by_view(table):
            return sqlite3.SQLITE_OK
        return self._refuse(Refusal("select", table, column or None))

    def _by_view(self, table: str) -> bool:
        """Return whether a granted view must be the reason for this read of a table, of which no column is read.

        SQLite merges a view into the query that reads it. If that needs only the key, which is the rowid, SQLite asks
        for the table without a column, and names no view.
        """
        return not self._statement.mentions(table) and any(
            self._statement.mentions(view) and "select" in rights.verbs
            for view in self._views
            if (rights := self._rights.get(view)) is not None
        )

    def _within_view(self, table: str, view: str) -> bool:
        """Return whether SQLite reads the table for a view of the schema, which shows what it was defined to show.

        The view itself is checked first, like a table. A common table expression may have its name, so a statement that
        also mentions the table is checked as if there were no view.
        """
        if view not in self._views or self._statement.mentions(table):
            return False
        rights = self._rights.get(view)
        return (rights is not None and "select" in rights.verbs) or not self._statement.mentions(view)

    def _through_view(self, table: str, column: str, database: str | None, source: str | None) -> int | None:
        """Return the answer for a read of a scoped table's view, or of the table by that view; else None."""
        inside = self._for_view(table, source)
        if not inside and database != "temp":
            return None
        if (missing := self._unbound(self._scopes.tables[table], "select")) is not None:
            return self._refuse(missing)
        if inside or self._gives(self._rights[table], column):
            return sqlite3.SQLITE_OK
        return self._refuse(Refusal("select", table, column or None))

    def _for_guard(self, scoped: Scoped, column: str, guard: str) -> int:
        """Allow a guard trigger to read its scope's columns; a common table expression may have its name."""
        if column in scoped.columns and not self._statement.mentions(guard):
            return sqlite3.SQLITE_OK
        return self._refuse(Refusal("select", scoped.name, column or None))

    def _for_view(self, table: str, source: str | None) -> bool:
        """Return whether SQLite reads the table only for our view, because the statement's text cannot mean the table.

        A common table expression may have the view's name, so the source that SQLite reports is not enough.
        """
        return source is not None and lower(source) == table and not self._statement.reads_from_main(table)

    def _means(self, table: str) -> bool:
        """Return whether the statement's text may read the table itself, and not the view in place of it."""
        scoped = self._scopes.tables.get(table)
        if scoped is not None and scoped.viewed:
            return self._statement.reads_from_main(table)
        return self._statement.mentions(table) > (table == self._target)

    def _unbound(self, scoped: Scoped, verb: str) -> Refusal | None:
        for name in scoped.demanded.get(verb, ()):
            if name not in self._bound:
                return Refusal(verb, scoped.name, None, unbound=name)
        return None

    def _gives(self, rights: _Rights, column: str) -> bool:
        """Return whether a column may be read, and the statement compares no unreadable one implicitly."""
        return column in rights.readable and not (rights.hidden and self._compares(rights.hidden))

    def _compares(self, hidden: frozenset[str]) -> bool:
        """Return whether the statement joins by column names, and may compare one of these columns."""
        words = self._statement.joins_by_name
        return "natural" in words or ("using" in words and any(map(self._statement.mentions, hidden)))

    def _keeps_reference(self, table: str, column: str) -> bool:
        """Return whether SQLite's foreign key checks must be the reason for this read, and not the statement's text.

        The authorizer cannot tell these apart, and any write may contain a subquery of a table that is not granted.
        """
        if self._target is None or not self._keys.touches(self._target, table, column):
            return False
        statement = self._statement
        if table != self._target:
            return not (statement.reads_relations and self._means(table))
        if "returning" in statement.words or (statement.reads_relations and self._means(table)):
            return False
        if self._verb == "insert":
            return "conflict" not in statement.words
        return not any(statement.mentions(name) for name in (column, *_ROWIDS))

    def _write(self, verb: str, table: str, column: str) -> int:
        if table in ("sqlite_master", "sqlite_schema", "sqlite_temp_master"):
            return self._refuse(Refusal("alter the schema"))
        if self._mode.read_only:
            return self._refuse(Refusal(verb, table, None, read_only=True))
        if self._target is not None and table != self._target:
            # A cascade of the write that was allowed; a statement has only one target.
            if self._keys.cascades(self._target, table):
                return sqlite3.SQLITE_OK
            return self._refuse(Refusal(verb, table, column or None))
        if self._allowed(verb, table, column):
            if self._target is None:
                self._target, self._verb = table, verb
            scoped = self._scopes.tables.get(table)
            return sqlite3.SQLITE_OK if scoped is None else self._write_scoped(verb, scoped)
        if self._target == table and self._cascades_back(verb, table, column):
            return sqlite3.SQLITE_OK
        return self._refuse(Refusal(verb, table, column or None))

    def _write_scoped(self, verb: str, scoped: Scoped) -> int:
        if scoped.name not in self.secured:
            return self._refuse(Refusal(verb, scoped.name, None))
        missing = self._unbound(scoped, verb)
        return sqlite3.SQLITE_OK if missing is None else self._refuse(missing)

    def _allowed(self, verb: str, table: str, column: str) -> bool:
        rights = self._rights.get(table)
        if rights is None or verb not in rights.verbs:
            return False
        # The authorizer is not called for the rows that REPLACE deletes.
        if verb != "delete" and "delete" not in rights.verbs and self._statement.replaces:
            return False
        if verb == "update":
            return column in rights.update
        if verb == "insert":
            named = self._statement.insert_columns
            return rights.whole_insert if named is None else named <= rights.insert
        return True

    def _cascades_back(self, verb: str, table: str, column: str) -> bool:
        """Return whether a table's foreign key to itself, not the statement's text, is the reason for this write."""
        if not self._keys.cascades(table, table) or self._verb == "insert":
            return False
        if verb == "delete":
            return self._verb == "delete"
        return self._keys.touches(table, table, column) and not self._statement.mentions(column)

    def _refuse(self, refusal: Refusal) -> int:
        self.refusal = self.refusal or refusal
        return sqlite3.SQLITE_DENY


def _rights(table: Table, present: frozenset[str]) -> _Rights:
    def having(flag: str) -> frozenset[str]:
        return frozenset(lower(name) for name, column in table.columns.items() if getattr(column, flag))

    insertable = having("insertable")
    return _Rights(
        # A count of rows reads a table without a column; `rowid` may also be the name of a column.
        readable=having("selectable") | ({"", "rowid"} - present),
        hidden=present - having("selectable"),
        insert=insertable,
        update=having("updatable"),
        verbs=frozenset(table.verbs),
        whole_insert=present <= insertable,
    )


def _columns(connection: sqlite3.Connection) -> dict[str, frozenset[str]]:
    """Return the columns that an insert may name, per table; generated columns are excluded."""
    rows = connection.execute(
        "SELECT m.name, c.name FROM main.sqlite_master m, pragma_table_xinfo(m.name, 'main') c"
        " WHERE m.type = 'table' AND c.hidden = 0"
    )
    found: dict[str, set[str]] = {}
    for table, column in rows:
        found.setdefault(lower(table), set()).add(lower(column))
    return {table: frozenset(columns) for table, columns in found.items()}


class _ForeignKeys:
    """The tables that a write reaches only through foreign keys, for which servers require no grant."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._touched: dict[str, set[tuple[str, str]]] = {}
        self._children: dict[str, set[str]] = {}
        keys = connection.execute(
            'SELECT m.name, f."table", f."from", f."to", f.on_delete, f.on_update'
            " FROM main.sqlite_master m, pragma_foreign_key_list(m.name, 'main') f WHERE m.type = 'table'"
        ).fetchall()
        primary = _primary_keys(connection, {str(key[1]) for key in keys})
        for key in keys:
            child, parent, column, referenced, on_delete, on_update = (str(part or "") for part in key)
            child, parent = lower(child), lower(parent)
            columns = {lower(referenced)} if referenced else primary[parent]
            pairs = {(parent, name) for name in columns} | {(child, lower(column))}
            self._touched.setdefault(child, set()).update(pairs)
            self._touched.setdefault(parent, set()).update(pairs)
            if {on_delete, on_update} & {"CASCADE", "SET NULL", "SET DEFAULT"}:
                self._children.setdefault(parent, set()).add(child)
        for parent, names in primary.items():
            self._touched.setdefault(parent, set()).update((parent, name) for name in names)

    def cascades(self, target: str, table: str) -> bool:
        """Return whether a write to `target` may change rows of `table` through foreign keys."""
        return table in self._reach(target)

    def touches(self, target: str, table: str, column: str) -> bool:
        """Return whether a write to `target` reads this column to check a foreign key."""
        reach = self._reach(target) | {target}
        return any((table, column) in self._touched.get(name, ()) for name in reach) or (
            table in reach and column in self._key_columns(table)
        )

    def _key_columns(self, table: str) -> Iterable[str]:
        return {column for name, column in self._touched.get(table, ()) if name == table}

    def _reach(self, target: str) -> set[str]:
        found: set[str] = set()
        left = [target]
        while left:
            for child in self._children.get(left.pop(), ()):
                if child not in found:
                    found.add(child)
                    left.append(child)
        return found


def _primary_keys(connection: sqlite3.Connection, tables: set[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for table in tables:
        rows = connection.execute("SELECT name FROM pragma_table_info(?, 'main') WHERE pk > 0", (table,))
        found[lower(table)] = {lower(str(name)) for (name,) in rows}
    return found
