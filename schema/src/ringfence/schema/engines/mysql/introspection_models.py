"""The statements with which tables of the models are made as temporary ones, and what these cannot hold of them."""

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
# A temporary table of InnoDB has none of these, and the server refuses it.
_ONLY_LASTING = ("FULLTEXT", "VECTOR")
_STORED = frozenset({"ROW_FORMAT", "KEY_BLOCK_SIZE", "ENCRYPTION", "TABLESPACE", "DATA", "INDEX"})
RAW: Mapping[str, Any] = {"no_parameters": True}
"""For a statement that is sent as it stands: a percent sign in it is one."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """How one table of the models is made as a temporary one, and what it then lacks."""

    key: str
    owner: Owner
    database: str
    target: str
    """Its name there, quoted."""
    create: str
    named: frozenset[str]
    """Names that the statement gives; the server made up every other."""
    lacking: tuple[list[Token], ...]
    """Indexes and foreign keys that a temporary table cannot have, as items of CREATE TABLE."""
    options: dict[str, str]
    """Facets of the table likewise."""

    def complete(self, made: Snapshot, reader: TableReader) -> None:
        """Put into a snapshot of the temporary table what a lasting one would have.

        Args:
            made: of the temporary table; it is changed.
            reader: which read it.
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
    """What is asked of the server once, for all tables."""

    default: str
    """The default database."""
    databases: frozenset[str]
    engine: str
    """The storage engine of a table that names none."""
    collations: Collations

    @classmethod
    def ask(cls, connection: sa.Connection) -> "Server":
        """Ask it; a temporary table may have another engine where it names none.

        Args:
            connection: a session of the server.
        """
        default, engine = connection.exec_driver_sql("SELECT DATABASE(), @@default_storage_engine").one()
        databases = frozenset(connection.exec_driver_sql("SHOW DATABASES").scalars())
        charsets = connection.exec_driver_sql("SHOW CHARACTER SET")
        return cls(default, databases, engine, {charset: collation for charset, _, collation, _ in charsets})

    def label(self, schema: str | None) -> str:
        """A database as snapshots name it: "" for the default one.

        Args:
            schema: as models name it; None is the default one.
        """
        return "" if schema in (None, self.default) else str(schema)


def in_scratch(
    table: sa.Table, connection: sa.Connection, server: Server, key: str, more: Sequence[str] = ()
) -> Scratch:
    """How a table is made as a temporary one, with the indexes and options that `create_all` would give it.

    Args:
        table: of the models.
        connection: its dialect writes the statement; conditions (`ddl_if`) are asked about it.
        server: a table of a database that it does not have is made in the default one.
        key: the table's, for messages.
        more: what DDL of the models adds to it, as items of CREATE TABLE.

    Raises:
        JobFailed: the table cannot be written for this engine.
    """
    own = table.schema or server.default
    database = own if own in server.databases else server.default
    try:
        # One who writes the statement himself may write foreign keys into it, which a temporary table cannot have.
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
    """A statement as the server gets it: for the driver, SQLAlchemy writes every percent sign twice.

    Args:
        element: of SQLAlchemy's DDL.
        dialect: that of the server.
    """
    return str(element.compile(dialect=dialect)).replace("%%", "%").strip()


def _indexes(table: sa.Table, connection: sa.Connection) -> Iterator[sa.Index]:
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        # One without columns cannot be made.
        if list(index.expressions) and _applies(index, CreateIndex(index), connection):
            yield index


def _applies(item: sa.Index | sa.Constraint, ddl: Any, connection: sa.Connection) -> bool:
    """Whether its `ddl_if` lets it be made here."""
    condition = getattr(item, "_ddl_if", None)
    return condition is None or bool(condition._should_execute(ddl, item, connection))  # noqa: SLF001 - SQLAlchemy has no public way to ask


def _index(index: sa.Index, dialect: sa.Dialect) -> Iterator[str]:
    """CREATE INDEX, as an item of CREATE TABLE: so nothing is sent that could reach the table of the database."""
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
    """What follows the columns: what a temporary table takes of it, and facets for what it does not."""

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
    """The names that items of CREATE TABLE give to keys and constraints."""
    for word, name in itertools.pairwise(given):
        if word.word in ("CONSTRAINT", "INDEX", "KEY") and name.word != "(":
            yield name.name


def sequence_statement(sequence: sa.Sequence, dialect: sa.Dialect, database: str) -> str:
    """How a sequence is made as a temporary one.

    Args:
        sequence: of the models.
        dialect: that of the server.
        database: in which it is made.
    """
    sql = compiled(CreateSequence(sequence), dialect)
    given = tokens(sql)
    word = next(place for place, token in enumerate(given) if token.word == "SEQUENCE")
    last = word + (3 if len(given) > word + 2 and given[word + 2].word == "." else 1)
    target = f"{identifier(database)}.{identifier(str(sequence.name))}"
    return f"CREATE TEMPORARY SEQUENCE {target}{sql[given[last].end :]}"
