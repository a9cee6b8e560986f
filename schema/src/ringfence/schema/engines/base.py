"""The protocols that each engine implements, one for each role that the job and the commands need.

`Backend` is composed of them: `backend.locks`, `backend.introspection`, `backend.accounts.privileges`. A function takes
the smallest protocol that it needs. What is always true of an engine is no method but a flag of its `Features`.

In every method, `connection` is a connection of the admin account, and `logins` are the names of service accounts.
"""

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
from ringfence.schema.features import Features
from ringfence.schema.grants.difference import Batch, Difference, Privilege
from ringfence.schema.manifest.model import Account
from ringfence.schema.rendering.table_parts import Translator
from ringfence.schema.state.columns import ColumnPath
from ringfence.schema.text import MessageCallback

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

__all__ = [
    "DDL",
    "NO_PENDING_DROPS",
    "Accounts",
    "Altered",
    "Backend",
    "Change",
    "Checks",
    "Connections",
    "Exposure",
    "Findings",
    "HeldLock",
    "Hosts",
    "Identity",
    "Inspection",
    "Introspection",
    "Locks",
    "Login",
    "LoginSettings",
    "Nodes",
    "OpenConnections",
    "PasswordComparison",
    "PendingDrops",
    "Privileges",
    "Roles",
    "RowSecurity",
    "RowSecurityComparison",
    "Server",
    "Sessions",
    "Statement",
]


class Server(Protocol):
    """A database of a server, or a database file, and how to connect to it."""

    settings: Settings
    identity: Identity
    features: Features

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

    def permanent_failure(self, error: sa.exc.DBAPIError) -> str | None:
        """Explain why a connection that failed will not succeed later.

        Returns:
            The reason, such as a login that was refused or a database that does not exist; None when waiting may help.
        """
        ...


class Checks(Protocol):
    """What is checked before a job changes anything."""

    def admin(self, connection: sa.Connection, deployment: "Deployment") -> Findings:
        """Check which privileges the admin lacks for the job, and what would make a login fail."""
        ...

    def environment(self, connection: sa.Connection) -> Findings:
        """Check what prevents a migration now.

        That is: too few free connections, long transactions, a connection pooler, or a cluster that is not healthy.
        """
        ...


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


class Locks(Protocol):
    """The deployment's lock, and the locks that statements wait for."""

    def hold(self, *, patience: float, on_message: MessageCallback) -> AbstractContextManager[HeldLock]:
        """Take the deployment's lock, and hold it inside the `with`.

        Args:
            patience: How many seconds to wait for another job.
            on_message: Called once, when another job holds the lock.

        Raises:
            NotReady: Another job held the lock for all of that time.
        """
        ...

    def set_timeout(self, connection: sa.Connection, seconds: float) -> None:
        """Set how long the statements of a connection wait for locks of other sessions from now on.

        Args:
            connection: The admin's connection.
            seconds: The lock timeout.
        """
        ...

    def is_conflict(self, error: sa.exc.DBAPIError) -> bool:
        """Return whether a statement failed by a lock timeout, a deadlock or a conflict with another transaction.

        Such a statement changed nothing, and can be sent again.
        """
        ...


class Sessions(Protocol):
    """The sessions of the server."""

    def identifier(self, connection: sa.Connection) -> str:
        """Return an identifier of the server session of a connection, for `is_busy` in another process."""
        ...

    def is_busy(self, session: str) -> bool:
        """Return whether a session is still busy, for instance with a statement whose sender was killed.

        Args:
            session: What `identifier` returned for it.
        """
        ...

    def long_transactions(self, connection: sa.Connection) -> list[str]:
        """List transactions that have been open for long, each with how to end it: DDL would wait for them."""
        ...


class Introspection(Protocol):
    """What the database holds."""

    catalog: Catalog
    """Reads what the database holds, and what the server would make of the models."""

    def translator(self, connection: sa.Connection) -> Translator:
        """Return the translator from catalog entries to the source of models, for `ringfence reflect`."""
        ...

    def columns(self, connection: sa.Connection) -> frozenset[ColumnPath]:
        """Return every column of every table and view of the database, by a single query."""
        ...

    def tables_without_rollback(self, connection: sa.Connection) -> frozenset[tuple[str | None, str]]:
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


class DDL(Protocol):
    """DDL statements that differ between engines."""

    def drop_standalone_objects(self, connection: sa.Connection) -> list[str]:
        """Return the DROP statements for the functions and procedures of the default schema.

        Those that belong to an extension are left out. Where the engine has other objects that belong to no table, such
        as types, their DROP statements are included.
        """
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

    def attempts(self, tables: Sequence[tuple[str, str]], readable: str) -> Iterator[Attempt]:
        """Yield DDL statements that the server must refuse to every service; if it does not, they leave nothing behind.

        Args:
            tables: The key and the quoted name of each table of the deployment.
            readable: The quoted name of a `ringfence_*` table, which every service may read.
        """
        ...


class Nodes(Protocol):
    """The nodes of a cluster; a single server has none to compare."""

    def compare_schemas(
        self, connection: sa.Connection, schemas: Collection[str | None]
    ) -> tuple[list[str], list[str]]:
        """Compare the schema on the other nodes with that on the node of the connection.

        Args:
            connection: The admin's connection.
            schemas: The schemas to compare; None is the default one.

        Returns:
            The differences, and the nodes that could not be compared; both are empty for a single server.
        """
        ...

    def compare_accounts(
        self, connection: sa.Connection, accounts: "Accounts", logins: Iterable[str], schemas: Iterable[str]
    ) -> tuple[list[str], list[str]]:
        """Compare the accounts on the other nodes with those on the node of the connection.

        Args:
            connection: The admin's connection.
            accounts: The accounts, each at its host.
            logins: The logins of the accounts.
            schemas: The schemas in which privileges are compared.

        Returns:
            The differences, and the nodes that could not be queried; both are empty for a single server.
        """
        ...


class Roles(Protocol):
    """The logins of a server, and the statements that create and change them.

    No method changes anything: statements are returned for the caller to send.
    """

    def existing(self, connection: sa.Connection, logins: Iterable[str]) -> Mapping[str, Login]:
        """Return the logins that exist on the server, each with its state."""
        ...

    def create(self, login: str, password: Secret | None) -> Statement:
        """Return the statement that creates an account which can log in and holds no privilege.

        Args:
            login: The account's login.
            password: None for a plan, which is only shown; the account of that statement cannot log in.
        """
        ...

    def enable(self, login: str, enabled: bool) -> Statement:
        """Return the statement that lets an account log in, or locks it."""
        ...

    def drop(self, login: str) -> Statement:
        """Return the statement that drops an account that no longer holds any privilege."""
        ...

    def drop_obstacles(self, connection: sa.Connection, logins: Iterable[str]) -> Mapping[str, list[str]]:
        """Return the reasons why logins must not be dropped.

        Returns:
            Login -> what it owns, defined, or was granted outside what an apply revokes; only logins with a reason.
        """
        ...

    def set_password(self, login: str, password: Secret) -> Statement:
        """Return the statement that changes the password of an account."""
        ...

    def compare_passwords(
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


class LoginSettings(Protocol):
    """The limits and settings of logins, such as `connection_limit`."""

    def changed(self, connection: sa.Connection, logins: Iterable[str]) -> Mapping[str, Mapping[str, str]]:
        """Return the limits and settings of the logins that differ from those of a new account.

        Returns:
            Login -> the manifest's name of the setting -> its value.
        """
        ...

    def set(self, connection: sa.Connection, login: str, setting: str, value: str | None) -> Statement:
        """Return the statement that sets one limit or setting of a login.

        Args:
            connection: The admin's connection.
            login: The account's login.
            setting: A name of `changed`.
            value: The new value; None restores that of a new account.
        """
        ...


class Hosts(Protocol):
    """The hosts of accounts on MySQL and MariaDB, where an account is a login and a host.

    Elsewhere an account has no host: there is one set of accounts, and nothing to record.
    """

    def at_declared(self, connection: sa.Connection, accounts: Iterable[Account]) -> "Accounts":
        """Return the accounts, each at the host that the manifest declares for it.

        A login that is no longer declared keeps its recorded host.

        Args:
            connection: The admin's connection.
            accounts: The accounts that the manifest declares.
        """
        ...

    def at_current(self, connection: sa.Connection) -> Iterator[tuple["Accounts", list[str]]]:
        """Go through the managed accounts at the hosts where they are now.

        A login whose host is about to change has accounts at two hosts, and is yielded once for each.

        Yields:
            The accounts with one host for each login, and the logins that have an account at these hosts.
        """
        ...

    def record(
        self, connection: sa.Connection, accounts: Iterable[Account], managed: Iterable[str]
    ) -> list[Statement]:
        """Return the statements that record the hosts of accounts before the accounts are created there.

        If a job ends between the record and the creation, the next one finds the account by its record.

        Args:
            connection: The admin's connection.
            accounts: The accounts that the manifest declares.
            managed: The logins that the deployment manages already.
        """
        ...

    def forget(self, connection: sa.Connection, login: str) -> list[Statement]:
        """Return the statements that delete the recorded hosts of a login that is dropped."""
        ...

    def drop_former(
        self, connection: sa.Connection, logins: Iterable[str]
    ) -> tuple[list[tuple[str, Statement]], list[str]]:
        """Return what drops managed accounts at hosts where the manifest no longer declares them.

        Returns:
            Each login with a statement, and a line for each account that `Roles.drop_obstacles` keep from being
            dropped.
        """
        ...


class Privileges(Protocol):
    """The privileges of accounts, and the statements that grant and revoke them.

    No method changes anything: statements are returned for the caller to send.
    """

    public: frozenset[str]
    """The privileges that PUBLIC keeps, as the manifest says under `public:`."""

    @property
    def revision_queries(self) -> RevisionQueries | None:
        """The catalog queries for grants inside a revision's transaction; None where each statement commits."""
        ...

    def declared(self, connection: sa.Connection, deployment: "Deployment") -> set[Privilege]:
        """Return the privileges that the manifest gives, with those that they imply on this engine.

        PostgreSQL, for instance, needs USAGE on the schema of a table as well.
        """
        ...

    def declared_functions(
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

    def held(
        self, connection: sa.Connection, logins: Iterable[str], schemas: Iterable[str]
    ) -> set[Privilege]:
        """Return the privileges and role memberships that the logins hold by name.

        Args:
            connection: The admin's connection.
            logins: The logins of the accounts.
            schemas: The schemas of the deployment; privileges on the database and the server are included too.
        """
        ...

    def grant(self, batch: Batch) -> Statement:
        """Return the GRANT statement for a batch of privileges."""
        ...

    def revoke(self, batch: Batch) -> Statement:
        """Return the REVOKE statement for a batch of privileges."""
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

    def survives_revoke(self, privilege: Privilege) -> bool:
        """Return whether a session that is open keeps a privilege after it was revoked."""
        ...


class RowSecurityComparison(Protocol):
    """The policies, views and triggers that restrict accounts to the rows of their scopes."""

    def compare(
        self,
        connection: sa.Connection,
        deployment: "Deployment",
        managed: Iterable[str],
        pending: PendingDrops,
    ) -> RowSecurity:
        """Compare the row security that the scopes need with what the server has.

        Args:
            connection: The admin's connection.
            deployment: The accounts with their scopes, the tables, and the names that sessions bind.
            managed: The logins that the deployment manages, including those no longer declared.
            pending: The tables and columns that a pending contract revision drops.

        Returns:
            The statements to send before the grants and after the revokes, with obstacles and warnings.
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


class Inspection(Protocol):
    """What logins can do beside the privileges that they hold by name."""

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

    def effective_rights(
        self,
        connection: sa.Connection,
        deployment: "Deployment",
        logins: Collection[str],
        declared: Collection[Privilege],
    ) -> Effective:
        """Return what existing logins can really do, now and after an apply.

        Args:
            connection: The admin's connection.
            deployment: The accounts and tables that are declared.
            logins: Logins that exist on the server.
            declared: The privileges that the apply leaves them.
        """
        ...

    def definer_objects(self, connection: sa.Connection, logins: Iterable[str]) -> list[str]:
        """List the views, functions and triggers that the logins can use and that run as another account.

        Returns:
            One sentence for each object.
        """
        ...

    def owned_objects(self, connection: sa.Connection, logins: Iterable[str]) -> list[str]:
        """List the objects that the logins own, each with how to resolve it.

        An owner may do anything with its object, whatever was granted.
        """
        ...


class Connections(Protocol):
    """The open connections of logins."""

    def open(self, connection: sa.Connection, logins: Iterable[str]) -> list[OpenConnections]:
        """Return the open connections of the logins that the admin can see, on every node of a cluster."""
        ...

    def how_to_end(self, connection: sa.Connection, login: str) -> str:
        """Return how an operator ends the connections of a login: a statement, or an instruction with one."""
        ...


class Accounts(Protocol):
    """The accounts of one server, each at one host where accounts have hosts."""

    @property
    def hosts(self) -> Hosts:
        """Where accounts have hosts: the same accounts at other hosts, and the records of these."""
        ...

    @property
    def roles(self) -> Roles:
        """The logins."""
        ...

    @property
    def settings(self) -> LoginSettings:
        """The limits and settings of the logins."""
        ...

    @property
    def privileges(self) -> Privileges:
        """What the accounts may do."""
        ...

    @property
    def row_security(self) -> RowSecurityComparison:
        """What restricts the accounts to the rows of their scopes."""
        ...

    @property
    def inspection(self) -> Inspection:
        """What the accounts can do beside their privileges."""
        ...

    @property
    def connections(self) -> Connections:
        """The connections that the accounts have open."""
        ...


class Backend(Server, Protocol):
    """One engine's server with its parts."""

    @property
    def checks(self) -> Checks:
        """What is checked before a job changes anything."""
        ...

    @property
    def locks(self) -> Locks:
        """The deployment's lock, and those that statements wait for."""
        ...

    @property
    def sessions(self) -> Sessions:
        """The sessions of the server."""
        ...

    @property
    def introspection(self) -> Introspection:
        """What the database holds."""
        ...

    @property
    def ddl(self) -> DDL:
        """The DDL statements that differ between engines."""
        ...

    @property
    def nodes(self) -> Nodes:
        """The nodes of a cluster."""
        ...

    @property
    def accounts(self) -> Accounts | None:
        """None where the engine has no accounts, and the runtime enforces the manifest from the mirror."""
        ...
