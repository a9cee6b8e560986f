"""Access around a revision: detach policies that block its DDL, narrow grants it would widen, grant what it creates."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import sqlalchemy as sa
from alembic.operations import ops

from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import Accounts, Backend, Statement
from ringfence.schema.engines.base import NO_PENDING_DROPS, RowSecurityComparison
from ringfence.schema.features import Features
from ringfence.schema.grants.difference import Difference, Privilege, difference
from ringfence.schema.job.incremental_grants import PendingGrants, TableKey, prepare
from ringfence.schema.models.types import DIALECTS
from ringfence.schema.privileges.ordering import ordered_changes
from ringfence.schema.revisions.modelled_columns import modelled_columns
from ringfence.schema.revisions.recording import Recording
from ringfence.schema.revisions.scripts import Migrations
from ringfence.schema.state import releases
from ringfence.schema.text import MessageCallback, counted

_OF_COLUMNS = frozenset({"select", "insert", "update"})


@dataclass
class RevisionEffects:
    """What one revision does to existing tables."""

    created: set[TableKey] = field(default_factory=set)
    """Tables that the revision creates, and on which no account has privileges yet."""
    extended: set[TableKey] = field(default_factory=set)
    """Tables to which the revision adds a column, which a privilege on the whole table would expose at once."""
    altered: dict[TableKey, set[str]] = field(default_factory=dict)
    """Columns whose type the revision changes, and on which a policy may depend."""
    changed: dict[TableKey, set[str]] = field(default_factory=dict)
    """Columns that the revision drops or renames, by table; an empty set is the whole table. A policy or view may use
    them.
    """
    unknown_effects: bool = False
    """Whether it may do more: it executes SQL text, renames a table, or cannot be recorded without a database."""

    def detached(self, features: Features) -> dict[TableKey, set[str]]:
        """Return the columns, by table, whose policies, views and triggers must be detached before the revision."""
        found = {place: set(columns) for place, columns in self.changed.items()}
        for place, columns in self.altered.items() if features.policies_block_type_changes else ():
            if found.get(place, columns):  # the empty set already stands for all columns
                found.setdefault(place, set()).update(columns)
        return found


class RevisionAccess:
    """What a job does to the accounts' access before and after each revision, in its transaction where DDL has one.

    The apply at the end of the job grants the rest.

    Args:
        deployment: the deployment.
        backend: its database.
        scripts: the migrations, with their recordings.
        revisions: the revisions that are to run, in their order.
        on_message: called with a line of text when access was changed.
    """

    def __init__(
        self,
        deployment: Deployment,
        backend: Backend,
        scripts: Migrations,
        revisions: Iterable[str],
        on_message: MessageCallback,
    ) -> None:
        self._deployment = deployment
        self._backend = backend
        self._on_message = on_message
        self._reattach: list[str] = []
        dialect = DIALECTS[backend.identity.engine]
        self._granted: dict[str, tuple[Difference, list[Statement]]] = {}
        self._pending_grants: PendingGrants | None = None
        self._effects: Mapping[str, RevisionEffects] = {}
        if backend.accounts is not None:
            self._effects = {name: _effects_of(scripts.recording(name, dialect)) for name in revisions}

    @property
    def granted(self) -> int:
        """The number of privileges that were granted together with the revisions."""
        return sum(len(change.grant) for change, _ in self._granted.values())

    @property
    def statements(self) -> list[str]:
        """The statements that granted them."""
        return [str(statement) for _, statements in self._granted.values() for statement in statements]

    def before(self, connection: sa.Connection, revision: str) -> None:
        """Detach and narrow access to what the revision changes, and read what the grants after it depend on.

        Args:
            connection: the connection that runs the revision.
            revision: the revision's name.
        """
        self._pending_grants, self._reattach = None, []
        self._granted.pop(revision, None)  # from an attempt that was rolled back
        accounts, touched = self._backend.accounts, self._effects.get(revision)
        if accounts is None or touched is None:
            return
        narrow, detach = self.preparation(connection, revision)
        _send(connection, narrow)
        self._pending_grants = prepare(
            connection,
            accounts,
            self._deployment,
            created=touched.created,
            extended=touched.extended,
            detached=touched.detached(self._backend.features) if detach else (),
            may_recreate=touched.unknown_effects,
        )
        _send(connection, detach)  # takes locks, so it comes last before the DDL
        if count := len(narrow) + len(detach):
            self._on_message(f"{counted(count, 'statement')} narrowed access before {revision}")

    def preparation(
        self, connection: sa.Connection, revision: str
    ) -> tuple[list[Statement], list[Statement]]:
        """Return what `before` sends, without sending it.

        Args:
            connection: a connection that reads the accounts' privileges.
            revision: the revision's name.

        Returns:
            The statements that narrow privileges, and those that detach what blocks the revision.
        """
        accounts, touched = self._backend.accounts, self._effects.get(revision)
        narrow: list[Statement] = []
        detach: list[Statement] = []
        if accounts is None or touched is None:
            return narrow, detach
        detached = touched.detached(self._backend.features)
        if detached:
            detach = self._detach(connection, accounts.row_security, touched, detached)
        if touched.extended or touched.unknown_effects:
            for there, logins in accounts.hosts.at_current(connection):
                if logins:
                    narrow += self._narrow(connection, there, logins, touched)
        return narrow, detach

    def after(self, connection: sa.Connection, revision: str) -> None:
        """Attach what was detached, and grant what the revision created.

        Where grants are not transactional, the final apply does both.

        Args:
            connection: the connection that runs the revision.
            revision: the revision's name.
        """
        for statement in self._reattach:
            connection.exec_driver_sql(statement)
        accounts = self._backend.accounts
        if accounts is None or not self._backend.features.transactional_ddl:
            return
        attached = self._attach(connection, accounts, revision)
        if self._pending_grants is None:
            return
        change = self._pending_grants.change(connection, policies_attached=attached)
        statements = self._statements(accounts, change)
        _send(connection, statements)
        self._granted[revision] = change, statements
        if statements:
            self._on_message(
                f"{counted(len(statements), 'statement')} gave access to what {revision} made or calls"
            )

    def _detach(
        self,
        connection: sa.Connection,
        row_security: RowSecurityComparison,
        touched: RevisionEffects,
        detached: Mapping[TableKey, set[str]],
    ) -> list[Statement]:
        """Return the statements that detach what blocks the revision.

        Detaching from a table that is no longer in the models is undone after the revision, because the apply attaches
        row security only to tables of the models.
        """
        models = {(table.schema, str(table.name)) for table in self._deployment.tables.values()}
        once = {p: c for p, c in detached.items() if p not in models and p not in touched.changed}
        closed = row_security.detach(connection, self._deployment, once) if once else []
        self._reattach = [statement.inverse for statement in closed if statement.inverse]
        rest = {place: columns for place, columns in detached.items() if place not in once}
        return closed + (row_security.detach(connection, self._deployment, rest) if rest else [])

    def _attach(self, connection: sa.Connection, accounts: Accounts, revision: str) -> bool:
        """Attach the detached policies in the transaction of the last revision; return whether all are in force."""
        last = next(reversed([*self._effects]), None)
        if revision != last:
            return False
        if not any(touched.detached(self._backend.features) for touched in self._effects.values()):
            return False
        logins = {account.login for account in self._deployment.accounts.values()}
        if set(accounts.roles.existing(connection, logins)) != logins:
            return False
        fence = accounts.row_security.compare(
            connection, self._deployment, releases.accounts(connection), NO_PENDING_DROPS
        )
        if fence.obstacles:
            return False
        _send(connection, fence.before)
        return True

    def _narrow(
        self, connection: sa.Connection, accounts: Accounts, ours: list[str], touched: RevisionEffects
    ) -> list[Statement]:
        """Replace privileges on whole tables by privileges on their present columns, if the manifest names columns."""
        wanted = accounts.privileges.declared(connection, self._deployment)
        default = connection.dialect.default_schema_name or ""
        there: dict[TableKey, list[str]] = {}
        for schema, table, column in modelled_columns(
            self._deployment, self._backend.introspection, connection
        ):
            there.setdefault((schema, table), []).append(column)
        tables = set(there) if touched.unknown_effects else touched.extended  # any table may get a column
        places = {(schema or default, table): (schema, table) for schema, table in tables}
        held = accounts.privileges.held(connection, ours, {schema for schema, _ in places})
        narrowed: set[Privilege] = set()
        mine: set[Privilege] = set()
        for right in held:
            place = places.get((right.schema, right.name))
            if right.kind != "table" or place is None:
                continue
            mine.add(right)
            if right.column or right.verb not in _OF_COLUMNS or right in wanted:
                narrowed.add(right)
            else:
                narrowed |= {replace(right, column=column) for column in there.get(place, ())}
        return self._statements(accounts, difference(narrowed, mine))

    def _statements(self, accounts: Accounts, change: Difference) -> list[Statement]:
        return [
            accounts.privileges.grant(batch) if kind == "grant" else accounts.privileges.revoke(batch)
            for kind, batch in ordered_changes(self._backend.features, change)
        ]


def _send(connection: sa.Connection, statements: Iterable[Statement]) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement.sql, statement.parameters)


def _effects_of(recording: Recording) -> RevisionEffects:
    own_ways = any(
        isinstance(done.operation, ops.ExecuteSQLOp | ops.RenameTableOp) for done in recording.done
    )
    touched = RevisionEffects(unknown_effects=own_ways or recording.error is not None)
    made = touched.created
    for done in recording.done:
        op = done.operation
        place = (getattr(op, "schema", None), str(getattr(op, "table_name", "")))
        if isinstance(op, ops.CreateTableOp):
            made.add(place)
        elif place not in made and isinstance(op, ops.AddColumnOp):
            touched.extended.add(place)
        elif place in made:
            continue
        elif isinstance(op, ops.AlterColumnOp) and op.modify_name is None:
            if op.modify_type is not None:  # no policy or view depends on NOT NULL or a default
                touched.altered.setdefault(place, set()).add(op.column_name)
        elif isinstance(op, ops.DropColumnOp | ops.AlterColumnOp):
            if touched.changed.get(place) != set():
                touched.changed.setdefault(place, set()).add(op.column_name)
        elif isinstance(op, ops.DropTableOp | ops.RenameTableOp):
            touched.changed[place] = set()
    return touched
