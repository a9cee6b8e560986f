"""Snapshots of a MySQL-family database, and of what its server makes of the models, read from SHOW CREATE TABLE."""

import json
from collections.abc import Callable, Collection, Iterator
from typing import Any, ClassVar

import sqlalchemy as sa
from pymysql.constants import ER

from ringfence.schema.comparison.scratch import model_location
from ringfence.schema.comparison.snapshot import Models, Snapshot
from ringfence.schema.engines.mysql.introspection_attached import expected, items, trigger
from ringfence.schema.engines.mysql.introspection_models import (
    RAW,
    Scratch,
    Server,
    in_scratch,
    sequence_statement,
)
from ringfence.schema.engines.mysql.introspection_table import Owner, TableReader, without_implicit
from ringfence.schema.engines.mysql.introspection_tokens import (
    Reader,
    granted_on,
    identifier,
    tokens,
    written,
)
from ringfence.schema.errors import JobFailed

_OURS = "ringfence_"
_VERSIONS = "alembic_version"
_TABLES = (
    "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = %s ORDER BY table_name"
)
_VIEWS = (
    "SELECT table_name, view_definition, check_option, security_type FROM information_schema.views"
    " WHERE table_schema = %s ORDER BY table_name"
)
_TRIGGERS = (
    "SELECT event_object_table, trigger_name, action_timing, event_manipulation, action_statement"
    " FROM information_schema.triggers WHERE event_object_schema = %s ORDER BY trigger_name"
)
_ROUTINES = (
    "SELECT routine_name, routine_type, routine_definition FROM information_schema.routines"
    " WHERE routine_schema = %s ORDER BY routine_name"
)
_WHOLE_ROUTINES = (
    "SELECT routine_name, routine_type, routine_definition, dtd_identifier, is_deterministic, sql_data_access,"
    " security_type, sql_mode FROM information_schema.routines WHERE routine_schema = %s"
)
_PARAMETERS = (
    "SELECT specific_name, routine_type, parameter_mode, parameter_name, dtd_identifier"
    " FROM information_schema.parameters WHERE specific_schema = %s AND ordinal_position > 0"
    " ORDER BY specific_name, routine_type, ordinal_position"
)
_BASE = frozenset({"BASE TABLE", "SYSTEM VERSIONED"})


class MySQLCatalog:
    """Reads snapshots with SHOW CREATE TABLE.

    For the reference, the models are created as temporary tables, in a session of their own that is closed afterwards.

    Args:
        engine: creates the engine of that session.
    """

    has_sequences: ClassVar[bool] = False
    """Whether the server has sequences."""

    def __init__(self, engine: Callable[[], sa.Engine]) -> None:
        self._engine = engine

    def schemas(self, connection: sa.Connection, models: Models) -> set[str | None]:
        """Return the schemas of the models, and those of their sequences where the server has sequences."""
        own = {sequence.schema for sequence in models.sequences} if self.has_sequences else set()
        return models.schemas | own

    def read(self, connection: sa.Connection, schemas: Collection[str | None]) -> Snapshot:
        """Return the objects of the schemas, without indexes that the server made for foreign keys by itself."""
        snapshot, server = Snapshot(), Server.ask(connection)
        for schema in sorted({server.label(schema) for schema in schemas}):
            self._read(connection, snapshot, Owner(schema, "", schema or server.default), server)
        return snapshot

    def definitions(self, connection: sa.Connection, schemas: Collection[str | None]) -> Snapshot:
        """Return the views, functions, procedures and triggers with all that decides what they do."""
        server = Server.ask(connection)
        labels = sorted({server.label(schema) for schema in schemas})
        attached = self._attached(connection, labels, server).items
        snapshot = Snapshot({name: facets for name, facets in attached.items() if name.kind != "function"})
        for label in labels:
            database = label or server.default
            taken: dict[tuple[str, str], list[str]] = {}
            for name, kind, *words in _rows(connection, _PARAMETERS, database):
                taken.setdefault((name, kind), []).append(" ".join(filter(None, words)))
            for name, kind, body, *rest in _rows(connection, _WHOLE_ROUTINES, database):
                if not name.startswith(_OURS):
                    # A function and a procedure may share a name.
                    called = name if kind == "FUNCTION" else f"{name} ({kind.lower()})"
                    header = json.dumps([taken.get((name, kind), []), *rest])
                    snapshot.add("function", label, "", called, header=header, body=body)
        return snapshot

    def spelled_by(self, connection: sa.Connection) -> str:
        """Return the server's version and the default database; nodes of a cluster and replicas spell alike."""
        return " ".join(map(str, connection.exec_driver_sql("SELECT VERSION(), DATABASE()").one()))

    def reference(self, connection: sa.Connection, models: Models) -> Snapshot:
        """Return what the server makes of the models as temporary tables, and what they create by other statements."""
        with self._engine().connect() as scratch:
            try:
                snapshot = self._make(scratch, models)
                server = Server.ask(scratch)
                labels = {server.label(schema) for schema in self.schemas(scratch, models)}
                found = self._attached(connection, labels, server)
                snapshot.items |= expected(scratch, models, server, found)
            finally:
                # Closes the session, with its temporary tables and settings.
                scratch.invalidate()
        return snapshot

    def _attached(self, connection: sa.Connection, labels: Collection[str], server: Server) -> Snapshot:
        """Return the views, triggers and functions of databases, which are given by their snapshot labels."""
        snapshot = Snapshot()
        for label in labels:
            database = label or server.default
            for name, definition, check, security in _rows(connection, _VIEWS, database):
                text = written(tokens(definition), database) if definition else None
                facets = {"check option": None if check == "NONE" else check}
                snapshot.add("view", label, name, name, definition=text, security=security, **facets)
            for table, name, timing, event, body in _rows(connection, _TRIGGERS, database):
                if not table.startswith(_OURS):
                    facets = trigger(name, table, timing, event, body)
                    snapshot.add("trigger", label, table, name, **facets)
            for name, kind, body in _rows(connection, _ROUTINES, database):
                snapshot.add("function", label, "", name, routine=kind.lower(), body=body)
        ours = [name for name in snapshot.items if name.name.startswith(_OURS)]
        for name in ours:
            del snapshot.items[name]
        return snapshot

    def _read(self, connection: sa.Connection, snapshot: Snapshot, owner: Owner, server: Server) -> None:
        database = owner.database
        if owner.schema and database in server.databases:
            snapshot.add("schema", owner.schema, "", owner.schema)
        for name, kind in _rows(connection, _TABLES, database):
            if name.startswith(_OURS) or name == _VERSIONS:
                continue
            if kind == "SEQUENCE":
                self._sequence(connection, snapshot, owner.schema, database, name)
            elif kind in _BASE and (sql := _shown(connection, "TABLE", database, name)) is not None:
                here = Owner(owner.schema, name, database)
                TableReader(snapshot, here, server.collations).read(sql)
                without_implicit(snapshot, here)
        snapshot.items |= self._attached(connection, [owner.schema], server).items

    def _sequence(
        self, connection: sa.Connection, snapshot: Snapshot, schema: str, database: str, name: str
    ) -> None:
        sql = _shown(connection, "SEQUENCE", database, name)
        if sql is None:
            return
        reader, facets = Reader(tokens(sql)), dict[str, str | None]()
        words = {"START": "start", "MINVALUE": "minimum", "MAXVALUE": "maximum", "INCREMENT": "increment"}
        while reader:
            word = reader.next()
            if word.word in words:
                facets[words[word.word]] = _number(reader)
            elif word.word == "CACHE":
                facets["cache"] = _number(reader)
            elif word.word in ("CYCLE", "NOCYCLE"):
                facets["cycle"] = "true" if word.word == "CYCLE" else "false"
        snapshot.add("sequence", schema, "", name, **facets)

    def _make(self, connection: sa.Connection, models: Models) -> Snapshot:
        snapshot, server = Snapshot(), Server.ask(connection)
        for schema in sorted({server.label(schema) for schema in self.schemas(connection, models)} - {""}):
            snapshot.add("schema", schema, "", schema)
        if self.has_sequences:
            for sequence in models.sequences:
                database = sequence.schema if sequence.schema in server.databases else server.default
                sql = sequence_statement(sequence, connection.dialect, database)
                self._run(connection, sql, f"sequence {sequence.name}", database)
                label = server.label(sequence.schema)
                self._sequence(connection, snapshot, label, database, str(sequence.name))
        made: set[str] = set()
        more = items(models, connection, server)
        for key, table in models.tables.items():
            added = more.get((server.label(table.schema), str(table.name)), ())
            scratch = in_scratch(table, connection, server, key, added)
            if scratch.target in made:
                # A table whose database does not exist is made in the default one, where its name can be taken.
                _send(connection, f"DROP TEMPORARY TABLE {scratch.target}")
            made.add(scratch.target)
            self._run(connection, scratch.create, f"table {scratch.key}", scratch.database, table)
            self._scratch(connection, snapshot, scratch, server)
        if made:
            _send(connection, f"DROP TEMPORARY TABLE {', '.join(made)}")
        return snapshot

    def _scratch(
        self, connection: sa.Connection, snapshot: Snapshot, scratch: Scratch, server: Server
    ) -> None:
        """Add a table of the models to the snapshot, with what its temporary table cannot hold."""
        made = Snapshot()
        reader = TableReader(made, scratch.owner, server.collations)
        reader.read(str(_shown(connection, "TABLE", scratch.database, scratch.owner.table)))
        scratch.complete(made, reader)
        snapshot.items |= made.items

    def _run(
        self, connection: sa.Connection, sql: str, what: str, database: str, item: sa.Table | None = None
    ) -> None:
        """Create a temporary table or sequence of the models.

        Raises:
            JobFailed: the admin may not create temporary tables, or the server refuses the statement.
        """
        try:
            _send(connection, sql)
        except sa.exc.DBAPIError as error:
            arguments = error.orig.args if error.orig is not None else ()
            code, said = arguments[0], arguments[-1]
            if code == ER.DBACCESS_DENIED_ERROR:
                me = connection.exec_driver_sql("SELECT CURRENT_USER()").scalar_one()
                user, _, host = str(me).rpartition("@")
                raise JobFailed(
                    "the admin may not make temporary tables, in which the models are compared with the database:"
                    f" GRANT CREATE TEMPORARY TABLES ON {granted_on(database)}.* TO '{user}'@'{host}'"
                ) from error
            raise JobFailed(
                f"the server refuses the {what} of the models: {said} ({code}); as a temporary table it was to be made"
                f" with: {' '.join(sql.split())}{model_location(item)}"
            ) from error


class MariaDBCatalog(MySQLCatalog):
    """Reads snapshots of MariaDB, which has sequences."""

    has_sequences: ClassVar[bool] = True


def _rows(connection: sa.Connection, sql: str, *parameters: str) -> Iterator[Any]:
    yield from connection.exec_driver_sql(sql, parameters).all()


def _send(connection: sa.Connection, sql: str) -> sa.CursorResult[Any]:
    return connection.exec_driver_sql(sql, execution_options=RAW)


def _shown(connection: sa.Connection, kind: str, database: str, name: str) -> str | None:
    """Return the result of SHOW CREATE; None when the object was dropped meanwhile."""
    try:
        row: Any = _send(connection, f"SHOW CREATE {kind} {identifier(database)}.{identifier(name)}").one()
    except sa.exc.DBAPIError as error:
        if error.orig is not None and ER.NO_SUCH_TABLE in error.orig.args:
            return None
        raise
    return str(row[1])


def _number(reader: Reader) -> str:
    """Read a number with its sign, after WITH, BY or =."""
    text = ""
    while reader and not text.lstrip("-").isdigit():
        token = reader.next()
        if token.word not in ("WITH", "BY", "="):
            text += token.spelled
    return text
