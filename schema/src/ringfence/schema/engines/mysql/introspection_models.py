"""Statements that create the models' tables as temporary ones, and the parts that temporary tables cannot have."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateSequence, CreateTable

from ringfence.schema.comparison.snapshot import Name, Snapshot
from ringfence.schema.engines.mysql.introspection_table import (
    Collations,
    Owner,
    TableReader,
    partitions,
    without_implicit,
)
from ringfence.schema.engines.mysql.introspection_tokens import Reader, Token, identifier, split, tokens
from ringfence.schema.errors import JobFailed

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

    def complete(self, made: Snapshot, reader: TableReader) -> None:
        """Change the snapshot of the temporary table to what a permanent one would have.

        Args:
            made: the snapshot; it is changed.
            reader: the reader that filled it.
        """
        table = Name("table", self.owner.schema, self.owner.table, self.owner.table)
        made.items[table] |= self.options
        for kind in ("check", "unique"):
            for name, facets in list(made.of(kind, self.owner.schema, self.owner.table)):
                if name.name not in self.named:
                    del made.items[name]
                    label = f"({' '.join(filter(None, facets.values()))})"
                    made.items[Name(kind, name.schema, name.table, label)] = facets
        refers = made.items[table].get("engine") in _FOREIGN_KEYS
        for item in self.lacking:
            if refers or item[0].word in _ONLY_LASTING:
                reader.item(item)
        without_implicit(made, self.owner)


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
        own_words = getattr(table, "_creator_ddl", None)
        creation = (
            own_words
            if isinstance(own_words, CreateTable)
            else CreateTable(table, include_foreign_key_constraints=[])
        )
        sql = compiled(creation, connection.dialect)
        added = [item for index in _indexes(table, connection) for item in _index(index, connection.dialect)]
        lacking = [tokens(text) for text in _foreign_keys(table, connection)]
    except (sa.exc.SQLAlchemyError, ValueError, AttributeError, NotImplementedError) as error:
        raise JobFailed(f"the table {key} of the models cannot be made on this engine: {error}") from error
    given = tokens(sql)
    first = next(place for place, token in enumerate(given) if token.word == "(")
    reader = Reader(given)
    reader.at = first
    body = reader.group()
    kept, facets = _options(reader, connection)
    if "ENGINE" not in kept:
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
    target = f"{identifier(database)}.{identifier(str(table.name))}"
    whole = ",\n".join(items)
    return Scratch(
        key,
        Owner(server.label(own), str(table.name), own),
        database,
        target,
        f"CREATE TEMPORARY TABLE {target} (\n{whole}\n){kept}",
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
    condition = getattr(item, "_ddl_if", None)
    return condition is None or bool(condition._should_execute(ddl, item, connection))  # noqa: SLF001 - SQLAlchemy has no public way to ask


def _index(index: sa.Index, dialect: sa.Dialect) -> Iterator[str]:
    """Yield a CREATE INDEX as an item of CREATE TABLE, so that no statement can reach the table of the database."""
    sql = compiled(CreateIndex(index), dialect)
    given = tokens(sql)
    word = next(place for place, token in enumerate(given) if token.word == "INDEX")
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

    kept: list[Token] = []
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
            kept.append(reader.next())
    return "".join(f" {token.spelled}" for token in kept), facets


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
    word = next(place for place, token in enumerate(given) if token.word == "SEQUENCE")
    last = word + (3 if len(given) > word + 2 and given[word + 2].word == "." else 1)
    target = f"{identifier(database)}.{identifier(str(sequence.name))}"
    return f"CREATE TEMPORARY SEQUENCE {target}{sql[given[last].end :]}"
