"""The fence of the MySQL family on the server: definer views, the functions they ask, and guard triggers.

A view that is there is as it should be when the server's own form of it is what it was when we made it, and it was made
from the same words: `ringfence_fence` keeps both as digests. So it is with functions and triggers.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from ringfence.schema.engines.base import Change, Fence, Going, Statement
from ringfence.schema.engines.mysql import scope_conditions
from ringfence.schema.engines.mysql.guard_triggers import Guard, guards
from ringfence.schema.engines.mysql.retained_views import FUNCTION, TRIGGER, VIEW, keep, keep_whole
from ringfence.schema.engines.mysql.scope_conditions import Written, quoted, text
from ringfence.schema.engines.mysql.views import View, views
from ringfence.schema.grants.difference import Difference, Privilege, batches, difference
from ringfence.schema.manifest.model import BoundName
from ringfence.schema.state import releases

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment
    from ringfence.schema.engines.mysql.roles import FamilyAccounts

# A view that is no longer merged into its query takes no writes.
_VIEW = "CONCAT_WS(CHAR(10), VIEW_DEFINITION, CHECK_OPTION, DEFINER, SECURITY_TYPE, IS_UPDATABLE)"
_HOST = "localhost"
_TRIGGER = (
    "CONCAT_WS(CHAR(10), EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_STATEMENT, DEFINER)"
)
_ORDER = (TRIGGER, VIEW, FUNCTION)
"""In which they go: each needs those that follow."""


def definer(database: str) -> str:
    """The login that our views run as: one for each database, locked, and short enough for every server."""
    digest = hashlib.sha256(database.encode()).hexdigest()[:8]
    return f"ringfence-{database[:13]}-{digest}"


@dataclass
class Needs:
    """What a deployment wants to stand before its tables."""

    views: list[View] = field(default_factory=list)
    guards: list[Guard] = field(default_factory=list)
    bound: list[BoundName] = field(default_factory=list)


def needs(deployment: "Deployment", database: str) -> Needs:
    """The views of every account, the guards of their tables, and the names that they bind."""
    accounts = deployment.accounts.values()
    found = [view for account in accounts for view in views(account, deployment.tables)]
    used = {name for account in accounts for name in account.bound_by_rows}
    bound = [item for name, item in deployment.policy.scopes.items() if name in used]
    return Needs(found, list(guards(deployment, database)), bound)


@dataclass(frozen=True)
class Thing:
    """A view or function as it should be: the statements that make it, and where it is recorded."""

    kind: str
    schema: str
    name: str
    table: str
    make: tuple[str, ...]
    login: str = ""
    by: str = ""
    """Where the manifest asks for it."""

    @property
    def digest(self) -> str:
        """Of the words that it is made from."""
        return hashlib.sha256("\n".join(self.make).encode()).hexdigest()


class Fencing:
    """Compares what stands before the tables with what should, and says what to do.

    Args:
        connection: the admin's.
        accounts: the engine's words for accounts and grants.
        deployment: what is wanted.
        going: what a contract to come retires.
    """

    form: ClassVar[str]
    """What of a function in information_schema.routines tells that it was changed."""
    alone: ClassVar[str]
    """The end of a CREATE USER after which nobody can log in."""

    def __init__(
        self,
        connection: sa.Connection,
        accounts: "FamilyAccounts",
        deployment: "Deployment",
        going: Going,
    ) -> None:
        self._connection = connection
        self._accounts = accounts
        self._deployment = deployment
        self._database = accounts.database(connection)
        self._definer = definer(self._database)
        self._needs = needs(deployment, self._database)
        self._kept = keep(connection, deployment, self._database, self._needs.views, going)
        self._recorded = _recorded(connection)
        # That of a table that has gone meanwhile too: rights outlive it.
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

    def fence(self) -> Fence:
        """Everything that is to be done; nothing is when it is done already."""
        found = Fence(views=self._kept.before, warnings=self._kept.warnings)
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
            found.before.append(_statement(f"CREATE USER IF NOT EXISTS {grantee} {self.alone}", change_of))
        elif wanted and there is not None and there.enabled:
            change_of = Change(runs_as, "active", "locked")
            found.before.append(_statement(f"ALTER USER {grantee} ACCOUNT LOCK", change_of))
        self._things(found, change)
        if there is not None and not wanted:
            found.after.append(_statement(f"DROP USER IF EXISTS {grantee}", Change(runs_as, "locked", "-")))
        return found

    # -- the definer

    def _rights(self) -> set[Privilege]:
        """What the definer needs, and no more: to read for the conditions, and the verbs of its views."""
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

    def _things(self, found: Fence, change: Difference) -> None:
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
        # A function that is made anew has lost who may run it.
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
                # A function takes the rights on it along, and a REVOKE must find them.
                revokes = batches(change.revoke, things=False)
                found.after += [
                    replace(self._accounts.revoke(batch, _HOST), about=rights) for batch in revokes
                ]
            for key in sorted(key for key in gone if key[0] == kind):
                found.after += self._gone(key, key in standing, key in recorded)

    @staticmethod
    def _gone(key: tuple[str, str, str], there: bool, known: bool) -> Iterator[Statement]:
        """Take it away, and what is recorded of it."""
        kind, schema, name = key
        change = Change(f"{kind} {schema}.{name}", "stands" if there else "recorded", "-")
        if there:
            yield _statement(f"DROP {kind.upper()} IF EXISTS {quoted(schema)}.{quoted(name)}", change)
        if known:
            where = f"kind = {text(kind)} AND `schema` = {text(schema)} AND name = {text(name)}"
            yield _statement(f"DELETE FROM {releases.fence.name} WHERE {where}", change)  # noqa: S608 - quoted

    def _made(self, thing: Thing) -> list[Statement]:
        """Make it, and record how the server writes it."""
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
            # A guard refuses: without it an account reaches more.
            finding="missing" if held == "-" and thing.kind != TRIGGER else "excess",
        )
        return [_statement(sql, change) for sql in (*thing.make, record)]

    def _functions(self) -> Iterator[Thing]:
        for bound in self._needs.bound:
            name = scope_conditions.function_name(bound.name)
            place = f"{quoted(self._database)}.{quoted(name)}"
            create = (
                f"CREATE DEFINER = {text_of_account(self._definer)} FUNCTION {place}() RETURNS"
                f" {scope_conditions.returned(bound)} DETERMINISTIC NO SQL SQL SECURITY INVOKER"
                f" {scope_conditions.body(bound)}"
            )
            yield Thing(FUNCTION, self._database, name, "", (f"DROP FUNCTION IF EXISTS {place}", create))

    def _views(self) -> Iterator[Thing]:
        for view in self._needs.views:
            make, account = (self._view_sql(view),), view.account
            by = ", ".join(dict.fromkeys(g.by for g in account.grants if g.key == view.key))
            yield Thing(VIEW, view.schema or self._database, view.name, view.table, make, account.login, by)

    def _triggers(self) -> Iterator[Thing]:
        for guard in self._needs.guards:
            schema = guard.schema or self._database
            name = f"{quoted(schema)}.{quoted(guard.name)}"
            create = (
                f"CREATE DEFINER = {text_of_account(self._definer)} TRIGGER {name} BEFORE {guard.event} ON"
                f" {quoted(schema)}.{quoted(guard.table)} FOR EACH ROW {guard.body}"
            )
            # Its name hangs on its words: another one is there before the old one goes.
            yield Thing(TRIGGER, schema, guard.name, guard.table, (f"DROP TRIGGER IF EXISTS {name}", create))

    def _view_sql(self, view: View) -> str:
        schema = quoted(view.schema or self._database)
        columns = ", ".join(map(quoted, view.columns))
        sql = (
            f"CREATE OR REPLACE DEFINER = {text_of_account(self._definer)} SQL SECURITY DEFINER"  # noqa: S608 - quoted
            f" VIEW {schema}.{quoted(view.name)} AS SELECT {columns} FROM {schema}.{quoted(view.table)}"
        )
        if view.scope is None:
            return sql
        written = Written(self._deployment.tables[view.key], self._deployment.engines, self._database)
        return f"{sql} WHERE {written.scope(view.scope)} WITH CASCADED CHECK OPTION"

    # -- the catalogs

    def _create_table(self) -> str:
        sql = str(CreateTable(releases.fence, if_not_exists=True).compile(dialect=self._connection.dialect))
        return " ".join(sql.split())

    @classmethod
    def _catalogs(cls) -> dict[str, tuple[str, str, str]]:
        """For each kind what of it is compared, the catalog, and how the names of its columns begin."""
        return {
            VIEW: (_VIEW, "views", "table"),
            FUNCTION: (cls.form, "routines", "routine"),
            TRIGGER: (_TRIGGER, "triggers", "trigger"),
        }

    @classmethod
    def standing(cls, connection: sa.Connection, schemas: Iterable[str]) -> dict[tuple[str, str, str], str]:
        """(kind, schema, name) -> the digest of what the server says, for all that bears our name."""
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
    """Take away what stands before these tables, so that they can be altered; the next apply makes it again.

    Rights on a view outlive it, so that it serves as soon as it is back.
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
    """(kind, schema, name) -> its table, and the digests of its words and of the server's."""
    if not _has_table(connection):
        return {}
    rows = connection.execute(sa.select(releases.fence)).mappings()
    return {(r["kind"], r["schema"], r["name"]): (r["table"], r["wanted"], r["made"]) for r in rows}


def text_of_account(login: str) -> str:
    """'login'@'localhost'."""
    quoted_login = login.replace("\\", "\\\\").replace("'", "''")
    return f"'{quoted_login}'@'{_HOST}'"


def _statement(sql: str, about: Change | None = None) -> Statement:
    return Statement(sql.replace("%", "%%"), shown=sql, about=about)
