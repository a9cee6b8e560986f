"""Grants in a revision's own transaction, to existing accounts, on the tables it created or added columns to."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import sqlalchemy as sa

from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Accounts
from ringfence.schema.engines.base import NO_PENDING_DROPS, RowSecurityComparison
from ringfence.schema.engines.revision_access import RevisionQueries
from ringfence.schema.grants.difference import Difference, Privilege, difference
from ringfence.schema.state import releases

TableKey = tuple[str | None, str]
Table = tuple[str, str]
"""(schema, name), with the real name of the default schema."""


@dataclass(frozen=True)
class PendingGrants:
    """What was read before the DDL took its locks, to work out the grants after it; the final apply grants the rest."""

    queries: RevisionQueries
    part: Deployment
    """The deployment, reduced to existing managed accounts and to the tables that the revision creates or extends."""
    models: Mapping[Table, frozenset[str]]
    """Those tables, each with the columns of its model."""
    outdated_policies: frozenset[Table]
    """The tables with row scopes whose policies are missing or outdated."""
    held: frozenset[Privilege]
    """The privileges held before the revision that it leaves in force."""
    whole: Deployment
    """The deployment, reduced to existing managed accounts, with all tables."""
    holds: Callable[[sa.Connection], set[Privilege]]
    """Reads the privileges that these accounts hold at the moment."""

    def change(self, connection: sa.Connection, *, policies_attached: bool) -> Difference:
        """Return what to grant after the DDL has run.

        A table with a column that is not in the models is left to the final apply, which knows what a later contract
        revision retires: a privilege on the whole table would expose that column.

        Args:
            connection: the admin's, in the revision's transaction.
            policies_attached: whether the policies of every table were created in that transaction.
        """
        return Difference(
            difference(self._made(connection, policies_attached) | self._called(connection), self.held).grant,
            (),
        )

    def _made(self, connection: sa.Connection, policies_attached: bool) -> set[Privilege]:
        """Return the wanted privileges on tables that the revision created or extended."""
        asked = self.models if policies_attached else self.models.keys() - self.outdated_policies
        there = {
            table: columns
            for table, columns in self.queries.columns(connection, asked).items()
            if columns <= self.models[table]
        }
        if not there:
            return set()
        return {
            p
            for p in self.queries.declared(connection, self.part, there)
            if p.kind != "table" or not p.column or p.column in there[p.schema, p.name]
        }

    def _called(self, connection: sa.Connection) -> set[Privilege]:
        """Return missing privileges on functions that altered tables call in a new CHECK, default, trigger or index."""
        default = connection.dialect.default_schema_name or ""
        known = {(table.schema or default, str(table.name)) for table in self.whole.tables.values()}
        altered = self.queries.altered(connection) & known - self.models.keys()
        if not altered:
            return set()
        wanted = self.queries.declared(connection, self.whole, altered)
        asked = {p for p in wanted if p.kind != "table"}
        # A table that a new foreign key refers to counts as altered too: the functions it called before are granted
        # already, unless they were created again.
        return asked - self.holds(connection) if asked else asked


def prepare(
    connection: sa.Connection,
    accounts: Accounts,
    deployment: Deployment,
    *,
    created: Collection[TableKey],
    extended: Collection[TableKey],
    detached: Collection[TableKey],
    may_recreate: bool,
) -> PendingGrants | None:
    """Read what the grants after a revision depend on; None when there will be none.

    Args:
        connection: the admin's.
        accounts: the server's accounts.
        deployment: the deployment, with the wanted accounts and tables.
        created: the tables that the revision creates; schema None is the default schema.
        extended: the tables that it adds columns to.
        detached: the tables whose policies are about to be detached.
        may_recreate: whether its SQL text may drop functions and create them again, which loses their grants.
    """
    if accounts.privileges.revision_queries is None:
        return None
    ours = releases.accounts(connection).keys() & {account.login for account in deployment.accounts.values()}
    existing = accounts.roles.existing(connection, ours) if ours else {}
    mine = {
        service: account
        for service, account in deployment.accounts.items()
        if account.login in existing and existing[account.login].unfit is None
    }
    if not mine:
        return None
    whole = _part(deployment, {*created, *extended})
    part = {service: account for service, account in whole.accounts.items() if service in mine}
    default = connection.dialect.default_schema_name or ""
    models = {
        (table.schema or default, str(table.name)): frozenset(str(column.name) for column in table.columns)
        for table in whole.tables.values()
    }
    new = {(schema or default, name) for schema, name in created}
    bare = new | {(schema or default, name) for schema, name in detached}
    schemas = {table.schema or default for table in deployment.tables.values()}

    def holds(asked: sa.Connection) -> set[Privilege]:
        return set(accounts.privileges.held(asked, existing, schemas))

    held = holds(connection)
    return PendingGrants(
        accounts.privileges.revision_queries,
        replace(whole, accounts=part),
        models,
        _tables_without_row_security(connection, accounts.row_security, whole, bare),
        frozenset(
            p for p in held if _is_unchanged(p, models.keys() - new, may_recreate=may_recreate or bool(new))
        ),
        replace(deployment, accounts=mine),
        holds,
    )


def _is_unchanged(held: Privilege, tables: Collection[Table], *, may_recreate: bool) -> bool:
    """Return whether a privilege is still held after the revision, which may drop objects and create them again."""
    if held.kind == "table":
        return (held.schema, held.name) in tables
    return held.kind == "schema" or not may_recreate


def _part(deployment: Deployment, places: Collection[TableKey]) -> Deployment:
    """Reduce a deployment to some tables and the accounts with grants on them."""
    accounts = {}
    for service, account in deployment.accounts.items():
        if grants := tuple(grant for grant in account.grants if (grant.schema, grant.table) in places):
            accounts[service] = replace(account, grants=grants)
    tables = {
        key: table for key, table in deployment.tables.items() if (table.schema, str(table.name)) in places
    }
    return replace(deployment, accounts=accounts, tables=tables)


def _tables_without_row_security(
    connection: sa.Connection, row_security: RowSecurityComparison, part: Deployment, bare: Collection[Table]
) -> frozenset[Table]:
    """Return the tables with row scopes whose policies are missing or outdated; `bare` ones will have none."""
    default = connection.dialect.default_schema_name or ""
    scoped = {
        (grant.schema or default, grant.table)
        for account in part.accounts.values()
        for grant in account.grants
        if grant.scope is not None
    }
    if not scoped:
        return frozenset()
    fence = row_security.compare(connection, part, releases.accounts(connection), NO_PENDING_DROPS)
    return frozenset(scoped if fence.before or fence.obstacles else scoped.intersection(bare))
