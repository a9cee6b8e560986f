"""The protocols that every engine's backend implements: access to the server, the job's lock, and the accounts."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

import sqlalchemy as sa

from ringfence.runtime.settings import Secret, Settings
from ringfence.schema.comparison.snapshot import Catalog
from ringfence.schema.engines.ddl_attempts import Attempt
from ringfence.schema.engines.effective_rights import Effective
from ringfence.schema.engines.exposures import Exposure
from ringfence.schema.engines.revision_access import RevisionQueries
from ringfence.schema.engines.types import (
    NO_PENDING_DROPS,
    Altered,
    Change,
    Findings,
    Identity,
    Login,
    OpenConnections,
    PasswordComparison,
    PendingDrops,
    RowSecurity,
    Statement,
)
from ringfence.schema.grants.difference import Batch, Difference, Privilege
from ringfence.schema.manifest.model import Account
from ringfence.schema.rendering.table_parts import Translator
from ringfence.schema.state.columns import ColumnPath
from ringfence.schema.text import Say

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

__all__ = [
    "NO_PENDING_DROPS",
    "Accounts",
    "Altered",
    "Backend",
    "Change",
    "Exposure",
    "Findings",
    "HeldLock",
    "Identity",
    "Login",
    "OpenConnections",
    "PasswordComparison",
    "PendingDrops",
    "RowSecurity",
    "Statement",
]


class HeldLock(Protocol):
    """The deployment's lock while a job holds it."""

    def check(self) -> None:
        """Check that this job still holds the lock.

        Raises:
            LockLost: It does not: its connection ended, or another job took the lock over.
        """
        ...

    def register_session(self, connection: sa.Connection) -> None:
        """Register the connection that changes the schema, so that a job that takes the lock over can end it first.

        Args:
            connection: The connection on which the revisions run.
        """
        ...


class Accounts(Protocol):
    """The accounts of one server: what they hold, and the statements that change it.

    In every method, `connection` is a connection of the admin account, and `logins` are the names of service accounts.
    No method changes anything on the server: statements are returned for the caller to send.
    """

    atomic: bool
    """Whether all statements of an apply run in one transaction; if not, grants are sent before revokes."""
    grants_many_objects: bool
    """Whether one GRANT or REVOKE can name several objects of the same kind."""
    detach_for_type_change: bool
    """Whether policies and views on a table must be detached before a column changes its type.

    Where this is false, they are detached only before a column or a table is dropped or renamed.
    """
    public_privileges: frozenset[str]
    """The privileges that PUBLIC keeps, as the manifest says under `public:`."""
    audit_prefixes: tuple[str, ...]
    """Prefixes of logging and auditing settings, which an apply changes only if the manifest declares them."""

    @property
    def revision_queries(self) -> RevisionQueries | None:
        """The catalog queries for grants inside a revision's transaction; None where each statement commits."""
        ...

    def at_declared_hosts(self, connection: sa.Connection, accounts: Iterable[Account]) -> "Accounts":
        """Return these accounts, each at the host that the manifest declares for it.

        Where an account has no host (PostgreSQL), the result is the object itself. A login that is no longer declared
        keeps its recorded host.

        Args:
            connection: The admin's connection.
            accounts: The accounts that the manifest declares.
        """
        ...

    def at_current_hosts(self, connection: sa.Connection) -> Iterator[tuple["Accounts", list[str]]]:
        """Go through the managed accounts at the hosts where they are now.

        A login whose host is about to change has accounts at two hosts, and is yielded once for each.

        Yields:
            The accounts with one host for each login, and the logins that have an account at these hosts.
        """
        ...

    def record_hosts(
        self, connection: sa.Connection, accounts: Iterable[Account], mine: Iterable[str]
    ) -> list[Statement]:
        """Return the statements that record the hosts of accounts before the accounts are created there.

        If a job ends between the record and the creation, the next one finds the account by its record.

        Args:
            connection: The admin's connection.
            accounts: The accounts that the manifest declares.
            mine: The logins that the deployment manages already.

        Returns:
            The statements; none where an account has no host.
        """
        ...

    def forget_hosts(self, connection: sa.Connection, login: str) -> list[Statement]:
        """Return the statements that delete the recorded hosts of a login that is dropped."""
        ...

    def drop_at_old_hosts(
        self, connection: sa.Connection, logins: Iterable[str]
    ) -> tuple[list[tuple[str, Statement]], list[str]]:
        """Return what drops managed accounts at hosts where the manifest no longer declares them.

        Returns:
            Each login with a statement, and a line for each account that `drop_obstacles` keep from being dropped.
        """
        ...

    def existing(self, connection: sa.Connection, logins: Iterable[str]) -> Mapping[str, Login]:
        """Return the logins that exist on the server, each with its state."""
        ...

    def declared_privileges(self, connection: sa.Connection, deployment: "Deployment") -> set[Privilege]:
        """Return the privileges that the manifest gives, with those that they imply on this engine.

        PostgreSQL, for instance, needs USAGE on the schema of a table as well.
        """
        ...

    def held_privileges(
        self, connection: sa.Connection, logins: Iterable[str], schemas: Iterable[str]
    ) -> set[Privilege]:
        """Return the privileges and role memberships that the logins hold by name.

        Args:
            connection: The admin's connection.
            logins: The logins of the accounts.
            schemas: The schemas of the deployment; privileges on the database and the server are included too.
        """
        ...

    def row_security(
        self, connection: sa.Connection, deployment: "Deployment", managed: Iterable[str], going: PendingDrops
    ) -> RowSecurity:
        """Compare the row security that the scopes need with what the server has.

        Args:
            connection: The admin's connection.
            deployment: The accounts with their scopes, the tables, and the names that sessions bind.
            managed: The logins that the deployment manages, including those no longer declared.
            going: The tables and columns that a pending contract revision drops.

        Returns:
            The statements to send before the grants and after the revokes, with obstacles and warnings.
        """
        ...

    def functions(
        self, connection: sa.Connection, accounts: Iterable[Account]
    ) -> tuple[set[Privilege], list[str]]:
        """Return the EXECUTE privileges for the functions that the manifest names.

        Args:
            connection: The admin's connection.
            accounts: The accounts that the manifest declares.

        Returns:
            The privileges, and a line of the manifest with the reason for each function that cannot be granted.
        """
        ...

    def definer_objects(self, connection: sa.Connection, logins: Iterable[str]) -> list[str]:
        """List the views, functions and triggers that the logins can use and that run as another account.

        Returns:
            One sentence for each object.
        """
        ...

    def compare_nodes(
        self, connection: sa.Connection, logins: Iterable[str], schemas: Iterable[str]
    ) -> tuple[list[str], list[str]]:
        """Compare the accounts on the other nodes of a cluster with those on the node of the connection.

        Args:
            connection: The admin's connection.
            logins: The logins of the accounts.
            schemas: The schemas in which privileges are compared.

        Returns:
            The differences, and the nodes that could not be queried; both are empty for a single server.
        """
        ...

    def detach(
        self, connection: sa.Connection, deployment: "Deployment", altered: Altered
    ) -> list[Statement]:
        """Return the statements that close or drop policies, views and triggers on tables that are about to be altered.

        The next apply restores them.

        Args:
            connection: The admin's connection.
            deployment: The deployment as it is now.
            altered: The tables and columns that are about to be altered.
        """
        ...

    def owners(self, connection: sa.Connection, logins: Iterable[str]) -> list[str]:
        """List the objects that the logins own, each with how to resolve it.

        An owner may do anything with its object, whatever was granted.
        """
        ...

    def literal(self, text: str) -> str:
        """Quote a text as an SQL literal, for statements that are shown."""
        ...

    def unrevocable(self, connection: sa.Connection, difference: Difference) -> list[str]:
        """List the revokes that the admin cannot carry out, each with the statement and the account that can.

        An apply refuses to begin while there are any: a REVOKE that fails half-way does harm where each statement
        commits, and PostgreSQL's REVOKE leaves what another role granted.

        Args:
            connection: The admin's connection.
            difference: The privileges that are to be granted and revoked.
        """
        ...

    def other_passwords(
        self, connection: sa.Connection, passwords: Mapping[str, Secret]
    ) -> PasswordComparison:
        """Compare passwords with those that the accounts have.

        Args:
            connection: The admin's connection.
            passwords: Login -> password, for accounts that exist.

        Returns:
            The logins with another password, and those for which it could not be determined.
        """
        ...

    def create(self, login: str, password: Secret | None) -> Statement:
        """Return the statement that creates an account which can log in and holds no privilege.

        Args:
            login: The account's login.
            password: None for a plan, which is only shown; the account of that statement cannot log in.
        """
        ...

    def set_password(self, login: str, password: Secret) -> Statement:
        """Return the statement that changes the password of an account."""
        ...

    def enable(self, login: str, enabled: bool) -> Statement:
        """Return the statement that lets an account log in, or locks it."""
        ...

    def grant(self, batch: Batch) -> Statement:
        """Return the GRANT statement for a batch of privileges."""
        ...

    def revoke(self, batch: Batch) -> Statement:
        """Return the REVOKE statement for a batch of privileges."""
        ...

    def limits(self, connection: sa.Connection, logins: Iterable[str]) -> Mapping[str, Mapping[str, str]]:
        """Return the limits and settings of the logins that differ from those of a new account.

        Returns:
            Login -> the manifest's word for the limit -> its value.
        """
        ...

    def limit(self, connection: sa.Connection, login: str, word: str, value: str | None) -> Statement:
        """Return the statement that sets one limit of a login.

        Args:
            connection: The admin's connection.
            login: The account's login.
            word: A key of `limits`.
            value: The new value; None restores that of a new account.
        """
        ...

    def drop_obstacles(self, connection: sa.Connection, logins: Iterable[str]) -> Mapping[str, list[str]]:
        """Return the reasons why logins must not be dropped.

        Returns:
            Login -> what it owns, defined, or was granted outside what an apply revokes; only logins with a reason.
        """
        ...

    def open_connections(self, connection: sa.Connection, logins: Iterable[str]) -> list[OpenConnections]:
        """Return the open connections of the logins that the admin can see, on every node of a cluster."""
        ...

    def survives_revoke(self, privilege: Privilege) -> bool:
        """Return whether a session that is open keeps a privilege after it was revoked."""
        ...

    def how_to_end_connections(self, connection: sa.Connection, login: str) -> str:
        """Return how an operator ends the connections of a login: a statement, or an instruction with one."""
        ...

    def drop(self, login: str) -> Statement:
        """Return the statement that drops an account that no longer holds any privilege."""
        ...

    def exposures(
        self, connection: sa.Connection, deployment: "Deployment", logins: Iterable[str]
    ) -> list[Exposure]:
        """Find what lets an account reach more or less than the manifest gives, beside grants and row scopes.

        Args:
            connection: The admin's connection.
            deployment: The accounts and tables that are declared.
            logins: The managed logins that exist, and those that are to be adopted.
        """
        ...

    def effective(
        self,
        connection: sa.Connection,
        deployment: "Deployment",
        logins: Collection[str],
        wanted: Collection[Privilege],
    ) -> Effective:
        """Return what existing logins can really do, now and after an apply.

        Args:
            connection: The admin's connection.
            deployment: The accounts and tables that are declared.
            logins: Logins that exist on the server.
            wanted: The privileges that the apply leaves them.
        """
        ...


class Backend(Protocol):
    """One engine, as the migration job uses it.

    In every method, `connection` is a connection of the admin account.
    """

    settings: Settings
    identity: Identity
    accounts: Accounts | None
    """None where the engine has no accounts, and the runtime enforces the manifest from the mirror."""
    catalog: Catalog
    """Reads what the database holds, and what the server would make of the models."""
    transactional_ddl: bool
    """Whether a transaction that is rolled back undoes its DDL."""

    def translator(self, connection: sa.Connection) -> Translator:
        """Return the translator from catalog entries to the source of models, for `ringfence reflect`."""
        ...

    def url(self) -> sa.URL:
        """Return the address with the name of the driver and without the password."""
        ...

    def engine(self, *, migrating: bool = False) -> sa.Engine:
        """Return an engine that opens a new connection each time.

        Args:
            migrating: Whether the engine runs DDL. On SQLite, foreign keys are then switched off, so that they
                cannot act while a table is rebuilt, and each transaction takes the write lock when it begins.
        """
        ...

    def login_works(self, login: str, password: Secret) -> bool:
        """Return whether the account can log in with this password now."""
        ...

    def preflight(self, connection: sa.Connection, deployment: "Deployment") -> Findings:
        """Check which privileges the admin lacks for the job, and what would make a login fail."""
        ...

    def check_environment(self, connection: sa.Connection) -> Findings:
        """Check what prevents a migration now.

        That is: too few free connections, long transactions, a connection pooler, or a cluster that is not healthy.
        """
        ...

    def compare_nodes(
        self, connection: sa.Connection, schemas: Collection[str | None]
    ) -> tuple[list[str], list[str]]:
        """Compare the schema on the nodes of a cluster with that on the node of the connection.

        Args:
            connection: The admin's connection.
            schemas: The schemas to compare; None is the default one.

        Returns:
            The differences, and the nodes that could not be compared; both are empty for a single server.
        """
        ...

    def lock(self, *, patience: float, say: Say) -> AbstractContextManager[HeldLock]:
        """Take the deployment's lock, and hold it inside the `with`.

        Args:
            patience: How many seconds to wait for another job.
            say: Called once, when another job holds the lock.

        Raises:
            NotReady: Another job held the lock for all of that time.
        """
        ...

    def columns(self, connection: sa.Connection) -> frozenset[ColumnPath]:
        """Return every column of every table and view of the database, by a single query."""
        ...

    def drop_standalone_objects(self, connection: sa.Connection) -> list[str]:
        """Return the DROP statements for the functions and procedures of the default schema.

        Those that belong to an extension are left out. Where the engine has other objects that belong to no table, such
        as types, their DROP statements are included.
        """
        ...

    def without_rollback(self, connection: sa.Connection) -> frozenset[tuple[str | None, str]]:
        """Return the tables whose rows stay changed when a transaction is rolled back.

        Returns:
            Pairs of schema (None is the default one) and name.
        """
        ...

    def broken_references(self, connection: sa.Connection) -> Mapping[str, int]:
        """Count the rows whose foreign key refers to no row, where the engine did not check them itself.

        Returns:
            Table -> number of rows.
        """
        ...

    def session_of(self, connection: sa.Connection) -> str:
        """Return an identifier of the server session of a connection, for `session_is_busy` in another process."""
        ...

    def session_is_busy(self, session: str) -> bool:
        """Return whether a session is still busy, for instance with a statement whose sender was killed.

        Args:
            session: What `session_of` returned for it.
        """
        ...

    def set_lock_timeout(self, connection: sa.Connection, seconds: float) -> None:
        """Set how long the statements of a connection wait for locks of other sessions from now on.

        Args:
            connection: The admin's connection.
            seconds: The lock timeout.
        """
        ...

    def is_lock_conflict(self, error: sa.exc.DBAPIError) -> bool:
        """Return whether a statement failed by a lock timeout, a deadlock or a conflict with another transaction.

        Such a statement changed nothing, and can be sent again.
        """
        ...

    def long_transactions(self, connection: sa.Connection) -> list[str]:
        """List transactions that have been open for long, each with how to end it: DDL would wait for them."""
        ...

    def drop_incomplete_index(
        self, connection: sa.Connection, schema: str | None, index: str
    ) -> Statement | None:
        """Return the statement that drops an index that has this name but was not completed; None when there is none.

        Args:
            connection: The admin's connection.
            schema: The schema of the index; None is the default one.
            index: The name of the index.
        """
        ...

    def ddl_attempts(self, tables: Sequence[tuple[str, str]], there: str) -> Iterator[Attempt]:
        """Yield DDL statements that the server must refuse to every service; if it does not, they leave nothing behind.

        Args:
            tables: The key and the quoted name of each table of the deployment.
            there: The quoted name of a `ringfence_*` table, which every service may read.
        """
        ...

    def permanent_failure(self, error: sa.exc.DBAPIError) -> str | None:
        """Explain why a connection that failed will not succeed later.

        Returns:
            The reason, such as a login that was refused or a database that does not exist; None when waiting may help.
        """
        ...
