"""Access after a revision: what it made or grew is granted in its own transaction, to the accounts that are there."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace

import sqlalchemy as sa

from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Accounts
from ringfence.schema.engines.base import NOTHING_GOES
from ringfence.schema.engines.revision_access import Within
from ringfence.schema.grants.difference import Difference, Privilege, difference
from ringfence.schema.state import releases

Place = tuple[str | None, str]
Table = tuple[str, str]
"""The real schema and name."""


@dataclass(frozen=True)
class Widening:
    """What was read before the DDL took its locks; what is left to the apply is in none of it."""

    within: Within
    part: Deployment
    """Of the manifest's accounts those that are there and ours, with what it gives of the tables."""
    models: Mapping[Table, frozenset[str]]
    """The tables, with the columns that the models name."""
    unfenced: frozenset[Table]
    """Those with row scopes, whose policies do not stand as they should."""
    held: frozenset[Privilege]
    whole: Deployment
    """Of the manifest's accounts those that are there and ours, with what it gives of all tables."""
    holds: Callable[[sa.Connection], set[Privilege]]
    """What these accounts hold at the moment."""

    def change(self, connection: sa.Connection, *, fenced: bool) -> Difference:
        """What to grant now that the DDL has run.

        A table with a column that no model names waits for the apply, which knows what a contract to come retires: a
        right on the whole table would show that column.

        Args:
            connection: the admin's, in the revision's transaction.
            fenced: whether the policies of every table were made in it.
        """
        return Difference(
            difference(self._made(connection, fenced) | self._called(connection), self.held).grant, ()
        )

    def _made(self, connection: sa.Connection, fenced: bool) -> set[Privilege]:
        """What is to be had of the tables that the revision made or grew."""
        asked = self.models if fenced else self.models.keys() - self.unfenced
        there = {
            table: columns
            for table, columns in self.within.columns(connection, asked).items()
            if columns <= self.models[table]
        }
        if not there:
            return set()
        return {
            p
            for p in self.within.wanted(connection, self.part, there)
            if p.kind != "table" or not p.column or p.column in there[p.schema, p.name]
        }

    def _called(self, connection: sa.Connection) -> set[Privilege]:
        """What the tables call that it altered: a new CHECK, default, trigger or index may call a function."""
        default = connection.dialect.default_schema_name or ""
        known = {(table.schema or default, str(table.name)) for table in self.whole.tables.values()}
        altered = self.within.altered(connection) & known - self.models.keys()
        if not altered:
            return set()
        wanted = self.within.wanted(connection, self.whole, altered)
        asked = {p for p in wanted if p.kind != "table"}
        # A table is locked too when a new one refers to it: what was called before is held, if it is still the same.
        return asked - self.holds(connection) if asked else asked


def prepare(
    connection: sa.Connection,
    accounts: Accounts,
    deployment: Deployment,
    *,
    made: Collection[Place],
    grown: Collection[Place],
    detached: Collection[Place],
    anew: bool,
) -> Widening | None:
    """Read what the grants after a revision go by; None when there will be none.

    Args:
        connection: the admin's.
        accounts: of the server.
        deployment: what is wanted.
        made: the tables that the revision makes, with None for the default schema.
        grown: those that it adds columns to.
        detached: those whose policies are about to be taken out of its way.
        anew: whether it may drop functions and make them again, in words of its own.
    """
    if accounts.within is None:
        return None
    ours = releases.accounts(connection).keys() & {account.login for account in deployment.accounts.values()}
    existing = accounts.existing(connection, ours) if ours else {}
    mine = {
        service: account
        for service, account in deployment.accounts.items()
        if account.login in existing and existing[account.login].too_strong is None
    }
    if not mine:
        return None
    whole = _part(deployment, {*made, *grown})
    part = {service: account for service, account in whole.accounts.items() if service in mine}
    default = connection.dialect.default_schema_name or ""
    models = {
        (table.schema or default, str(table.name)): frozenset(str(column.name) for column in table.columns)
        for table in whole.tables.values()
    }
    new = {(schema or default, name) for schema, name in made}
    bare = new | {(schema or default, name) for schema, name in detached}
    schemas = {table.schema or default for table in deployment.tables.values()}

    def holds(asked: sa.Connection) -> set[Privilege]:
        return set(accounts.held(asked, existing, schemas))

    held = holds(connection)
    return Widening(
        accounts.within,
        replace(whole, accounts=part),
        models,
        _unfenced(connection, accounts, whole, bare),
        frozenset(p for p in held if _stays(p, models.keys() - new, anew=anew or bool(new))),
        replace(deployment, accounts=mine),
        holds,
    )


def _stays(held: Privilege, tables: Collection[Table], *, anew: bool) -> bool:
    """Whether a right is held after the revision too, which may make anew what it dropped, with its sequences."""
    if held.kind == "table":
        return (held.schema, held.name) in tables
    return held.kind == "schema" or not anew


def _part(deployment: Deployment, places: Collection[Place]) -> Deployment:
    """The deployment as if there were these tables alone, and the accounts that may touch them."""
    accounts = {}
    for service, account in deployment.accounts.items():
        if grants := tuple(grant for grant in account.grants if (grant.schema, grant.table) in places):
            accounts[service] = replace(account, grants=grants)
    tables = {
        key: table for key, table in deployment.tables.items() if (table.schema, str(table.name)) in places
    }
    return replace(deployment, accounts=accounts, tables=tables)


def _unfenced(
    connection: sa.Connection, accounts: Accounts, part: Deployment, bare: Collection[Table]
) -> frozenset[Table]:
    """The tables with row scopes whose policies are not as they should be; `bare` ones will have none."""
    default = connection.dialect.default_schema_name or ""
    scoped = {
        (grant.schema or default, grant.table)
        for account in part.accounts.values()
        for grant in account.grants
        if grant.scope is not None
    }
    if not scoped:
        return frozenset()
    fence = accounts.fence(connection, part, releases.accounts(connection), NOTHING_GOES)
    return frozenset(scoped if fence.before or fence.obstacles else scoped.intersection(bare))
