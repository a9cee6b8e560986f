"""The plan of an apply: the differences between server and manifest, and the statements that resolve them.

`make_plan` only reads from the server.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import sqlalchemy as sa

from ringfence.runtime.settings import Secret
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Accounts, Backend, Change, Exposure, Login, Statement, relations
from ringfence.schema.engines.base import NO_PENDING_DROPS
from ringfence.schema.grants.difference import Batch, Difference, Privilege, difference
from ringfence.schema.manifest.model import Account
from ringfence.schema.privileges.adoption import Adoption, Line, adoption
from ringfence.schema.privileges.open_connections import (
    RemainingConnections,
    find_open_connections,
    rights_kept,
)
from ringfence.schema.privileges.ordering import ordered_changes
from ringfence.schema.privileges.pending_drops import (
    RetainedPrivileges,
    adjust_for_column_drops,
    kept_on_dropped_tables,
    kept_rights,
    pending_drops,
)
from ringfence.schema.privileges.unmanaged_roles import refusals
from ringfence.schema.revisions.modelled_columns import modelled_columns
from ringfence.schema.sql.text import literal
from ringfence.schema.state import apply_journal, releases
from ringfence.schema.state.apply_journal import Unfinished

Key = tuple[str, str, str, str, str]
"""Login, kind, schema, name and verb of a privilege."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a plan: the present and the declared state of one thing of an account, and what is done about it.

    For a privilege, a row is about one verb on one object, and `held` and `wanted` are `all` or the names of columns;
    `-` means nothing. `login` is empty for what concerns all accounts, and `origin` is the lines of the manifest.
    """

    login: str
    on: str
    verb: str
    current: str
    declared: str
    action: str
    origin: str
    kind: str = "privilege"

    @classmethod
    def of(cls, change: Change, action: str = "") -> "Row":
        """Make the row for the change of a statement.

        Args:
            change: the present and the declared state.
            action: the word for what is done; if empty, created, changed or removed, as the states imply.
        """
        done = {(True, False): "created", (False, True): "removed"}.get(
            (change.current == "-", change.declared == "-"), "changed"
        )
        return cls(
            change.login,
            change.on,
            "",
            change.current,
            change.declared,
            action or done,
            change.by,
            change.kind,
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One statement and its purpose.

    `kind` is create, unlock, password, limit, close, row-security, grant, revoke, drop-old-host, lock, drop or record.
    `of` holds the differences that the statement resolves: rows, or the keys of privileges.
    """

    kind: str
    login: str | None
    statement: Statement
    of: tuple[Row | Key, ...]


def steps_for(
    kind: str, statements: Sequence[Statement], change: Change, login: str | None = None
) -> list[Step]:
    """Make one step for each statement.

    A statement that names no change belongs to the change of the statement before it; at the beginning, to the first
    change that is named.

    Args:
        kind: the kind of the steps.
        statements: the statements, in their order.
        change: the change of all of them if no statement names one.
        login: the account that they concern.
    """
    named = [one.about for one in statements]
    last = next((one for one in named if one is not None), change)
    steps = []
    for statement in statements:
        last = statement.about or last
        steps.append(Step(kind, login, statement, (Row.of(last),)))
    return steps


@dataclass
class Plan:
    """The present and the declared state of the server's accounts, and the steps between, in the order of execution."""

    steps: list[Step] = field(default_factory=list)
    declared: set[Privilege] = field(default_factory=set)
    held: set[Privilege] = field(default_factory=set)
    change: Difference = field(default_factory=lambda: Difference((), ()))
    origins: dict[tuple[str, str, str, str], str] = field(default_factory=dict)
    """(login, schema, table, verb) -> the lines of the manifest."""
    obstacles: list[str] = field(default_factory=list)
    """The reasons for which an apply refuses to begin."""
    missing: list[str] = field(default_factory=list)
    """The obstacles about granted tables and columns that the database lacks."""
    warnings: list[str] = field(default_factory=list)
    adopted: list[str] = field(default_factory=list)
    """Existing logins that the apply would take over."""
    adoption: Adoption = field(default_factory=Adoption)
    """The changes in what adopted accounts can do."""
    exposures: list[Exposure] = field(default_factory=list)
    """What, besides grants and row security, gives access beyond the manifest, or takes access that it gives."""
    notes: list[str] = field(default_factory=list)
    """Remarks on what the accounts can use, such as a view that runs with the privileges of its owner."""
    kept: list[str] = field(default_factory=list)
    """Privileges that accounts keep until a contract revision retires them, one line each."""
    managed: list[str] = field(default_factory=list)
    """The existing logins that are managed, or will be adopted."""
    open_connections: list[RemainingConnections] = field(default_factory=list)
    """Open connections of accounts that are removed, or that keep a right after it is revoked."""
    unfinished: Unfinished | None = None
    """The point at which an earlier apply stopped, if it did not finish."""
    passwords_compared: bool = True
    uninitialized: bool = False
    """Whether the database lacks Ringfence's tables, which the first `ringfence migrate` creates."""

    @property
    def agrees(self) -> bool:
        """Whether there is nothing to do."""
        return not self.steps and not self.obstacles

    @property
    def losses(self) -> list[Line]:
        """The effective rights that adopted accounts lose."""
        return self.adoption.losses

    def sql(self) -> list[str]:
        """Return the statements of the steps, in their order, as SQL that can be pasted; without secrets."""
        return [step.statement.manual_sql or f"{step.statement};" for step in self.steps]

    def differences(self) -> dict[Row, list[int]]:
        """Map each difference to the indexes in `steps` of the statements that resolve it.

        An exposure for which an apply refuses to begin has no statement. Privileges come last; the others are in the
        order of their statements.
        """
        privileges = self._privileges()
        found: dict[Row, list[int]] = {}
        rights: dict[Row, list[int]] = {row: [] for row in privileges.values() if row.action}
        for number, step in enumerate(self.steps):
            for one in step.of:
                if isinstance(one, Row):
                    found.setdefault(one, []).append(number)
                else:
                    rights.setdefault(privileges[one], []).append(number)
        for exposure in self.exposures:
            if exposure.repair is None and exposure.refuses:
                found.setdefault(exposure_row(exposure), [])
        return found | rights

    def rows(self) -> list[Row]:
        """Return a row for every held or declared privilege, also where both agree, sorted by login and object."""
        return list(self._privileges().values())

    def _privileges(self) -> dict[Key, Row]:
        things: dict[Key, tuple[list[str], list[str]]] = {}
        for side, privileges in enumerate((self.held, self.declared)):
            for p in privileges:
                key = (p.login, p.kind, p.schema, p.name, p.verb)
                things.setdefault(key, ([], []))[side].append(p.column)
        return {key: self._row(key, *both) for key, both in sorted(things.items())}

    def _row(self, key: Key, held: list[str], wanted: list[str]) -> Row:
        login, kind, schema, name, verb = key
        change = (bool(set(wanted) - set(held)), bool(set(held) - set(wanted)))
        action = {(True, True): "changed", (True, False): "granted", (False, True): "revoked"}.get(change, "")
        on = f"{kind} {'.'.join(filter(None, (schema, name)))}".strip()
        origin = self.origins.get((login, schema, name, verb), "implied" if wanted else "")
        return Row(login, on, verb, _listed(held), _listed(wanted), action, origin)

    def as_dict(self) -> dict[str, object]:
        """Return the plan as a dictionary for a JSON document."""
        return {
            "agrees": self.agrees,
            "differences": [{**asdict(row), "steps": at} for row, at in self.differences().items()],
            "steps": [
                {"kind": s.kind, "login": s.login, "sql": sql}
                for s, sql in zip(self.steps, self.sql(), strict=True)
            ],
            "as_declared": len(self.declared & self.held),
            "exposures": [
                {
                    "kind": one.kind,
                    "login": one.login,
                    "message": one.message,
                    "resolution": one.resolution,
                    "action": _done(one),
                }
                for one in self.exposures
            ],
            "adopted": self.adopted,
            "losses": list(map(str, self.losses)),
            **self.adoption.as_dict(),
            "obstacles": self.obstacles,
            "warnings": self.warnings,
            "notes": self.notes,
            "kept": self.kept,
            "open_connections": [one.as_dict() for one in self.open_connections],
            "unfinished": None if self.unfinished is None else asdict(self.unfinished),
            "passwords_compared": self.passwords_compared,
        }


def exposure_row(one: Exposure) -> Row:
    """Make the row of an exposure.

    Args:
        one: the exposure found on the server.

    Returns:
        A row without a verb, which says whether the exposure is repaired or makes an apply refuse.
    """
    return Row(one.login or "", one.message, "", "present", "-", _done(one), "", one.kind)


def _done(one: Exposure) -> str:
    if one.repair is not None:
        return "repaired"
    return "refused" if one.refuses else ""


def _listed(columns: list[str]) -> str:
    return "-" if not columns else ", ".join(sorted(column or "all" for column in columns))


MISSING = "is a migration missing?"
"""The end of an obstacle's message when a migration would resolve it."""
ACTIVE, LOCKED = "active", "locked"
_ROW_SECURITY = Change("row scopes", "not as declared", "as declared")
_MOVED = Change("account at another host", "declared before", "-")


def make_plan(
    connection: sa.Connection,
    backend: Backend,
    deployment: Deployment,
    passwords: Mapping[str, Secret] | None,
    *,
    adopt: bool = False,
    prune: bool = False,
    as_if_migrated: bool = False,
) -> Plan:
    """Compare the server with the manifest and return the plan; nothing is changed.

    Before the first job, which creates Ringfence's tables, no account is managed.

    Args:
        connection: the admin's.
        backend: the server.
        deployment: the manifest and models to compare with.
        passwords: login -> password, for every account; None to leave passwords uncompared.
        adopt: whether existing accounts that are not managed yet may be taken over.
        prune: whether managed accounts that are no longer declared are dropped; otherwise they are locked.
        as_if_migrated: whether to plan as if all pending revisions had run: everything in the models counts as
            existing, and everything that contract revisions retire as dropped.

    Returns:
        The plan; an empty one where the engine has no accounts.
    """
    if backend.accounts is None:
        return Plan()
    tables = set(sa.inspect(connection).get_table_names())
    plan = _Planner(
        connection,
        backend,
        backend.accounts,
        deployment,
        passwords,
        tables,
        adopt=adopt,
        prune=prune,
        ahead=as_if_migrated,
    ).plan
    plan.unfinished = apply_journal.unfinished(connection, tables)
    if plan.unfinished is not None:
        plan.warnings.append(f"an apply stopped at {plan.unfinished}; what is left of it is planned here")
    return plan


class _Planner:
    def __init__(
        self,
        connection: sa.Connection,
        backend: Backend,
        accounts: Accounts,
        deployment: Deployment,
        passwords: Mapping[str, Secret] | None,
        tables: Collection[str],
        *,
        adopt: bool,
        prune: bool,
        ahead: bool,
    ) -> None:
        self._connection = connection
        self._passwords = passwords
        self._deployment = deployment
        self._engine = backend.identity.engine
        self._features = backend.features
        declared = list(deployment.accounts.values())
        self._accounts = accounts = accounts.hosts.at_declared(connection, declared)
        logins = {account.login for account in declared}
        first = releases.account.name not in tables
        self._managed = {} if first else releases.accounts(connection)
        self._existing = accounts.roles.existing(
            connection, {*logins, *self._managed, *deployment.policy.removed}
        )
        self.plan = plan = Plan(
            missing=[] if ahead else self._missing(backend),
            passwords_compared=passwords is not None,
            uninitialized=first,
        )
        plan.adopted = sorted(logins & set(self._existing) - set(self._managed)) if adopt else []
        accounts.privileges.public = deployment.policy.public
        functions, unknown = accounts.privileges.declared_functions(connection, declared)
        plan.declared = accounts.privileges.declared(connection, deployment) | functions
        plan.managed = managed = [
            login for login in self._existing if login in self._managed or login in plan.adopted
        ]
        schemas = {p.schema for p in plan.declared if p.schema}
        default = next(iter(schemas - {g.schema for a in declared for g in a.grants}), "")
        pending = NO_PENDING_DROPS if ahead else pending_drops(connection, backend, deployment)
        # On some engines a grant on a table outlives the table: so look in the schemas of retired tables too.
        also = {schema or default for schema, _ in pending.tables}
        also |= releases.schemas_retired(connection) if releases.retired.name in tables else set()
        plan.held = accounts.privileges.held(connection, managed, schemas | also)
        plan.notes = accounts.inspection.definer_objects(connection, managed)
        row_security = accounts.row_security.compare(connection, deployment, managed, pending)
        if pending:
            self._keep(backend, RetainedPrivileges(pending, default, row_security.views))
        plan.change = difference(plan.declared, plan.held)
        if plan.adopted:
            plan.adoption = adoption(
                accounts.inspection.effective_rights(connection, deployment, plan.adopted, plan.declared)
            )
        exposed = accounts.inspection.exposures(connection, deployment, managed)
        plan.exposures = [one for one in exposed if not one.reported_elsewhere]
        plan.warnings = [str(one) for one in plan.exposures if one.repair is None and not one.refuses]
        self._origins(declared, default)
        self._stale = self._other_passwords(logins)
        noted = accounts.hosts.record(connection, declared, self._managed)
        plan.steps += steps_for("record", noted, Change("record of hosts", "another", "as declared"))
        # Before the passwords: the repair of an expired password renews the password that is stored then.
        plan.steps += self._repairs(after=False)
        for account in declared:
            plan.steps += self._account(account)
        plan.steps += self._limits(declared)
        plan.warnings += row_security.warnings
        plan.steps += steps_for("row-security", row_security.before, _ROW_SECURITY)
        plan.steps += self._privileges(plan.change)
        plan.steps += steps_for("row-security", row_security.after, _ROW_SECURITY)
        plan.steps += self._repairs(after=True)
        moved, tied = accounts.hosts.drop_former(connection, self._managed)
        for login, statement in moved:
            plan.steps += steps_for("drop-old-host", [statement], replace(_MOVED, login=login), login)
        plan.steps += self._removals(removed := sorted(set(self._managed) - logins), prune=prune)
        self._open_connections(removed, {login for login, _ in moved})
        plan.obstacles += [
            *refusals(declared, self._existing, self._managed, adopt=adopt),
            *plan.missing,
            *tied,
            *unknown,
            *(
                f"the login {login!r} is to be removed, and was not made for this database: drop it by hand"
                for login in deployment.policy.removed
                if login in self._existing and login not in self._managed
            ),
            *accounts.inspection.owned_objects(connection, logins),
            *accounts.privileges.unrevocable(connection, plan.change),
            *row_security.obstacles,
            *(str(one) for one in plan.exposures if one.repair is None and one.refuses),
        ]

    def _repairs(self, *, after: bool) -> Iterator[Step]:
        """Yield the repairs of exposures that come before the grants, or those that come after them."""
        for one in self.plan.exposures:
            if one.repair is not None and one.after == after:
                yield Step("close", one.login, one.repair, (exposure_row(one),))

    def _keep(self, backend: Backend, retained: RetainedPrivileges) -> None:
        """Keep held privileges on tables and columns that a pending contract revision retires."""
        plan, connection = self.plan, self._connection
        given = plan.declared
        plan.declared = adjust_for_column_drops(
            given, plan.held, modelled_columns(self._deployment, backend.introspection, connection), retained
        )
        plan.declared |= kept_on_dropped_tables(
            connection, self._accounts.privileges, self._deployment, plan.held, retained
        )
        kept = list(retained.ends(plan.declared & plan.held - given))
        plan.kept = kept_rights(kept, retained)
        for right, revision in kept:
            key = (right.login, right.schema, right.name, right.verb)
            plan.origins[key] = f"kept until {revision}"

    def _origins(self, declared: Iterable[Account], default: str) -> None:
        for account in declared:
            routed = relations((self._engine,), account, self._deployment.tables)
            for grant in account.grants:
                relation = routed.get((grant.key, grant.verb), {}).get(self._engine, grant.table)
                key = (account.login, grant.schema or default, relation, grant.verb)
                self.plan.origins[key] = grant.by

    def _record(self, row: Row, service: str | None, state: str) -> Step:
        """Return the step that records an account: a new row with its service, or the state of a known one."""
        table, login = releases.account.name, row.login
        if service is None:
            values: tuple[str, ...] = (state, login)
            sql = f"UPDATE {table} SET state = %s WHERE login = %s"  # noqa: S608 - only the name of our own table is put in
        else:
            sql = f"INSERT INTO {table} (login, service, state) VALUES (%s, %s, %s)"  # noqa: S608 - only the name of our own table is put in
            values = (login, service, state)
        return Step("record", login, Statement(sql, values, sql % tuple(map(self._literal, values))), (row,))

    def _literal(self, value: str) -> str:
        return literal(value, backslash_escapes=self._features.backslash_escapes)

    def _account(self, account: Account) -> Iterator[Step]:
        """Yield the steps that record, create or unlock the account and set its password."""
        login, origin = account.login, str(account.origin)
        existing: Login | None = self._existing.get(login)
        held, action = LOCKED, "unlocked"
        if existing is None:
            held, action = "-", "created"
        elif login not in self._managed:
            held, action = "not of this database", "adopted"
        row = Row.of(Change("account", held, ACTIVE, login, origin), action)
        # Recorded before it is created, so that a job that ends between the two still knows it as its own.
        if login not in self._managed:
            yield self._record(row, account.service, ACTIVE)
        elif self._managed[login] != ACTIVE:
            yield self._record(row, None, ACTIVE)
        password = None if self._passwords is None else self._passwords[login]
        if existing is None:
            yield Step("create", login, self._accounts.roles.create(login, password), (row,))
            return
        if not existing.enabled:
            yield Step("unlock", login, self._accounts.roles.enable(login, enabled=True), (row,))
        if password is not None and login in self._stale:
            changed = Row.of(Change("password", "another", "the one given", login, origin))
            yield Step("password", login, self._accounts.roles.set_password(login, password), (changed,))

    def _other_passwords(self, logins: Iterable[str]) -> set[str]:
        """Return the existing accounts whose password differs from the given one, with one lookup for all."""
        given = self._passwords or {}
        known = {login: given[login] for login in logins if given and login in self._existing}
        if not known:
            return set()
        compared = self._accounts.roles.compare_passwords(self._connection, known)
        self.plan.warnings += compared.unknown
        return compared.other

    def _limits(self, declared: Iterable[Account]) -> Iterator[Step]:
        """Yield the steps that set the server's limits of each login, such as its number of connections."""
        held = self._accounts.settings.changed(self._connection, list(self._existing))
        for account in declared:
            has, should = held.get(account.login, {}), dict(account.limits)
            for word in sorted({*has, *should}):
                left = word not in should and word.lower().startswith(self._features.audit_settings)
                if has.get(word) != should.get(word) and not left:
                    statement = self._accounts.settings.set(
                        self._connection, account.login, word, should.get(word)
                    )
                    before, after = has.get(word, "-"), should.get(word, "-")
                    change = Change(f"limit {word}", before, after, account.login, str(account.origin))
                    yield Step("limit", account.login, statement, (Row.of(change),))

    def _removals(self, logins: list[str], *, prune: bool) -> Iterator[Step]:
        """Lock accounts that are no longer declared; with `prune`, drop those that own nothing and have no other ties.

        These steps come after the revokes, and an account is locked before it is dropped.
        """
        ties = self._accounts.roles.drop_obstacles(self._connection, logins) if logins and prune else {}
        for login in logins:
            existing = self._existing.get(login)
            if existing is not None and (existing.enabled or self._managed[login] != LOCKED):
                row = Row.of(Change("account", ACTIVE, LOCKED, login), "locked")
                yield Step("lock", login, self._accounts.roles.enable(login, enabled=False), (row,))
                yield self._record(row, None, LOCKED)
            if not prune:
                continue
            if login in ties:
                self.plan.warnings.append(f"{login} stays, locked: it {'; it '.join(ties[login])}")
                continue
            row = Row.of(Change("account", LOCKED, "-", login), "dropped")
            if existing is not None:
                yield Step("drop", login, self._accounts.roles.drop(login), (row,))
            table = releases.account.name
            sql = f"DELETE FROM {table} WHERE login = %s"  # noqa: S608 - only the name of our own table is put in
            yield Step("record", login, Statement(sql, (login,), sql % self._literal(login)), (row,))
            for statement in self._accounts.hosts.forget(self._connection, login):
                yield Step("record", login, statement, (row,))

    def _open_connections(self, removed: list[str], moved: set[str]) -> None:
        """Report open connections that keep a right after it is revoked."""
        plan = self.plan
        keeps = rights_kept(self._accounts, self._connection, plan.change, plan.exposures, moved)
        plan.open_connections = list(
            find_open_connections(self._accounts.connections, self._connection, keeps, removed)
        )
        plan.warnings += map(str, plan.open_connections)

    def _privileges(self, change: Difference) -> Iterator[Step]:
        """Yield the steps that grant and revoke."""
        for kind, batch in ordered_changes(self._features, change):
            yield self._right(kind, batch)

    def _right(self, kind: str, batch: Batch) -> Step:
        make = self._accounts.privileges.grant if kind == "grant" else self._accounts.privileges.revoke
        keys = [
            (login, batch.kind, schema, name, verb)
            for login in batch.logins
            for schema, name in batch.objects
            for verb, _ in batch.verbs
        ]
        return Step(kind, batch.logins[0] if len(batch.logins) == 1 else None, make(batch), tuple(keys))

    def _missing(self, backend: Backend) -> list[str]:
        """Find grants on tables and columns that the database lacks, because the models are ahead of the migrations."""
        existing = modelled_columns(self._deployment, backend.introspection, self._connection)
        tables = {(schema, table) for schema, table, _ in existing}
        wrong = []
        for account in self._deployment.accounts.values():
            for grant in account.grants:
                if (grant.schema, grant.table) not in tables:
                    wrong.append(f"{grant.origin}: the database has no table {grant.key}; {MISSING}")
                    continue
                lacking = [c for c in grant.columns or () if (grant.schema, grant.table, c) not in existing]
                if lacking:
                    wrong.append(
                        f"{grant.origin}: the table {grant.key} has no column {', '.join(lacking)} in the database;"
                        f" {MISSING}"
                    )
        return list(dict.fromkeys(wrong))
