"""What every backend of the admin side offers: reaching the server, its rights, its lock, its accounts."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

import sqlalchemy as sa

from ringfence.runtime.settings import Secret, Settings
from ringfence.schema.comparison.snapshot import Catalog
from ringfence.schema.engines.ddl_attempts import Try
from ringfence.schema.engines.effective_rights import Effective
from ringfence.schema.engines.exposures import Exposure
from ringfence.schema.engines.revision_access import Within
from ringfence.schema.engines.types import (
    NOTHING_GOES,
    Altered,
    Change,
    Compared,
    Fence,
    Findings,
    Going,
    Identity,
    Login,
    Opened,
    Statement,
)
from ringfence.schema.grants.difference import Batch, Difference, Privilege
from ringfence.schema.manifest.model import Account
from ringfence.schema.rendering.table_parts import Translator
from ringfence.schema.state.columns import ColumnPath

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

__all__ = [
    "NOTHING_GOES",
    "Accounts",
    "Altered",
    "Backend",
    "Change",
    "Compared",
    "Exposure",
    "Fence",
    "Findings",
    "Going",
    "Held",
    "Identity",
    "Login",
    "Opened",
    "Say",
    "Statement",
]

Say = Callable[[str], None]


class Held(Protocol):
    """The deployment's lock while it is held."""

    def check(self) -> None:
        """Raise LockLost when it is no longer ours."""
        ...

    def guard(self, connection: sa.Connection) -> None:
        """Name the connection that changes the schema: who takes the lock over ends it first."""
        ...


class Accounts(Protocol):
    """The accounts of one server: what they hold, and the statements that change that."""

    atomic: bool
    """Whether all statements of an apply are one transaction; if not, grants go before revokes."""
    several: bool
    """Whether one GRANT or REVOKE can be about several things of a kind."""
    firm: bool
    """Whether what stands before a table must be detached while a column is altered, and not only when one goes."""
    left_open: frozenset[str]
    """What everybody may have, as the manifest says under `public:`."""
    audits: tuple[str, ...]
    """What starts the words of limits that stay as they are unless the manifest says them."""

    @property
    def within(self) -> Within | None:
        """What grants in a revision's transaction go by; None where each statement commits."""
        ...

    def at(self, connection: sa.Connection, accounts: Iterable[Account]) -> "Accounts":
        """The same, with each of these accounts at the host that it is declared for, where that is a part of it."""
        ...

    def everywhere(self, connection: sa.Connection) -> Iterator[tuple["Accounts", list[str]]]:
        """All accounts that are ours, where they are now; a login comes twice that is about to change its host."""
        ...

    def noted(
        self, connection: sa.Connection, accounts: Iterable[Account], mine: Iterable[str]
    ) -> list[Statement]:
        """What writes down, before they are made, at which hosts the accounts are to be; `mine` are ours already."""
        ...

    def forgotten(self, connection: sa.Connection, login: str) -> list[Statement]:
        """What takes a dropped login out of that."""
        ...

    def moved(
        self, connection: sa.Connection, logins: Iterable[str]
    ) -> tuple[list[tuple[str, Statement]], list[str]]:
        """What ends the accounts of ours at hosts where they are no longer declared, and what is in the way."""
        ...

    def existing(self, connection: sa.Connection, logins: Iterable[str]) -> Mapping[str, Login]:
        """Those of the logins that exist on the server."""
        ...

    def wanted(self, connection: sa.Connection, deployment: "Deployment") -> set[Privilege]:
        """What the manifest gives, with what that implies on this engine."""
        ...

    def held(
        self, connection: sa.Connection, logins: Iterable[str], schemas: Iterable[str]
    ) -> set[Privilege]:
        """What the logins hold by name in the schemas of the deployment, and above them."""
        ...

    def fence(
        self, connection: sa.Connection, deployment: "Deployment", managed: Iterable[str], going: Going
    ) -> Fence:
        """What the row scopes need beside grants.

        Args:
            connection: the admin's.
            deployment: its accounts with their scopes, its tables, and the names that sessions bind.
            managed: the logins that are ours, those no longer declared too.
            going: what a contract to come retires.
        """
        ...

    def functions(
        self, connection: sa.Connection, accounts: Iterable[Account]
    ) -> tuple[set[Privilege], list[str]]:
        """What the accounts may execute, and what of it cannot be granted, each with its line."""
        ...

    def elevated(self, connection: sa.Connection, logins: Iterable[str]) -> list[str]:
        """What the logins may use that runs with the rights of another: views, functions, triggers; a line each."""
        ...

    def elsewhere(
        self, connection: sa.Connection, logins: Iterable[str], schemas: Iterable[str]
    ) -> tuple[list[str], list[str]]:
        """What the other nodes of a cluster have otherwise, and which of them could not be asked.

        Both are empty where there is one server.
        """
        ...

    def detach(
        self, connection: sa.Connection, deployment: "Deployment", altered: Altered
    ) -> list[Statement]:
        """What takes the row scopes' means off some tables, so that these can be altered; the next apply makes them.

        Args:
            connection: the admin's.
            deployment: as it is now.
            altered: what is to be.
        """
        ...

    def owners(self, connection: sa.Connection, logins: Iterable[str]) -> list[str]:
        """What the logins own: an owner may do anything with its own, whatever was granted. Each with the way out."""
        ...

    def literal(self, text: str) -> str:
        """A text as it is written in SQL that is shown."""
        ...

    def beyond(self, connection: sa.Connection, difference: Difference) -> list[str]:
        """What of the difference the admin may not do, on engines where a statement that fails does harm."""
        ...

    def other_passwords(self, connection: sa.Connection, passwords: Mapping[str, Secret]) -> Compared:
        """Which of the existing accounts, login -> password, have another password than this."""
        ...

    def create(self, login: str, password: Secret | None) -> Statement:
        """Make an account that can log in and nothing else; without a password, for a plan alone, it cannot."""
        ...

    def set_password(self, login: str, password: Secret) -> Statement:
        """Give an account another password."""
        ...

    def enable(self, login: str, enabled: bool) -> Statement:
        """Let the account log in, or lock it."""
        ...

    def grant(self, batch: Batch) -> Statement:
        """Grant what the batch says."""
        ...

    def revoke(self, batch: Batch) -> Statement:
        """Revoke what the batch says."""
        ...

    def limits(self, connection: sa.Connection, logins: Iterable[str]) -> Mapping[str, Mapping[str, str]]:
        """What the server keeps of each login, in the manifest's words, where that is not what a new one has."""
        ...

    def limit(self, connection: sa.Connection, login: str, word: str, value: str | None) -> Statement:
        """Set one of these for a login; None makes it what a new one has."""
        ...

    def ties(self, connection: sa.Connection, logins: Iterable[str]) -> Mapping[str, list[str]]:
        """Why a login must not be dropped: what it owns, and what it was granted elsewhere on the server."""
        ...

    def opened(self, connection: sa.Connection, logins: Iterable[str]) -> list[Opened]:
        """The connections that the logins have open, as far as the admin can see; on every node of a cluster."""
        ...

    def outlasts(self, privilege: Privilege) -> bool:
        """Whether a session that is open keeps such a privilege after it was revoked."""
        ...

    def ending(self, connection: sa.Connection, login: str) -> str:
        """What an operator sends to end the connections of a login."""
        ...

    def drop(self, login: str) -> Statement:
        """Drop an account that holds nothing any more."""
        ...

    def exposures(
        self, connection: sa.Connection, deployment: "Deployment", logins: Iterable[str]
    ) -> list[Exposure]:
        """By what, beside grants and row scopes, somebody reaches more than the manifest gives, or an account less.

        Args:
            connection: the admin's.
            deployment: what is wanted.
            logins: those of ours that exist; where they are to be adopted, these too.
        """
        ...

    def effective(
        self,
        connection: sa.Connection,
        deployment: "Deployment",
        logins: Collection[str],
        wanted: Collection[Privilege],
    ) -> Effective:
        """What logins that exist may really do, now and when an apply leaves them the privileges that are wanted."""
        ...


class Backend(Protocol):
    """One engine, as the job uses it."""

    settings: Settings
    identity: Identity
    accounts: Accounts | None
    """None where the engine has no accounts, and the runtime enforces the manifest from the mirror."""
    catalog: Catalog
    """What the database holds, and what the server would make of the models."""
    transactional_ddl: bool

    def translator(self, connection: sa.Connection) -> Translator:
        """What writes the catalog's objects as models, for `ringfence reflect`."""
        ...

    def url(self) -> sa.URL:
        """The address with the driver named, without the password."""
        ...

    def engine(self, *, migrating: bool = False) -> sa.Engine:
        """An engine whose every connection is new.

        Args:
            migrating: whether DDL is run on it: then locks are waited for briefly, and foreign keys cannot act
                while SQLite rebuilds a table.
        """
        ...

    def login_works(self, login: str, password: Secret) -> bool:
        """Whether the account can log in with this password now."""
        ...

    def preflight(self, connection: sa.Connection, deployment: "Deployment") -> Findings:
        """What the admin lacks for the job, and what would make a login fail."""
        ...

    def circumstances(self, connection: sa.Connection) -> Findings:
        """What is in the way of a migration now: no free connections, long transactions, a pooler, a sick cluster."""
        ...

    def disagreeing(
        self, connection: sa.Connection, schemas: Collection[str | None]
    ) -> tuple[list[str], list[str]]:
        """Where nodes have another schema than the one of the connection, and which could not be compared."""
        ...

    def lock(self, *, patience: float, say: Say) -> AbstractContextManager[Held]:
        """The deployment's lock, held inside the `with`.

        Args:
            patience: seconds to wait for another job.
            say: told once, when there is another job to wait for.

        Raises:
            NotReady: when another job held it all that time.
        """
        ...

    def columns(self, connection: sa.Connection) -> frozenset[ColumnPath]:
        """Every column of every table of the database, in a single query."""
        ...

    def drop_routines(self, connection: sa.Connection) -> list[str]:
        """What drops each function and procedure of the default schema, those of an extension aside.

        Where the engine has other objects that belong to no table, such as types, what drops these too.
        """
        ...

    def without_rollback(self, connection: sa.Connection) -> frozenset[tuple[str | None, str]]:
        """Tables, by schema (None for the default one) and name, whose rows stay when a transaction is rolled back."""
        ...

    def broken_references(self, connection: sa.Connection) -> Mapping[str, int]:
        """Rows whose foreign key points nowhere, counted per table, where the engine did not check them itself."""
        ...

    def session_of(self, connection: sa.Connection) -> str:
        """Which session of the server a connection is, for `runs` in another process."""
        ...

    def runs(self, session: str) -> bool:
        """Whether that session is still busy, as with a statement whose sender was killed."""
        ...

    def be_patient(self, connection: sa.Connection, seconds: float) -> None:
        """From now on, wait so long for the locks of other sessions."""
        ...

    def waited(self, error: sa.exc.DBAPIError) -> bool:
        """Whether it failed for a lock that was not had in time, or for another transaction: nothing happened."""
        ...

    def in_the_way(self, connection: sa.Connection) -> list[str]:
        """Transactions that have been open for long, each with how to find it: DDL would wait for them."""
        ...

    def half_made(self, connection: sa.Connection, schema: str | None, index: str) -> Statement | None:
        """What drops an index that is there by name, but was not finished; None when there is none."""
        ...

    def ddl_tries(self, tables: Sequence[tuple[str, str]], there: str) -> Iterator[Try]:
        """DDL that every service must be refused, in statements that leave nothing, were they allowed.

        Args:
            tables: key and quoted name of the deployment's tables.
            there: the quoted name of one of our own, which every service may read.
        """
        ...

    def refused(self, error: sa.exc.DBAPIError) -> str | None:
        """Why waiting would not help: the login was refused, or there is no such database. None when it may help."""
        ...
