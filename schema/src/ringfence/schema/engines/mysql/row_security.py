"""Row security on the MySQL family's servers: definer views, the functions that they call, and guard triggers.

The table `ringfence_fence` records two digests of each such object: of the statements that created it, and of the
definition that the server stored. An object is up to date when both digests are still the same.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from ringfence.schema.engines.base import Change, PendingDrops, RowSecurity, Statement
from ringfence.schema.engines.mysql import scope_conditions
from ringfence.schema.engines.mysql.guard_triggers import Guard, guards
from ringfence.schema.engines.mysql.retained_views import FUNCTION, TRIGGER, VIEW, keep, keep_whole
from ringfence.schema.engines.mysql.scope_conditions import ScopeWriter, quoted, text
from ringfence.schema.engines.mysql.views import View, views
from ringfence.schema.grants.difference import Difference, Privilege, batches, difference
from ringfence.schema.manifest.model import BoundScope
from ringfence.schema.state import releases

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment
    from ringfence.schema.engines.mysql.roles import FamilyAccounts

# IS_UPDATABLE, because a view that the server no longer merges into the query accepts no writes.
_VIEW = "CONCAT_WS(CHAR(10), VIEW_DEFINITION, CHECK_OPTION, DEFINER, SECURITY_TYPE, IS_UPDATABLE)"
_HOST = "localhost"
_TRIGGER = (
    "CONCAT_WS(CHAR(10), EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_STATEMENT, DEFINER)"
)
_ORDER = (TRIGGER, VIEW, FUNCTION)
"""The order of dropping: a kind may use those that follow it."""


def definer(database: str) -> str:
    """Return the login of the account that the views of a database run as.

    Each database has one of its own. The account is locked, and its name is short enough for every server.
    """
    digest = hashlib.sha256(database.encode()).hexdigest()[:8]
    return f"ringfence-{database[:13]}-{digest}"


@dataclass
class Requirements:
    """The views, guard triggers and bound names that a deployment requires."""

    views: list[View] = field(default_factory=list)
    guards: list[Guard] = field(default_factory=list)
    bound: list[BoundScope] = field(default_factory=list)


def needs(deployment: "Deployment", database: str) -> Requirements:
    """Return the views of all accounts, the guard triggers of their tables, and the names that their scopes bind.

    Args:
        deployment: its accounts, tables and scopes.
        database: the default schema.
    """
    accounts = deployment.accounts.values()
    found = [view for account in accounts for view in views(account, deployment.tables)]
    used = {name for account in accounts for name in account.bound_by_rows}
    bound = [item for name, item in deployment.policy.scopes.items() if name in used]
    return Requirements(found, list(guards(deployment, database)), bound)


@dataclass(frozen=True)
class RowSecurityObject:
    """A view, function or trigger as it should be.

    Args:
        kind: VIEW, FUNCTION or TRIGGER.
        schema: its database.
        name: its name.
        table: the table of a view or trigger; empty for a function.
        make: the statements that create it.
        login: the account that uses a view; empty for the other kinds.
        by: the lines of the manifest that require a view.
    """

    kind: str
    schema: str
    name: str
    table: str
    make: tuple[str, ...]
    login: str = ""
    by: str = ""

    @property
    def digest(self) -> str:
        """Return the digest of the statements that create it."""
        return hashlib.sha256("\n".join(self.make).encode()).hexdigest()


class RowSecurityPlanner:
    """Compares the objects of row security on the server with those that a deployment requires, and plans the changes.

    Args:
        connection: the admin's.
        accounts: writes the engine's statements for accounts and grants.
        deployment: its manifest and models.
        going: the columns and tables that coming contract revisions drop.
    """

    function_digest_expression: ClassVar[str]
    """SQL expression on information_schema.routines whose value shows that a function was changed."""
    no_login_clause: ClassVar[str]
    """The end of a CREATE USER statement, with which the account accepts no login."""

    def __init__(
        self,
        connection: sa.Connection,
        accounts: "FamilyAccounts",
        deployment: "Deployment",
        going: PendingDrops,
    ) -> None:
        self._connection = connection
        self._accounts = accounts
        self._deployment = deployment
        self._database = accounts.database(connection)
        self._definer = definer(self._database)
        self._needs = needs(deployment, self._database)
        self._kept = keep(connection, deployment, self._database, self._needs.views, going)
        self._recorded = _recorded(connection)
        # Includes the schemas of tables that were dropped since: privileges on a table outlive it.
        schemas = {schema for _, schema, _ in self._recorded}
        schemas |= {table.schema or self._database for table in deployment.tables.values()}
        self._schemas = tuple({*schemas, self._database})
        self._standing = self.standing(connection, self._schemas)
        if going.tables:
            keep_whole(
                connection,
                self._kept,
                deployment,
                self._database,
                self._standing,
                self._recorded,
                going,
            )

    def changes(self) -> RowSecurity:
        """Return the statements that make row security what it should be; none when it is so already."""
        found = RowSecurity(views=self._kept.before, warnings=self._kept.warnings)
        grantee = f"'{self._definer}'@'{_HOST}'"
        there = self._accounts.existing(self._connection, [self._definer], _HOST).get(self._definer)
        wanted = self._rights()
        held = self._accounts.held_by(self._connection, [self._definer], self._schemas, _HOST)
        kept = {*self._kept.unasked.values(), *self._kept.tables}
        wanted |= {p for p in held if p.kind == "table" and (p.schema, p.name) in kept}
        wanted |= {p for p in held if (p.kind, p.schema, p.name) in self._kept.whole}
        change = difference(wanted, held)
        runs_as = f"account {grantee} that views run as"
        if wanted and there is None:
            change_of = Change(runs_as, "-", "locked")
            found.before.append(
                _statement(f"CREATE USER IF NOT EXISTS {grantee} {self.no_login_clause}", change_of)
            )
        elif wanted and there is not None and there.enabled:
            change_of = Change(runs_as, "active", "locked")
            found.before.append(_statement(f"ALTER USER {grantee} ACCOUNT LOCK", change_of))
        self._things(found, change)
        if there is not None and not wanted:
            found.after.append(_statement(f"DROP USER IF EXISTS {grantee}", Change(runs_as, "locked", "-")))
        return found

    # -- the definer

    def _rights(self) -> set[Privilege]:
        """Return the privileges that the definer account needs, and no more.

        These are SELECT for the conditions, the verbs of its views, TRIGGER for guards, and EXECUTE for functions.
        """
        found: set[Privilege] = set()

        def add(schema: str | None, table: str, *verbs: str) -> None:
            where = schema or self._database
            found.update(Privilege(self._definer, "table", where, table, verb) for verb in verbs)

        for view in self._needs.views:
            add(view.schema, view.table, "select", *view.rights)
        for guard in self._needs.guards:
            add(guard.schema, guard.table, "select", "trigger")
        for bound in self._needs.bound:
            name = scope_conditions.function_name(bound.name)
            found.add(Privilege(self._definer, "function", self._database, name, "execute"))
        return found

    # -- views and functions

    def _things(self, found: RowSecurity, change: Difference) -> None:
        """Add the statements that create, grant, revoke and drop to `found`, in the order that they depend on."""
        recorded, standing = self._recorded, self._standing
        wanted = [*self._functions(), *self._views(), *self._triggers()]
        if wanted and not _has_table(self._connection):
            found.before.append(_statement(self._create_table()))
        stale = [
            thing
            for thing in wanted
            if (key := (thing.kind, thing.schema, thing.name)) not in standing
            or recorded.get(key, ("", "", ""))[1:] != (thing.digest, standing[key])
        ]
        for thing in stale:
            if thing.kind == FUNCTION:
                found.before += self._made(thing)
        rights = Change(
            f"rights of '{self._definer}'@'{_HOST}' that views run as", "others", "what they need"
        )
        # Dropping a function drops the privileges on it, so that they must be granted again.
        again = {
            Privilege(self._definer, FUNCTION, t.schema, t.name, "execute")
            for t in stale
            if t.kind == FUNCTION
        }
        found.before += [
            replace(self._accounts.grant(batch, _HOST), about=rights)
            for batch in batches({*change.grant, *again}, things=False)
        ]
        for thing in stale:
            if thing.kind != FUNCTION:
                found.before += self._made(thing)
        names = {(thing.kind, thing.schema, thing.name) for thing in wanted}
        gone = {*standing, *recorded} - names - self._kept.names
        for kind in _ORDER:
            if kind == FUNCTION:
                # Dropping a function drops the privileges on it, and a REVOKE would fail after that.
                revokes = batches(change.revoke, things=False)
                found.after += [
                    replace(self._accounts.revoke(batch, _HOST), about=rights) for batch in revokes
                ]
            for key in sorted(key for key in gone if key[0] == kind):
                found.after += self._gone(key, key in standing, key in recorded)

    @staticmethod
    def _gone(key: tuple[str, str, str], there: bool, known: bool) -> Iterator[Statement]:
        """Yield the statements that drop an object and delete its record.

        Args:
            key: its kind, schema and name.
            there: whether it exists.
            known: whether it is recorded.
        """
        kind, schema, name = key
        change = Change(f"{kind} {schema}.{name}", "stands" if there else "recorded", "-")
        if there:
            yield _statement(f"DROP {kind.upper()} IF EXISTS {quoted(schema)}.{quoted(name)}", change)
        if known:
            where = f"kind = {text(kind)} AND `schema` = {text(schema)} AND name = {text(name)}"
            yield _statement(f"DELETE FROM {releases.fence.name} WHERE {where}", change)  # noqa: S608 - quoted

    def _made(self, thing: RowSecurityObject) -> list[Statement]:
        """Return the statements that create an object, and record the definition that the server stores."""
        form, catalog, prefix = self._catalogs()[thing.kind]
        values = [*map(text, (thing.kind, thing.schema, thing.name, thing.table, thing.digest))]
        record = (
            f"REPLACE INTO {releases.fence.name} (kind, `schema`, name, `table`, wanted, made)"  # noqa: S608 - quoted
            f" SELECT {', '.join(values)}, SHA2({form}, 256) FROM information_schema.{catalog}"
            f" WHERE {prefix}_schema = {values[1]} AND {prefix}_name = {values[2]}"
        )
        held = "another" if (thing.kind, thing.schema, thing.name) in self._standing else "-"
        before = f" before {thing.table}" if thing.table else ""
        change = Change(
            f"{thing.kind} {thing.schema}.{thing.name}{before}",
            held,
            "as declared",
            thing.login,
            thing.by,
            (thing.schema, thing.table) if thing.table else None,
            # Without its guard trigger an account reaches more than the manifest gives.
            finding="missing" if held == "-" and thing.kind != TRIGGER else "excess",
        )
        return [_statement(sql, change) for sql in (*thing.make, record)]

    def _functions(self) -> Iterator[RowSecurityObject]:
        for bound in self._needs.bound:
            name = scope_conditions.function_name(bound.name)
            place = f"{quoted(self._database)}.{quoted(name)}"
            create = (
                f"CREATE DEFINER = {text_of_account(self._definer)} FUNCTION {place}() RETURNS"
                f" {scope_conditions.returned(bound)} DETERMINISTIC NO SQL SQL SECURITY INVOKER"
                f" {scope_conditions.body(bound)}"
            )
            yield RowSecurityObject(
                FUNCTION, self._database, name, "", (f"DROP FUNCTION IF EXISTS {place}", create)
            )

    def _views(self) -> Iterator[RowSecurityObject]:
        for view in self._needs.views:
            make, account = (self._view_sql(view),), view.account
            by = ", ".join(dict.fromkeys(g.by for g in account.grants if g.key == view.key))
            yield RowSecurityObject(
                VIEW, view.schema or self._database, view.name, view.table, make, account.login, by
            )

    def _triggers(self) -> Iterator[RowSecurityObject]:
        for guard in self._needs.guards:
            schema = guard.schema or self._database
            name = f"{quoted(schema)}.{quoted(guard.name)}"
            create = (
                f"CREATE DEFINER = {text_of_account(self._definer)} TRIGGER {name} BEFORE {guard.event} ON"
                f" {quoted(schema)}.{quoted(guard.table)} FOR EACH ROW {guard.body}"
            )
            # The name has a digest of the body, so a changed trigger exists before the old one is dropped.
            yield RowSecurityObject(
                TRIGGER, schema, guard.name, guard.table, (f"DROP TRIGGER IF EXISTS {name}", create)
            )

    def _view_sql(self, view: View) -> str:
        schema = quoted(view.schema or self._database)
        columns = ", ".join(map(quoted, view.columns))
        sql = (
            f"CREATE OR REPLACE DEFINER = {text_of_account(self._definer)} SQL SECURITY DEFINER"  # noqa: S608 - quoted
            f" VIEW {schema}.{quoted(view.name)} AS SELECT {columns} FROM {schema}.{quoted(view.table)}"
        )
        if view.scope is None:
            return sql
        written = ScopeWriter(self._deployment.tables[view.key], self._deployment.engines, self._database)
        return f"{sql} WHERE {written.scope(view.scope)} WITH CASCADED CHECK OPTION"

    # -- the catalogs

    def _create_table(self) -> str:
        sql = str(CreateTable(releases.fence, if_not_exists=True).compile(dialect=self._connection.dialect))
        return " ".join(sql.split())

    @classmethod
    def _catalogs(cls) -> dict[str, tuple[str, str, str]]:
        """Return for each kind the compared expression, the catalog, and the prefix of the catalog's columns."""
        return {
            VIEW: (_VIEW, "views", "table"),
            FUNCTION: (cls.function_digest_expression, "routines", "routine"),
            TRIGGER: (_TRIGGER, "triggers", "trigger"),
        }

    @classmethod
    def standing(cls, connection: sa.Connection, schemas: Iterable[str]) -> dict[tuple[str, str, str], str]:
        """Return the objects named `ringfence_*`, as (kind, schema, name) -> digest of the stored definition.

        Args:
            connection: the admin's.
            schemas: the databases that are searched.
        """
        found = {}
        for kind, (form, catalog, prefix) in cls._catalogs().items():
            rows = connection.exec_driver_sql(
                f"SELECT {prefix}_schema, {prefix}_name, SHA2({form}, 256) FROM information_schema.{catalog}"  # noqa: S608 - our words
                f" WHERE {prefix}_schema IN %(schemas)s AND LEFT({prefix}_name, 10) = 'ringfence_'",
                {"schemas": tuple(schemas)},
            )
            found.update({(kind, schema, name): made for schema, name, made in rows})
        return found


def detach(
    connection: sa.Connection, database: str, tables: Iterable[tuple[str | None, str]]
) -> list[Statement]:
    """Return the statements that drop the views and triggers of some tables, so that these tables can be altered.

    The next apply creates them again. Privileges on a view outlive it, so it can be used as soon as it exists again.

    Args:
        connection: the admin's.
        database: the default schema.
        tables: (schema, table); the schema is None for the default one.
    """
    meant = {(schema or database, table) for schema, table in tables}
    return [
        _statement(f"DROP {kind.upper()} IF EXISTS {quoted(schema)}.{quoted(name)}")
        for (kind, schema, name), (table, _, _) in sorted(_recorded(connection).items())
        if kind != FUNCTION and (schema, table) in meant
    ]


def _has_table(connection: sa.Connection) -> bool:
    return bool(
        connection.exec_driver_sql(
            "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = %s",
            (releases.fence.name,),
        ).scalar_one()
    )


def _recorded(connection: sa.Connection) -> dict[tuple[str, str, str], tuple[str, str, str]]:
    """Return (kind, schema, name) -> its table, digest of its statements, digest of its stored definition."""
    if not _has_table(connection):
        return {}
    rows = connection.execute(sa.select(releases.fence)).mappings()
    return {(r["kind"], r["schema"], r["name"]): (r["table"], r["wanted"], r["made"]) for r in rows}


def text_of_account(login: str) -> str:
    """Return 'login'@'localhost' as it is written in SQL."""
    quoted_login = login.replace("\\", "\\\\").replace("'", "''")
    return f"'{quoted_login}'@'{_HOST}'"


def _statement(sql: str, about: Change | None = None) -> Statement:
    return Statement(sql.replace("%", "%%"), shown=sql, about=about)
