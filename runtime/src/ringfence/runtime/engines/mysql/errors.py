"""Translates error numbers of MySQL and MariaDB into Ringfence's errors."""

import errno
import re
import ssl
from typing import Any

import pymysql
from pymysql.constants import CR

from ringfence.runtime import errors
from ringfence.runtime.engines import tls_errors
from ringfence.runtime.engines.base import StatementContext
from ringfence.runtime.engines.mysql.pymysql_compat import NotMySQL
from ringfence.runtime.engines.mysql.transaction_size import (
    CODES,
    IN_COMMIT,
    LIMITS,
    left_cluster,
    lost_conflict,
    too_large,
)
from ringfence.runtime.engines.network_timeouts import no_answer_message, prompt_timeout, timeout_setting
from ringfence.runtime.mirror import Mirror
from ringfence.runtime.settings import Host, Settings

_DENIED = frozenset({1044, 1045, 1142, 1143, 1227, 1370, 1410, 1698})
_UNIQUE = frozenset({1022, 1062, 1169, 1586})
_REFERENCE = frozenset({1216, 1217, 1451, 1452})
_NOT_NULL = frozenset({1048, 1364, 1423})
_SCOPE = frozenset({1369, 3059})
_CHECK = frozenset({3819, 4025}) | _SCOPE
_VIEW = 1356
MISSING = frozenset({1049, 1054, 1146, 1305, _VIEW})
"""No such database, column, table or function; or a view that refers to one that does not exist."""
_RAISED = 1644
"""SIGNAL in a trigger or function; messages of Ringfence's own begin with its name."""
_CONFLICT = frozenset({1020, 1205, 1213, 1637, 3058, 3572})
_TIMEOUT = frozenset({1317, 1969, 3024})
_LOST = frozenset({0, 1040, 1047, 1053, 1077, 1152, 1153, 1156, 1158, 1159, 1160, 1161, 1203, 1226, 1290, 1836,
                   1927, 2002, 2003, 2006, 2013, 2014, 2027, 2055, 3159, 4031})  # fmt: skip
UNUSABLE_NODE = frozenset({1047, 1290, 1836})
"""The node has left its cluster, or accepts no writes any more: its connections are useless."""
_TLS_ALONE = 3159
_ENDED = (ssl.SSLEOFError, ssl.SSLZeroReturnError)  # the server closed the connection: it may be starting
_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN})
"""The system's errors in place of a timeout, when it has no route to the host."""
_ANOTHER_NAME = frozenset({62, 64})  # OpenSSL's verify codes for a certificate of another host or address
_CREDENTIALS = "check DB_USER and DB_PASS, and whether the account is let in over TLS alone"
_REFUSED = {
    1045: _CREDENTIALS,
    1698: _CREDENTIALS,
    1130: "no account is let in from this host",
    1820: "its password has expired",
    1862: "its password has expired",
    3118: "the account is locked",
    3955: "the account is locked for a while, after failed logins",
    4150: "the account is blocked after failed logins",
    4151: "the account is locked",
}
"""Why a login was refused, by error number."""
_EXPIRED = 1820
_FULL = frozenset({1040, 1203, 1226})  # no connection left, or an hourly limit of the account is used up
_NO_DATABASE = frozenset({1049, 1059, 1102})  # no database of that name, or an invalid name
_NO_SPACE = frozenset({1021, 1026, 1037, 1038, 1041, 1114})
"""Out of memory or of space: on the disk, in a file, in a memory table."""
_BAD_VALUE = frozenset(
    {1264, 1265, 1292, 1366, 1406, 1411, 1425, 1426, 1427, 1439, 1525, 1690, 3140, 3141, 3156, 4038}
)
READ_ONLY = frozenset({1792})


_OF_THE_CLIENT = range(2000, 3000)
_NAMING = (
    _DENIED
    | _REFERENCE
    | _NOT_NULL
    | _CONFLICT
    | _TIMEOUT
    | _LOST
    | READ_ONLY
    | CODES
    | {1046, 1054, 1146, IN_COMMIT, 1305, 1406, _VIEW}
)
"""Their messages name accounts, tables, columns and constraints, but no values."""


_COMMAND = re.compile(
    r"(?P<verb>\S.*?) command denied to user .* for (?:column '(?P<column>.*)' in )?table (?P<table>[`'].*[`'])$"
)
_THING = re.compile(r" (?:for|to) ((?:routine|database) '.*')$")
"""What a denial names; its message is in English unless `lc_messages` differs."""


def number_of(error: Exception) -> int:
    """Return the server's or the driver's error number; 0 where a connection broke without one."""
    first = error.args[0] if error.args else 0
    return first if isinstance(first, int) else 0


def got_no_answer(error: Exception) -> bool:
    """Return whether no answer came within the timeout of the client or its operating system."""
    wire = _on_the_wire(error)
    return isinstance(wire, TimeoutError) or (isinstance(wire, OSError) and wire.errno in _UNREACHABLE)


def _on_the_wire(error: Exception) -> BaseException | None:
    """Return the socket error from which the driver made its own."""
    return getattr(error, "original_exception", None) or error.__context__


def tls_refusal(error: Exception, settings: Settings) -> str | None:
    """Return why TLS failed, because of the server or the authority file; None for other errors.

    Args:
        error: the driver's error, or one of the operating system.
        settings: the service's settings.
    """
    if isinstance(error, NotMySQL):  # it may be a TLS server
        return str(error.args[-1])
    if number_of(error) == CR.CR_SSL_CONNECTION_ERROR:
        return tls_errors.not_offered(settings)
    # PyMySQL stores errors of the socket, and does not catch those raised before.
    cause = getattr(error, "original_exception", None)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (tls_errors.not_named if cause.verify_code in _ANOTHER_NAME else tls_errors.not_trusted)(
            settings
        )
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, _ENDED):
        return tls_errors.not_agreed(cause.reason or "")
    if number_of(error) == _TLS_ALONE:
        return tls_errors.tls_required(settings)
    if isinstance(error, OSError) and settings.sslrootcert:
        return tls_errors.not_readable(settings)
    return None


def connect_error(error: Exception, settings: Settings, host: Host | None) -> errors.RingfenceError:
    """Return the error for a failed connection attempt.

    Args:
        error: the driver's error, or one of the operating system.
        settings: the service's settings.
        host: the server.
    """
    code = number_of(error)
    target = f"{settings.db_type}://{settings.user}@{host}/{settings.name}"
    if isinstance(error, NotMySQL):
        return errors.NotReady(f"{target}: {error.args[-1]}", "misconfigured")
    if why := tls_refusal(error, settings):
        return errors.NotReady(f"{target}: {why}", "login")
    if code in _REFUSED:
        return errors.NotReady(f"{target}: the login was refused ({code}); {_REFUSED[code]}", "login")
    if code == 1044:
        return errors.NotReady(
            f"{target}: the account has no right on this database, or there is none of that name: check DB_NAME",
            "missing-grant",
        )
    if code in _NO_DATABASE:
        return errors.NotReady(f"{target}: no such database; check DB_NAME", "misconfigured")
    if code in _FULL:
        return errors.Unavailable(f"{target}: {_used_up(error)} ({code})")
    if isinstance(error, RuntimeError):
        return errors.NotReady(f"{target}: {error}", "misconfigured")
    if got_no_answer(error):
        return errors.Unavailable(
            f"{target}: no answer within {prompt_timeout(settings):g} s ({timeout_setting(settings)})"
        )
    return errors.Unavailable(f"{target}: cannot be reached ({code})")


def translate(
    error: Exception, context: StatementContext, settings: Settings, mirror: Mirror
) -> errors.RingfenceError:
    """Return the error of a statement as a RingfenceError, without row values.

    A traceback prints the cause as well, so the driver's error keeps its number, and its message only if that names
    objects alone.

    Args:
        error: the driver's error.
        context: the verb and table of the statement.
        settings: the service's settings.
        mirror: the service's mirror.
    """
    code = number_of(error)
    if code == _EXPIRED:  # MariaDB accepts the login of such an account, and then refuses every statement
        return errors.NotReady(f"{settings}: {_REFUSED[code]} ({code})", "login")
    if not code and isinstance(
        error, pymysql.err.ProgrammingError
    ):  # raised by the driver before it sent anything
        return errors.ArgumentError(
            f"the driver refused the statement{context.suffix}: its parameters do not fit it"
        )
    translated = _translated(error, context, settings, mirror)
    if code in _UNIQUE:
        found = re.search(r"for key '[^']*'$", str(error.args[-1]))
        error.args = (code, f"Duplicate entry {found[0] if found else ''}".rstrip())
    elif code and not (code in _OF_THE_CLIENT or code in _NAMING or too_large(error)):
        error.args = (code, "the server's message is left out: it may hold values")
    return translated


def _translated(
    error: Exception, context: StatementContext, settings: Settings, mirror: Mirror
) -> errors.RingfenceError:
    code = number_of(error)
    where = context.suffix
    if code in _DENIED:
        return _denied(code, str(error.args[-1]), context, settings, mirror)
    if code == _VIEW:
        found = re.search(r"'(?:[^']*\.)?([^'.]+)'", str(error.args[-1]))
        return errors.ProgrammingError(
            f"the view {found[1] if found else ''} cannot be used: what it reads no longer exists, or its definer (or"
            f" the account, where it runs as the invoker) lacks rights on that{where} ({code})"
        )
    if code == _RAISED and (raised := _raised(str(error.args[-1]), context)) is not None:
        return raised
    if code == IN_COMMIT or too_large(error):
        return _undone(error, where)
    if code in _UNIQUE | _REFERENCE | _CHECK | _NOT_NULL:
        return _integrity(code, str(error.args[-1]), context, mirror)
    if silent := _unanswered(error, where, settings):
        return silent
    if code in _FULL:
        return errors.Unavailable(f"{_used_up(error)}{where} ({code})")
    for codes, kind, words in _KINDS:
        if code in codes:
            return kind(f"{words}{where} ({code})")
    return _by_class(error, where, settings)


def _by_class(error: Exception, where: str, settings: Settings) -> errors.RingfenceError:
    """Return the error for an unknown number, by the driver's class."""
    code = number_of(error)
    if isinstance(error, pymysql.err.InterfaceError):
        return errors.ConnectionLost(f"the connection to {settings} was lost{where}")
    if isinstance(error, pymysql.err.DataError):
        return errors.DataError(f"a value does not fit its column{where} ({code})")
    return errors.ProgrammingError(f"the server refused the statement{where} ({code})")


def _unanswered(error: Exception, where: str, settings: Settings) -> errors.RingfenceError | None:
    """Return the error for a connection whose server does not answer; None for any other error."""
    code = number_of(error)
    if code in _OF_THE_CLIENT and got_no_answer(error):
        by_client = getattr(_on_the_wire(error), "errno", None) is None
        return errors.ConnectionLost(f"{no_answer_message(settings, where, by_client=by_client)} ({code})")
    return None


def _undone(error: Exception, where: str) -> errors.RingfenceError:
    """Return the error for a transaction that the server rolled back whole, or failed to commit."""
    code = number_of(error)
    if too_large(error):
        return errors.TransactionTooLarge(
            f"the transaction is larger than the server takes at once{where} ({code}), and nothing of it is stored:"
            f" write fewer rows in each transaction; {LIMITS}"
        )
    if lost_conflict(error):
        return errors.Conflict(f"another transaction won{where} ({code})")
    if left_cluster(error):  # the session turns it into CommitUnknown if the statement was COMMIT
        return errors.ConnectionLost(
            f"the node has lost its cluster, and the transaction with it{where} ({code})"
        )
    return errors.CommitUnknown(
        f"the server failed while it committed{where} ({code}): what was done may or may not be stored"
    )


def _used_up(error: Exception) -> str:
    """Return which limit is used up."""
    found = _LIMIT.search(str(error.args[-1]))
    if found is None or "connections" in found[1]:
        return "the server or the account has no connection left"
    return f"the account has used up its {found[1]} of this hour"


_LIMIT = re.compile(r"'(max_\w+)' resource")


def _denied(
    code: int, said: str, context: StatementContext, settings: Settings, mirror: Mirror
) -> errors.AccessDenied:
    """Return the denial as the server words it: a statement may touch several tables and need several privileges."""
    verb, table, suffix = context.verb, context.table, context.suffix
    if found := _COMMAND.match(said):
        if found["verb"] != "ANY":
            verb = found["verb"].lower()
        table = _program_name(found["table"], settings, mirror)
        column = f".{found['column']}" if found["column"] else ""
        suffix = f" on {table}{column}"
    elif found := _THING.search(said):
        suffix = f" on {found[1]}"
    to = f" to {verb}" if verb else ""
    return errors.AccessDenied(
        f"{settings.user} is not allowed{to}{suffix} ({code})", settings.user, verb, table
    )


def _program_name(quoted: str, settings: Settings, mirror: Mirror) -> str:
    """Return a table of the server's message by its name in the program, which may use it through a view."""
    *schema, name = (part.replace("``", "`") for part in quoted[1:-1].split("`.`"))
    for table in mirror.tables.values():
        through = {relation for verb in table.verbs.values() for relation in verb.relations.values()}
        if name in {table.name, *through} and schema in ([], [table.schema or settings.name]):
            return table.key
    return ".".join([*schema, name] if schema not in ([], [settings.name]) else [name])


_KINDS: tuple[tuple[frozenset[int], type[errors.RingfenceError], str], ...] = (
    (_CONFLICT, errors.Conflict, "another transaction won"),
    (_TIMEOUT, errors.Timeout, "the statement took longer than the session allows, or was cancelled"),
    (_LOST, errors.ConnectionLost, "the connection was lost, or the server takes none"),
    (_NO_SPACE, errors.Unavailable, "the server is out of memory or disk"),
    (_BAD_VALUE, errors.DataError, "a value does not fit its column"),
    (READ_ONLY, errors.InterfaceError, "a read-only session cannot write"),
)


def _raised(said: str, context: StatementContext) -> errors.RingfenceError | None:
    """Return the error that a guard trigger or a scope function of Ringfence signals."""
    if said.startswith("ringfence: the session does not bind "):
        return errors.must_bind(context.verb, context.table or "a table", said.rpartition(" ")[2])
    if said.startswith("ringfence: "):
        return errors.CheckViolation(
            f"the statement would reach a row outside the scope of the account{context.suffix}",
            None,
            context.table,
        )
    return None


def _integrity(code: int, said: str, context: StatementContext, mirror: Mirror) -> errors.IntegrityError:
    """Return an integrity error; the constraint's name comes from the message, whose language is `lc_messages`."""
    table = next((each for each in mirror.tables.values() if context.table in (each.key, each.name)), None)
    if code in _NOT_NULL:
        found = re.search(r"[Cc]olumn '([^']+)'|[Ff]ield '([^']+)'", said)
        column = (found[1] or found[2]) if found else None
        return errors.NotNullViolation(
            f"no value was given for {column or 'a column'}{context.suffix}",
            None,
            context.table,
            (column,) if column else (),
        )
    kind: type[errors.IntegrityError] = errors.CheckViolation
    words, pattern = "the row is refused by", r"(?i)constraint [`']([^`']+)[`']"
    if code in _UNIQUE:
        kind, words, pattern = (
            errors.UniqueViolation,
            "another row has the same value for",
            r"for key '([^']*)'$",
        )
    elif code in _REFERENCE:
        kind, words, pattern = errors.ForeignKeyViolation, "a reference is broken by", r"CONSTRAINT `([^`]+)`"
    elif code in _SCOPE:
        return errors.scope_violation(context.suffix, context.table, mirror.scopes)
    found = re.search(pattern, said)
    name = found[1].rpartition(".")[2] if found else None
    columns = _columns(name, table)
    named = "the primary key" if name == "PRIMARY" else name or "a constraint"
    return kind(f"{words} {named}{context.suffix}", name, context.table, columns)


def _columns(name: str | None, table: Any) -> tuple[str, ...]:
    if table is None or name is None:
        return ()
    if name == "PRIMARY":
        return tuple(table.primary_key)
    constraint = table.constraints.get(name)
    return constraint.columns if constraint else ()
