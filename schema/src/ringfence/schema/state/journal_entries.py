"""The journal's entry for one statement of a revision: its identity, its sender, and its state."""

import base64
import hashlib
import json
import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import FrameType
from typing import Any

import sqlalchemy as sa

from ringfence.schema.state.columns import ColumnPath

DONE, STARTED, FAILED = "done", "started", "failed"
_SHOWN = 200  # characters of a statement in a message


@dataclass(frozen=True)
class Entry:
    """One statement of a revision."""

    position: int
    fingerprint: str
    """The digest of the statement and its parameters, as `fingerprint` computes it."""
    statement: str
    source_line: str
    """The file and line that sent it."""
    state: str = DONE
    """`DONE`, `STARTED` or `FAILED`."""
    session: str = ""
    """The server session that runs it, as `Sessions.identifier` names it; empty where there is none."""
    before: str | None = None
    """The columns of the database before the revision, `packed`; one entry of a revision has them, the others None."""

    def at(self, state: str, **more: Any) -> "Entry":
        """Return the same statement in another state.

        Args:
            state: `DONE`, `STARTED` or `FAILED`.
            more: Other fields to replace.
        """
        return replace(self, state=state, **more)

    def __str__(self) -> str:
        text = " ".join(self.statement.split())
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def last(rows: Mapping[int, Entry]) -> str:
    """Return the last of the entries, as messages show it."""
    entry = rows[max(rows)]
    return f"statement {entry.position} ({entry.source_line}, {entry.state})"


def packed(columns: frozenset[ColumnPath]) -> str:
    """Return the columns of a database as a short text: JSON, compressed, in Base64."""
    ordered = sorted(columns, key=lambda item: tuple(part or "" for part in item))
    return base64.b64encode(zlib.compress(json.dumps(ordered).encode())).decode()


def fingerprint(statement: str, parameters: Any, context: Any) -> str:
    """Return the digest of a statement and the parameters that the revision gives it.

    Values of Python-side defaults, which differ from run to run, are left out.

    Args:
        statement: The SQL text.
        parameters: Its parameters, for a statement that SQLAlchemy did not compile.
        context: SQLAlchemy's execution context.
    """
    compiled = context.compiled
    values: Any = parameters
    if isinstance(compiled, sa.sql.compiler.SQLCompiler):
        made_up = {column.key for column in (*compiled.insert_prefetch, *compiled.update_prefetch)}
        values = [
            sorted((key, repr(value)) for key, value in row.items() if key not in made_up)
            for row in context.compiled_parameters
        ]
    return hashlib.sha256(f"{statement}\0{values!r}".encode()).hexdigest()


def unpacked(text: str) -> frozenset[ColumnPath]:
    """Return the columns that `packed` wrote."""
    columns = json.loads(zlib.decompress(base64.b64decode(text)))
    return frozenset((schema, table, column) for schema, table, column in columns)


def source_line(path: str) -> str:
    """Return the name of a revision's file, with the line of it that is being executed if it is on the call stack.

    Args:
        path: The path of the file.
    """
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - which line of the file asks is the question
    while frame is not None:
        if frame.f_code.co_filename == path:
            return f"{path.rpartition('/')[2]}:{frame.f_lineno}"
        frame = frame.f_back
    return path.rpartition("/")[2]
