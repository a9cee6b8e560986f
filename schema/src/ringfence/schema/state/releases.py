"""Ringfence's tables: applied and unfinished revisions, what releases dropped, managed accounts, and their records."""

from collections.abc import Iterable, Mapping

import sqlalchemy as sa
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import mysql

from ringfence.schema.errors import JobFailed
from ringfence.schema.models.columns import Timestamp
from ringfence.schema.state.columns import ColumnPath
from ringfence.schema.state.table_options import INNODB_OPTIONS

FORMAT = 1
PREFIX = "ringfence_"
_NAME = sa.String(128)
_LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")

metadata = sa.MetaData()
# One row per applied revision; a downgrade deletes it.
release = sa.Table(
    "ringfence_release",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("revision", sa.String(64), nullable=False, unique=True),
    sa.Column("applied_at", Timestamp, nullable=False),
    **INNODB_OPTIONS,
)
# What a release dropped: a column of NULL means the whole table, a schema of NULL the default one.
retired = sa.Table(
    "ringfence_retired",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("schema", _NAME),
    sa.Column("table", _NAME, nullable=False),
    sa.Column("column", _NAME),
    **INNODB_OPTIONS,
)
account = sa.Table(
    "ringfence_account",
    metadata,
    sa.Column("login", _NAME, primary_key=True),
    sa.Column("service", sa.String(255), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    **INNODB_OPTIONS,
)
# The hosts of managed accounts, on engines where the host is part of the account; without a row, any host.
host = sa.Table(
    "ringfence_host",
    metadata,
    sa.Column("login", _NAME, primary_key=True),
    sa.Column("host", sa.String(255), primary_key=True),
    **INNODB_OPTIONS,
)
# Views, triggers and functions for row security, on engines without policies: digests of the SQL that was sent
# and of the definition that the server stored.
row_security = sa.Table(
    "ringfence_row_security",
    metadata,
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("schema", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("table", sa.String(64), nullable=False),
    sa.Column("statements_digest", sa.String(64), nullable=False),
    sa.Column("definition_digest", sa.String(64), nullable=False),
    **INNODB_OPTIONS,
)
formats = sa.Table(
    "ringfence_format",
    metadata,
    sa.Column("part", sa.String(64), primary_key=True),
    sa.Column("format", sa.Integer, nullable=False),
    **INNODB_OPTIONS,
)
# The statements of an unfinished revision on engines where each statement commits; a finished one has no rows.
journal = sa.Table(
    "ringfence_journal",
    metadata,
    sa.Column("revision", sa.String(64), primary_key=True),
    sa.Column("direction", sa.String(4), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("statement", _LONG, nullable=False),
    sa.Column("source_line", sa.String(255), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("session", sa.String(255), nullable=False),
    # The columns of the database before the revision, where it may drop some.
    sa.Column("before", _LONG),
    **INNODB_OPTIONS,
)
# One row per backfill: its progress, and the run that holds it.
backfill = sa.Table(
    "ringfence_backfill",
    metadata,
    sa.Column("name", _NAME, primary_key=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("last_key", sa.Text),
    sa.Column("seen", sa.BigInteger, nullable=False),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("holder", sa.String(64)),
    sa.Column("heartbeats", sa.BigInteger, nullable=False),
    sa.Column("changed_at", Timestamp, nullable=False),
    **INNODB_OPTIONS,
)
# What each release of a service uses: a contract revision is checked against it while that release is connected.
mirror = sa.Table(
    "ringfence_mirror",
    metadata,
    sa.Column("service", sa.String(255), primary_key=True),
    sa.Column("revision", sa.String(64), primary_key=True),
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("uses", _LONG, nullable=False),
    **INNODB_OPTIONS,
)
# Findings that a job with `--force` did not stop at, one per row: the rule is `contract` or the id of a lint rule.
override = sa.Table(
    "ringfence_override",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("revision", sa.String(64), nullable=False),
    sa.Column("rule", sa.String(16), nullable=False),
    sa.Column("finding", _LONG, nullable=False),
    sa.Column("reason", _LONG, nullable=False),
    # The user and the host of the process that ran the job.
    sa.Column("forced_by", sa.String(255), nullable=False),
    sa.Column("forced_at", Timestamp, nullable=False),
    **INNODB_OPTIONS,
)
# Digests of the views, functions and triggers that migrations create by SQL of their own, at the end of the last job.
definition = sa.Table(
    "ringfence_definition",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    # A JSON list: its kind, schema, table and name.
    sa.Column("object", _LONG, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),
    # The database's revisions, and the server's version and default schema: under others the server may print the
    # same definition differently.
    sa.Column("revisions", sa.String(255), nullable=False),
    sa.Column("version", sa.String(255), nullable=False),
    **INNODB_OPTIONS,
)
_PART = "schema"


def ensure(connection: sa.Connection) -> None:
    """Create those of Ringfence's tables that do not exist.

    Raises:
        JobFailed: They were created by a later version, in a format that this one does not know.
    """
    existing = set(sa.inspect(connection).get_table_names())
    if formats.name in existing:
        number = connection.execute(sa.select(formats.c.format).where(formats.c.part == _PART)).scalar()
        if number is not None and number > FORMAT:
            raise JobFailed(
                f"the tables ringfence_* of this database have format {number}, and this version knows {FORMAT}:"
                " install a later ringfence-schema"
            )
    if missing := [table for table in metadata.sorted_tables if table.name not in existing]:
        metadata.create_all(connection, tables=missing, checkfirst=False)
    if connection.execute(sa.select(sa.func.count()).select_from(formats)).scalar_one() == 0:
        connection.execute(first_format())


def first_format() -> sa.Insert:
    """Return the statement that records the format of the tables."""
    return sa.insert(formats).values(part=_PART, format=FORMAT)


def ancestors(script: ScriptDirectory, heads: Iterable[str]) -> list[str]:
    """Return every revision that is applied in a database at these heads, the oldest first.

    Args:
        script: The migrations.
        heads: The revisions that `alembic_version` holds.
    """
    heads = tuple(heads)
    if not heads:
        return []
    return [item.revision for item in script.revision_map.iterate_revisions(heads, "base")][::-1]


def recorded(connection: sa.Connection) -> dict[str, int]:
    """Return revision -> seq of every release."""
    rows = connection.execute(sa.select(release.c.revision, release.c.seq))
    return {row[0]: row[1] for row in rows}


def reconcile(connection: sa.Connection, applied: Iterable[str]) -> int | None:
    """Make the releases match the applied revisions: add those that are missing, delete those that a downgrade undid.

    Args:
        connection: A connection of the admin account.
        applied: Every applied revision, the oldest first.

    Returns:
        The seq of the last release that was added; None when none was.
    """
    wanted = list(applied)
    have = recorded(connection)
    if gone := [seq for revision, seq in have.items() if revision not in set(wanted)]:
        connection.execute(sa.delete(retired).where(retired.c.seq.in_(gone)))
        connection.execute(sa.delete(release).where(release.c.seq.in_(gone)))
    seq = max(have.values(), default=0)
    added = None
    for revision in wanted:
        if revision not in have:
            seq = added = seq + 1
            connection.execute(insertion(revision, seq))
    return added


def insertion(revision: str, seq: int) -> sa.Insert:
    """Return the statement that records a release, at the server's time; it is UTC, the time zone of every session."""
    now = sa.func.current_timestamp()
    return sa.insert(release).values(seq=seq, revision=revision, applied_at=now)


def retire(
    connection: sa.Connection, seq: int, before: frozenset[ColumnPath], after: frozenset[ColumnPath]
) -> None:
    """Record the columns and tables that a release dropped; tables of Ringfence are left out.

    Args:
        connection: A connection of the admin account.
        seq: The number of the release.
        before: The columns of the database before the release.
        after: The columns of the database after it.
    """
    for insertion in retirement(seq, before, after):
        connection.execute(insertion)


def retirement(seq: int, before: frozenset[ColumnPath], after: frozenset[ColumnPath]) -> list[sa.Insert]:
    """Return the statements that record what a release dropped; the arguments are those of `retire`."""
    tables_after = {(schema, table) for schema, table, _ in after}
    gone: Mapping[ColumnPath, None] = {
        (schema, table, column if (schema, table) in tables_after else ""): None
        for schema, table, column in sorted(
            before - after, key=lambda item: tuple(part or "" for part in item)
        )
        if not table.startswith(PREFIX)
    }
    return [
        sa.insert(retired).values({"seq": seq, "schema": schema, "table": table, "column": column or None})
        for schema, table, column in gone
    ]


def schemas_retired(connection: sa.Connection) -> set[str]:
    """Return the schemas, except the default one, in which releases dropped whole tables."""
    rows = connection.execute(sa.select(retired.c.schema).where(retired.c.column.is_(None)).distinct())
    return {schema for (schema,) in rows if schema}


def accounts(connection: sa.Connection) -> dict[str, str]:
    """Return login -> state of the managed accounts."""
    rows = connection.execute(sa.select(account.c.login, account.c.state))
    return {row[0]: row[1] for row in rows}
