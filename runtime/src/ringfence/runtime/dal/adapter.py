"""The base of the PyDAL adapters of all engines: connections from sessions, values through codecs, Ringfence errors."""

import functools
import hashlib
import operator
import re
from collections.abc import Callable
from typing import Any, Protocol

from pydal.helpers.classes import SQLALL
from pydal.helpers.methods import xorify
from pydal.objects import Expression, Field, Query, Select, Table

from ringfence.runtime.dal.decode_errors import read_key
from ringfence.runtime.dal.fast_paths import FastPaths
from ringfence.runtime.dal.operands import SelectText, operand
from ringfence.runtime.dal.pydal_compat import reference_to
from ringfence.runtime.dal.representing import Representing
from ringfence.runtime.dal.rows import UNBOUND
from ringfence.runtime.dal.select import NestedSelect, joined, readable
from ringfence.runtime.dal.sequence_defaults import reports_key
from ringfence.runtime.dal.streaming import FIRST_ROWS, StreamedRows
from ringfence.runtime.dal.types import plain_codecs
from ringfence.runtime.engines import NO_CONTEXT, Backend, StatementContext
from ringfence.runtime.errors import ArgumentError, NotSupportedError
from ringfence.runtime.session import Session

Cache = Callable[[str, Callable[[], Any], Any], Any]
_NAME = re.compile(r"\w+(\.\w+)?")


class Sessions(Protocol):
    """Gives the adapter the session of the calling thread or task."""

    def current(self) -> Session:
        """Return the caller's session.

        Raises:
            InterfaceError: when the caller has no open session.
        """
        ...

    def connected(self) -> Any | None:
        """Return the caller's driver connection if its session has one already, else None."""
        ...


class RingfenceAdapter(Representing, FastPaths):
    """The behaviour common to all engines, mixed in before PyDAL's adapter; opens no connection itself.

    Its two bases are each used by themselves: `Representing` converts values between Python, SQL and rows, `FastPaths`
    compiles the common statements and leaves all others to this class.
    """

    sessions: Sessions
    backend: Backend

    # -- connections, all from the current session

    def _initialize_(self) -> None:
        self.folder = None
        self.sessions = self.adapter_args["sessions"]  # type: ignore[attr-defined]  # set by BaseAdapter
        self.backend = self.adapter_args["backend"]  # type: ignore[attr-defined]
        self._plain = plain_codecs(self.backend.codecs)
        self.execution_handlers: list[Any] = []
        self.compiled = self.adapter_args.get("compiled", True)  # type: ignore[attr-defined]
        self._shapes = {}
        self._columns = {}
        self._inserts = {}

    def find_driver(self) -> None:
        """Set no driver: the backend imports and calls it."""
        self.driver = None

    @property
    def connection(self) -> Any:
        """The driver connection of the current session."""
        return self.sessions.current().connection

    def get_connection(self, use_pool: bool = True) -> Any:
        """Return the driver connection of the current session."""
        return self.connection

    @property
    def cursor(self) -> Any:
        """The driver cursor of the current session."""
        return self.sessions.current().cursor

    def set_connection(self, connection: Any, run_hooks: bool = False) -> None:
        """Do nothing: connections come from sessions."""

    def close(self, action: Any = "commit", really: bool = True) -> None:
        """Do nothing: the session returns its connection to the pool."""

    def reconnect(self) -> None:
        """Do nothing: a session takes a connection when it runs its first statement."""

    def commit(self) -> None:
        """Commit the transaction of the current session."""
        self.sessions.current().commit()

    def rollback(self) -> None:
        """Roll back the transaction of the current session."""
        self.sessions.current().rollback()

    # -- statements

    def execute(self, sql: str, *args: Any, context: StatementContext = NO_CONTEXT, **kwargs: Any) -> Any:
        """Run one statement in the current session and return its cursor.

        Args:
            sql: the statement.
            args: the statement's parameters as the only item, if it has any.
            context: the verb and tables of the statement, for error messages.
            kwargs: ignored; PyDAL's signature.

        Raises:
            RingfenceError: what the driver's error is translated to.
        """
        return self.sessions.current().execute(sql, args[0] if args and args[0] else None, context=context)

    def fetchall(self) -> Any:
        """Return all remaining rows of the last statement."""
        return self.sessions.current().reading(self.cursor.fetchall)

    def fetchone(self) -> Any:
        """Return the next row of the last statement, or None."""
        return self.sessions.current().reading(self.cursor.fetchone)

    def _select_aux_execute(self, sql: str) -> Any:
        session = self.sessions.current()
        context = sql.context if isinstance(sql, SelectText) else NO_CONTEXT
        return session.reading(session.execute(sql, context=context).fetchall, context)

    def select(self, query: Any, fields: Any, attributes: dict[str, Any]) -> Any:
        """Run a select and return its Rows; error messages name the tables that it reads.

        Args:
            query: the condition, or None.
            fields: the fields and expressions to select.
            attributes: PyDAL's options of a select, such as `orderby` and `limitby`.
        """
        shape = self.shape(fields)
        sql = self.simple_sql(query, shape, attributes) if shape is not None else None
        if shape is None or sql is None:
            return self._select_by_pydal(query, fields, attributes)
        session, context = self.sessions.current(), shape.context
        raw = session.reading(session.execute(sql, context=context).fetchall, context)
        return self.parse(raw, fields, shape.colnames)

    def _select_by_pydal(self, query: Any, fields: Any, attributes: dict[str, Any]) -> Any:
        """Do what PyDAL's `select` does, with a text that knows its context."""
        context = self.context_of(query, fields, attributes)
        colnames, written = self._select_wcols(query, fields, **attributes)
        sql, cache = SelectText(written, context), attributes.get("cache")
        if cache and attributes.get("cacheable", False):
            return self._cached_select(cache, sql, fields, attributes, colnames)
        return self._select_aux(sql, fields, attributes, colnames)

    def _select(self, *arguments: Any, **options: Any) -> SelectText:
        return SelectText(super()._select(*arguments, **options))  # type: ignore[misc]  # defined by PyDAL's class, which is untyped

    def nested_select(self, query: Any, fields: Any, attributes: dict[str, Any]) -> NestedSelect:
        """Return a select for use inside another statement."""
        return NestedSelect(self.db, query, fields, attributes)  # type: ignore[attr-defined]

    def iterselect(self, query: Any, fields: Any, attributes: dict[str, Any]) -> StreamedRows:
        """Run a select whose rows are fetched in batches; error messages name the tables that it reads."""
        context = self.context_of(query, fields, attributes)
        colnames, sql = self._select_wcols(query, fields, **attributes)
        stream, first = self.sessions.current().stream(str(sql), FIRST_ROWS, context)
        return StreamedRows(self.db, fields, colnames, stream, first, self.batch_decoder(fields, colnames))  # type: ignore[attr-defined]

    def tables(self, *queries: Any) -> dict[str, Any]:
        """Return the tables that queries and expressions refer to, by their PyDAL names.

        Args:
            queries: queries, expressions, fields and tables.

        Raises:
            ValueError: when two different tables have the same name.
        """
        found: dict[str, Any] = {}
        for query in queries:
            _collect(query, found)
        return found

    def expand_all(self, fields: Any, tabledict: Any) -> list[Any]:
        """Return the selected fields; no fields, or `table.ALL`, means the columns that the account may read.

        Args:
            fields: what the program selected.
            tabledict: the tables of the select, by name.

        Raises:
            ArgumentError: for SQL text that is not the name of a field, and for a nested select in place of a column.
        """
        if not fields and len(tabledict) == 1:
            return readable(next(iter(tabledict.values())))
        asked = fields or [SQLALL(table) for table in tabledict.values()]
        expanded: list[Any] = []
        for item in asked:
            if isinstance(item, SQLALL):
                expanded += readable(item._table)
            elif isinstance(item, str) and not _NAME.fullmatch(item):
                raise ArgumentError(
                    "select takes fields and expressions, or the name of a field: not the text of a statement's part"
                )
            elif isinstance(item, Select):
                raise ArgumentError(
                    "a nested select is no column: join it by its alias, or compare by field.belongs()"
                )
            else:
                expanded += super().expand_all([item], tabledict)  # type: ignore[misc]
        return expanded

    def context_of(self, query: Any, fields: Any, attributes: Any = None) -> StatementContext:
        """Return the context of a select: the tables that it reads.

        Args:
            query: the condition, or None.
            fields: the selected fields and expressions.
            attributes: PyDAL's options of a select.
        """
        found = self.tables(query, *fields) if query is not None else self.tables(*fields)
        names = [getattr(table, "_dalname", None) or name for name, table in found.items()]
        names += joined(attributes or {})
        return StatementContext("select", ", ".join(dict.fromkeys(names)) or None)

    # -- cached selects: the keys contain the scope, so that cached rows never reach another one

    def own_cache(self, given: Any) -> Any:
        """Return a PyDAL cache argument whose keys include the scope that the current session binds.

        Args:
            given: `(model, seconds)` or a dict with `model`.
        """
        scope = self.sessions.current().mode.scope
        if not scope:
            return given
        bound = hashlib.sha256(repr(sorted(scope.items())).encode()).hexdigest()[:16]

        def keep(model: Cache) -> Cache:
            return lambda key, make, seconds: model(f"{key}@{bound}", make, seconds)

        if isinstance(given, dict):
            return given | {"model": keep(given["model"])}
        model, seconds = given
        return keep(model), seconds

    def count_kept(self, query: Any, distinct: Any, given: Any) -> Any:
        """Return a cached count, keyed by its SQL; PyDAL uses the same key for all counts.

        Args:
            query: the condition.
            distinct: as for `count`.
            given: PyDAL's `cache=` argument.
        """
        cache = self.own_cache(given)
        if not isinstance(cache, dict):
            cache = dict(zip(("model", "expiration"), cache, strict=True))
        sql = self._count(query, distinct)
        key = cache.get("key") or hashlib.sha256(f"{self.uri}/{sql}".encode()).hexdigest()  # type: ignore[attr-defined]
        return cache["model"](key, lambda: self.count(query, distinct), cache["expiration"])

    def _select_aux(self, sql: Any, fields: Any, attributes: dict[str, Any], colnames: Any) -> Any:
        if attributes.get("cache"):
            attributes = attributes | {"cache": self.own_cache(attributes["cache"])}
        return super()._select_aux(sql, fields, attributes, colnames)  # type: ignore[misc]

    def _cached_select(self, cache: Any, *given: Any) -> Any:
        kept = super()._cached_select(self.own_cache(cache), *given)  # type: ignore[misc]
        if kept.db is UNBOUND:
            kept.db = self.db  # type: ignore[attr-defined]  # rows from a pickling cache have no DAL
        return kept

    # -- COUNT and DISTINCT, with the same result on every engine

    def count(self, query: Any, distinct: Any = None) -> int:
        """Count rows; error messages name the tables.

        Args:
            query: the condition.
            distinct: None, True for distinct records, or the field or fields whose distinct values are counted.

        Raises:
            ArgumentError: for `True` with a table without a key, and for text in place of a field.
        """
        context = self.context_of(query, ())
        self.execute(self._count(query, distinct), context=context)
        return int(self.fetchone()[0])

    def _count(self, query: Any, distinct: Any = None) -> Any:
        """Return the SQL of a count of rows, of a field's values, or of several fields' combinations without NULLs."""
        if distinct is True:
            self._countable(query)
            distinct = None
        fields = self.parts("count", distinct)
        if len(fields) < 2 and any(table.is_cte for table in self.tables(query).values()):
            # PyDAL omits the WITH clause that such a query needs
            counted = fields[0].count(distinct=True) if fields else Expression(self.db, lambda: "COUNT(*)")  # type: ignore[attr-defined]  # defined by PyDAL's class, which is untyped
            return self._select_wcols(query, [counted])[1]
        if len(fields) < 2:
            return super()._count(query, fields[0] if fields else None)  # type: ignore[misc]  # defined by PyDAL's class, which is untyped
        known = functools.reduce(operator.and_, [field != None for field in fields])  # noqa: E711  # PyDAL's IS NOT NULL
        narrowed = known if query is None else query & known
        narrowed.ignore_common_filters = getattr(query, "ignore_common_filters", False)
        named = [field.with_alias(f"c{number}") for number, field in enumerate(fields)]
        sql = str(self._select_wcols(narrowed, named, distinct=True)[1])
        return f"SELECT COUNT(*) FROM ({sql.rstrip(';')}) AS counted"

    def _countable(self, query: Any) -> None:
        """Raise ArgumentError if records might be identical, which they cannot be in tables with a key."""
        for name, table in self.tables(query).items():
            mirror = getattr(table, "_mirror", None)
            if mirror is None or not mirror.primary_key:
                raise ArgumentError(
                    f"count(distinct=True): {name} has no key that tells its records apart: name the fields"
                )

    def parts(self, verb: str, distinct: Any) -> list[Any]:
        """Return the fields of `distinct=`, given as one field, a list, or `one | other`.

        Args:
            verb: the method's name, for its error.
            distinct: the option's value; None and False mean no fields.

        Raises:
            ArgumentError: for anything but fields and expressions: text would become part of the statement.
        """
        if distinct is None or distinct is False:
            return []
        found: list[Any] = []
        for part in distinct if isinstance(distinct, list | tuple) else [distinct]:
            if not isinstance(part, Expression):
                raise ArgumentError(f"{verb}(distinct=…) takes True or fields, not a {type(part).__name__}")
            if not isinstance(part, Field) and part.op == self.dialect.comma:  # type: ignore[attr-defined]
                found += self.parts(verb, [part.first, part.second])
            else:
                found.append(part)
        return found

    def distinct_of(self, fields: Any, attributes: dict[str, Any]) -> dict[str, Any]:
        """Return the changes to a select's options that its `distinct=` requires.

        Args:
            fields: what is selected.
            attributes: the select's options.

        Raises:
            NotSupportedError: for fields in `distinct=`, where the engine has no DISTINCT ON.
        """
        given = attributes.get("distinct")
        wanted = [] if given is True else self.parts("select", given)
        changed: dict[str, Any] = {}
        if wanted:
            if not self.dialect.distinct_on:  # type: ignore[attr-defined]
                raise NotSupportedError(
                    "select(distinct=field) is DISTINCT ON, which this engine has not: "
                    "select that field with distinct=True, or group by it"
                )
            changed["distinct"] = xorify(wanted)
        ordered = attributes.get("orderby") or not attributes.get("orderby_on_limitby", True)
        if given and attributes.get("limitby") and not ordered:
            # PyDAL orders by the key, which servers refuse if DISTINCT does not include it
            order = wanted or [field for field in fields if isinstance(field, Field)]
            changed |= {"orderby": xorify(order)} if order else {"orderby_on_limitby": False}
        return changed

    # -- writes

    def insert(self, table: Any, fields: Any) -> Any:
        """Insert one row.

        Args:
            table: a table of the mirror.
            fields: pairs of field and value.

        Returns:
            The key: PyDAL's Reference for an automatic key, the value for another single key, a dict for a composite
            one; None where the account may not read the key or the table has none.

        Raises:
            AccessDenied: when the account may not insert into the table, or into one of the fields.
        """
        table._allowed("insert", [field.name for field, _ in fields])
        context = StatementContext("insert", table._dalname)
        self.execute(self._insert(table, fields), context=context)
        return self.inserted_key(table, fields)

    def inserted_key(self, table: Any, fields: Any) -> Any:
        """Return the key of the row just inserted, or None where the server does not report a generated key.

        Args:
            table: a table of the mirror.
            fields: the pairs of field and value that were inserted.
        """
        if not reports_key(table, fields):
            return None
        return self.key_of(table, fields, lambda field: read_key(field, self.lastrowid(table)))

    def bulk_insert(self, table: Any, items: Any) -> list[Any]:
        """Insert rows one at a time and return their keys; PyDAL calls this for tables with hooks."""
        return [self.insert(table, item) for item in items]

    def returning_many(self, table: Any, fields: Any) -> str | None:
        """Return the RETURNING clause that yields the generated keys of an INSERT of many rows, or None.

        It is None when the server generates no single-column key, the account may not read it, or the engine cannot
        return it.

        Args:
            table: a table of the mirror.
            fields: the fields whose values the program knows.
        """
        columns, names = table._mirror.columns, table._mirror.primary_key
        given = {field.name for field in fields}
        keys = [columns[name] for name in names if name in columns and columns[name].field not in given]
        readable_ = "select" in table._mirror.verbs and all(key.selectable for key in keys)
        if len(names) != 1 or not keys or not readable_ or not self.backend.returns_keys(table._mirror):
            return None
        return f" RETURNING {self.backend.quote_name(keys[0].name)}"

    def key_of(self, table: Any, fields: Any, made: Callable[[Any], Any]) -> Any:
        """Return the key of a row just inserted, in the form that `insert` describes.

        Args:
            table: a table of the mirror.
            fields: the pairs of field and value that were inserted.
            made: returns the value that the server generated for a key field which was not given.
        """
        mirror = table._mirror
        by_column = {column.name: column for column in mirror.columns.values()}
        keys = [by_column.get(name) for name in mirror.primary_key]
        if not keys or any(key is None for key in keys):
            return None
        given = {field.name: value for field, value in fields}
        known: dict[str, Any] = {}
        for key in keys:
            if key is None or not key.selectable:
                return None
            if key.field in given and not isinstance(given[key.field], Expression):
                known[key.field] = self._as_read(table[key.field], operand(given[key.field]))
            else:
                known[key.field] = made(table[key.field])
        if len(known) > 1:
            return known
        value = next(iter(known.values()))
        if table[keys[0].field].type != "id":  # type: ignore[union-attr]  # looked at above
            return value
        if value is None:
            return None
        return reference_to(table, value)

    def lastrowid(self, table: Any) -> Any:
        """Return the key that the server generated for the row just inserted."""
        return self.cursor.lastrowid

    def _as_read(self, field: Any, value: Any) -> Any:
        return field.type.codec.check(value)

    def _insert(self, table: Any, fields: Any) -> str:
        if not fields:
            return self._insert_empty(table)
        names = ",".join(field._rname for field, _ in fields)
        values = ",".join(self.store(value, field) for field, value in fields)
        relation = table._relation("insert")
        return str(self.dialect.insert(relation, names, values, *self._returning(table, fields)))  # type: ignore[attr-defined]

    def _insert_empty(self, table: Any) -> str:
        return f"INSERT INTO {table._relation('insert')} DEFAULT VALUES"

    def _returning(self, table: Any, fields: Any) -> tuple[str, ...]:
        return ()

    def update(self, table: Any, query: Any, fields: Any) -> int:
        """Update rows and return how many matched.

        Args:
            table: a table of the mirror.
            query: the condition, or None for all rows.
            fields: pairs of field and value.

        Raises:
            AccessDenied: when the account may not update the table, or one of the fields.
        """
        table._allowed("update", [field.name for field, _ in fields])
        context = StatementContext("update", table._dalname)
        self.execute(self._update(table, query, fields), context=context)
        return int(self.cursor.rowcount)

    def _update(self, table: Any, query: Any, fields: Any) -> str:
        where = self._where(table, query, "update")
        scope = {"current_scope": [table._tablename]}
        pairs = ",".join(f"{field._rname}={self.store(value, field, scope)}" for field, value in fields)
        return str(self.dialect.update(table, pairs, where))  # type: ignore[attr-defined]

    def delete(self, table: Any, query: Any) -> int:
        """Delete rows and return how many were deleted.

        Args:
            table: a table of the mirror.
            query: the condition, or None for all rows.

        Raises:
            AccessDenied: when the account may not delete from the table.
        """
        table._allowed("delete", [])
        context = StatementContext("delete", table._dalname)
        self.execute(self._delete(table, query), context=context)
        return int(self.cursor.rowcount)

    def _delete(self, table: Any, query: Any) -> str:
        return str(self.dialect.delete(table, self._where(table, query, "delete")))  # type: ignore[attr-defined]

    def _where(self, table: Any, query: Any, verb: str) -> str:
        added = self.backend.restriction(table._mirror, verb, table.sql_shortref) or ""
        if not query:
            return added
        if not getattr(query, "ignore_common_filters", False):
            query = self.common_filter(query, [table])  # type: ignore[attr-defined]
        if query.op is _always:  # MySQL and MariaDB require SELECT for a condition that names a column
            return added
        scope = {"current_scope": [table._tablename], "written": True}
        where = str(self.expand(query, query_env=scope))  # type: ignore[attr-defined]  # defined by PyDAL's class, which is untyped
        return f"({where}) AND {added}" if added else where

    def id_query(self, table: Any) -> Any:
        """Return the query that matches every row of a table.

        PyDAL tests the key for NULL; here another readable column is tested when the account may not read the key, or
        the table has none.
        """
        mirror = getattr(table, "_mirror", None)
        if mirror is not None and not any(column.selectable for column in mirror.columns.values()):
            return Query(self.db, _always, table)  # type: ignore[attr-defined]  # a field would need SELECT
        field = table._id
        fields = readable(table)
        if not any(each.name == field.name for each in fields):
            field = fields[0]
        if field.notnull or field.type == "id":
            return field != None  # noqa: E711  # PyDAL's IS NOT NULL
        return (field == None) | (field != None)  # noqa: E711  # PyDAL's IS NULL


def _always(table: Any, query_env: Any = None) -> str:
    """Return SQL for a condition that is always true and reads no column."""
    return "(1=1)"


def _collect(item: Any, found: dict[str, Any]) -> None:
    """Add the tables that an expression or query refers to."""
    if isinstance(item, Table):
        found.setdefault(item._tablename, item)
    if isinstance(item, Field):
        if found.setdefault(item.tablename, item.table) is not item.table:
            raise ValueError(f"Name conflict in table list: {item.tablename}")
    elif isinstance(item, Expression | Query):
        if item.first is not None:
            _collect(item.first, found)
        if item.second is not None:
            _collect(item.second, found)
