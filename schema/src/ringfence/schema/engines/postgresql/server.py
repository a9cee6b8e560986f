"""Backend for PostgreSQL through psycopg2."""

import contextlib
import hashlib
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import psycopg2
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.pool import NullPool

from ringfence.runtime.engines.network_timeouts import libpq_options
from ringfence.runtime.engines.postgresql.errors import other_server, tls_refusal
from ringfence.runtime.errors import NotReady
from ringfence.runtime.settings import Secret, Settings
from ringfence.schema.comparison.snapshot import Models
from ringfence.schema.engines.base import Findings, HeldLock, Identity
from ringfence.schema.engines.ddl_attempts import NEW, Attempt, taken_back
from ringfence.schema.engines.postgresql.introspection import PostgreSQLCatalog, lacks_scratch
from ringfence.schema.engines.postgresql.passwords import other_password, refusal
from ringfence.schema.engines.postgresql.reflection import PostgreSQLTranslator
from ringfence.schema.engines.postgresql.roles import PostgreSQLAccounts
from ringfence.schema.engines.postgresql.sessions import Sessions
from ringfence.schema.errors import LockLost
from ringfence.schema.rendering.table_parts import Translator
from ringfence.schema.state.columns import ColumnPath
from ringfence.schema.text import Say

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

APPLICATION = "ringfence-schema"
# PostgreSQL scopes advisory locks to a database, so one key serves every deployment.
_LOCK = int.from_bytes(hashlib.sha256(b"ringfence").digest()[:8], "big", signed=True)
_POLL = 0.5  # seconds between attempts; blocking in pg_advisory_lock deadlocks with CREATE INDEX CONCURRENTLY
# Parts of messages of a server that refuses logins only for the moment (libpq has no SQLSTATE before a login).
_PASSING = ("starting up", "shutting down", "recovery", "too many", "connection slots")
# Part of the message about a refused login -> how to resolve it. The first match is used.
_WAYS_OUT = {
    "authentication failed": "; check DB_USER and DB_PASS",
    'role "': "; check DB_USER",
    " does not exist": "; check DB_NAME, or make it first: CREATE DATABASE",
}

_COLUMNS = """
    SELECT CASE WHEN n.nspname = current_schema() THEN NULL ELSE n.nspname END, c.relname, a.attname
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped
      AND n.nspname <> 'information_schema' AND left(n.nspname, 3) <> 'pg_'
"""
_DROP_ROUTINES = r"""
    SELECT 'DROP MATERIALIZED VIEW ' || c.oid::pg_catalog.regclass
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relkind = 'm' AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    )
    UNION ALL
    SELECT 'DROP SEQUENCE ' || c.oid::pg_catalog.regclass
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relkind = 'S' AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'e', 'i')
    )
    UNION ALL
    SELECT 'DROP TYPE ' || t.oid::pg_catalog.regtype
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
    LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
    WHERE n.nspname = current_schema() AND (t.typtype IN ('d', 'r', 'e') OR (t.typtype = 'c' AND c.relkind = 'c'))
      AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e'
    )
    UNION ALL
    SELECT 'DROP EXTENSION ' || quote_ident(extname) FROM pg_catalog.pg_extension
    WHERE extname <> 'plpgsql' -- every database has it
    UNION ALL
    SELECT 'DROP SCHEMA ' || n.oid::pg_catalog.regnamespace FROM pg_catalog.pg_namespace n
    WHERE n.nspname NOT LIKE 'pg\_%%' AND n.nspname NOT IN ('information_schema', current_schema())
    UNION ALL
    SELECT 'DROP ROUTINE ' || p.oid::pg_catalog.regprocedure
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = current_schema() AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    )
"""
# Tables whose owner the admin may not act as: GRANT and ALTER TABLE require ownership.
_NOT_OURS = """
    SELECT n.nspname, c.relname, pg_catalog.pg_get_userbyid(c.relowner)
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND left(n.nspname, 3) <> 'pg_'
      AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')
"""


def identify(connection: sa.Connection) -> Identity:
    """Read the version of the server.

    Args:
        connection: a connection of the admin account.

    Returns:
        The engine, always `postgresql`, and the server's version string.
    """
    version = connection.exec_driver_sql("SHOW server_version").scalar_one()
    return Identity("postgresql", str(version))


class PostgreSQL(Sessions):
    """Backend for one database of a PostgreSQL server, connected as the admin account.

    Args:
        settings: connection settings of the admin account.
        identity: engine and version of the server.
    """

    transactional_ddl = True

    def __init__(self, settings: Settings, identity: Identity) -> None:
        self.settings = settings
        self.identity = identity
        self.accounts = PostgreSQLAccounts(self)
        self.catalog = PostgreSQLCatalog(self.engine)

    def translator(self, connection: sa.Connection) -> Translator:
        """Return the translator that writes catalog objects as models, for the current schema."""
        return PostgreSQLTranslator(str(connection.exec_driver_sql("SELECT current_schema()").scalar_one()))

    def url(self) -> sa.URL:
        """Return the URL with the driver and without the password; libpq itself tries several hosts in order."""
        query = {
            "host": ",".join(host.host for host in self.settings.hosts),
            "port": ",".join(str(host.port) for host in self.settings.hosts),
            "application_name": APPLICATION,
        }
        if self.settings.sslmode:
            query["sslmode"] = self.settings.sslmode
        if self.settings.sslrootcert:
            query["sslrootcert"] = self.settings.sslrootcert
        return sa.URL.create(
            "postgresql+psycopg2", username=self.settings.user, database=self.settings.name, query=query
        )

    def engine(self, *, migrating: bool = False) -> sa.Engine:
        """Create an engine without a pool, whose connections use the time zone UTC.

        Args:
            migrating: has no effect here.
        """
        engine = sa.create_engine(
            self.url(),
            poolclass=NullPool,
            hide_parameters=True,
            connect_args={
                "connect_timeout": max(2, round(self.settings.connect_timeout or 10)),
                **libpq_options(self.settings),
            },
            use_native_hstore=False,  # otherwise each connection queries the OID of hstore; values travel as text
        )

        @event.listens_for(engine, "do_connect")
        def log_in(dialect: object, record: object, arguments: object, parameters: dict[str, Any]) -> None:
            if (secret := self.settings.secret()) is not None:
                parameters["password"] = secret

        @event.listens_for(engine, "connect")
        def in_utc(connection: Any, record: object) -> None:
            # Services connect in UTC too, so `current_date` in a migration gives the same day.
            with connection.cursor() as cursor:
                cursor.execute("SET TIME ZONE 'UTC'")
            connection.commit()

        return engine

    def login_works(self, login: str, password: Secret) -> bool:
        """Return whether the account can log in with this password.

        A server that accepts any password (`trust`) proves nothing, so the answer is False there.
        """
        if refusal(self, login, password) is not None:
            return False
        return refusal(self, login, other_password(password)) is not None

    def _lacks_scratch(
        self, connection: sa.Connection, deployment: "Deployment", default: str | None
    ) -> Iterator[str]:
        """Yield an error if the admin account cannot create the scratch schemas for comparing models and database.

        Args:
            connection: the admin's connection.
            deployment: its models name the schemas.
            default: the default schema; with None nothing is checked.
        """
        if default is not None:
            models = Models(tuple(deployment.metadata), deployment.tables)
            named = {schema or default for schema in self.catalog.schemas(connection, models)}
            if lacks := lacks_scratch(connection, named):
                yield lacks

    def preflight(self, connection: sa.Connection, deployment: "Deployment") -> Findings:
        """Check that the admin account has the privileges that the job needs.

        The required privileges are those of the documentation page on admin rights.
        """
        found = Findings()
        accounts = deployment.accounts.values()
        wanted = {grant.schema for account in accounts for grant in account.grants} | {None}
        me, superuser, createrole, schema = connection.exec_driver_sql(
            "SELECT rolname, rolsuper, rolcreaterole, current_schema() FROM pg_catalog.pg_roles"
            " WHERE rolname = current_user"
        ).one()
        if connection.exec_driver_sql("SHOW transaction_read_only").scalar_one() == "on":
            found.errors.append("the server is read-only (a standby?): DB_HOST must name the primary")
        if superuser:
            found.warnings.append(
                f"{me} is a superuser, and the job needs less: a role with LOGIN and CREATEROLE that owns the"
                " database and its tables"
            )
            return found
        if not createrole:
            found.errors.append(f"{me} may not create accounts: ALTER ROLE {_quoted(me)} CREATEROLE")
        if schema is None:
            found.errors.append(
                f"no schema of {me}'s search_path exists or may be used: GRANT USAGE, CREATE ON SCHEMA public"
                f" TO {_quoted(me)}"
            )
        for name in sorted(filter(None, {schema} | wanted)):
            may = connection.exec_driver_sql(
                "SELECT has_schema_privilege(oid, 'CREATE') FROM pg_catalog.pg_namespace WHERE nspname = %s",
                (name,),
            ).scalar()
            if may is False:
                found.errors.append(
                    f"{me} may not create tables in schema {name}: GRANT USAGE, CREATE ON SCHEMA {_quoted(name)}"
                    f" TO {_quoted(me)}, or make it the owner of the database"
                )
        for where, table, owner in connection.exec_driver_sql(_NOT_OURS):
            ours = (
                table.startswith("ringfence_")
                or table == "alembic_version"
                or any(
                    grant.table == table and (grant.schema or schema) == where
                    for account in accounts
                    for grant in account.grants
                )
            )
            if ours:
                found.errors.append(
                    f"{me} may neither alter nor grant {where}.{table}: ALTER TABLE {_quoted(where)}.{_quoted(table)}"
                    f" OWNER TO {_quoted(me)} (it belongs to {owner})"
                )
        found.errors += self._lacks_scratch(connection, deployment, schema)
        found.errors += self.accounts.unmanageable(connection, [account.login for account in accounts])
        return found

    @contextlib.contextmanager
    def lock(self, *, patience: float, say: Say) -> Iterator[HeldLock]:
        """Hold the deployment's advisory lock on a connection of its own.

        The server releases the lock when that connection ends, so a lock never outlives its job.

        Raises:
            NotReady: another job held the lock for the whole `patience`.
        """
        engine = self.engine()
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("SET idle_session_timeout = 0")
            deadline = time.monotonic() + patience
            told = False
            while not connection.exec_driver_sql("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).scalar_one():
                if not told:
                    say("another job holds the lock of this database; waiting for it")
                    told = True
                if time.monotonic() > deadline:
                    raise NotReady(
                        f"another job has held the lock of {self.settings} for {patience:g} s; it is the session in"
                        " pg_locks with locktype = 'advisory'",
                        "locked",
                    )
                time.sleep(_POLL)
            yield _Lock(connection)
            # Closing the connection releases the lock too, but only once the server notices.
            with contextlib.suppress(sa.exc.DBAPIError):
                connection.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (_LOCK,))

    def columns(self, connection: sa.Connection) -> frozenset[ColumnPath]:
        """Return every column of the tables and views outside the system schemas."""
        rows = connection.exec_driver_sql(_COLUMNS)
        return frozenset((schema, table, column) for schema, table, column in rows)

    def drop_standalone_objects(self, connection: sa.Connection) -> list[str]:
        """Return DROP statements for objects that belong to no table.

        These are the routines, materialized views, sequences and types of the default schema, every extension but
        plpgsql and every other schema. Members of an extension and sequences of a column are left out. Nothing is
        dropped with CASCADE, so a statement fails while another object depends on its object.
        """
        return list(connection.exec_driver_sql(_DROP_ROUTINES).scalars())

    def without_rollback(self, connection: sa.Connection) -> frozenset[tuple[str | None, str]]:
        """Return nothing: a rollback undoes changes to every table."""
        return frozenset()

    def broken_references(self, connection: sa.Connection) -> Mapping[str, int]:
        """Return no rows for any table: the server always checks foreign keys itself."""
        return defaultdict(int)

    def ddl_attempts(self, tables: Sequence[tuple[str, str]], there: str) -> Iterator[Attempt]:
        """Yield DDL that a service must be refused; a rollback undoes it if the server allows it.

        CREATE TRIGGER locks its table before it checks privileges, so it is tried on a table of Ringfence's own
        (`there`).
        """
        yield from taken_back(tables)
        for key, name in tables:
            yield "create index", key, f"CREATE INDEX ON {name} ((1))"
            yield "truncate", key, f"TRUNCATE {name}"
        trigger = "FOR EACH ROW EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()"
        yield "create trigger", None, f"CREATE TRIGGER {NEW} BEFORE UPDATE ON {there} {trigger}"
        yield "create schema", None, f"CREATE SCHEMA {NEW}"

    def permanent_failure(self, error: sa.exc.DBAPIError) -> str | None:
        """Return why another attempt to log in is useless; None if a later one may succeed.

        libpq gives no SQLSTATE before a login, so the decision rests on the text of the server's message.
        """
        text = str(error.orig)
        if not isinstance(error.orig, psycopg2.OperationalError):
            return None
        if why := tls_refusal(error.orig, self.settings) or other_server(text, self.settings):
            return why
        if "no password supplied" in text:
            return "the server asks for a password, and neither DB_PASS nor DB_PASS_FILE is set"
        if "FATAL:" not in text:
            return None
        said = text.rpartition("FATAL:")[2].strip()
        if any(passing in said for passing in _PASSING):
            return None
        return said + next((way for sign, way in _WAYS_OUT.items() if sign in said), "")


class _Lock:
    """The held advisory lock."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def register_session(self, connection: sa.Connection) -> None:
        """Do nothing: no other job can take the lock over while its connection is open."""

    def check(self) -> None:
        """Check that the connection that holds the lock is still open.

        Raises:
            LockLost: the connection is closed.
        """
        try:
            self._connection.exec_driver_sql("SELECT 1")
        except sa.exc.DBAPIError as error:
            raise LockLost(
                "the connection that held the deployment's lock is gone; run the job again"
            ) from error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


KINDS = {"postgresql": PostgreSQL}
