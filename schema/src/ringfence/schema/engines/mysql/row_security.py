"""Row security on the MySQL family: definer views in front of tables, the functions that they call, and guard triggers.

A view is required where rows are scoped, and where an account may read some columns of a table and not the others. On
these servers not every way to read a table checks column privileges; a view does not have the other columns. A view
with CHECK OPTION does not prevent an upsert or a REPLACE that reaches rows outside a scope; guard triggers refuse it.

The table `ringfence_row_security` records two digests of each such object: of the statements that created it, and of
the definition that the server stored. An object is up to date when both digests are still the same.
"""

import datetime as dt
import hashlib
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from ringfence.schema.engines.base import Change, PendingDrops, RowSecurity, Statement
from ringfence.schema.engines.mysql.hosts import has_table
from ringfence.schema.engines.mysql.quoting import account as account_at
from ringfence.schema.engines.mysql.quoting import literal, quoted
from ringfence.schema.engines.types import RelationKey
from ringfence.schema.features.mysql import FEATURES
from ringfence.schema.grants.difference import Difference, Privilege, batches, difference
from ringfence.schema.manifest.model import Account, BoundScope, Condition, Grant, Scope
from ringfence.schema.manifest.resolution import is_view
from ringfence.schema.models.types import portable
from ringfence.schema.sql.table_keys import key_of
from ringfence.schema.state import releases

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment
    from ringfence.schema.engines.mysql.accounts import FamilyAccounts

_MAX_NAME = FEATURES.longest_name or 0  # in characters


@dataclass(slots=True)
class View:
    """One definer view of one account, in front of one table.

    Args:
        account: the account that uses it.
        schema: of the table and the view; None for the default one.
        table: the table.
        name: of the view.
        columns: those of the view, in the order of the models.
        scope: the rows that it shows; None for all.
        rights: verb -> the columns that the account is granted it on; None for the whole view.
    """

    account: Account
    schema: str | None
    table: str
    name: str
    columns: tuple[str, ...]
    scope: Scope
    rights: dict[str, tuple[str, ...] | None] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Return the table's key in `Deployment.tables`."""
        return key_of(self.schema, self.table)


def view_name(service: str, key: str, verb: str) -> str:
    """Return the name of the view that is made for a verb, and may serve other verbs too.

    The name depends on neither columns nor rows, so that the mirrors of running services stay valid when these change.

    Args:
        service: the service whose account uses the view.
        key: the table's key in `Deployment.tables`.
        verb: select, insert, update or delete.
    """
    digest = hashlib.sha256(f"{service}\0{key}\0{verb}".encode()).hexdigest()[:8]
    plain = re.sub(r"[^a-z0-9]+", "_", f"{service}_{key}".lower())
    return f"ringfence_{digest}_{plain}"[:_MAX_NAME].rstrip("_")


def relations(account: Account, tables: Mapping[str, sa.Table]) -> dict[tuple[str, str], str]:
    """Return which grants of an account use a view.

    Args:
        account: its grants.
        tables: the tables of the deployment, by key.

    Returns:
        (table's key, verb) -> the name of the view.
    """
    return {(key, verb): view.name for (key, verb), view in _routes(account, tables)}


def views(account: Account, tables: Mapping[str, sa.Table]) -> list[View]:
    """Return the views of an account, each once, in the order of its grants.

    Args:
        account: its grants.
        tables: the tables of the deployment, by key.
    """
    found = {view.name: view for _, view in _routes(account, tables)}
    return list(found.values())


def _routes(account: Account, tables: Mapping[str, sa.Table]) -> Iterator[tuple[tuple[str, str], View]]:
    for key, grants in account.grants_by_table().items():
        if key in tables and not is_view(tables[key]):
            for verb, view in _Table(account, tables[key], grants).routes().items():
                yield (key, verb), view


class _Table:
    """The views of one account in front of one table, as few as possible."""

    def __init__(self, account: Account, table: sa.Table, grants: Mapping[str, Grant]) -> None:
        self._account = account
        self._grants = grants
        self._order = tuple(str(column.name) for column in table.columns)
        self._keys = tuple(str(column.name) for column in table.primary_key.columns)
        self._read = self._columns(grants.get("select"))
        self._views: dict[str, View] = {}

    def _columns(self, grant: Grant | None) -> tuple[str, ...]:
        if grant is None:
            return ()
        return self._order if grant.columns is None else grant.columns

    def routes(self) -> dict[str, View]:
        """Return verb -> its view, for the verbs that need one."""
        select = self._grants.get("select")
        if select is not None and (select.scope is not None or set(self._read) != set(self._order)):
            self._views["select"] = self._create("select", self._read)
            self._views["select"].rights["select"] = None
        for verb in ("update", "delete", "insert"):
            grant = self._grants.get(verb)
            # A verb without a scope needs a view only where reads go through one: the condition of the statement, and
            # the key of a new row, must then be read through it.
            if grant is not None and (grant.scope is not None or "select" in self._views):
                self._views[verb] = self._view_for(verb, grant)
        return self._views

    def _view_for(self, verb: str, grant: Grant) -> View:
        """Return a view that exists already and serves this verb too, or a new one."""
        needed = self._needed(verb, grant)
        candidates = (
            v for v in (self._views.get("update"), self._views.get("select"), self._views.get("delete")) if v
        )
        view = next((v for v in candidates if v.scope == grant.scope and set(needed) <= set(v.columns)), None)
        if view is None:
            view = self._create(verb, needed)
            # INSERT does not require SELECT: without it, columns that are only written cannot be read.
            if "select" in self._grants and (verb != "insert" or set(needed) <= set(self._read)):
                view.rights["select"] = self._grants["select"].columns
        view.rights[verb] = None if verb == "delete" else grant.columns
        return view

    def _needed(self, verb: str, grant: Grant) -> tuple[str, ...]:
        """Return the columns that a view for a verb needs: those written, and those read, for INSERT the key alone."""
        written = {"insert": self._columns(grant), "update": self._columns(grant), "delete": ()}[verb]
        keys = tuple(key for key in self._keys if key in self._read)
        seen = {*written, *(keys if verb == "insert" else self._read)}
        return tuple(name for name in self._order if name in seen) or self._keys or self._order[:1]

    def _create(self, verb: str, columns: Iterable[str]) -> View:
        grant = self._grants[verb]
        name = view_name(self._account.service, grant.key, verb)
        wanted = set(columns)
        ordered = tuple(column for column in self._order if column in wanted)
        return View(self._account, grant.schema, grant.table, name, ordered, grant.scope)


# Portable type of a bound name -> the SQL type that its function returns.
_TYPES: Mapping[str, str] = {
    "boolean": "TINYINT",
    "smallint": "SMALLINT",
    "integer": "INT",
    "bigint": "BIGINT",
    "decimal": "DECIMAL(65,30)",
    "date": "DATE",
    "datetime": "DATETIME(6)",
    "uuid": "CHAR(32) CHARACTER SET utf8mb4",
}
_TEXT = "VARCHAR(4096) CHARACTER SET utf8mb4"
_TEXTS = frozenset({"string", "text", "citext", "enum"})
OUTSIDE = "ringfence: the row is outside the scope of the account"
UNBOUND = "ringfence: the session does not bind"


def scope_function(name: str) -> str:
    """Return the name of the function that returns the value that a session binds to a name."""
    return f"ringfence_scope_{name}"


def scope_variable(name: str) -> str:
    """Return the session variable with the bound value; the runtime sets it, and clients in other languages may."""
    return f"@{quoted(f'ringfence_{name}')}"


def scope_function_type(bound: BoundScope) -> str:
    """Return the SQL type that the function of a bound name returns."""
    return _TYPES.get(bound.type, _TEXT)


def scope_function_body(bound: BoundScope) -> str:
    """Return the body of that function; without a bound value it returns NULL, or an error if `unset` says so."""
    value = scope_variable(bound.name)
    given = f"LOWER(REPLACE({value}, '-', ''))" if bound.type == "uuid" else value
    if bound.unset != "error":
        return f"RETURN {given}"
    return (
        f"BEGIN IF {value} IS NULL THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{UNBOUND} {bound.name}';"
        f" END IF; RETURN {given}; END"
    )


class ScopeWriter:
    """Writes the scopes of one table as SQL.

    Args:
        table: the table, with the types of its columns.
        engines: the engines of the deployment.
        database: the database that contains the functions of bound names.
    """

    def __init__(self, table: sa.Table, engines: tuple[str, ...], database: str) -> None:
        self._kinds = {str(c.name): portable(c.type, engines).type for c in table.columns}
        self._database = database

    def scope(self, scope: Scope, row: str = "") -> str:
        """Return a condition that is true for the rows of a scope.

        Args:
            scope: its alternatives.
            row: the prefix of column names: `OLD.` in a trigger.
        """
        parts = [" AND ".join(self._condition(condition, row) for condition in part) for part in scope or ()]
        return " OR ".join(f"({part})" for part in parts) or "FALSE"

    def _condition(self, condition: Condition, row: str) -> str:
        column = f"{row}{quoted(condition.column)}"
        kind = self._kinds[condition.column]
        match condition.kind:
            case "null":
                return f"{column} IS NULL"
            case "bound":
                values = [f"{quoted(self._database)}.{quoted(scope_function(condition.value))}()"]
            case "in":
                values = [_constant(value, kind) for value in condition.value]
            case _:
                values = [_constant(condition.value, kind)]
        found = _among(column, values)
        if kind in _TEXTS:
            # The first comparison can use an index. The second excludes what a collation treats as equal although case,
            # accents or blanks differ.
            octets = [f"CAST({value} AS BINARY)" for value in values]
            found += f" AND {_among(f'CAST(CONVERT({column} USING utf8mb4) AS BINARY)', octets)}"
        return found


def _among(expression: str, values: list[str]) -> str:
    return f"{expression} = {values[0]}" if len(values) == 1 else f"{expression} IN ({', '.join(values)})"


def _constant(value: Any, kind: str) -> str:
    """Return a constant of the manifest as a literal of the column's type."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int) or kind == "decimal":
        return str(value)
    if kind == "uuid":
        return literal(uuid.UUID(value).hex)
    if kind == "datetime":
        moment = dt.datetime.fromisoformat(value)
        if moment.tzinfo is not None:
            moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
        return f"CAST({literal(moment.isoformat(' '))} AS DATETIME(6))"
    if kind == "date":
        return f"CAST({literal(value)} AS DATE)"
    return literal(str(value))


# The login without its host. A view or trigger with a definer changes CURRENT_USER(), and not USER().
_LOGIN = "LEFT(USER(), CHAR_LENGTH(USER()) - CHAR_LENGTH(SUBSTRING_INDEX(USER(), '@', -1)) - 1)"


@dataclass(frozen=True)
class Guard:
    """One BEFORE trigger.

    Args:
        schema: of the table; None for the default schema.
        table: its name.
        event: UPDATE or DELETE.
        body: the statement that the trigger runs.
    """

    schema: str | None
    table: str
    event: str
    body: str

    @property
    def name(self) -> str:
        """Return a name with a digest of the definition, so that an old and a new trigger can exist side by side."""
        words = "\0".join((self.schema or "", self.table, self.event, self.body))
        digest = hashlib.sha256(words.encode()).hexdigest()[:8]
        plain = re.sub(r"[^a-z0-9]+", "_", self.table.lower())
        return f"ringfence_{digest}_{self.event.lower()}_{plain}"[:_MAX_NAME].rstrip("_")


def guards(deployment: "Deployment", database: str) -> Iterator[Guard]:
    """Yield the guards of tables where an account may insert rows, and may update or delete only some.

    Args:
        deployment: its accounts and tables.
        database: the default database.
    """
    for key, table in deployment.tables.items():
        writer = ScopeWriter(table, deployment.engines, database)
        for event in ("update", "delete"):
            outside: dict[str, list[str]] = {}
            for account in deployment.accounts.values():
                granted: dict[str, Grant] = {g.verb: g for g in account.grants if g.key == key}
                if "insert" in granted and event in granted and (scope := granted[event].scope) is not None:
                    outside.setdefault(writer.scope(scope, "OLD."), []).append(account.login)
            if outside:
                schema = None if table.schema is None else str(table.schema)
                yield Guard(schema, str(table.name), event.upper(), _guard_body(outside))


def _guard_body(outside: dict[str, list[str]]) -> str:
    cases = [
        f"IF login IN ({', '.join(map(literal, sorted(logins)))}) AND NOT COALESCE({scope}, FALSE) THEN"
        f" SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{OUTSIDE}'; END IF;"
        for scope, logins in outside.items()
    ]
    declared = f"DECLARE login VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin DEFAULT {_LOGIN};"
    return f"BEGIN {declared} {' '.join(cases)} END"


ObjectKey = tuple[str, str, str]
"""The kind, schema and name of an object that is recorded in `ringfence_row_security`."""
VIEW, FUNCTION, TRIGGER = "view", "function", "trigger"


@dataclass
class Retained:
    """What is retained until the pending contract revisions have run."""

    unrequired_views: dict[RelationKey, RelationKey] = field(default_factory=dict)
    """A view that the manifest no longer requires, and running services still use -> its table."""
    views: dict[RelationKey, RelationKey] = field(default_factory=dict)
    """Every view in front of a table that is dropped or loses columns -> the table."""
    objects: set[ObjectKey] = field(default_factory=set)
    """Objects of tables that are dropped, which cannot be created again: views, guard triggers and their functions."""
    tables: set[RelationKey] = field(default_factory=set)
    """The tables that are dropped, behind these views."""
    warnings: list[str] = field(default_factory=list)

    @property
    def names(self) -> set[ObjectKey]:
        """Return all objects that are retained although the manifest no longer requires them."""
        return self.objects | {(VIEW, *view) for view in self.unrequired_views}


def retain_columns(
    connection: sa.Connection,
    deployment: "Deployment",
    database: str,
    views: Iterable[View],
    pending_drops: PendingDrops,
) -> Retained:
    """Retain the columns that contract revisions drop in the views that have them now, and find the views to retain.

    A view that does not have such a column yet does not get it. A view that is no longer required is retained for a
    verb that its account still has on the table; privileges that the account lost are revoked at once.

    Args:
        connection: the admin's.
        deployment: its accounts.
        database: the default schema.
        views: the views that are required; their columns are changed.
        pending_drops: the columns and tables that pending contract revisions drop.
    """
    retained = Retained()
    if not pending_drops.columns:
        return retained
    existing = _view_columns(connection, {schema or database for schema, _ in pending_drops.columns})
    for view in views:
        key = (view.schema or database, view.name)
        if dropped := pending_drops.columns.get((view.schema, view.table)):
            retained.views[key] = (key[0], view.table)
            view.columns += tuple(name for name in existing.get(key, ()) if name in dropped)
    for account in deployment.accounts.values():
        for grant in account.grants:
            if (grant.schema, grant.table) not in pending_drops.columns:
                continue
            key = (grant.schema or database, view_name(account.service, grant.key, grant.verb))
            if key in existing and key not in retained.views:
                retained.unrequired_views[key] = (key[0], grant.table)
    retained.views |= retained.unrequired_views
    return retained


def retain_tables(
    connection: sa.Connection,
    retained: Retained,
    deployment: "Deployment",
    database: str,
    existing: Mapping[ObjectKey, str],
    recorded: Mapping[ObjectKey, tuple[str, str, str]],
    pending_drops: PendingDrops,
) -> None:
    """Retain the views, triggers and functions of tables that contract revisions drop.

    They stay as they are, for the accounts that are still declared.

    Args:
        connection: the admin's.
        retained: it is extended.
        deployment: its accounts; its models no longer have these tables.
        database: the default schema.
        existing: each object that exists -> the digest of its stored definition.
        recorded: each object that was created -> its table, the digest of its statements and that of its stored
            definition.
        pending_drops: the columns and tables that pending contract revisions drop.
    """
    tables = {(schema or database, name): (schema, name) for schema, name in pending_drops.tables}
    view_names = {
        view_name(account.service, key_of(*table), verb)
        for account in deployment.accounts.values()
        for table in tables.values()
        for verb in ("select", "insert", "update", "delete")
    }
    of_tables = {
        key: (key[1], table)
        for key, (table, _, _) in recorded.items()
        if key in existing and (key[1], table) in tables
    }
    views = {key: table for key, table in of_tables.items() if key[0] == VIEW and key[2] in view_names}
    if not views:
        return
    retained.tables |= set(views.values())
    retained.views |= {key[1:]: table for key, table in views.items()}
    retained.objects |= set(views)
    retained.objects |= {
        key for key, table in of_tables.items() if key[0] == TRIGGER and table in retained.tables
    }
    definitions = _definitions(connection, retained.objects)
    functions = [key for key in recorded if key[0] == FUNCTION and key in existing]
    retained.objects |= {key for key in functions if f"`{key[2]}`" in definitions}
    retained.warnings += [
        f"the {kind} {schema}.{name} was changed, and stays so until {table} is dropped: the models no longer have that"
        f" table, so the {kind} cannot be created again"
        for kind, schema, name in sorted(retained.objects)
        if recorded[kind, schema, name][2] != existing[kind, schema, name]
        for table in [recorded[kind, schema, name][0]]
        if kind != FUNCTION
    ]


def _definitions(connection: sa.Connection, objects: Iterable[ObjectKey]) -> str:
    """Return the definitions of these views and triggers, as one text."""
    queries = {
        VIEW: "SELECT view_definition FROM information_schema.views WHERE (table_schema, table_name) IN %(names)s",
        TRIGGER: "SELECT action_statement FROM information_schema.triggers"
        " WHERE (trigger_schema, trigger_name) IN %(names)s",
    }
    found: list[str] = []
    for kind, query in queries.items():
        if names := tuple(key[1:] for key in objects if key[0] == kind):
            found += connection.exec_driver_sql(query, {"names": names}).scalars()
    return "\n".join(found)


def _view_columns(connection: sa.Connection, schemas: Iterable[str]) -> dict[RelationKey, list[str]]:
    """Return the columns of each view named `ringfence_*`, in their order."""
    rows = connection.exec_driver_sql(
        "SELECT c.table_schema, c.table_name, c.column_name FROM information_schema.columns c"
        " JOIN information_schema.views v ON v.table_schema = c.table_schema AND v.table_name = c.table_name"
        " WHERE c.table_schema IN %(schemas)s AND LEFT(c.table_name, 10) = 'ringfence_' ORDER BY c.ordinal_position",
        {"schemas": tuple(schemas)},
    )
    found: dict[RelationKey, list[str]] = {}
    for schema, name, column in rows:
        found.setdefault((schema, name), []).append(column)
    return found


# IS_UPDATABLE, because a view that the server no longer merges into the query accepts no writes.
_VIEW = "CONCAT_WS(CHAR(10), VIEW_DEFINITION, CHECK_OPTION, DEFINER, SECURITY_TYPE, IS_UPDATABLE)"
DEFINER_HOST = "localhost"
_TRIGGER = (
    "CONCAT_WS(CHAR(10), EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION, ACTION_STATEMENT, DEFINER)"
)
_DROP_ORDER = (TRIGGER, VIEW, FUNCTION)
"""The order of dropping: a kind may use those that follow it."""


def definer(database: str) -> str:
    """Return the login of the account that the views of a database run as.

    Each database has one of its own. The account is locked, and its name is short enough for every server.
    """
    digest = hashlib.sha256(database.encode()).hexdigest()[:8]
    return f"ringfence-{database[:13]}-{digest}"


@dataclass
class Requirements:
    """The views, guard triggers and bound scopes that a deployment requires."""

    views: list[View] = field(default_factory=list)
    guards: list[Guard] = field(default_factory=list)
    bound: list[BoundScope] = field(default_factory=list)


def requirements(deployment: "Deployment", database: str) -> Requirements:
    """Return the views of all accounts, the guard triggers of their tables, and the scopes that sessions bind.

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
        statements: those that create it.
        login: the account that uses a view; empty for the other kinds.
        by: the lines of the manifest that require a view.
    """

    kind: str
    schema: str
    name: str
    table: str
    statements: tuple[str, ...]
    login: str = ""
    by: str = ""

    @property
    def key(self) -> ObjectKey:
        """Return its kind, schema and name."""
        return self.kind, self.schema, self.name

    @property
    def digest(self) -> str:
        """Return the digest of the statements that create it."""
        return hashlib.sha256("\n".join(self.statements).encode()).hexdigest()


class RowSecurityPlanner:
    """Compares the objects of row security on the server with those that a deployment requires, and plans the changes.

    Args:
        connection: the admin's.
        accounts: writes the engine's statements for accounts and grants.
        deployment: its manifest and models.
        pending_drops: the columns and tables that pending contract revisions drop.
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
        pending_drops: PendingDrops,
    ) -> None:
        self._connection = connection
        self._accounts = accounts
        self._deployment = deployment
        self._database = accounts.database(connection)
        self._definer = definer(self._database)
        self._required = requirements(deployment, self._database)
        self._retained = retain_columns(
            connection, deployment, self._database, self._required.views, pending_drops
        )
        self._recorded = _recorded(connection)
        # Includes the schemas of tables that were dropped since: privileges on a table outlive it.
        schemas = {schema for _, schema, _ in self._recorded}
        schemas |= {table.schema or self._database for table in deployment.tables.values()}
        self._schemas = tuple({*schemas, self._database})
        self._existing = self.stored_digests(connection, self._schemas)
        if pending_drops.tables:
            retain_tables(
                connection,
                self._retained,
                deployment,
                self._database,
                self._existing,
                self._recorded,
                pending_drops,
            )

    def changes(self) -> RowSecurity:
        """Return the statements that make row security what it should be; none when it is so already."""
        found = RowSecurity(views=self._retained.views, warnings=self._retained.warnings)
        account = account_at(self._definer, DEFINER_HOST)
        existing = self._accounts.roles.existing(self._connection, [self._definer], DEFINER_HOST).get(
            self._definer
        )
        wanted = self._definer_privileges()
        held = self._accounts.privileges.held_at(
            self._connection, [self._definer], self._schemas, DEFINER_HOST
        )
        retained = {*self._retained.unrequired_views.values(), *self._retained.tables}
        wanted |= {p for p in held if p.kind == "table" and (p.schema, p.name) in retained}
        wanted |= {p for p in held if (p.kind, p.schema, p.name) in self._retained.objects}
        change = difference(wanted, held)
        described = f"account {account} that views run as"
        if wanted and existing is None:
            about = Change(described, "-", "locked")
            found.before.append(
                Statement.plain(f"CREATE USER IF NOT EXISTS {account} {self.no_login_clause}", about)
            )
        elif wanted and existing is not None and existing.enabled:
            about = Change(described, "active", "locked")
            found.before.append(Statement.plain(f"ALTER USER {account} ACCOUNT LOCK", about))
        self._compare_objects(found, change)
        if existing is not None and not wanted:
            found.after.append(
                Statement.plain(f"DROP USER IF EXISTS {account}", Change(described, "locked", "-"))
            )
        return found

    # -- the definer

    def _definer_privileges(self) -> set[Privilege]:
        """Return the privileges that the definer account needs, and no more.

        These are SELECT for the conditions, the verbs of its views, TRIGGER for guards, and EXECUTE for functions.
        """
        found: set[Privilege] = set()

        def add(schema: str | None, table: str, *verbs: str) -> None:
            where = schema or self._database
            found.update(Privilege(self._definer, "table", where, table, verb) for verb in verbs)

        for view in self._required.views:
            add(view.schema, view.table, "select", *view.rights)
        for guard in self._required.guards:
            add(guard.schema, guard.table, "select", "trigger")
        for bound in self._required.bound:
            name = scope_function(bound.name)
            found.add(Privilege(self._definer, "function", self._database, name, "execute"))
        return found

    # -- views, functions and triggers

    def _compare_objects(self, found: RowSecurity, change: Difference) -> None:
        """Add the statements that create, grant, revoke and drop, each after those that it depends on."""
        recorded, existing = self._recorded, self._existing
        required = [*self._functions(), *self._views(), *self._triggers()]
        if required and not has_table(self._connection, releases.row_security.name):
            found.before.append(Statement.plain(self._create_table()))
        outdated = [
            one
            for one in required
            if one.key not in existing
            or recorded.get(one.key, ("", "", ""))[1:] != (one.digest, existing[one.key])
        ]
        for one in outdated:
            if one.kind == FUNCTION:
                found.before += self._create(one)
        account = account_at(self._definer, DEFINER_HOST)
        rights = Change(f"rights of {account} that views run as", "others", "what they need")
        # Dropping a function drops the privileges on it, so that they must be granted again.
        again = {
            Privilege(self._definer, FUNCTION, one.schema, one.name, "execute")
            for one in outdated
            if one.kind == FUNCTION
        }
        found.before += [
            replace(self._accounts.privileges.grant(batch, DEFINER_HOST), about=rights)
            for batch in batches({*change.grant, *again}, many_objects=False)
        ]
        for one in outdated:
            if one.kind != FUNCTION:
                found.before += self._create(one)
        unrequired = {*existing, *recorded} - {one.key for one in required} - self._retained.names
        for kind in _DROP_ORDER:
            if kind == FUNCTION:
                # Dropping a function drops the privileges on it, and a REVOKE would fail after that.
                revokes = batches(change.revoke, many_objects=False)
                found.after += [
                    replace(self._accounts.privileges.revoke(batch, DEFINER_HOST), about=rights)
                    for batch in revokes
                ]
            for key in sorted(key for key in unrequired if key[0] == kind):
                found.after += self._drop(key, exists=key in existing, is_recorded=key in recorded)

    @staticmethod
    def _drop(key: ObjectKey, *, exists: bool, is_recorded: bool) -> Iterator[Statement]:
        """Yield the statements that drop an object and delete its record.

        Args:
            key: its kind, schema and name.
            exists: whether it exists.
            is_recorded: whether it is recorded.
        """
        kind, schema, name = key
        change = Change(f"{kind} {schema}.{name}", "exists" if exists else "recorded", "-")
        if exists:
            yield Statement.plain(f"DROP {kind.upper()} IF EXISTS {quoted(schema)}.{quoted(name)}", change)
        if is_recorded:
            where = f"kind = {literal(kind)} AND `schema` = {literal(schema)} AND name = {literal(name)}"
            yield Statement.plain(f"DELETE FROM {releases.row_security.name} WHERE {where}", change)  # noqa: S608 - quoted

    def _create(self, one: RowSecurityObject) -> list[Statement]:
        """Return the statements that create an object, and record the definition that the server stores."""
        definition, catalog, prefix = self._catalogs()[one.kind]
        values = [*map(literal, (*one.key, one.table, one.digest))]
        record = (
            f"REPLACE INTO {releases.row_security.name}"  # noqa: S608 - quoted
            " (kind, `schema`, name, `table`, statements_digest, definition_digest)"
            f" SELECT {', '.join(values)}, SHA2({definition}, 256) FROM information_schema.{catalog}"
            f" WHERE {prefix}_schema = {values[1]} AND {prefix}_name = {values[2]}"
        )
        held = "another" if one.key in self._existing else "-"
        before = f" before {one.table}" if one.table else ""
        change = Change(
            f"{one.kind} {one.schema}.{one.name}{before}",
            held,
            "as declared",
            one.login,
            one.by,
            (one.schema, one.table) if one.table else None,
            # Without its guard trigger an account reaches more than the manifest gives.
            finding="missing" if held == "-" and one.kind != TRIGGER else "excess",
        )
        return [Statement.plain(sql, change) for sql in (*one.statements, record)]

    def _functions(self) -> Iterator[RowSecurityObject]:
        for bound in self._required.bound:
            name = scope_function(bound.name)
            qualified = f"{quoted(self._database)}.{quoted(name)}"
            create = (
                f"CREATE DEFINER = {account_at(self._definer, DEFINER_HOST)} FUNCTION {qualified}() RETURNS"
                f" {scope_function_type(bound)} DETERMINISTIC NO SQL SQL SECURITY INVOKER"
                f" {scope_function_body(bound)}"
            )
            statements = (f"DROP FUNCTION IF EXISTS {qualified}", create)
            yield RowSecurityObject(FUNCTION, self._database, name, "", statements)

    def _views(self) -> Iterator[RowSecurityObject]:
        for view in self._required.views:
            statements, account = (self._view_sql(view),), view.account
            by = ", ".join(dict.fromkeys(g.by for g in account.grants if g.key == view.key))
            yield RowSecurityObject(
                VIEW, view.schema or self._database, view.name, view.table, statements, account.login, by
            )

    def _triggers(self) -> Iterator[RowSecurityObject]:
        for guard in self._required.guards:
            schema = guard.schema or self._database
            name = f"{quoted(schema)}.{quoted(guard.name)}"
            create = (
                f"CREATE DEFINER = {account_at(self._definer, DEFINER_HOST)} TRIGGER {name} BEFORE {guard.event} ON"
                f" {quoted(schema)}.{quoted(guard.table)} FOR EACH ROW {guard.body}"
            )
            # The name has a digest of the body, so a changed trigger exists before the old one is dropped.
            statements = (f"DROP TRIGGER IF EXISTS {name}", create)
            yield RowSecurityObject(TRIGGER, schema, guard.name, guard.table, statements)

    def _view_sql(self, view: View) -> str:
        schema = quoted(view.schema or self._database)
        columns = ", ".join(map(quoted, view.columns))
        sql = (
            f"CREATE OR REPLACE DEFINER = {account_at(self._definer, DEFINER_HOST)} SQL SECURITY DEFINER"  # noqa: S608 - quoted
            f" VIEW {schema}.{quoted(view.name)} AS SELECT {columns} FROM {schema}.{quoted(view.table)}"
        )
        if view.scope is None:
            return sql
        writer = ScopeWriter(self._deployment.tables[view.key], self._deployment.engines, self._database)
        return f"{sql} WHERE {writer.scope(view.scope)} WITH CASCADED CHECK OPTION"

    # -- the catalogs

    def _create_table(self) -> str:
        create = CreateTable(releases.row_security, if_not_exists=True)
        return " ".join(str(create.compile(dialect=self._connection.dialect)).split())

    @classmethod
    def _catalogs(cls) -> dict[str, tuple[str, str, str]]:
        """Return for each kind the compared expression, the catalog, and the prefix of the catalog's columns."""
        return {
            VIEW: (_VIEW, "views", "table"),
            FUNCTION: (cls.function_digest_expression, "routines", "routine"),
            TRIGGER: (_TRIGGER, "triggers", "trigger"),
        }

    @classmethod
    def stored_digests(cls, connection: sa.Connection, schemas: Iterable[str]) -> dict[ObjectKey, str]:
        """Return the objects named `ringfence_*`, as (kind, schema, name) -> digest of the stored definition.

        Args:
            connection: the admin's.
            schemas: the databases that are searched.
        """
        found = {}
        for kind, (definition, catalog, prefix) in cls._catalogs().items():
            rows = connection.exec_driver_sql(
                f"SELECT {prefix}_schema, {prefix}_name, SHA2({definition}, 256) FROM information_schema.{catalog}"  # noqa: S608 - our words
                f" WHERE {prefix}_schema IN %(schemas)s AND LEFT({prefix}_name, 10) = 'ringfence_'",
                {"schemas": tuple(schemas)},
            )
            found.update({(kind, schema, name): digest for schema, name, digest in rows})
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
    altered = {(schema or database, table) for schema, table in tables}
    return [
        Statement.plain(f"DROP {kind.upper()} IF EXISTS {quoted(schema)}.{quoted(name)}")
        for (kind, schema, name), (table, _, _) in sorted(_recorded(connection).items())
        if kind != FUNCTION and (schema, table) in altered
    ]


def _recorded(connection: sa.Connection) -> dict[ObjectKey, tuple[str, str, str]]:
    """Return (kind, schema, name) -> its table, digest of its statements, digest of its stored definition."""
    if not has_table(connection, releases.row_security.name):
        return {}
    rows = connection.execute(sa.select(releases.row_security)).mappings()
    return {
        (row["kind"], row["schema"], row["name"]): (
            row["table"],
            row["statements_digest"],
            row["definition_digest"],
        )
        for row in rows
    }
