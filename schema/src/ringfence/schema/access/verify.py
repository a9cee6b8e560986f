"""Prove the manifest: log in as each account, through the runtime itself, and try.

Each attempt is in a transaction that is rolled back; most are statements that touch no row. Only a denial counts as
refused; an error that comes after the rights were looked at (a NULL where none may be) means that they were granted.
"""

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace

import sqlalchemy as sa

from ringfence.runtime import (
    AccessDenied,
    Database,
    IntegrityError,
    Mirror,
    Misuse,
    RingfenceError,
    StatementError,
)
from ringfence.runtime.settings import Secret, Settings
from ringfence.schema.access.diff import READABLE
from ringfence.schema.access.manifest import Account, Grant
from ringfence.schema.access.proof import Attempt, Finding, Proof
from ringfence.schema.access.replaced import replaced
from ringfence.schema.access.verify_columns import Unmodelled
from ringfence.schema.access.verify_made import prove_inserts, that_roll_back
from ringfence.schema.access.verify_rows import Rows, scoped
from ringfence.schema.access.verify_samples import SOME
from ringfence.schema.access.verify_sequences import sequence_attempts
from ringfence.schema.access.wanted import is_view
from ringfence.schema.backends import Backend, offline, reach
from ringfence.schema.deployment import Deployment
from ringfence.schema.migrate.releases import metadata as our_tables

VERBS = ("select", "insert", "update", "delete")
Say = Callable[[str], None]


class _Undo(Exception):
    """Ends a session that is not to be committed."""


def verify(
    deployment: Deployment,
    settings: Settings,
    passwords: Mapping[str, Secret],
    say: Say = lambda text: None,
    *,
    services: Collection[str] | None = None,
) -> Proof:
    """Try every verb on every table and column as every account, and compare with the manifest in both directions.

    Args:
        deployment: what is wanted.
        settings: where the database is; the login in it is used to count rows beside an account that sees some of them.
        passwords: login -> password. Not needed where the engine has no accounts.
        say: told which account is being tried.
        services: whose accounts are tried; None for all.
    """
    proof = Proof()
    chosen = [
        account for name, account in deployment.accounts.items() if services is None or name in services
    ]
    admin, unmodelled = _as_admin(deployment, settings, proof, chosen)
    for account in chosen:
        say(account.service)
        _verify_account(deployment, settings, account, passwords.get(account.login), proof, admin, unmodelled)
    return proof


def _as_admin(
    deployment: Deployment, settings: Settings, proof: Proof, chosen: Collection[Account]
) -> tuple[sa.Engine | None, Unmodelled | None]:
    """Who looks beside the accounts, where rows want that; and the columns that no model has."""
    rows = any(scoped(account) for account in chosen)
    try:
        backend = reach(settings)
        admin = backend.engine().execution_options(isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            _look_for_exposures(backend, connection, deployment, proof, {account.login for account in chosen})
            return admin, Unmodelled(backend, connection, deployment)
    except (RingfenceError, sa.exc.DBAPIError) as error:
        if rows:
            raise
        why = str(error.orig).partition("\n")[0] if isinstance(error, sa.exc.DBAPIError) else str(error)
        proof.warnings.append(f"columns that no model has were not looked for: {why}")
        return None, None


def _look_for_exposures(
    backend: Backend, connection: sa.Connection, deployment: Deployment, proof: Proof, chosen: Collection[str]
) -> None:
    """Note what reaches these logins, or more than was given, in ways that no login of a service can try."""
    if backend.accounts is None:
        return
    declared = {account.login: account.service for account in deployment.accounts.values()}
    accounts = backend.accounts.at(connection, deployment.accounts.values())
    existing = list(accounts.existing(connection, declared))
    exposed = [*accounts.exposures(connection, deployment, existing), *replaced(backend, deployment)]
    for one in exposed:
        if one.login in declared and one.login not in chosen:
            continue
        if one.finding is None:
            proof.warnings.append(str(one))
            continue
        service = declared.get(one.login or "", "")
        found = Finding(one.finding, service or "everybody", one.login or "", None, None, (), str(one))
        proof.findings.append(found)


def _verify_account(
    deployment: Deployment,
    settings: Settings,
    account: Account,
    password: Secret | None,
    proof: Proof,
    admin: sa.Engine | None,
    unmodelled: Unmodelled | None,
) -> None:
    def not_proven(message: str) -> None:
        proof.findings.append(Finding("not-proven", account.service, account.login, None, None, (), message))

    try:
        mirror = Mirror.load(deployment.mirrors / f"{account.service}.json")
        own = replace(
            settings, user=settings.user and account.login, password=password, password_file=None, pool_size=1
        )
        with Database(own, mirror) as database:
            readiness = database.readiness()
            if not readiness.ready:
                stopped = readiness.stages[-1] if readiness.stages else None
                not_proven(
                    f"the service would not be ready: {readiness.state}: {stopped.detail if stopped else ''}"
                )
            # Without a login every attempt would look like a refusal.
            with database.session(read_only=True) as dal:
                dal.executesql("SELECT 1")
            proof.accounts.append(account.service)
            proof.warnings += _weaknesses(database)
            prover = _Prover(database, account, proof)
            prover.prove(_attempts(deployment, account, database))
            if unmodelled is not None:
                prover.prove(_beyond(unmodelled, account, database))
            kind = offline(own, deployment.engines)
            together = prover.prove_together if kind.transactional_ddl else prover.prove
            together(_ddl(deployment, account, database, kind))
            if admin is not None:
                with admin.connect() as connection:
                    lasting = kind.without_rollback(connection)
                    rolled = that_roll_back(account, lasting, proof)
                    prove_inserts(database, rolled, deployment, connection, proof)
                    rows = Rows(database, rolled, deployment, connection, proof.warnings.append)
                    _rows(account, rows, proof)
    except RingfenceError as error:
        not_proven(f"could not be tried: {error}")
    except (
        sa.exc.DBAPIError
    ) as error:  # of the admin, who looks for rows: a database that is behind the models, say
        not_proven(f"its rows could not be tried: {str(error.orig).partition(chr(10))[0]}")


def _rows(account: Account, rows: Rows, proof: Proof) -> None:
    """Note what came of the attempts on rows."""
    for outcome in rows.outcomes():
        proof.attempts += 1
        proof.allowed += outcome.found is True
        proof.refused += outcome.found is False
        if outcome.found == outcome.given:
            continue
        kind = {True: "excess", False: "missing", None: "not-proven"}[outcome.found]
        finding = Finding(
            kind, account.service, account.login, outcome.verb, outcome.table, (), outcome.message
        )
        proof.findings.append(finding)


def _weaknesses(database: Database) -> Iterator[str]:
    """What holds for honest statements alone on this engine."""
    backend, mirror = database.backend, database.mirror
    unread = [
        table.key
        for table in mirror.tables.values()
        if "select" in table.verbs
        and any(column.updatable and not column.selectable for column in table.columns.values())
    ]
    within = [
        table.key
        for table in mirror.tables.values()
        if any(verb.scope is not None for verb in table.verbs.values())
    ]
    for what, tables, why in (
        ("columns that it may write", unread, backend.weak_columns()),
        ("rows outside its scope", within, backend.weak_rows()),
    ):
        if tables and why:
            yield (
                f"{mirror.service}: that it cannot read {what} in {', '.join(tables)} is not proven against hostile"
                f" statements: {why} (docs/explanation/isolation.md)"
            )


class _Prover:
    """Tries one account."""

    def __init__(self, database: Database, account: Account, proof: Proof) -> None:
        self._database = database
        self._account = account
        self._proof = proof
        # Any value will do for statements that touch no row; without one, some engines refuse even those.
        self._scope = {name: SOME[item["type"]] for name, item in database.mirror.scopes.items()}

    def prove(self, attempts: Iterable[Attempt]) -> None:
        found: dict[tuple[str, str, str, str], list[str]] = {}
        for attempt in attempts:
            self._proof.attempts += 1
            try:
                allowed = self._try(attempt)
            except RingfenceError as error:
                kind, message = "not-proven", str(error)
            else:
                self._proof.allowed += allowed
                self._proof.refused += not allowed
                if allowed == attempt.given:
                    continue
                kind = "excess" if allowed else "missing"
                message = (
                    "the database allows it, and the manifest does not"
                    if allowed
                    else f"{attempt.origin} gives it, and the database refuses it"
                )
                if allowed and attempt.excuse:
                    kind, message = "warning", attempt.excuse
            found.setdefault((kind, attempt.verb, attempt.table, message), []).append(attempt.column or "")
        for (kind, verb, table, message), columns in found.items():
            named = tuple(column for column in columns if column)
            finding = Finding(kind, self._account.service, self._account.login, verb, table, named, message)
            if kind == "warning":
                self._proof.warnings.append(str(finding).removeprefix("warning: "))
            else:
                self._proof.findings.append(finding)

    def prove_together(self, attempts: Iterable[Attempt]) -> None:
        """As prove, each at a savepoint of one session: a connection is closed after DDL, and need not be for each."""
        with contextlib.suppress(_Undo), self._database.session(scope=self._scope) as dal:
            dal.executesql("SELECT 1")
            self.prove(attempts)
            raise _Undo

    def _try(self, attempt: Attempt) -> bool:
        """Whether the statement is allowed. Raises RingfenceError when that cannot be told."""
        try:
            with self._database.session(scope=self._scope) as dal:
                dal.executesql(attempt.sql)
                raise _Undo
        except (_Undo, IntegrityError):
            return True
        except AccessDenied:
            return False
        except (StatementError, Misuse) as error:  # a setting that no session bound is a Misuse on PostgreSQL
            cause = error.__cause__
            if not attempt.relation or attempt.column is None or not isinstance(cause, Exception):
                raise
            backend = self._database.backend
            column = backend.quote_name(attempt.column)
            try:
                with self._database.session(scope=self._scope):
                    connection = self._database.current().connection
                    may = backend.readable(connection, cause, attempt.relation, [column])
            except Exception as failed:
                raise error from failed  # the relation or its schema is not to be seen
            if may is None:
                raise
            return may


def _attempts(deployment: Deployment, account: Account, database: Database) -> Iterator[Attempt]:
    """Everything there is to try, on the deployment's tables and sequences and on our tables."""
    quote = database.backend.quote_name
    granted: dict[tuple[str, str], Grant] = {(grant.key, grant.verb): grant for grant in account.grants}
    for key, table in deployment.tables.items():
        # A view that takes no writes answers with another error than a denial.
        for verb in VERBS if table.info.get("updatable") or not is_view(table) else ("select",):
            grant = granted.get((key, verb))
            yield from _of_verb(verb, key, table, grant, database)
            if grant is not None and _stands_before(table, verb, database):
                yield from _of_verb(verb, key, table, None, database)
    for name, sql, grant in sequence_attempts(deployment, account, database):
        yield Attempt("draw", name, None, sql, grant is not None, str(grant.origin) if grant else None)
    for table in our_tables.sorted_tables:
        readable = table.name in READABLE
        for column in table.columns:
            sql = _statement("select", quote(table.name), quote(column.name))
            yield Attempt("select", table.name, column.name, sql, readable, "every account's own rights")
        yield Attempt("delete", table.name, None, _statement("delete", quote(table.name)), given=False)


def _beyond(unmodelled: Unmodelled, account: Account, database: Database) -> Iterator[Attempt]:
    """Columns that no model has, on the table itself and on what the account reaches it through."""
    quote = database.backend.quote_name
    for beyond in unmodelled.columns:
        for verb in beyond.verbs():
            through, behind = _relations(beyond.table, verb, database)
            before = _stands_before(beyond.table, verb, database)
            views = (
                name
                for mine in database.mirror.tables.values()
                if (mine.schema, mine.name) == (beyond.table.schema, str(beyond.table.name))
                and verb in mine.verbs
                for name in mine.verbs[verb].relations.values()
            )
            excuse = beyond.excuse(account, verb, itself=not before)
            places = {behind} | (
                {through} if any(unmodelled.has(name, beyond.column) for name in views) else set()
            )
            for place in sorted(places):
                sql = _statement(verb, place, quote(beyond.column))
                yield Attempt(verb, beyond.key, beyond.column, sql, given=False, excuse=excuse)
    for one in unmodelled.leaving(account):
        key = ".".join(filter(None, (one.schema, one.table)))
        place = ".".join(quote(part) for part in (one.schema, one.table) if part)
        sql = _statement(one.verb, place, quote(one.column))
        yield Attempt(one.verb, key, one.column or None, sql, given=False, excuse=one.excuse)


def _ddl(deployment: Deployment, account: Account, database: Database, kind: Backend) -> Iterator[Attempt]:
    """DDL on the deployment's tables, which every account must be refused.

    Where it commits, each try costs a connection: there on the tables that the account was given something of.
    """
    given = {grant.key for grant in account.grants}
    of_ours = [
        (key, _relations(table, "delete", database)[1])
        for key, table in deployment.tables.items()
        if not is_view(table) and (kind.transactional_ddl or key in given)
    ]
    for what, on, sql in kind.ddl_tries(of_ours, database.backend.quote_name(READABLE[0])):
        yield Attempt(what, on or "the schema", None, sql, given=False)


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
    """Where the verb goes, and the table itself: what is not given must not be had there either."""
    backend = database.backend
    for mine in database.mirror.tables.values():
        if (mine.schema, mine.name) == (table.schema, str(table.name)):
            return backend.relation(mine, verb), backend.relation(replace(mine, verbs={}), verb)
    plain = ".".join(backend.quote_name(part) for part in (table.schema, table.name) if part)
    return plain, plain


def _stands_before(table: sa.Table, verb: str, database: Database) -> bool:
    """Whether the mirror sends the verb through another relation, which is then all that the account reaches."""
    for mine in database.mirror.tables.values():
        if (mine.schema, mine.name) == (table.schema, str(table.name)) and verb in mine.verbs:
            through, behind = _relations(table, verb, database)
            return bool(mine.verbs[verb].relations) and through != behind
    return False


def _computed(column: sa.Column[object]) -> bool:
    """Whether nobody can write the column, whatever was granted: the server refuses it before it looks at rights."""
    return column.computed is not None or (column.identity is not None and bool(column.identity.always))


def _statement(verb: str, table: str, column: str = "") -> str:
    """A statement that needs the verb on the column and nothing else, and touches no row."""
    return {
        "select": f"SELECT {column} FROM {table} WHERE 1 = 0",  # noqa: S608 - quoted names
        "insert": f"INSERT INTO {table} ({column}) SELECT NULL WHERE 1 = 0",
        "update": f"UPDATE {table} SET {column} = NULL WHERE 1 = 0",  # noqa: S608 - quoted names
        "delete": f"DELETE FROM {table} WHERE 1 = 0",  # noqa: S608 - quoted names
    }[verb]
