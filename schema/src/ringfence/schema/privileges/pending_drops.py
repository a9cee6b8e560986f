"""Privileges on tables and columns that a pending contract revision retires.

Until the revision runs, accounts that hold such a privilege keep it, and no other account receives it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext

from ringfence.schema.deployment import Deployment
from ringfence.schema.engines.base import NO_PENDING_DROPS, Backend, PendingDrops, Privileges
from ringfence.schema.grants.difference import Privilege
from ringfence.schema.manifest.model import Account, Grant
from ringfence.schema.revisions.contract import contract_of
from ringfence.schema.revisions.modelled_columns import modelled_columns
from ringfence.schema.revisions.selection import ordered, scripts_of
from ringfence.schema.sql.table_keys import key_of
from ringfence.schema.state.releases import ancestors

_BY_COLUMN = frozenset({"select", "insert", "update"})
_VERBS = _BY_COLUMN | {"delete"}
"""All verbs that a manifest can give on a table; any other privilege on a table is revoked."""
_Location = tuple[str, str]


def pending_drops(connection: sa.Connection, backend: Backend, deployment: Deployment) -> PendingDrops:
    """Find the tables and columns that pending revisions retire and that the models no longer have.

    Args:
        connection: the admin's.
        backend: the server.
        deployment: its models and migrations.

    Returns:
        The columns of modelled tables, and the whole tables that the database still has, each with its revision;
        nothing when the database is at head, or at a revision that this checkout does not know.
    """
    if not deployment.migrations.is_dir():
        return NO_PENDING_DROPS
    scripts = scripts_of(deployment)
    heads = MigrationContext.configure(connection).get_current_heads()
    if set(heads) == set(scripts.get_heads()):
        return NO_PENDING_DROPS
    revisions = ordered(scripts)
    if not set(heads) <= {script.revision for script in revisions}:
        # The database is ahead of this checkout, which therefore has no later contract revisions.
        return NO_PENDING_DROPS
    done = set(ancestors(scripts, heads))
    columns: dict[tuple[str | None, str], dict[str, str]] = {}
    whole: dict[str, str] = {}
    for script in revisions:
        retires = {} if script.revision in done else contract_of(script).retires
        for key, named in retires.items():
            table = deployment.tables.get(key)
            if table is None and named is None:
                whole[key] = script.revision
            elif table is not None and named:
                table_name = (table.schema, str(table.name))
                dropped = set(named) - {str(column.name) for column in table.columns}
                columns.setdefault(table_name, {}).update(dict.fromkeys(sorted(dropped), script.revision))
    existing = (
        {
            (schema, table)
            for schema, table, _ in modelled_columns(deployment, backend.introspection, connection)
        }
        if whole
        else set()
    )
    tables = {table_name: whole[key] for table_name in existing if (key := key_of(*table_name)) in whole}
    return PendingDrops({table_name: dropped for table_name, dropped in columns.items() if dropped}, tables)


@dataclass(frozen=True)
class RetainedPrivileges:
    """The tables and columns about to be retired, and how accounts reach them until then.

    Args:
        going: the result of `pending_drops`.
        default: the schema of a table that names none.
        views: (schema, view) -> (schema, table), for engines where accounts reach such a table through a view.
    """

    pending: PendingDrops
    default: str
    views: Mapping[_Location, _Location]

    def table(self, p: Privilege) -> _Location:
        """Return (schema, table) of a privilege, also when it is on the view of that table."""
        return self.views.get((p.schema, p.name), (p.schema, p.name))

    def columns(self) -> dict[_Location, Mapping[str, str]]:
        """Return (schema, table) -> column -> the revision that retires it, with the default schema filled in."""
        return {
            (schema or self.default, table): dropped
            for (schema, table), dropped in self.pending.columns.items()
        }

    def tables(self) -> dict[_Location, str]:
        """Return (schema, table) -> the revision that retires it, with the default schema filled in."""
        return {
            (schema or self.default, table): dropped
            for (schema, table), dropped in self.pending.tables.items()
        }

    def ends(self, rights: Iterable[Privilege]) -> Iterator[tuple[Privilege, str]]:
        """Yield each privilege on a table that is retired or loses columns, with the revision that ends it."""
        columns, tables = self.columns(), self.tables()
        for p in sorted(rights):
            table = self.table(p)
            dropped = columns.get(table, {})
            revision = tables.get(table) or dropped.get(p.column) or next(iter(dropped.values()), "")
            if p.kind == "table" and revision:
                yield p, revision


def adjust_for_column_drops(
    wanted: Iterable[Privilege],
    held: Iterable[Privilege],
    existing: Iterable[tuple[str | None, str, str]],
    retained: RetainedPrivileges,
) -> set[Privilege]:
    """Adjust the declared privileges on tables that lose columns, for the time in which old and new services run.

    A privilege on the whole table would include the retired column, which may be sensitive. So an account that does not
    hold it yet gets it on the remaining columns only.

    Args:
        wanted: the privileges that the manifest gives.
        held: the privileges in the server's catalogs.
        existing: (schema, table, column) of the database.
        retained: the retired tables and columns, and how they are reached.

    Returns:
        The adjusted privileges, with those on retired columns that accounts hold and keep.
    """
    dropped, views = retained.columns(), retained.views
    remaining: dict[_Location, list[str]] = {}
    for schema, table, column in existing:
        table_name = (schema or retained.default, table)
        if table_name in dropped and column not in dropped[table_name]:
            remaining.setdefault(table_name, []).append(column)
    have: set[Privilege] = set(held)
    found: set[Privilege] = set()
    for p in wanted:
        whole = p.kind == "table" and not p.column and p.verb in _BY_COLUMN
        if whole and p not in have and (p.schema, p.name) in dropped:
            found |= {replace(p, column=column) for column in remaining.get((p.schema, p.name), ())}
        else:
            found.add(p)
    things = {(p.login, p.schema, p.name) for p in found}
    verbs = {(p.login, *retained.table(p), p.verb) for p in found}
    asked = {(p.schema, p.name) for p in found}

    def stays_until(p: Privilege) -> bool:
        table = retained.table(p)
        if (p.schema, p.name) in views and (p.schema, p.name) not in asked:
            return (p.login, *table, p.verb) in verbs
        column = p.verb in _BY_COLUMN and p.column in dropped.get(table, ())
        return column and (p.login, p.schema, p.name) in things

    return found | {p for p in have if p.kind == "table" and stays_until(p)}


def kept_on_dropped_tables(
    connection: sa.Connection,
    privileges: Privileges,
    deployment: Deployment,
    held: Collection[Privilege],
    retained: RetainedPrivileges,
) -> set[Privilege]:
    """Find the privileges that accounts keep on tables that are retired whole.

    Args:
        connection: the admin's.
        privileges: those of the engine, which know what a privilege on a table implies (on a sequence, on a schema).
        deployment: an account that it no longer declares keeps nothing.
        held: the privileges in the server's catalogs.
        retained: the retired tables, and how they are reached.

    Returns:
        The held privileges on those tables, and the held ones that these imply.
    """
    tables = retained.tables()
    declared = {account.login: account for account in deployment.accounts.values()}
    kept = {
        p
        for p in held
        if p.kind == "table" and p.verb in _VERBS and p.login in declared and retained.table(p) in tables
    }
    # `Privileges.declared` derives implied privileges from a manifest: so the accounts get their former grants back.
    still: dict[str, Account] = {}
    for login in {p.login for p in kept}:
        account = declared[login]
        lines = {(p.verb, *retained.table(p)) for p in kept if p.login == login}
        grants = tuple(
            Grant(verb, schema, name, None, account.origin) for verb, schema, name in sorted(lines)
        )
        still[account.service] = replace(account, grants=grants)
    implied = privileges.declared(connection, replace(deployment, accounts=still)) if still else set()
    return kept | {p for p in implied & set(held) if p.kind != "table"}


def kept_rights(kept: Iterable[tuple[Privilege, str]], retained: RetainedPrivileges) -> list[str]:
    """Describe the kept privileges in one line for each account, table and revision.

    Args:
        kept: each privilege with the revision that ends it, as `Staying.ends` yields them.
        retained: the retired tables and columns, and how they are reached.
    """
    lines: dict[tuple[str, _Location, str], dict[str, set[str]]] = {}
    for p, revision in kept:
        lines.setdefault((p.login, retained.table(p), revision), {}).setdefault(p.verb, set()).add(p.column)
    found = []
    for (login, (schema, table), revision), verbs in lines.items():
        listed = [
            verb if "" in columns else f"{verb} ({', '.join(sorted(columns))})"
            for verb, columns in verbs.items()
        ]
        name = table if schema == retained.default else f"{schema}.{table}"
        found.append(f"{login} keeps {', '.join(listed)} on {name} until {revision} retires it")
    return found
