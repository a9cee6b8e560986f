"""Snapshots of a MySQL-family database, and of what its server makes of the models, read from SHOW CREATE TABLE.

The models are created as temporary tables. The parts that a temporary table cannot have, and what the models create by
statements of their own, are added from the statements themselves.
"""

import itertools
import json
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import sqlalchemy as sa
from pymysql.constants import ER
from sqlalchemy.schema import CreateIndex, CreateSequence, CreateTable

from ringfence.schema import sqlalchemy_compat
from ringfence.schema.comparison.model_statements import statements
from ringfence.schema.comparison.scratch import model_location
from ringfence.schema.comparison.snapshot import Models, Name, Snapshot
from ringfence.schema.engines.mysql.create_statements import (
    Collations,
    Owner,
    Reader,
    TableReader,
    Token,
    partitions,
    split,
    tokens,
    without_implicit,
    written,
)
from ringfence.schema.engines.mysql.privileges import granted_on
from ringfence.schema.engines.mysql.quoting import quoted
from ringfence.schema.engines.mysql.reflection import FamilyTranslator
from ringfence.schema.errors import JobFailed
from ringfence.schema.rendering.table_parts import Translator
from ringfence.schema.state.columns import ColumnPath

_FOREIGN_KEYS = frozenset({"InnoDB", "ndbcluster"})
# Indexes that the server refuses for a temporary table of InnoDB.
_ONLY_LASTING = ("FULLTEXT", "VECTOR")
_STORED = frozenset({"ROW_FORMAT", "KEY_BLOCK_SIZE", "ENCRYPTION", "TABLESPACE", "DATA", "INDEX"})
RAW: Mapping[str, Any] = {"no_parameters": True}
"""Execution options of a statement that is sent unchanged, so that its percent signs are not doubled."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """How one table of the models is created as a temporary one, and what that one lacks.

    Args:
        key: the table's key in the models.
        owner: the table that the temporary one represents.
        database: the database of the temporary table.
        target: its quoted name.
        create: the statement that creates it.
        named: the names of keys and constraints that the statement gives; any other was made up by the server.
        lacking: the indexes and foreign keys that a temporary table cannot have, as items of CREATE TABLE.
        options: the facets of the table that a temporary table cannot have.
    """

    key: str
    owner: Owner
    database: str
    target: str
    create: str
    named: frozenset[str]
    lacking: tuple[list[Token], ...]
    options: dict[str, str]

    def complete(self, temporary: Snapshot, reader: TableReader) -> None:
        """Change the snapshot of the temporary table to what a permanent one would have.

        Args:
            temporary: the snapshot; it is changed.
            reader: the reader that filled it.
        """
        table = Name("table", self.owner.schema, self.owner.table, self.owner.table)
        temporary.items[table] |= self.options
        for kind in ("check", "unique"):
            for name, facets in list(temporary.of(kind, self.owner.schema, self.owner.table)):
                if name.name not in self.named:
                    del temporary.items[name]
                    label = f"({' '.join(filter(None, facets.values()))})"
                    temporary.items[Name(kind, name.schema, name.table, label)] = facets
        refers = temporary.items[table].get("engine") in _FOREIGN_KEYS
        for item in self.lacking:
            if refers or item[0].word in _ONLY_LASTING:
                reader.item(item)
        without_implicit(temporary, self.owner)


@dataclass(frozen=True, slots=True)
class Server:
    """The properties of the server that are read once for all tables."""

    default: str
    """The default database."""
    databases: frozenset[str]
    """All databases that the account can see."""
    engine: str
    """The storage engine of a table that names none."""
    collations: Collations

    @classmethod
    def ask(cls, connection: sa.Connection) -> "Server":
        """Read them from the server.

        The storage engine is asked for, because a temporary table that names none may get another one.

        Args:
            connection: a session of the server.
        """
        default, engine = connection.exec_driver_sql("SELECT DATABASE(), @@default_storage_engine").one()
        databases = frozenset(connection.exec_driver_sql("SHOW DATABASES").scalars())
        charsets = connection.exec_driver_sql("SHOW CHARACTER SET")
        return cls(default, databases, engine, {charset: collation for charset, _, collation, _ in charsets})

    def label(self, schema: str | None) -> str:
        """Return the name of a database in snapshots: "" for the default one.

        Args:
            schema: as models name it; None is the default one.
        """
        return "" if schema in (None, self.default) else str(schema)


def in_scratch(
    table: sa.Table, connection: sa.Connection, server: Server, key: str, more: Sequence[str] = ()
) -> Scratch:
    """Return how a table is created as a temporary one, with the indexes and options that `create_all` would give it.

    Args:
        table: of the models.
        connection: its dialect compiles the statement; it evaluates conditions (`ddl_if`) and bounds of partitions.
        server: a table whose database it does not have is created in the default one.
        key: the table's key in the models, for messages.
        more: what DDL of the models adds to it, as items of CREATE TABLE.

    Raises:
        JobFailed: the table cannot be compiled for this engine.
    """
    own = table.schema or server.default
    database = own if own in server.databases else server.default
    try:
        # A CREATE TABLE that the model supplies itself can contain foreign keys, which a temporary table cannot have.
        own_words = sqlalchemy_compat.creator_statement(table)
        creation = (
            own_words
            if isinstance(own_words, CreateTable)
            else CreateTable(table, include_foreign_key_constraints=[])
        )
        sql = compiled(creation, connection.dialect)
        added = [item for index in _indexes(table, connection) for item in _index(index, connection.dialect)]
        lacking = [tokens(text) for text in _foreign_keys(table, connection)]
    except (sa.exc.SQLAlchemyError, ValueError, AttributeError, NotImplementedError) as error:
        raise JobFailed(f"the table {key} of the models cannot be created on this engine: {error}") from error
    given = tokens(sql)
    first = next(position for position, token in enumerate(given) if token.word == "(")
    reader = Reader(given)
    reader.at = first
    body = reader.group()
    accepted, facets = _options(reader, connection)
    if "ENGINE" not in accepted:
        facets["engine"] = server.engine
    items = [sql[body[0].start : body[-1].end]] if body else []
    if any(token.word == "FOREIGN" for token in body):
        parts = [(item, any(token.word == "FOREIGN" for token in item)) for item in split(body)]
        lacking += [item for item, refers in parts if refers]
        items = [sql[item[0].start : item[-1].end] for item, refers in parts if not refers]
    named = {*_names(body)}
    for text in (*added, *more):
        item = tokens(text)
        named |= {*_names(item)}
        if item[0].word in _ONLY_LASTING or any(token.word == "FOREIGN" for token in item):
            lacking.append(item)
        else:
            items.append(text)
    target = f"{quoted(database)}.{quoted(str(table.name))}"
    whole = ",\n".join(items)
    return Scratch(
        key,
        Owner(server.label(own), str(table.name), own),
        database,
        target,
        f"CREATE TEMPORARY TABLE {target} (\n{whole}\n){accepted}",
        frozenset(named),
        tuple(lacking),
        facets,
    )


def compiled(element: Any, dialect: sa.Dialect) -> str:
    """Return a statement as the server receives it: SQLAlchemy doubles every percent sign for the driver.

    Args:
        element: of SQLAlchemy's DDL.
        dialect: that of the server.
    """
    return str(element.compile(dialect=dialect)).replace("%%", "%").strip()


def _indexes(table: sa.Table, connection: sa.Connection) -> Iterator[sa.Index]:
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        # An index without columns cannot be created.
        if list(index.expressions) and _applies(index, CreateIndex(index), connection):
            yield index


def _applies(item: sa.Index | sa.Constraint, ddl: Any, connection: sa.Connection) -> bool:
    """Return whether the `ddl_if` of an item allows it on this connection."""
    condition = sqlalchemy_compat.condition(item)
    return condition is None or sqlalchemy_compat.holds(condition, ddl, item, connection)


def _index(index: sa.Index, dialect: sa.Dialect) -> Iterator[str]:
    """Yield a CREATE INDEX as an item of CREATE TABLE, so that no statement can reach the table of the database."""
    sql = compiled(CreateIndex(index), dialect)
    given = tokens(sql)
    word = next(position for position, token in enumerate(given) if token.word == "INDEX")
    prefix = sql[given[0].end : given[word].end].strip()
    columns = next(token for token in given if token.word == "(")
    yield f"{prefix} {given[word + 1].spelled} {sql[columns.start :]}"


def _foreign_keys(table: sa.Table, connection: sa.Connection) -> Iterator[str]:
    dialect = connection.dialect
    compiler = dialect.ddl_compiler(dialect, None)  # type: ignore[arg-type] # one without a statement, as SQLAlchemy's own
    for item in table.constraints:
        if isinstance(item, sa.ForeignKeyConstraint) and _applies(item, CreateTable(table), connection):
            yield compiler.process(item).replace("%%", "%").strip()


def _options(reader: Reader, connection: sa.Connection) -> tuple[str, dict[str, str]]:
    """Return the table options that a temporary table accepts, and facets for those that it does not."""

    def value(expression: str) -> str:
        return str(connection.exec_driver_sql(f"SELECT {expression}", execution_options=RAW).scalar_one())

    accepted: list[Token] = []
    facets: dict[str, str] = {}
    while reader:
        if reader.word() == "PARTITION":
            facets["partitions"] = partitions(reader.rest(), value)
        elif reader.take("WITH", "SYSTEM", "VERSIONING"):
            facets["system versioning"] = "yes"
        elif reader.word() in _STORED:
            reader.next()
            reader.take("DIRECTORY")
            reader.take("=")
            reader.next()
        else:
            accepted.append(reader.next())
    return "".join(f" {token.spelled}" for token in accepted), facets


def _names(given: list[Token]) -> Iterator[str]:
    """Yield the names that items of CREATE TABLE give to keys and constraints."""
    for word, name in itertools.pairwise(given):
        if word.word in ("CONSTRAINT", "INDEX", "KEY") and name.word != "(":
            yield name.name


def sequence_statement(sequence: sa.Sequence, dialect: sa.Dialect, database: str) -> str:
    """Return the statement that creates a sequence as a temporary one.

    Args:
        sequence: of the models.
        dialect: that of the server.
        database: the database that it is created in.
    """
    sql = compiled(CreateSequence(sequence), dialect)
    given = tokens(sql)
    word = next(position for position, token in enumerate(given) if token.word == "SEQUENCE")
    last = word + (3 if len(given) > word + 2 and given[word + 2].word == "." else 1)
    target = f"{quoted(database)}.{quoted(str(sequence.name))}"
    return f"CREATE TEMPORARY SEQUENCE {target}{sql[given[last].end :]}"


_ALGORITHM = r"(?:ALGORITHM\s*=\s*\w+\s+)?(?:DEFINER\s*=\s*\S+\s+)?(?:SQL\s+SECURITY\s+(?P<security>\w+)\s+)?"
_CREATE = rf"\s*CREATE\s+(?:OR\s+REPLACE\s+)?{_ALGORITHM}(?:AGGREGATE\s+)?"
_NAME = r"(?:IF\s+NOT\s+EXISTS\s+)?(?:(?:`[^`]*`|[\w$]+)\s*\.\s*)?(?P<name>`(?:[^`]|``)*`|[\w$]+)"
_VIEW = re.compile(
    rf"{_CREATE}VIEW\s+{_NAME}\s*(?P<columns>\(.*?\))?\s+AS\s+(?P<select>.*?)"
    r"(?P<check>\s+WITH\s+(?:CASCADED\s+|LOCAL\s+)?CHECK\s+OPTION)?\s*;?\s*",
    re.IGNORECASE | re.DOTALL,
)
_TRIGGER = re.compile(
    rf"{_CREATE}TRIGGER\s+{_NAME}\s+(?P<timing>BEFORE|AFTER)\s+(?P<event>INSERT|UPDATE|DELETE)\s+ON\s+"
    r"(?:(?:`[^`]*`|[\w$]+)\s*\.\s*)?(?P<table>`(?:[^`]|``)*`|[\w$]+)\s+"
    r"FOR\s+EACH\s+ROW\s+(?:(?:FOLLOWS|PRECEDES)\s+\S+\s+)?(?P<body>.*)",
    re.IGNORECASE | re.DOTALL,
)
_ROUTINE = re.compile(rf"{_CREATE}(?P<kind>FUNCTION|PROCEDURE)\s+{_NAME}\s*\(.*", re.IGNORECASE | re.DOTALL)
# MariaDB's trace is not always JSON: a quote in it follows a single backslash.
_RESOLVED = re.compile(r'"expanded_query": "((?:[^"\\]|\\.)*)"')
_HOW = ("ALGORITHM", "LOCK", "WAIT", "NOWAIT", "AFTER")
"""Words that follow an item: how the change is to be made, and where the column is to be placed."""
_EXISTS = " limit 1"
"""What MariaDB appends to the query of an EXISTS, and stores with a view."""


def trigger_facets(name: str, table: str, timing: str, event: str, body: str) -> dict[str, str | None]:
    """Return the facets of a trigger.

    The server stores the body as it was written, without white space and a semicolon at its end.

    Args:
        name: of the trigger.
        table: of the trigger.
        timing: BEFORE or AFTER.
        event: INSERT, UPDATE or DELETE.
        body: the statement that it runs.
    """
    name, table = (part.replace("`", "``") for part in (name, table))
    body = body.strip().rstrip(";").rstrip()
    when = f"{timing} {event}".upper()
    return {"definition": f"CREATE TRIGGER `{name}` {when} ON `{table}` FOR EACH ROW {body}"}


def declared_objects(
    scratch: sa.Connection, models: Models, server: Server, found: Snapshot
) -> Mapping[Name, dict[str, str | None]]:
    """Return the objects that the models create by `CreateView`, or by other DDL that runs with `create_all`.

    The statements are parsed and not run, because none of these objects can be temporary. Whether a view still has the
    query of the models is decided by the server's optimizer: its trace contains a query as it was resolved, before
    anything is optimized. Where there is no trace, as when a table does not exist yet, only the existence of the view
    is compared.

    Args:
        scratch: a session of its own, whose settings are changed.
        models: the models.
        server: the properties of the server.
        found: the objects that the database has.

    Returns:
        The views, triggers and functions, each with its facets.
    """
    wanted: dict[Name, dict[str, str | None]] = {}
    scratch.exec_driver_sql("SET SESSION optimizer_trace = 'enabled=on'")
    for statement in statements(models, scratch):
        sql, label = statement.sql, server.label(statement.target.schema)
        if match := _TRIGGER.fullmatch(sql):
            name, table = _plain(match["name"]), _plain(match["table"])
            facets = trigger_facets(name, table, match["timing"], match["event"], match["body"])
            wanted[Name("trigger", label, table, name)] = facets
        elif match := _ROUTINE.fullmatch(sql):
            key = Name("function", label, "", _plain(match["name"]))
            wanted[key] = _routine(sql, match["kind"].lower(), found.items.get(key, {}))
        elif match := _VIEW.fullmatch(sql):
            name = _plain(match["name"])
            key = Name("view", label, name, name)
            facets = dict(found.items.get(key, {}))
            definition = facets.get("definition")
            if facets:
                # Without these clauses the server's defaults hold: SQL SECURITY DEFINER, and no CHECK OPTION.
                facets["security"] = (match["security"] or "DEFINER").upper()
                facets.pop("check option", None)
                if match["check"] is not None:
                    facets["check option"] = "LOCAL" if "LOCAL" in match["check"].upper() else "CASCADED"
            if definition is not None and match["columns"] is None:
                declared = _resolved(scratch, match["select"])
                if declared is not None and declared != _resolved(scratch, definition):
                    facets["definition"] = " ".join(match["select"].split())
            wanted[key] = facets
    return wanted


def added_items(
    models: Models, connection: sa.Connection, server: Server
) -> dict[tuple[str, str], list[str]]:
    """Return what DDL of the models adds to their tables, as items of CREATE TABLE.

    Args:
        models: whose DDL.
        connection: evaluates conditions of DDL (`execute_if`).
        server: says which database is the default one.

    Returns:
        The items of CREATE INDEX and ALTER TABLE ... ADD, by the label of the schema and the name of the table.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for statement in statements(models, connection):
        sql = statement.sql.rstrip("; ")
        table, several = _items(sql)
        if table is not None:
            label = server.label(table[0] or statement.target.schema)
            found.setdefault((label, table[1]), []).extend(several)
    return found


def _items(sql: str) -> tuple[tuple[str, str] | None, list[str]]:
    """Return the table, as (schema or "", name), and the items that a statement adds to it."""
    try:
        reader = Reader(tokens(sql))
    except JobFailed:  # another statement, whose syntax is not parsed here
        return None, []
    if reader.take("ALTER"):
        while reader.word() in ("ONLINE", "IGNORE"):
            reader.next()
        if not reader.take("TABLE"):
            return None, []
        reader.take("IF", "EXISTS")
        table = _table(reader)
        added = (_added(part, sql) for part in split(reader.rest()))
        return table, [item for item in added if item]
    if not reader.take("CREATE"):
        return None, []
    reader.take("OR", "REPLACE")
    words = [reader.next().word] if reader.word() in ("UNIQUE", "FULLTEXT", "SPATIAL") else []
    if not reader.take("INDEX"):
        return None, []
    reader.take("IF", "NOT", "EXISTS")
    words += ["INDEX", reader.next().spelled]
    if reader.take("USING"):
        words += ["USING", reader.next().spelled]
    if not reader.take("ON"):
        return None, []
    table = _table(reader)
    return table, [f"{' '.join(words)} {_text(reader.rest(), sql)}"]


def _table(reader: Reader) -> tuple[str, str]:
    schema, name = "", reader.next().name
    if reader.take("."):
        schema, name = name, reader.next().name
    return schema, name


def _added(part: list[Token], sql: str) -> str | None:
    """Return an action of ALTER TABLE as an item of CREATE TABLE; None for one that adds nothing."""
    reader = Reader(part)
    if not reader.take("ADD"):
        return None
    reader.take("COLUMN")
    reader.take("IF", "NOT", "EXISTS")
    return None if reader.word() == "(" else _text(reader.rest(), sql)


def _text(given: list[Token], sql: str) -> str:
    """Return the text of tokens, without how the change is to be made and where a column is to be placed."""
    ends = (
        n
        for n, token in enumerate(given)
        if token.word in _HOW or (n + 1 == len(given) and token.word == "FIRST")
    )
    remaining = given[: next(ends, len(given))]
    return sql[remaining[0].start : remaining[-1].end] if remaining else ""


def _routine(sql: str, kind: str, found: Mapping[str, str | None]) -> dict[str, str | None]:
    """Return the facets of a function or procedure; one whose body the server hides is not compared."""
    whole, body = (" ".join(text.split()).rstrip("; ") for text in (sql, found.get("body") or ""))
    return {"routine": kind, "body": found.get("body") if whole.endswith(body) else whole}


def _plain(name: str) -> str:
    return name[1:-1].replace("``", "`") if name.startswith("`") else name


def _resolved(connection: sa.Connection, select: str) -> tuple[str, ...] | None:
    """Return a query as the server resolves it; None where it cannot be run, or its trace is incomplete or hidden."""
    try:
        connection.exec_driver_sql(f"EXPLAIN {select}", execution_options=RAW).all()
        trace, missing = connection.exec_driver_sql(
            "SELECT trace, missing_bytes_beyond_max_mem_size FROM information_schema.optimizer_trace"
        ).one()
    except sa.exc.DBAPIError:
        return None
    queries = _RESOLVED.findall(str(trace))
    if not queries or missing:
        return None
    *inner, last = queries
    return (*(query.removesuffix(_EXISTS) for query in inner), last.replace(f"{_EXISTS})", ")"))


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
                snapshot.items |= declared_objects(scratch, models, server, found)
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
                    facets = trigger_facets(name, table, timing, event, body)
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
                table_owner = Owner(owner.schema, name, database)
                TableReader(snapshot, table_owner, server.collations).read(sql)
                without_implicit(snapshot, table_owner)
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
        created: set[str] = set()
        more = added_items(models, connection, server)
        for key, table in models.tables.items():
            added = more.get((server.label(table.schema), str(table.name)), ())
            scratch = in_scratch(table, connection, server, key, added)
            if scratch.target in created:
                # A table whose database does not exist is made in the default one, where its name can be taken.
                _send(connection, f"DROP TEMPORARY TABLE {scratch.target}")
            created.add(scratch.target)
            self._run(connection, scratch.create, f"table {scratch.key}", scratch.database, table)
            self._scratch(connection, snapshot, scratch, server)
        if created:
            _send(connection, f"DROP TEMPORARY TABLE {', '.join(created)}")
        return snapshot

    def _scratch(
        self, connection: sa.Connection, snapshot: Snapshot, scratch: Scratch, server: Server
    ) -> None:
        """Add a table of the models to the snapshot, with what its temporary table cannot hold."""
        temporary = Snapshot()
        reader = TableReader(temporary, scratch.owner, server.collations)
        reader.read(str(_shown(connection, "TABLE", scratch.database, scratch.owner.table)))
        scratch.complete(temporary, reader)
        snapshot.items |= temporary.items

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
            code, message = arguments[0], arguments[-1]
            if code == ER.DBACCESS_DENIED_ERROR:
                me = connection.exec_driver_sql("SELECT CURRENT_USER()").scalar_one()
                user, _, host = str(me).rpartition("@")
                raise JobFailed(
                    "the admin may not create temporary tables, which comparing the models with the database needs:"
                    f" GRANT CREATE TEMPORARY TABLES ON {granted_on(database)}.* TO '{user}'@'{host}'"
                ) from error
            raise JobFailed(
                f"the server refuses the {what} of the models: {message} ({code}); it was to be created as a temporary"
                f" table with: {' '.join(sql.split())}{model_location(item)}"
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
        row: Any = _send(connection, f"SHOW CREATE {kind} {quoted(database)}.{quoted(name)}").one()
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


class FamilyIntrospection:
    """What one database holds.

    Args:
        dialect: SQLAlchemy's name of the dialect.
        catalog: reads the schema of the database.
    """

    def __init__(self, dialect: str, catalog: MySQLCatalog) -> None:
        self._dialect = dialect
        self.catalog = catalog

    def translator(self, connection: sa.Connection) -> Translator:
        """Return the translator that writes this server's objects as models, for `ringfence reflect`."""
        return FamilyTranslator(self._dialect)

    def columns(self, connection: sa.Connection) -> frozenset[ColumnPath]:
        """Return every column outside the system databases as (schema, table, column); the default schema is None."""
        rows = connection.exec_driver_sql(
            "SELECT IF(table_schema = DATABASE(), NULL, table_schema), table_name, column_name"
            " FROM information_schema.columns"
            " WHERE table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')"
        )
        return frozenset((schema, table, column) for schema, table, column in rows)

    def tables_without_rollback(self, connection: sa.Connection) -> frozenset[tuple[str | None, str]]:
        """Return the tables whose storage engine has no transactions, such as MyISAM and Aria."""
        rows = connection.exec_driver_sql(
            "SELECT IF(t.table_schema = DATABASE(), NULL, t.table_schema), t.table_name"
            " FROM information_schema.tables t JOIN information_schema.engines e ON e.engine = t.engine"
            " WHERE t.table_type = 'BASE TABLE'"
            " AND COALESCE(e.transactions, 'NO') <> 'YES'"
            " AND t.table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')"
        )
        return frozenset((schema, name) for schema, name in rows)

    def broken_references(self, connection: sa.Connection) -> Mapping[str, int]:
        """Return an empty mapping: the server itself checks every foreign key."""
        return defaultdict(int)
