"""What the journal keeps of one statement: which it is, who sent it, and how far it came."""

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
    statement: str
    place: str
    """The file and line that sent it."""
    state: str = DONE
    session: str = ""
    before: str | None = None

    def at(self, state: str, **more: Any) -> "Entry":
        """The same statement in another state."""
        return replace(self, state=state, **more)

    def __str__(self) -> str:
        text = " ".join(self.statement.split())
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def last(rows: Mapping[int, Entry]) -> str:
    """The last of them, as a person reads it."""
    entry = rows[max(rows)]
    return f"statement {entry.position} ({entry.place}, {entry.state})"


def packed(columns: frozenset[ColumnPath]) -> str:
    """The columns of a database as a short text."""
    ordered = sorted(columns, key=lambda item: tuple(part or "" for part in item))
    return base64.b64encode(zlib.compress(json.dumps(ordered).encode())).decode()


def fingerprint(statement: str, parameters: Any, context: Any) -> str:
    """What the statement is, with the values that the file gives it, but not those that Python makes up."""
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
    """The columns that were packed."""
    columns = json.loads(zlib.decompress(base64.b64decode(text)))
    return frozenset((schema, table, column) for schema, table, column in columns)


def place(path: str) -> str:
    """The revision's file, and the line of it that is being run."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - which line of the file asks is the question
    while frame is not None:
        if frame.f_code.co_filename == path:
            return f"{path.rpartition('/')[2]}:{frame.f_lineno}"
        frame = frame.f_back
    return path.rpartition("/")[2]
