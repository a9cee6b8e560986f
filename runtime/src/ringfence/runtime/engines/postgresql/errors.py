"""Translates PostgreSQL's SQLSTATEs into Ringfence's errors."""

import os
import re

import psycopg2
import psycopg2.errorcodes

from ringfence.runtime import errors
from ringfence.runtime.engines import tls_errors
from ringfence.runtime.engines.base import StatementContext
from ringfence.runtime.engines.network_timeouts import no_answer_message, prompt_timeout, timeout_setting
from ringfence.runtime.engines.other_protocols import MYSQL, POSTGRESQL, server_cache, wrong_server_message
from ringfence.runtime.mirror import Mirror
from ringfence.runtime.settings import Settings

MISSING = frozenset({"3F000", "42P01", "42703", "42883"})
"""No such schema, relation, column or function."""


def tls_refusal(error: Exception, settings: Settings) -> str | None:
    """Return why TLS failed, because of the server or the authority file; None for other errors.

    Args:
        error: psycopg2's error.
        settings: the service's settings.
    """
    said = str(error)
    for words, why in (
        ("server does not support SSL", tls_errors.not_offered),
        ("certificate verify failed", tls_errors.not_trusted),
        ("does not match host name", tls_errors.not_named),
        ("root certificate file", tls_errors.not_readable),
    ):
        if words in said:
            return why(settings)
    found = re.search(r"SSL error: (?!.*unexpected eof)(.*)", said)
    if found:  # retrying does not help
        return tls_errors.not_agreed(found[1])
    return None


def connect_error(error: psycopg2.Error, settings: Settings) -> errors.RingfenceError:
    """Return the error for a failed connection attempt.

    Args:
        error: psycopg2's error.
        settings: the service's settings.
    """
    # libpq gives no SQLSTATE for a failed connection attempt, only the server's message.
    said = _QUOTED.sub('""', str(error))  # without names, as a host may be called read-only
    target = str(settings)
    if why := tls_refusal(error, settings):
        return errors.NotReady(f"{target}: {why}", "login")
    if why := _refused(said):
        return errors.NotReady(f"{target}: the login was refused; {why}", "login")
    if "too many connections" in said or "remaining connection slots" in said or "too many clients" in said:
        return errors.Unavailable(f"{target}: the server or the account has no connection left")
    for words, why, state in _NOT_READY:
        if words.search(said):
            return errors.NotReady(f"{target}: {why}", state)
    return _unreachable(said, settings)


_NOT_READY = tuple(
    (re.compile(words), why, state)
    for words, why, state in (
        ('role ".* does not exist', "no such account yet; has the migration job run?", "login"),
        ('database ".* does not exist', "no such database; check DB_NAME", "misconfigured"),
        ("permission denied for database", "the account may not connect to this database", "missing-grant"),
        ("no pg_hba.conf entry", "the server's pg_hba.conf admits no such connection", "login"),
        (
            "not currently accepting connections",
            "the database takes no connections now (ALLOW_CONNECTIONS)",
            "starting",
        ),
        (
            "starting up|shutting down|recovery|not accepting",
            "the server is starting up or shutting down",
            "starting",
        ),
        ("read-only|hot standby", "none of the servers takes writes now", "starting"),
    )
)
"""The server's message in English, without names; our explanation; the state of NotReady."""


def _unreachable(said: str, settings: Settings) -> errors.RingfenceError:
    if why := other_server(said, settings):
        return errors.NotReady(f"{settings}: {why}", "misconfigured")
    if "timeout expired" in said or "timed out" in said:
        return errors.Unavailable(
            f"{settings}: no answer within {prompt_timeout(settings):g} s ({timeout_setting(settings)})"
        )
    return errors.Unavailable(f"{settings}: cannot be reached{_libpq_variables()}")


def _libpq_variables() -> str:
    """Return the end of a message, with the libpq environment variables that are set; empty if there are none."""
    names = [name for name in _OF_LIBPQ if os.environ.get(name)]
    return f"; libpq also reads {', '.join(names)} from the environment" if names else ""


_QUOTED = re.compile(r'"[^"]*"')
_OF_LIBPQ = (
    "PGSERVICE PGOPTIONS PGSSLMODE PGSSLNEGOTIATION PGSSLCERT PGSSLKEY PGSSLROOTCERT PGSSLMINPROTOCOLVERSION"
    " PGSSLMAXPROTOCOLVERSION PGGSSENCMODE PGCHANNELBINDING PGREQUIREAUTH PGREQUIREPEER PGLOADBALANCEHOSTS"
).split()
"""Environment variables that can make libpq fail to connect."""


def other_server(said: str, settings: Settings) -> str | None:
    """Return the message for a server at the hosts that is not PostgreSQL; None where it may be one that is starting.

    Args:
        said: libpq's message.
        settings: the service's settings; each host may be connected to.
    """
    wrong = _OTHER_PROTOCOL.search(said)
    if not wrong and not _NO_ANSWER.search(said):
        return None
    for host in settings.hosts:
        if not host.host.startswith("/") and (found := server_cache.other_than(host, POSTGRESQL)) is not None:
            db_type = "mysql" if found == MYSQL else None
            return f"{host}: {wrong_server_message(found, POSTGRESQL, db_type)}"
    return wrong_server_message("a server of another protocol", POSTGRESQL, None) if wrong else None


_NO_ANSWER = re.compile(r"timeout expired|server closed the connection unexpectedly")
_OTHER_PROTOCOL = re.compile(
    r"invalid response to (?:SSL|GSSAPI) negotiation|expected authentication request from server"
)


def _refused(said: str) -> str | None:
    """Return what to check when the server refused the login; None when it did not."""
    if "is not permitted to log in" in said:
        return "the account is locked (NOLOGIN)"
    if "authentication failed" in said or "no password supplied" in said:
        return "check DB_USER and DB_PASS"
    return None


def translate(
    error: Exception, context: StatementContext, settings: Settings, mirror: Mirror
) -> errors.RingfenceError:
    """Return the error of a statement as a RingfenceError, without row values.

    A traceback prints the cause as well, so row values are removed from the driver's error too; its attributes keep the
    server's full message.

    Args:
        error: psycopg2's error.
        context: the verb and table of the statement.
        settings: the service's settings.
        mirror: the service's mirror.
    """
    translated = _translated(error, context, settings, mirror)
    state = getattr(error, "pgcode", None) or ""
    if state:
        said = error.diag.message_primary if _says_no_value(state) else None  # type: ignore[attr-defined]  # psycopg2's
        words = said or _condition(state)
        error.args = (f"{words} ({state})",)
    return translated


def _says_no_value(state: str) -> bool:
    """Return whether the primary message names objects alone: no values, and no part of the statement."""
    return state[:2] in _NAMING_CLASSES or state in _NAMING or state == "42501"


def _translated(
    error: Exception, context: StatementContext, settings: Settings, mirror: Mirror
) -> errors.RingfenceError:
    state = getattr(error, "pgcode", None) or ""
    diag = getattr(error, "diag", None)
    where = context.suffix
    account = settings.user
    if state == "42501" and diag and diag.source_function == _ROW_SECURITY:
        return errors.scope_violation(where, context.table, mirror.scopes)
    if state == "42704" and mirror.scopes and diag and diag.source_function == _NO_SETTING:
        return errors.InterfaceError(
            f"the server refused the statement{where}: {diag.message_primary}; session(scope=…) does it"
        )
    if state == "42501":
        verb = f" to {context.verb}" if context.verb else ""
        said = (diag.message_primary or "permission denied") if diag else "permission denied"
        # A statement may touch several tables, and those of the program's own SQL are not known.
        found = _TABLE.search(said)
        return errors.AccessDenied(
            f"{account} is not allowed{verb}{where}: {said}",
            account,
            context.verb,
            _program_name(found[1], mirror) if found else context.table,
        )
    if state in _INTEGRITY:
        kind, words = _INTEGRITY[state]
        constraint = diag.constraint_name if diag else None
        table = (diag.table_name if diag else None) or context.table
        columns = _columns(mirror, table, constraint)
        if diag and diag.column_name:
            columns = (diag.column_name,)
        named = f" {constraint}" if constraint else f" {columns[0]}" if columns else ""
        return kind(f"{words}{named} on {table}", constraint, table, columns)
    for prefix, kind_, words in _STATES:
        if state.startswith(prefix):
            said = f": {diag.message_primary}" if prefix in _HARMLESS and diag else ""
            return kind_(f"{words}{where}{said}")
    if not state:
        return _of_the_driver(error, where, settings)
    # Other messages may quote the statement and thus a value.
    said = (diag.message_primary or "") if diag and state in _NAMING else ""
    words = said or _condition(state)
    return errors.ProgrammingError(f"the server refused the statement{where}: {state} {words}")


def _of_the_driver(error: Exception, where: str, settings: Settings) -> errors.RingfenceError:
    """Return the error that the driver raised without an answer of the server."""
    if isinstance(error, psycopg2.ProgrammingError):  # no rows to fetch, or an empty query
        return errors.ArgumentError(f"the driver refused the statement{where}: it is empty, or gives no rows")
    by_client = getattr(error, "ringfence_timed_out", False)
    if by_client or "timed out" in str(error):
        return errors.ConnectionLost(no_answer_message(settings, where, by_client=by_client))
    return errors.ConnectionLost(f"the connection to {settings} was lost{where}")


def _program_name(name: str, mirror: Mirror) -> str:
    """Return a relation of the server's message, which names no schema, by its name in the program."""
    return next((table.key for table in mirror.tables.values() if table.name == name), name)


def _condition(state: str) -> str:
    """Return the name of an SQLSTATE; extensions and functions may raise unknown ones."""
    try:
        return str(psycopg2.errorcodes.lookup(state)).lower().replace("_", " ")
    except KeyError:
        return "refused"


def _columns(mirror: Mirror, table: str | None, constraint: str | None) -> tuple[str, ...]:
    """Return the columns of a constraint, from the mirror."""
    for each in mirror.tables.values():
        if each.name == table and constraint and constraint in each.constraints:
            return each.constraints[constraint].columns
    return ()


# The server's source function is all that distinguishes a row outside a policy from a verb that was not granted, and an
# unset setting from other undefined objects.
_ROW_SECURITY, _NO_SETTING = "ExecWithCheckOptions", "find_option"

_TABLE = re.compile(
    r"(?:denied for|must be owner of) (?:table|view|materialized view|foreign table|relation) (.+)$"
)

_INTEGRITY: dict[str, tuple[type[errors.IntegrityError], str]] = {
    "23505": (errors.UniqueViolation, "another row has the same value for"),
    "23503": (errors.ForeignKeyViolation, "a reference is broken by"),
    "23502": (errors.NotNullViolation, "no value was given for"),
    "23514": (errors.CheckViolation, "the row is refused by"),
    "23P01": (errors.UniqueViolation, "another row excludes this one by"),
    "44000": (errors.CheckViolation, "the row would leave"),
}

# SQLSTATE prefixes, the most specific first.
_STATES: tuple[tuple[str, type[errors.RingfenceError], str], ...] = (
    (
        "25P02",
        errors.InterfaceError,
        "the transaction has failed before: roll back, or put what may fail in a nested session",
    ),
    ("25006", errors.InterfaceError, "a read-only session cannot write"),
    ("57014", errors.Timeout, "the statement took longer than the session allows, or was cancelled"),
    ("25P03", errors.ConnectionLost, "the session was idle in its transaction for too long"),
    ("40003", errors.ConnectionLost, "the connection was lost"),
    ("40", errors.Conflict, "another transaction won"),
    ("55P03", errors.Conflict, "a lock was not free in time"),
    ("22", errors.DataError, "a value does not fit its column"),
    ("08", errors.ConnectionLost, "the connection was lost"),
    ("57P", errors.ConnectionLost, "the server ended the connection"),
    ("53", errors.Unavailable, "the server is out of connections, memory or disk"),
    ("58", errors.Unavailable, "the server has trouble with its own system"),
)
# Their messages contain no row values.
_HARMLESS = frozenset({"53"})
# Their messages name only a relation, a column or a function.
_NAMING = frozenset({"42P01", "42703", "42883", "3F000"})
# Constraints, transactions, resources, interventions: the primary message names objects; the details may contain rows.
_NAMING_CLASSES = frozenset({"08", "23", "25", "40", "53", "55", "57", "58"})
