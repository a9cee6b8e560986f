"""Rebuilds SQLite tables inside Alembic's batch mode, and restores or reports what Alembic would lose silently."""

import copy
import logging
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic.ddl.sqlite import SQLiteImpl

from ringfence.schema.alembic_compat import ddl_implementation
from ringfence.schema.engines.sqlite.expressions import computed_in, default_of
from ringfence.schema.errors import JobFailed
from ringfence.schema.sql.text import verbatim

if TYPE_CHECKING:
    from alembic.operations.batch import ApplyBatchImpl, BatchOperationsImpl

_LOOK = "_ringfence_look"
_TEXT = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/", re.DOTALL)
_UPDATE_OF = re.compile(r"\bUPDATE\s+OF\s+(.+?)\s+ON\b", re.IGNORECASE | re.DOTALL)
_WORD = re.compile(r"\w+")
# Warnings of Alembic and SQLAlchemy about losses that this module prevents.
_KEPT = (
    "Unnamed CHECK constraint on reflected table",
    "Skipped unsupported reflection of expression-based index",
)
_UNSAID = {"nullable": None, "type_": None, "server_default": False, "comment": False, "autoincrement": None}
_log = logging.getLogger("ringfence.migrate")


@dataclass
class _Rebuild:
    """What one rebuild must restore."""

    batch: Any
    triggers: list[str] = field(default_factory=list)
    indexes: dict[str, str] = field(default_factory=dict)
    unseen: list[str] = field(default_factory=list)
    """The statements of indexes on expressions, which Alembic does not reflect."""
    broken: frozenset[str] = frozenset()
    """Errors of views and triggers that did not compile before the rebuild."""
    last_key: int | None = None
    """The highest key that AUTOINCREMENT ever gave; None without AUTOINCREMENT, or before the first row."""


@ddl_implementation("sqlite")
class RebuildingImpl(SQLiteImpl):
    """Alembic's implementation for SQLite, in place of its own."""

    _rebuild: _Rebuild | None = None

    def requires_recreate_in_batch(self, batch_op: "BatchOperationsImpl") -> bool:
        """Return whether the table must be rebuilt; Alembic calls this before it reflects the table.

        Columns that get another name are renamed here, by ALTER TABLE RENAME COLUMN: views, triggers, indexes and
        checks follow, and the rest of the batch may need no rebuild.
        """
        # A batch reflects its table after this, and Alembic offers no place around both. `env.py` runs the migrations
        # under `warnings.catch_warnings`, which removes these filters again.
        for message in _KEPT:
            warnings.filterwarnings("ignore", message=message)
        if not self.as_sql:
            batch_op.batch = list(self._rename(batch_op))
        return super().requires_recreate_in_batch(batch_op)

    def autogen_column_reflect(self, inspector: Any, table: sa.Table, column_info: Any) -> None:
        """Replace the default and the expression of a reflected column by their original text."""
        if (default := column_info.get("default")) is not None:
            column_info["default"] = default_of(default)
        if (computed := column_info.get("computed")) is not None:
            (statement,) = self._texts("table", table).values()
            text = computed_in(statement)[column_info["name"].lower()]
            column_info["computed"] = {**computed, "sqltext": verbatim(text)}

    def prep_table_for_batch(self, batch_impl: "ApplyBatchImpl", table: sa.Table) -> None:
        """Record what the rebuild would lose, and add to the new table what reflection does not see.

        Raises:
            JobFailed: The rebuild could lose rows, or the new table cannot declare what the old one does.
        """
        super().prep_table_for_batch(batch_impl, table)
        self._rebuild = None
        if self.as_sql or self.connection is None:
            return
        self._refuse(table)
        self._drop_leftover(batch_impl)
        rebuild = _Rebuild(batch_impl)
        rebuild.broken = frozenset(self._broken(table.name))
        rebuild.triggers = list(self._texts("trigger", table).values())
        rebuild.indexes = self._texts("index", table)
        rebuild.unseen = [text for name, text in rebuild.indexes.items() if self._on_expressions(name, table)]
        self._keep_columns(batch_impl, table)
        self._keep_checks(batch_impl, table)
        self._keep_actions(batch_impl, table)
        for key, transfer in batch_impl.column_transfers.items():
            if _new(batch_impl).c[key].computed is not None:
                transfer.pop("expr", None)  # SQLite computes the value, and refuses one that is given
        if self._says(r"\bAUTOINCREMENT\b", table):
            new = _new(batch_impl)
            new.dialect_options["sqlite"]["autoincrement"] = True
            row = self._query(
                f"SELECT seq FROM {self._main(table)}sqlite_sequence WHERE name = ?", table.name
            )
            rebuild.last_key = row[0][0] if row else None
        self._rebuild = rebuild

    def drop_table(self, table: sa.Table, **kw: Any) -> None:
        """Drop a table; the old table of a rebuild only if the new one has the same number of rows.

        Raises:
            JobFailed: It does not.
        """
        if self._rebuild is not None and table is self._rebuild.batch.table:
            new = _new(self._rebuild.batch)
            before, after = (self._count(one) for one in (table, new))
            if before != after:
                raise JobFailed(
                    f"table {table.name} has {before} rows, and {after} of them after its rebuild"
                )
        super().drop_table(table, **kw)

    def rename_table(self, old_table_name: str, new_table_name: str, schema: str | None = None) -> None:
        """Rename a table; at the end of a rebuild, restore its triggers, and leave those of other tables as they are.

        Raises:
            JobFailed: Views or triggers worked before the rebuild, and do not compile now.
        """
        rebuild = self._rebuild
        if rebuild is None or old_table_name != rebuild.batch.temp_table_name:
            super().rename_table(old_table_name, new_table_name, schema)
            return
        legacy = self._query("PRAGMA legacy_alter_table")[0][0]
        self._send(
            "PRAGMA legacy_alter_table = ON"
        )  # else views on the table, which does not exist now, are errors
        try:
            super().rename_table(old_table_name, new_table_name, schema)
        finally:
            self._send(f"PRAGMA legacy_alter_table = {'ON' if legacy else 'OFF'}")
        for text in rebuild.triggers + rebuild.unseen:
            self._send(text)
        if rebuild.last_key is not None:
            sequence = f"{self._main(rebuild.batch.table)}sqlite_sequence"
            self._query(f"DELETE FROM {sequence} WHERE name = ?", new_table_name)
            self._query(f"INSERT INTO {sequence} (name, seq) VALUES (?, ?)", new_table_name, rebuild.last_key)
        if broken := sorted(set(self._broken(new_table_name)) - rebuild.broken):
            raise JobFailed(
                f"what hangs on table {new_table_name} does not work after its rebuild:\n  "
                + "\n  ".join(broken)
                + "\nlet the revision drop it first, and create it again afterwards"
            )

    def create_index(self, index: sa.Index, **kw: Any) -> None:
        """Create an index; in a rebuild, an existing one by its old statement, with order and collation of columns."""
        rebuild = self._rebuild
        if (
            rebuild is not None
            and index.table is rebuild.batch.new_table
            and index.name in rebuild.indexes
            and index.name not in rebuild.batch.new_indexes
        ):
            self._send(rebuild.indexes[index.name])
        else:
            super().create_index(index, **kw)

    def _refuse(self, table: sa.Table) -> None:
        if self._query("PRAGMA foreign_keys")[0][0] and (children := self._children(table)):
            raise JobFailed(
                f"table {table.name} is to be rebuilt while foreign keys are enforced, which would delete the rows of"
                f" {', '.join(children)} that refer to it: run the revision through `ringfence migrate`, or in the"
                " env.py that `ringfence init` writes"
            )
        deferred = any(key.deferrable for key in table.foreign_key_constraints)
        for pattern, what in ((r"\bON\s+CONFLICT\b", "ON CONFLICT"), (r"\bDEFERRABLE\b", "DEFERRABLE")):
            if self._says(pattern, table) and not (what == "DEFERRABLE" and deferred):
                raise JobFailed(
                    f"table {table.name} says {what} in its constraints, which would be lost in its rebuild: write the"
                    " new table in the revision by hand"
                )

    def _children(self, table: sa.Table) -> list[str]:
        """Return the other tables that are not empty and have a foreign key to the table."""
        rows = self._query(
            f"SELECT DISTINCT m.name FROM {self._main(table)}sqlite_master m JOIN pragma_foreign_key_list(m.name) f"
            ' WHERE m.type = ? AND f."table" = ? COLLATE NOCASE AND m.name <> ? COLLATE NOCASE ORDER BY m.name',
            "table",
            table.name,
            table.name,
        )
        names = (row[0] for row in rows)
        return [name for name in names if self._query(f"SELECT 1 FROM {self._quoted(name)} LIMIT 1")]

    def _drop_leftover(self, batch: "ApplyBatchImpl") -> None:
        """Drop the copy that a killed run left behind; the table itself still exists then."""
        name = batch.temp_table_name
        if sa.inspect(self._connection).has_table(name, schema=batch.table.schema):
            _log.warning("dropping %s, which a rebuild of %s left behind", name, batch.table.name)
            self._send(f"DROP TABLE {self._main(batch.table)}{self._quoted(name)}")

    def _rename(self, batch: "BatchOperationsImpl") -> Iterator[tuple[str, Any, Any]]:
        """Rename columns by ALTER TABLE, and yield the remaining operations of the batch."""
        names: dict[str, str] = {}
        for operation, arguments, more in batch.batch:
            if operation != "alter_column":
                yield operation, arguments, more
                continue
            table, column = arguments
            column = names.get(column, column)
            left = dict(more)
            name = left.pop("name", None)
            if name not in (None, column):
                self.alter_column(table, column, name=name, schema=batch.schema)
                column = names[column] = name
            if name is None or any(left.get(key) is not unsaid for key, unsaid in _UNSAID.items()):
                yield operation, (table, column), left

    def _keep_columns(self, batch: "ApplyBatchImpl", table: sa.Table) -> None:
        """Give the columns of the new table the collations of the old one.

        Raises:
            JobFailed: SQLAlchemy cannot declare the collation, because the column's type is not a string.
        """
        new = _new(batch)
        collations = self._collations(table)
        for key, transfer in batch.column_transfers.items():
            column = new.c[key]
            collation = collations.get(column.name.lower(), "BINARY") if "expr" in transfer else "BINARY"
            if collation.upper() == "BINARY" or getattr(column.type, "collation", None):
                continue
            if not isinstance(column.type, sa.String):
                raise JobFailed(
                    f"{table.name}.{column.name} has the collation {collation}, which a column of type {column.type}"
                    " cannot be given in a rebuild: write the new table in the revision by hand"
                )
            kind = copy.copy(column.type)
            kind.collation = collation
            column.type = kind

    def _collations(self, table: sa.Table) -> dict[str, str]:
        """Return column -> collation.

        Only the PRAGMA for an index shows the collations of columns: one is created for it that includes no row, and
        dropped again.
        """
        names = [
            row[1]
            for row in self._query(f"PRAGMA {self._main(table)}table_xinfo({self._quoted(table.name)})")
        ]
        columns = ", ".join(map(self._quoted, names))
        index = f"{self._main(table)}{_LOOK}"
        self._send(f"CREATE INDEX {index} ON {self._quoted(table.name)} ({columns}) WHERE 1 = 0")
        rows = self._query(f"PRAGMA {self._main(table)}index_xinfo({_LOOK})")
        self._send(f"DROP INDEX {index}")
        return {row[2].lower(): row[4] for row in rows if row[2] is not None}

    def _keep_checks(self, batch: "ApplyBatchImpl", table: sa.Table) -> None:
        """Copy the CHECKs without a name to the new table, and leave out those of dropped columns.

        CHECKs that the batch itself declares replace them.

        Raises:
            JobFailed: A CHECK refers to a column that is dropped and to one that is kept.
        """
        new = _new(batch)
        found = sa.inspect(self._connection).get_check_constraints(table.name, schema=table.schema)
        if any(isinstance(one, sa.CheckConstraint) for one in batch.table_args) or not batch.reflected:
            return
        gone = {column.name.lower() for key, column in table.c.items() if key not in batch.column_transfers}
        left = {column.name.lower() for column in new.c}
        for check in found:
            words = {word.lower() for word in _WORD.findall(_TEXT.sub("", check["sqltext"]))}
            named = next(
                (one for one in new.constraints if check["name"] and one.name == check["name"]), None
            )
            if named is not None and words & gone:
                if words & left:
                    raise JobFailed(
                        f"the CHECK {check['name']} of table {table.name} names {', '.join(sorted(words & gone))},"
                        f" which goes, and {', '.join(sorted(words & left))}, which stays: drop the CHECK first"
                    )
                new.constraints.discard(named)
            was = batch.named_constraints.get(str(check["name"]))
            if (
                isinstance(named, sa.CheckConstraint) and was in table.constraints
            ):  # else the batch creates it
                named.sqltext = verbatim(check["sqltext"])
            if not check["name"] and (not words & gone or words & left):  # else dropped with its column
                new.append_constraint(sa.CheckConstraint(verbatim(check["sqltext"])))

    def _keep_actions(self, batch: "ApplyBatchImpl", table: sa.Table) -> None:
        """Restore ON UPDATE and ON DELETE of foreign keys that are declared in a column's definition."""
        found: dict[int, Any] = {}
        for row in self._query(f"PRAGMA {self._main(table)}foreign_key_list({self._quoted(table.name)})"):
            found.setdefault(row[0], ([], row))[0].append(row[3].lower())
        for key in _new(batch).foreign_key_constraints:
            if key.name and batch.named_constraints.get(str(key.name)) not in table.constraints:
                continue  # the batch creates it
            for columns, row in found.values():
                if sorted(columns) == sorted(name.lower() for name in key.column_keys) and (
                    key.referred_table.name.lower() == row[2].lower()
                ):
                    key.onupdate, key.ondelete = (
                        None if action == "NO ACTION" else action for action in row[5:7]
                    )

    def _broken(self, table: str) -> Iterator[str]:
        """Yield the views, and triggers that name the table, that do not compile, each with SQLite's error."""
        rows = self._query(
            "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE type IN ('view', 'trigger')"
        )
        word = re.compile(rf"\b{re.escape(table)}\b", re.IGNORECASE)
        for name in sorted({row[1] for row in rows if row[0] == "view"}):
            yield from self._error(f"view {name}", f"SELECT * FROM {self._quoted(name)}")
        triggers = [row for row in rows if row[0] == "trigger" and word.search(row[3])]
        for trigger in triggers:
            for column in _columns_of(trigger[3]) - self._columns(trigger[2]):
                yield f"trigger {trigger[1]}: no such column: {column}"
        for name in sorted({row[2] for row in triggers}):
            quoted = self._quoted(name)
            for what in (
                f"INSERT INTO {quoted} DEFAULT VALUES",
                f"DELETE FROM {quoted}",
                self._update(quoted),
            ):
                yield from self._error(f"a trigger of {name}, on {what.split(maxsplit=1)[0]}", what)

    def _update(self, quoted: str) -> str:
        """Return an UPDATE of every column, so that EXPLAIN compiles each trigger."""
        columns = [self._quoted(row[1]) for row in self._info(quoted) if not row[6]] or ["rowid"]
        return f"UPDATE {quoted} SET {', '.join(f'{column} = {column}' for column in columns)}"

    def _columns(self, name: str) -> set[str]:
        return {row[1].lower() for row in self._info(self._quoted(name))}

    def _info(self, quoted: str) -> list[Any]:
        try:
            return self._query(f"PRAGMA table_xinfo({quoted})")
        except sa.exc.OperationalError:  # a view that does not compile, which is reported by itself
            return []

    def _error(self, what: str, statement: str) -> Iterator[str]:
        try:
            self._query(f"EXPLAIN {statement}")
        except sa.exc.OperationalError as error:
            yield f"{what}: {error.orig}"

    def _texts(self, kind: str, table: sa.Table) -> dict[str, str]:
        """Return name -> statement of a table's objects, in the order in which they were created."""
        rows = self._query(
            f"SELECT name, sql FROM {self._main(table)}sqlite_master"
            " WHERE type = ? AND tbl_name = ? COLLATE NOCASE AND sql IS NOT NULL ORDER BY rowid",
            kind,
            table.name,
        )
        return {row[0]: row[1] for row in rows}

    def _says(self, pattern: str, table: sa.Table) -> bool:
        texts = self._texts("table", table).values()
        return any(re.search(pattern, _TEXT.sub("", text), re.IGNORECASE) for text in texts)

    def _on_expressions(self, index: str, table: sa.Table) -> bool:
        rows = self._query(f"PRAGMA {self._main(table)}index_xinfo({self._quoted(index)})")
        return any(row[1] == -2 for row in rows)  # SQLite's number for an expression

    def _count(self, table: sa.Table) -> int:
        return int(self._query(f"SELECT COUNT(*) FROM {self._main(table)}{self._quoted(table.name)}")[0][0])

    @property
    def _connection(self) -> sa.Connection:
        if self.connection is None:
            raise JobFailed("a table is rebuilt only on a connection")
        return self.connection

    def _main(self, table: sa.Table) -> str:
        return f"{self._quoted(table.schema)}." if table.schema else ""

    def _quoted(self, name: str) -> str:
        return self.dialect.identifier_preparer.quote(name)

    def _query(self, statement: str, *values: object) -> list[Any]:
        found = self._connection.exec_driver_sql(statement, values)
        return list(found) if found.returns_rows else []

    def _send(self, statement: str) -> None:
        self._connection.exec_driver_sql(statement)


def _new(batch: "ApplyBatchImpl") -> sa.Table:
    if batch.new_table is None:
        raise JobFailed(f"there is no new table for {batch.table.name}")
    return batch.new_table


def _columns_of(trigger: str) -> set[str]:
    """Return the columns that a trigger lists after UPDATE OF, in lower case."""
    found = _UPDATE_OF.search(trigger)
    return {name.strip(' \t\n"`[]').lower() for name in found[1].split(",")} if found else set()
