"""RF6xx: DDL that the nodes of a Galera cluster execute differently, although it is replicated to all of them."""

import re
from collections.abc import Iterator, Mapping

import sqlalchemy as sa
from alembic.operations import ops

from ringfence.schema.features import engines_where
from ringfence.schema.lint.assigned_variables import Assigned, assigned
from ringfence.schema.lint.rule import (
    ERROR,
    WARNING,
    OperationCheck,
    RevisionCheck,
    RevisionProblem,
    Rule,
    on,
)
from ringfence.schema.revisions.recording import RecordedOperation
from ringfence.schema.sql.table_keys import key_of

_CLUSTER = engines_where(lambda engine: engine.is_cluster)
_TABLES = r"\b(?:CREATE|ALTER)\s+(?:OR\s+REPLACE\s+)?TABLE\b"
_ANY = r"\b(?:CREATE|ALTER|DROP|RENAME|TRUNCATE|GRANT|REVOKE)\b"
_OFF, _ON = frozenset({"off", "0", "false"}), frozenset({"on", "1", "true"})


class _UnreplicatedVariable:
    """A variable that influences DDL and is not replicated to the other nodes with it."""

    def __init__(self, matters: str, harmless: frozenset[str] = frozenset()) -> None:
        self.matters = re.compile(matters, re.IGNORECASE)
        self.harmless = harmless | {"default"}


# Measured on three nodes of MariaDB 10.11: only the session's node uses the value, and all nodes stay "Synced".
# sql_mode, foreign_key_checks, explicit_defaults_for_timestamp and the collations are replicated with the DDL.
_VARIABLES: Mapping[str, _UnreplicatedVariable] = {
    "default_storage_engine": _UnreplicatedVariable(_TABLES, frozenset({"innodb"})),
    "storage_engine": _UnreplicatedVariable(_TABLES, frozenset({"innodb"})),
    "enforce_storage_engine": _UnreplicatedVariable(_TABLES, frozenset({"innodb", "null", ""})),
    "innodb_strict_mode": _UnreplicatedVariable(rf"{_TABLES}|\bCREATE\s+(?:UNIQUE\s+)?INDEX\b", _ON),
    "innodb_compression_default": _UnreplicatedVariable(_TABLES, _OFF),
    "innodb_default_encryption_key_id": _UnreplicatedVariable(_TABLES, frozenset({"1"})),
    "innodb_default_row_format": _UnreplicatedVariable(_TABLES, frozenset({"dynamic"})),
    "system_versioning_alter_history": _UnreplicatedVariable(r"\bALTER\s+TABLE\b", frozenset({"error"})),
    "time_zone": _UnreplicatedVariable(r"\bTIMESTAMP\b|\bEVENT\b"),
    "wsrep_on": _UnreplicatedVariable(_ANY, _ON),
    "wsrep_osu_method": _UnreplicatedVariable(_ANY, frozenset({"toi"})),
}
_EVENT = re.compile(
    r"\s*(?P<verb>CREATE|ALTER)\s+(?:OR\s+REPLACE\s+)?(?:DEFINER\s*=\s*\S+\s+)?EVENT\s+(?:IF\s+(?:NOT\s+)?EXISTS\s+)?"
    r"(?P<name>\S+)(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_BODY = re.compile(r"\bDO\b.*", re.IGNORECASE | re.DOTALL)
_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")
_STATUS = re.compile(r"\b(?P<status>ENABLE|DISABLE)\b", re.IGNORECASE)
_VERSIONS = re.compile(
    r"\s*(?:SET\s+STATEMENT\s.*\sFOR\s+)?ALTER\s+(?:ONLINE\s+|IGNORE\s+)*TABLE\s+(?:IF\s+EXISTS\s+)?(?P<table>[^\s(]+)"
    r"\s.*\bADD\s+SYSTEM\s+VERSIONING\b",
    re.IGNORECASE | re.DOTALL,
)
# Each node evaluates these when it executes the statement. now() without fractions is the first node's everywhere.
_BY_ITSELF = re.compile(
    r"\b(?P<name>uuid|uuid_short|uuidv?4|uuidv?7|uuid_v\d|sys_guid|rand|random_bytes|sysdate|current_user|session_user|user)\s*\("
    r"|\b(?P<moment>now|current_timestamp|localtime(?:stamp)?|utc_timestamp|utc_time|curtime|current_time)\s*\(\s*[1-6]\s*\)",
    re.IGNORECASE,
)


_KINDS = ((ops.CreateTableOp, "CREATE TABLE"), (ops.CreateIndexOp, "CREATE INDEX"))


def _text(done: RecordedOperation) -> str:
    """Return the SQL of an operation; for Alembic's own operations only its kind, and TIMESTAMP for such columns."""
    op = done.operation
    if isinstance(op, ops.ExecuteSQLOp):
        return str(op.sqltext)
    if isinstance(op, ops.BulkInsertOp):
        return ""
    verb = next((verb for kind, verb in _KINDS if isinstance(op, kind)), "ALTER TABLE")
    return f"{verb} {' '.join(_declared(op))}"


def _declared(op: object) -> Iterator[str]:
    """Yield TIMESTAMP for each such column with a server default, which depends on the session's time zone."""
    columns = list(op.columns) if isinstance(op, ops.CreateTableOp) else [getattr(op, "column", None)]
    for column in columns:
        if isinstance(column, sa.Column) and isinstance(column.type, sa.TIMESTAMP) and column.server_default:
            yield "TIMESTAMP"


def _session(whole: RevisionCheck) -> Iterator[RevisionProblem]:
    """Report variables that a revision sets and that its later DDL depends on."""
    standing: dict[str, tuple[Assigned, int]] = {}
    for done in whole.upgrade.done:
        text = _text(done)
        for name, (one, line) in list(standing.items()):
            if _VARIABLES[name].matters.search(text):
                del standing[name]
                way = "GLOBAL" if one.global_scope else "SESSION"
                yield RevisionProblem(
                    line,
                    f"SET {way} {name} holds on the node of the job alone, and DDL behind it depends on it: the nodes'"
                    " schemas part, and each still says that it is synced",
                )
        for one in assigned(text):
            if (known := _VARIABLES.get(one.name)) is not None:
                standing.pop(one.name, None)
                if one.value not in known.harmless:
                    standing[one.name] = (one, done.line)


def _global_variable(step: OperationCheck) -> Iterator[str]:
    for one in assigned(_text(step.done)):
        if one.global_scope and one.name not in _VARIABLES:
            yield f"SET GLOBAL {one.name} changes the node of the job alone, until it starts again"


def _event(step: OperationCheck) -> Iterator[tuple[str, str, str | None]]:
    """Yield the verb (CREATE or ALTER), the event, and ENABLE or DISABLE, or None if the statement has neither."""
    if found := _EVENT.match(_text(step.done)):
        said = _STATUS.search(_BODY.sub("", _QUOTED.sub("''", found["rest"])))
        yield found["verb"].upper(), found["name"].strip("`"), said and said["status"].upper()


def _altered(step: OperationCheck) -> Iterator[str]:
    for verb, name, status in _event(step):
        if verb == "ALTER" and status is None:
            yield f"ALTER EVENT {name}, on another node than the one it runs on, disables it on every node"


def _runs_on_one(step: OperationCheck) -> Iterator[str]:
    for verb, name, status in _event(step):
        if status == "ENABLE" or (verb == "CREATE" and status is None):
            yield (
                f"event {name} will run on the node that the job is connected to, and while that node is away on none"
            )


def _versioning(step: OperationCheck) -> Iterator[str]:
    found = _VERSIONS.match(_text(step.done))
    if found and not step.is_new(None, table := found["table"].replace("`", "")):
        yield f"table {table} gets system versioning: each node gives the rows that are there another row_start"


def _default(step: OperationCheck) -> Iterator[str]:
    op = step.operation
    if not isinstance(op, ops.AddColumnOp) or step.is_new(op.schema, op.table_name):
        return
    said = op.column.server_default
    if not isinstance(said, sa.DefaultClause) or isinstance(said.arg, str):  # a string is a literal
        return
    text = str(said.arg.compile(dialect=step.dialect))
    if found := _BY_ITSELF.search(text):
        place = f"{key_of(op.schema, op.table_name)}.{op.column.name}"
        what = f"{found['name']}()" if found["name"] else f"fractions of a second of {found['moment']}()"
        yield f"column {place} has {what} as its default: each node gives the rows that are there other values"


RULES = (
    Rule(
        "RF601",
        "A setting that the other nodes do not take over",
        "SET STATEMENT variable = value FOR CREATE …, or set it in the statement itself: ENGINE=, ROW_FORMAT=",
        on((_CLUSTER, ERROR)),
        check_revision=_session,
    ),
    Rule(
        "RF602",
        "A global variable is set on one node",
        "set it in the configuration of each node, or by hand on each of them",
        on((_CLUSTER, WARNING)),
        _global_variable,
    ),
    Rule(
        "RF603",
        "An event is altered without ENABLE or DISABLE",
        "write ENABLE or DISABLE in it, which holds on every node; or CREATE OR REPLACE EVENT",
        on((_CLUSTER, ERROR)),
        _altered,
    ),
    Rule(
        "RF604",
        "An event runs on one node",
        "let a job outside the database do it; or enable it elsewhere when the node goes, and allow this",
        on((_CLUSTER, WARNING)),
        _runs_on_one,
    ),
    Rule(
        "RF605",
        "System versioning is added to a table with rows",
        "make a new table WITH SYSTEM VERSIONING, copy the rows in batches, and change the names",
        on((_CLUSTER, ERROR)),
        _versioning,
    ),
    Rule(
        "RF606",
        "Each node computes a new column's values by itself",
        "add it nullable without the default, backfill it, then set the default",
        on((_CLUSTER, WARNING)),
        _default,
    ),
)
