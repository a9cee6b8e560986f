"""PostgreSQL through psycopg2."""

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
from ringfence.schema.engines.base import Findings, Held, Identity, Say
from ringfence.schema.engines.ddl_attempts import NEW, Try, taken_back
from ringfence.schema.engines.postgresql.introspection import PostgreSQLCatalog, lacks_scratch
from ringfence.schema.engines.postgresql.logins import another, refusal
from ringfence.schema.engines.postgresql.reflection import PostgreSQLTranslator
from ringfence.schema.engines.postgresql.roles import PostgreSQLAccounts
from ringfence.schema.engines.postgresql.sessions import Sessions
from ringfence.schema.errors import LockLost
from ringfence.schema.rendering.table_parts import Translator
from ringfence.schema.state.columns import ColumnPath

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment

APPLICATION = "ringfence-schema"
# One lock per database: advisory locks do not reach beyond theirs.
_LOCK = int.from_bytes(hashlib.sha256(b"ringfence").digest()[:8], "big", signed=True)
_POLL = 0.5  # seconds; a waiter that blocks on the lock deadlocks with CREATE INDEX CONCURRENTLY
# How a server that is there says that it will soon take logins (its SQLSTATE is not to be had before one).
_PASSING = ("starting up", "shutting down", "recovery", "too many", "connection slots")
# What it says of a login that it refuses, and what to do then; the first that fits.
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
# Whether the admin may act as the owner of each table and schema. Ownership is what GRANT and ALTER ask for.
_NOT_OURS = """
    SELECT n.nspname, c.relname, pg_catalog.pg_get_userbyid(c.relowner)
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND n.nspname <> 'information_schema' AND left(n.nspname, 3) <> 'pg_'
      AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')
"""


def identify(connection: sa.Connection) -> Identity:
    """The server's version; there is one engine of this kind."""
    version = connection.exec_driver_sql("SHOW server_version").scalar_one()
    return Identity("postgresql", str(version))


class PostgreSQL(Sessions):
    """One database of a PostgreSQL server, under the admin account."""

    transactional_ddl = True

    def __init__(self, settings: Settings, identity: Identity) -> None:
        self.settings = settings
        self.identity = identity
        self.accounts = PostgreSQLAccounts(self)
        self.catalog = PostgreSQLCatalog(self.engine)

    def translator(self, connection: sa.Connection) -> Translator:
        """See Backend."""
        return PostgreSQLTranslator(str(connection.exec_driver_sql("SELECT current_schema()").scalar_one()))

    def url(self) -> sa.URL:
        """The address with the driver named; libpq tries several hosts by itself."""
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
        """See Backend."""
        engine = sa.create_engine(
            self.url(),
            poolclass=NullPool,
            hide_parameters=True,
            connect_args={
                "connect_timeout": max(2, round(self.settings.connect_timeout or 10)),
                **libpq_options(self.settings),
            },
            use_native_hstore=False,  # else each connection asks for the number of the type; values go as text
        )

        @event.listens_for(engine, "do_connect")
        def log_in(dialect: object, record: object, arguments: object, parameters: dict[str, Any]) -> None:
            if (secret := self.settings.secret()) is not None:
                parameters["password"] = secret

        @event.listens_for(engine, "connect")
        def in_utc(connection: Any, record: object) -> None:
            # As services are: what a migration fills in with `current_date` is then the same day.
            with connection.cursor() as cursor:
                cursor.execute("SET TIME ZONE 'UTC'")
            connection.commit()

        return engine

    def login_works(self, login: str, password: Secret) -> bool:
        """See Backend. A server that trusts everybody proves nothing: then it is False."""
        if refusal(self, login, password) is not None:
            return False
        return refusal(self, login, another(password)) is not None

    def _lacks_scratch(
        self, connection: sa.Connection, deployment: "Deployment", default: str | None
    ) -> Iterator[str]:
        """What the admin lacks to compare the models with the database; `default` is the default schema."""
        if default is not None:
            models = Models(tuple(deployment.metadata), deployment.tables)
            named = {schema or default for schema in self.catalog.schemas(connection, models)}
            if lacks := lacks_scratch(connection, named):
                yield lacks

    def preflight(self, connection: sa.Connection, deployment: "Deployment") -> Findings:
        """See Backend; the rights are those of the page on admin rights."""
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
    def lock(self, *, patience: float, say: Say) -> Iterator[Held]:
        """See Backend. A connection of its own holds it, so that it ends with the job, however that ends."""
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
            # Closing the connection would release it too, but only when the server notices.
            with contextlib.suppress(sa.exc.DBAPIError):
                connection.exec_driver_sql("SELECT pg_advisory_unlock(%s)", (_LOCK,))

    def columns(self, connection: sa.Connection) -> frozenset[ColumnPath]:
        """See Backend."""
        rows = connection.exec_driver_sql(_COLUMNS)
        return frozenset((schema, table, column) for schema, table, column in rows)

    def drop_routines(self, connection: sa.Connection) -> list[str]:
        """See Backend; and each materialized view, sequence, type, extension and schema, while nothing uses it."""
        return list(connection.exec_driver_sql(_DROP_ROUTINES).scalars())

    def without_rollback(self, connection: sa.Connection) -> frozenset[tuple[str | None, str]]:
        """None."""
        return frozenset()

    def broken_references(self, connection: sa.Connection) -> Mapping[str, int]:
        """None: the server checks foreign keys whatever happens."""
        return defaultdict(int)

    def ddl_tries(self, tables: Sequence[tuple[str, str]], there: str) -> Iterator[Try]:
        """See Backend. On our own quiet table, for CREATE TRIGGER locks before it looks at rights."""
        yield from taken_back(tables)
        for key, name in tables:
            yield "create index", key, f"CREATE INDEX ON {name} ((1))"
            yield "truncate", key, f"TRUNCATE {name}"
        trigger = "FOR EACH ROW EXECUTE FUNCTION pg_catalog.suppress_redundant_updates_trigger()"
        yield "create trigger", None, f"CREATE TRIGGER {NEW} BEFORE UPDATE ON {there} {trigger}"
        yield "create schema", None, f"CREATE SCHEMA {NEW}"

    def refused(self, error: sa.exc.DBAPIError) -> str | None:
        """See Backend. libpq gives no SQLSTATE before a login, so what the server said is all there is to look at."""
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
    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection

    def guard(self, connection: sa.Connection) -> None:
        """Nobody takes this lock over while its connection lives."""

    def check(self) -> None:
        """Raise LockLost when the connection that holds it is gone."""
        try:
            self._connection.exec_driver_sql("SELECT 1")
        except sa.exc.DBAPIError as error:
            raise LockLost(
                "the connection that held the deployment's lock is gone; run the job again"
            ) from error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


KINDS = {"postgresql": PostgreSQL}
