"""The statements that a proof tries as an account: each verb on each table and column, and DDL."""

from collections.abc import Iterator
from dataclasses import replace

import sqlalchemy as sa

from ringfence.runtime import Database
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend
from ringfence.schema.grants.difference import READABLE
from ringfence.schema.manifest.model import Account, Grant
from ringfence.schema.manifest.resolution import is_view
from ringfence.schema.state.releases import metadata as our_tables
from ringfence.schema.verification.proof import Attempt
from ringfence.schema.verification.sequences import sequence_attempts
from ringfence.schema.verification.unmodelled_columns import Unmodelled

VERBS = ("select", "insert", "update", "delete")


def attempts(deployment: Deployment, account: Account, database: Database) -> Iterator[Attempt]:
    """Yield the attempts on the deployment's tables and sequences and on Ringfence's own tables.

    Args:
        deployment: its tables.
        account: its grants.
        database: opened as the account, with its mirror.

    Yields:
        An attempt, with whether the manifest gives it.
    """
    quote = database.backend.quote_name
    granted: dict[tuple[str, str], Grant] = {(grant.key, grant.verb): grant for grant in account.grants}
    for key, table in deployment.tables.items():
        # A write to a view that is not updatable fails with another error than a denial.
        for verb in VERBS if table.info.get("updatable") or not is_view(table) else ("select",):
            grant = granted.get((key, verb))
            yield from _of_verb(verb, key, table, grant, database)
            if grant is not None and _uses_view(table, verb, database):
                yield from _of_verb(verb, key, table, None, database)
    for name, sql, grant in sequence_attempts(deployment, account, database):
        yield Attempt("draw", name, None, sql, grant is not None, str(grant.origin) if grant else None)
    for table in our_tables.sorted_tables:
        readable = table.name in READABLE
        for column in table.columns:
            sql = _statement("select", quote(table.name), quote(column.name))
            yield Attempt("select", table.name, column.name, sql, readable, "every account's own rights")
        yield Attempt("delete", table.name, None, _statement("delete", quote(table.name)), expected=False)


def unmodelled_attempts(unmodelled: Unmodelled, account: Account, database: Database) -> Iterator[Attempt]:
    """Yield the attempts on columns that no model has, on the table itself and on the views before it.

    Args:
        unmodelled: those columns.
        account: its grants.
        database: opened as the account, with its mirror.

    Yields:
        An attempt that is not given, with an excuse where success would be harmless.
    """
    quote = database.backend.quote_name
    for one in unmodelled.columns:
        for verb in one.verbs():
            through, behind = _relations(one.table, verb, database)
            before = _uses_view(one.table, verb, database)
            views = (
                name
                for mine in database.mirror.tables.values()
                if (mine.schema, mine.name) == (one.table.schema, str(one.table.name)) and verb in mine.verbs
                for name in mine.verbs[verb].relations.values()
            )
            excuse = one.excuse(account, verb, itself=not before)
            relations = {behind} | (
                {through} if any(unmodelled.has(name, one.column) for name in views) else set()
            )
            for relation in sorted(relations):
                sql = _statement(verb, relation, quote(one.column))
                yield Attempt(verb, one.key, one.column, sql, expected=False, excuse=excuse)
    for dropped in unmodelled.dropped_table_attempts(account):
        key = ".".join(filter(None, (dropped.schema, dropped.table)))
        relation = ".".join(quote(part) for part in (dropped.schema, dropped.table) if part)
        sql = _statement(dropped.verb, relation, quote(dropped.column))
        yield Attempt(dropped.verb, key, dropped.column or None, sql, expected=False, excuse=dropped.excuse)


def ddl_attempts(
    deployment: Deployment, account: Account, database: Database, kind: Backend
) -> Iterator[Attempt]:
    """Yield the DDL on the deployment's tables that every account must be refused.

    On engines where DDL commits, each attempt costs a connection, so only tables with a grant of the account are tried.

    Args:
        deployment: its tables.
        account: its grants.
        database: opened as the account, with its mirror.
        kind: the engine.

    Yields:
        An attempt that is not given.
    """
    given = {grant.key for grant in account.grants}
    of_ours = [
        (key, _relations(table, "delete", database)[1])
        for key, table in deployment.tables.items()
        if not is_view(table) and (kind.features.transactional_ddl or key in given)
    ]
    for what, on, sql in kind.ddl.attempts(of_ours, database.backend.quote_name(READABLE[0])):
        yield Attempt(what, on or "the schema", None, sql, expected=False)


def _of_verb(
    verb: str, key: str, table: sa.Table, grant: Grant | None, database: Database
) -> Iterator[Attempt]:
    origin = str(grant.origin) if grant else None
    through, behind = _relations(table, verb, database)
    if verb == "delete":
        sql = _statement(verb, through if grant is not None else behind)
        yield Attempt(verb, key, None, sql, grant is not None, origin)
        return
    for column in table.columns:
        if verb != "select" and _computed(column):
            continue
        given = grant is not None and (grant.columns is None or column.name in grant.columns)
        relation = through if given else behind
        sql = _statement(verb, relation, database.backend.quote_name(column.name))
        yield Attempt(verb, key, column.name, sql, given, origin, relation if verb == "select" else "")


def _relations(table: sa.Table, verb: str, database: Database) -> tuple[str, str]:
    """Return the relation that the verb uses, and the table itself, on which a denied verb must fail too."""
    backend = database.backend
    for mine in database.mirror.tables.values():
        if (mine.schema, mine.name) == (table.schema, str(table.name)):
            return backend.relation(mine, verb), backend.relation(replace(mine, verbs={}), verb)
    plain = ".".join(backend.quote_name(part) for part in (table.schema, table.name) if part)
    return plain, plain


def _uses_view(table: sa.Table, verb: str, database: Database) -> bool:
    """Whether the mirror sends the verb to a view, so that the account must not reach the table itself."""
    for mine in database.mirror.tables.values():
        if (mine.schema, mine.name) == (table.schema, str(table.name)) and verb in mine.verbs:
            through, behind = _relations(table, verb, database)
            return bool(mine.verbs[verb].relations) and through != behind
    return False


def _computed(column: sa.Column[object]) -> bool:
    """Whether no account can write the column: the server rejects that before it checks privileges."""
    return column.computed is not None or (column.identity is not None and bool(column.identity.always))


def _statement(verb: str, table: str, column: str = "") -> str:
    """Return a statement that needs only this verb on this column, and touches no row."""
    return {
        "select": f"SELECT {column} FROM {table} WHERE 1 = 0",  # noqa: S608 - quoted names
        "insert": f"INSERT INTO {table} ({column}) SELECT NULL WHERE 1 = 0",
        "update": f"UPDATE {table} SET {column} = NULL WHERE 1 = 0",  # noqa: S608 - quoted names
        "delete": f"DELETE FROM {table} WHERE 1 = 0",  # noqa: S608 - quoted names
    }[verb]
