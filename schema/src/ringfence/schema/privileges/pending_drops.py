"""What a contract to come retires: until it runs, who holds it keeps it, and nobody else gets it."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext

from ringfence.schema.deployment import Deployment
from ringfence.schema.engines.base import NOTHING_GOES, Accounts, Backend, Going
from ringfence.schema.grants.difference import Privilege
from ringfence.schema.manifest.model import Account, Grant
from ringfence.schema.revisions.contract import contract_of
from ringfence.schema.revisions.modelled_columns import modelled_columns
from ringfence.schema.revisions.selection import ordered, scripts_of
from ringfence.schema.revisions.table_state import key_of
from ringfence.schema.state.releases import ancestors

_BY_COLUMN = frozenset({"select", "insert", "update"})
_VERBS = _BY_COLUMN | {"delete"}
"""All that a manifest gives: what else an account holds on a table is not of ours, and goes."""
_Place = tuple[str, str]


def leaving(connection: sa.Connection, backend: Backend, deployment: Deployment) -> Going:
    """What the revisions to come say that they retire, which no model has any more and the database still has."""
    if not deployment.migrations.is_dir():
        return NOTHING_GOES
    scripts = scripts_of(deployment)
    heads = MigrationContext.configure(connection).get_current_heads()
    if set(heads) == set(scripts.get_heads()):
        return NOTHING_GOES
    revisions = ordered(scripts)
    if not set(heads) <= {script.revision for script in revisions}:
        return NOTHING_GOES  # the database is ahead of this checkout, which knows of no contract after that
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
                place = (table.schema, str(table.name))
                gone = set(named) - {str(column.name) for column in table.columns}
                columns.setdefault(place, {}).update(dict.fromkeys(sorted(gone), script.revision))
    there = (
        {(schema, table) for schema, table, _ in modelled_columns(deployment, backend, connection)}
        if whole
        else set()
    )
    tables = {place: whole[key] for place in there if (key := key_of(*place)) in whole}
    return Going({place: gone for place, gone in columns.items() if gone}, tables)


@dataclass(frozen=True)
class Staying:
    """How what goes is reached until it is gone.

    Args:
        going: see `leaving`.
        default: the schema of a table that names none.
        views: (schema, view) -> (schema, table): through what accounts reach such a table where an engine wants that.
    """

    going: Going
    default: str
    views: Mapping[_Place, _Place]

    def table(self, p: Privilege) -> _Place:
        """The table that a right on it, or on a view before it, is about."""
        return self.views.get((p.schema, p.name), (p.schema, p.name))

    def columns(self) -> dict[_Place, Mapping[str, str]]:
        """Real schema and table -> column -> the revision that takes it."""
        return {(schema or self.default, table): gone for (schema, table), gone in self.going.columns.items()}

    def tables(self) -> dict[_Place, str]:
        """Real schema and table -> the revision that takes it."""
        return {(schema or self.default, table): gone for (schema, table), gone in self.going.tables.items()}

    def ends(self, rights: Iterable[Privilege]) -> Iterator[tuple[Privilege, str]]:
        """Each right on a table that goes, or loses columns, with the revision that ends it."""
        columns, tables = self.columns(), self.tables()
        for p in sorted(rights):
            table = self.table(p)
            gone = columns.get(table, {})
            revision = tables.get(table) or gone.get(p.column) or next(iter(gone.values()), "")
            if p.kind == "table" and revision:
                yield p, revision


def until_then(
    wanted: Iterable[Privilege],
    held: Iterable[Privilege],
    there: Iterable[tuple[str | None, str, str]],
    staying: Staying,
) -> set[Privilege]:
    """What is wanted while old services and new ones run beside each other, of tables that lose columns.

    A right on the whole of such a table would reach the column that goes, which may be a sensitive one: so it is given
    for the other columns, to whom does not hold it yet.

    Args:
        wanted: what the manifest gives.
        held: what the catalogs say.
        there: (schema, table, column) of the database.
        staying: what goes, and how it is reached.
    """
    gone, views = staying.columns(), staying.views
    stays: dict[_Place, list[str]] = {}
    for schema, table, column in there:
        place = (schema or staying.default, table)
        if place in gone and column not in gone[place]:
            stays.setdefault(place, []).append(column)
    have: set[Privilege] = set(held)
    found: set[Privilege] = set()
    for p in wanted:
        whole = p.kind == "table" and not p.column and p.verb in _BY_COLUMN
        if whole and p not in have and (p.schema, p.name) in gone:
            found |= {replace(p, column=column) for column in stays.get((p.schema, p.name), ())}
        else:
            found.add(p)
    things = {(p.login, p.schema, p.name) for p in found}
    verbs = {(p.login, *staying.table(p), p.verb) for p in found}
    asked = {(p.schema, p.name) for p in found}

    def stays_until(p: Privilege) -> bool:
        table = staying.table(p)
        if (p.schema, p.name) in views and (p.schema, p.name) not in asked:
            return (p.login, *table, p.verb) in verbs
        column = p.verb in _BY_COLUMN and p.column in gone.get(table, ())
        return column and (p.login, p.schema, p.name) in things

    return found | {p for p in have if p.kind == "table" and stays_until(p)}


def whole_tables(
    connection: sa.Connection,
    accounts: Accounts,
    deployment: Deployment,
    held: Collection[Privilege],
    staying: Staying,
) -> set[Privilege]:
    """What accounts keep of tables that go: the rights they hold on them, and of what those imply what they hold.

    Args:
        connection: the admin's.
        accounts: the engine's words, which know what a right on a table implies: of a sequence, or a schema.
        deployment: an account that it no longer declares keeps nothing.
        held: what the catalogs say.
        staying: what goes, and how it is reached.
    """
    tables = staying.tables()
    declared = {account.login: account for account in deployment.accounts.values()}
    kept = {
        p
        for p in held
        if p.kind == "table" and p.verb in _VERBS and p.login in declared and staying.table(p) in tables
    }
    # As if the manifest still had their lines.
    still: dict[str, Account] = {}
    for login in {p.login for p in kept}:
        account = declared[login]
        lines = {(p.verb, *staying.table(p)) for p in kept if p.login == login}
        grants = tuple(
            Grant(verb, schema, name, None, account.origin) for verb, schema, name in sorted(lines)
        )
        still[account.service] = replace(account, grants=grants)
    implied = accounts.wanted(connection, replace(deployment, accounts=still)) if still else set()
    return kept | {p for p in implied & set(held) if p.kind != "table"}


def kept_rights(kept: Iterable[tuple[Privilege, str]], staying: Staying) -> list[str]:
    """A line for each account, table and revision."""
    lines: dict[tuple[str, _Place, str], dict[str, set[str]]] = {}
    for p, revision in kept:
        lines.setdefault((p.login, staying.table(p), revision), {}).setdefault(p.verb, set()).add(p.column)
    found = []
    for (login, (schema, table), revision), verbs in lines.items():
        said = [
            verb if "" in columns else f"{verb} ({', '.join(sorted(columns))})"
            for verb, columns in verbs.items()
        ]
        name = table if schema == staying.default else f"{schema}.{table}"
        found.append(f"{login} keeps {', '.join(said)} on {name} until {revision} retires it")
    return found
