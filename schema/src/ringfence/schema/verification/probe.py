"""Prove the manifest in an empty database with generated rows, and with writes that are committed.

The migrations bring the database to head first. Because writes are committed, triggers run as they do for a service,
and each account sees its own rows among those of others.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from ringfence.runtime import AccessDenied, Database, Mirror, RingfenceError
from ringfence.runtime.mirror import names as field_names
from ringfence.runtime.settings import Secret, Settings
from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Backend, reach
from ringfence.schema.engines.base import NO_PENDING_DROPS
from ringfence.schema.grants import passwords
from ringfence.schema.grants.difference import batches
from ringfence.schema.job.job import MigrateOptions, Report, migrate
from ringfence.schema.manifest.model import Account, Conjunction, Grant
from ringfence.schema.manifest.resolution import is_view
from ringfence.schema.manifest.rows import constant
from ringfence.schema.models.types import portable
from ringfence.schema.sampling.emptying import NotEmpty, drop_everything, routines
from ringfence.schema.sampling.rows import Filler, value
from ringfence.schema.text import MessageCallback
from ringfence.schema.verification.proof import Finding, Proof
from ringfence.schema.verification.verify import verify

_ROWS = 6
_FIRST_ACCOUNT_ROW = 5000  # rows written by accounts are numbered from here, apart from the generated ones


def probe(
    deployment: Deployment, env: Mapping[str, str], on_message: MessageCallback = lambda text: None
) -> Proof:
    """Migrate an empty database, fill it with rows, and prove the manifest there with writes that are committed.

    The database is emptied again at the end. Accounts that are missing on its server are created, and dropped at the
    end.

    Args:
        deployment: the manifest to prove, with its models and migrations.
        env: the admin's login to the empty database, and the accounts' passwords.
        on_message: called with each progress message.

    Returns:
        The attempts and findings.

    Raises:
        NotEmpty: the database has tables; it was not changed.
        RingfenceError: any error of `ringfence migrate`.
    """
    settings = Settings.from_env(env)
    backend = reach(settings, on_message)
    with backend.engine().connect() as connection:
        if names := sa.inspect(connection).get_table_names():
            raise NotEmpty(
                f"{settings} holds {', '.join(sorted(names)[:5])}: a probe needs a separate, empty database"
            )
    before = routines(backend)
    secrets: dict[str, Secret] = {}
    if backend.accounts is not None:
        declared = deployment.accounts.values()
        secrets = passwords.from_environment(declared, env, deployment.policy.passwords, deployment.root)
    report = Report()
    try:
        report = migrate(deployment, env, MigrateOptions(adopt=True), on_message=on_message)
        filler = Filler(
            backend.engine(),
            backend.identity.engine,
            _ROWS + max(map(len, _parts(deployment).values()), default=0),
        )
        filler.fill({key: {str(c.name): c.type for c in t.columns} for key, t in deployment.tables.items()})
        with backend.engine().begin() as connection:
            _into_scopes(deployment, connection)
        proof = verify(deployment, settings, secrets, on_message)
        for key, why in filler.missing.items():
            message = f"no row could be inserted, so nothing was proven with rows of it: {why}"
            proof.findings.append(Finding("not-proven", key, "", None, key, (), message))
        writer = _Writer(deployment, backend, proof)
        for account in deployment.accounts.values():
            on_message(account.service)
            writer.write(account, secrets.get(account.login))
    finally:
        _clear(backend, deployment, report)
        drop_everything(backend, before)
    return proof


def _parts(deployment: Deployment) -> Mapping[str, dict[Conjunction, None]]:
    """Return the distinct alternatives of all scopes, by key of the table."""
    found: dict[str, dict[Conjunction, None]] = defaultdict(dict)
    for account in deployment.accounts.values():
        for grant in account.grants:
            found[grant.key].update(dict.fromkeys(grant.scope or ()))
    return found


def _fixed(deployment: Deployment, table: sa.Table, part: Conjunction) -> dict[str, Any]:
    """Return the values that a row needs to be inside this alternative, without the columns that a session binds."""
    found: dict[str, Any] = {}
    for condition in part:
        if condition.kind == "null":
            found[condition.column] = None
        elif condition.kind != "bound":
            first = condition.value[0] if condition.kind == "in" else condition.value
            found[condition.column] = constant(table.c[condition.column], deployment.engines, first)
    return found


def _into_scopes(deployment: Deployment, connection: sa.Connection) -> None:
    """Change one existing row for each alternative of a scope so that it is inside; other rows stay outside."""
    for key, parts in _parts(deployment).items():
        table = deployment.tables[key]
        primary = list(table.primary_key.columns)
        rows = connection.execute(sa.select(*primary).order_by(*primary)).all() if primary else []
        for part, row in zip(parts, rows, strict=False):
            if values := _fixed(deployment, table, part):
                this = sa.and_(*(column == cell for column, cell in zip(primary, row, strict=True)))
                connection.execute(sa.update(table).where(this).values(values))


class _Writer:
    """Inserts and commits rows as each account, which finds triggers that cannot run under it."""

    def __init__(self, deployment: Deployment, backend: Backend, proof: Proof) -> None:
        self._deployment, self._backend, self._proof = deployment, backend, proof
        self._number = _FIRST_ACCOUNT_ROW

    def write(self, account: Account, password: Secret | None) -> None:
        """Insert a row into each table that the account may insert into, and add failures to the proof."""
        settings = self._backend.settings
        login = settings.user and account.login
        own = replace(settings, user=login, password=password, password_file=None, pool_size=1)
        mirror = Mirror.load(self._deployment.mirrors / f"{account.service}.json")
        with Database(own, mirror) as database:
            for grant in account.grants:
                table = self._deployment.tables[grant.key]
                if grant.verb != "insert" or is_view(table):
                    continue
                self._proof.attempts += 1
                try:
                    self._insert(database, table, grant)
                except RingfenceError as error:
                    kind = "missing" if isinstance(error, AccessDenied) else "not-proven"
                    message = f"a committed row: {error}"
                    finding = Finding(kind, account.service, account.login, "insert", grant.key, (), message)
                    # The attempt with a rollback may have reported it already.
                    if not any(replace(one, message=message) == finding for one in self._proof.findings):
                        self._proof.findings.append(finding)
                else:
                    self._proof.allowed += 1

    def _insert(self, database: Database, table: sa.Table, grant: Grant) -> None:
        part = next(iter(grant.scope or ()), ())
        row = dict(self._values(table, grant)) | _fixed(self._deployment, table, part)
        bound = {c.value: row[c.column] for c in part if c.kind == "bound"}
        name = field_names.table_name(str(table.name), table.schema)
        columns = database.mirror.tables[name].columns
        fields = {columns[n].field: v for n, v in row.items() if n in columns and columns[n].insertable}
        with database.session(scope=bound) as dal:
            dal[name].insert(**fields)

    def _values(self, table: sa.Table, grant: Grant) -> Iterator[tuple[str, Any]]:
        self._number += 1
        for column in table.columns:
            given = grant.columns is None or column.name in grant.columns
            counted = column is table.autoincrement_column or column.computed is not None
            if not given or (counted and not column.foreign_keys):
                continue
            form = portable(column.type, self._deployment.engines)
            yield (
                str(column.name),
                self._referenced(column) or value(form.type, form.params, self._number, str(column.name)),
            )

    def _referenced(self, column: sa.Column[Any]) -> Any:
        """Return an existing key that a foreign key column can point at, or None."""
        for key in column.foreign_keys:
            with self._backend.engine().connect() as connection:
                return connection.execute(sa.select(sa.func.max(key.column))).scalar()
        return None


def _clear(backend: Backend, deployment: Deployment, report: Report) -> None:
    """Revoke what the accounts were granted in this database, and drop those that the probe created."""
    accounts = backend.accounts
    if accounts is not None and report.revision is not None:
        logins = [account.login for account in deployment.accounts.values()]
        with backend.engine().connect() as connection:
            accounts = accounts.hosts.at_declared(connection, deployment.accounts.values())
            schemas = {p.schema for p in accounts.privileges.declared(connection, deployment) if p.schema}
            held = accounts.privileges.held(connection, logins, schemas)
            fence = accounts.row_security.compare(
                connection, replace(deployment, accounts={}), logins, NO_PENDING_DROPS
            )
            statements = [
                accounts.privileges.revoke(batch)
                for batch in batches(held, many_objects=backend.features.grants_many_objects)
            ]
            statements += [*fence.before, *fence.after]
            statements += [accounts.roles.drop(login) for login in report.access.created]
            for statement in statements:
                connection.exec_driver_sql(statement.sql, statement.parameters)
            connection.commit()
