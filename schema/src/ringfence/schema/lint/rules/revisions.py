"""RF5xx: revisions without a downgrade, with data and schema changes together, or with raw SQL."""

import re
from collections.abc import Iterator

import sqlalchemy as sa
from alembic.operations import ops
from sqlalchemy.schema import DDLElement
from sqlalchemy.sql.dml import UpdateBase

from ringfence.schema.lint.rule import (
    EVERYWHERE,
    SERVERS,
    WARNING,
    OperationCheck,
    RevisionCheck,
    RevisionProblem,
    Rule,
    on,
)
from ringfence.schema.models.types import ENGINES
from ringfence.schema.revisions.recording import RecordedOperation
from ringfence.schema.revisions.table_state import validated
from ringfence.schema.sql.table_keys import key_of

_COMMENTS = re.compile(r"\A(?:\s+|--[^\n]*\n|/\*.*?\*/)*", re.DOTALL)
_DATA = re.compile(
    r"(?:WITH\b.*?\b)?(?P<verb>INSERT\s+(?:IGNORE\s+)?INTO|UPDATE(?:\s+ONLY)?|DELETE\s+FROM|REPLACE\s+INTO|MERGE\s+INTO)"
    r"\s+(?P<table>[\w.\"`]+)",
    re.IGNORECASE | re.DOTALL,
)
_HARD = re.compile(r"(ALTER|DROP|TRUNCATE|RENAME)\b", re.IGNORECASE)
_SOFT = re.compile(r"(CREATE|GRANT|REVOKE|COMMENT|VACUUM|CLUSTER|REINDEX|LOCK|DO|CALL)\b", re.IGNORECASE)
_USING_INDEX = re.compile(
    r"ALTER\s+TABLE\s+\S+\s+ADD\s+CONSTRAINT\s+\S+\s+UNIQUE\s+USING\s+INDEX\b", re.IGNORECASE
)
_ADDS_LABEL = re.compile(r"ALTER\s+TYPE\s+\S+\s+ADD\s+VALUE\b", re.IGNORECASE)
_NO_OPERATION = re.compile(
    r"(?P<made>CREATE|ALTER|DROP)\s+(?:(?:OR\s+REPLACE|TEMP(?:ORARY)?|RECURSIVE|MATERIALIZED|CONSTRAINT|AGGREGATE"
    r"|ALGORITHM\s*=\s*\w+|DEFINER\s*=\s*\S+|SQL\s+SECURITY\s+\w+)\s+)*(?P<kind>VIEW|FUNCTION|PROCEDURE|TRIGGER)\b",
    re.IGNORECASE,
)
_CASCADE = re.compile(r"\bCASCADE\s*;?\s*\Z", re.IGNORECASE)
_ANOTHER = re.compile(r";\s*\S")
_SHOWN = 60


def _changes_data(done: RecordedOperation) -> str | None:
    """Return the key of the table whose rows an operation changes: "" if it is unknown, None if it changes no rows."""
    op = done.operation
    if isinstance(op, ops.BulkInsertOp):
        return key_of(op.table.schema, op.table.name)
    if not isinstance(op, ops.ExecuteSQLOp):
        return None
    if isinstance(op.sqltext, UpdateBase):
        table = op.sqltext.table
        return key_of(table.schema, table.name) if isinstance(table, sa.Table) else getattr(table, "name", "")
    match = _DATA.match(_text(op))
    return re.sub(r"[\"`]", "", match["table"]) if match else None


def _text(op: ops.ExecuteSQLOp) -> str:
    """Return the statement without leading comments."""
    return _COMMENTS.sub("", str(op.sqltext))


def _is_schema(done: RecordedOperation) -> bool:
    op = done.operation
    if isinstance(op, ops.ExecuteSQLOp):
        text = _text(op)
        return isinstance(op.sqltext, DDLElement) or bool(
            (_HARD.match(text) and not validated(text)) or re.match(r"CREATE\b", text, re.IGNORECASE)
        )
    return not isinstance(op, ops.BulkInsertOp)


def _mixed(whole: RevisionCheck) -> Iterator[RevisionProblem]:
    """Report data changes in a revision that also changes the schema, except in tables that the revision creates."""
    done = whole.upgrade.done
    if not any(_is_schema(one) for one in done):
        return
    for one in done:
        table = _changes_data(one)
        if table is not None and table not in whole.created:
            yield RevisionProblem(
                one.line,
                f"rows of {table or 'a table'} are changed in a revision that changes the schema too",
            )


def _no_downgrade(whole: RevisionCheck) -> Iterator[RevisionProblem]:
    down = whole.downgrade
    if not whole.upgrade.done:
        return
    if down.missing:
        yield RevisionProblem(None, "there is no downgrade()", "downgrade")
    elif down.error is not None:
        yield RevisionProblem(None, f"downgrade() raises {type(down.error).__name__}", "downgrade")
    elif not down.done and any(_is_schema(one) for one in whole.upgrade.done):
        yield RevisionProblem(None, "downgrade() does nothing", "downgrade")


def _cannot_follow(whole: RevisionCheck) -> Iterator[RevisionProblem]:
    error = whole.upgrade.error
    if whole.upgrade.missing:
        yield RevisionProblem(None, "there is no upgrade()")
    elif error is not None:
        told = f"{type(error).__name__}: {error}".split("\n", 1)[0]
        yield RevisionProblem(
            whole.upgrade.line, f"what the revision does is seen only up to here: without a database, {told}"
        )


def _hard(step: OperationCheck) -> Iterator[str]:
    op = step.operation
    if isinstance(op, ops.ExecuteSQLOp) and not isinstance(op.sqltext, UpdateBase):
        text = _text(op)
        known = (
            _ADDS_LABEL.match(text) or _USING_INDEX.match(text) or validated(text) or _has_no_operation(text)
        )
        if _HARD.match(text) and not known:
            yield f"a raw statement alters or drops something, which the lint cannot judge: {_short(text)}"


def _soft(step: OperationCheck) -> Iterator[str]:
    op = step.operation
    if isinstance(op, ops.ExecuteSQLOp) and not isinstance(op.sqltext, UpdateBase):
        text = _text(op)
        if _SOFT.match(text) and not _has_no_operation(text):
            yield f"a raw statement changes the schema, which the lint cannot judge: {_short(text)}"


def _has_no_operation(text: str) -> bool:
    """Whether a statement only creates, alters or drops a view, routine or trigger, for which Alembic has no operation.

    With CASCADE, or with a second statement in the same string, anything else may be affected.
    """
    found = _NO_OPERATION.match(text)
    if found is None or _CASCADE.search(text):
        return False
    # The body of a routine contains statements, so a semicolon does not mean a second statement.
    alone = found["made"].upper() == "CREATE" and found["kind"].upper() != "VIEW"
    return alone or not _ANOTHER.search(text)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"


RULES = (
    Rule(
        "RF501",
        "A revision cannot be taken back",
        "write a downgrade(), or state in it why there is none",
        EVERYWHERE,
        check_revision=_no_downgrade,
    ),
    Rule(
        "RF502",
        "Data and schema are changed in one revision",
        "change rows in a revision of its own, many of them in batches by a script",
        SERVERS,
        check_revision=_mixed,
    ),
    Rule(
        "RF503",
        "A revision that the lint cannot follow",
        "let what is done not depend on what the database holds; or state why it must",
        EVERYWHERE,
        check_revision=_cannot_follow,
    ),
    Rule(
        "RF504",
        "A raw statement alters or drops something",
        "use the operation of Alembic for it, or state why the statement is safe",
        EVERYWHERE,
        _hard,
    ),
    Rule(
        "RF505",
        "A raw statement makes something",
        "use the operation of Alembic for it where there is one",
        on((ENGINES, WARNING)),
        _soft,
    ),
)
