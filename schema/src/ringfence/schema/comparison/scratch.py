"""Watches while the models are made in a scratch, so that what the server refuses is said with the statement."""

import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from ringfence.schema.errors import JobFailed
from ringfence.schema.models.source_lines import Places

_MADE = re.compile(r"\A\s*CREATE\s+(?:SCHEMA|EXTENSION)\s+(?!IF\s|AUTHORIZATION\s)", re.IGNORECASE)
_SHOWN = 120
"""Characters of a statement that an error shows."""


def way_out(item: object) -> str:
    """Where the object of the models that a server refused is written, and how a deployment can do without it.

    Args:
        item: a table, an index or a constraint; the text is empty for anything else.
    """
    table = getattr(item, "table", item)
    if not isinstance(table, sa.Table):
        return ""
    file, line = Places(Path.cwd()).find(table)
    where = f"{file}:{line}" if line else file
    what, left = f"the table {table.key!r}", str(table.key)
    if isinstance(item, sa.Index):
        what, left = f"the index {item.name!r} of {table.key!r}", f"index:{table.key}.{item.name}"
    return (
        f"; it is {what} ({where}): change it there, or leave it out in ringfence.toml:"
        f" leave_out = [{json.dumps(left)}]"
    )


def once(statement: str) -> str:
    """A statement that makes a schema or an extension only where it is missing: neither can be in a scratch.

    Args:
        statement: of the models; any other comes back as it is.
    """
    return _MADE.sub(r"\g<0>IF NOT EXISTS ", statement, count=1)


def unwritable(ddl: sa.DDL, error: Exception) -> JobFailed:
    """What is said of DDL with a percent sign that SQLAlchemy takes for a place to fill in.

    Args:
        ddl: of the models.
        error: what writing it raised.

    Returns:
        The error to raise.
    """
    return JobFailed(
        f"a DDL of the models cannot be written: {error}; a percent sign that is meant stands doubled there (%%); its"
        f" text: {' '.join(str(ddl.statement).split())[:_SHOWN]}"
    )


@contextmanager
def making(
    connection: sa.Connection,
    names: Mapping[str, str] | None = None,
    moved: Callable[[str], str] = str,
) -> Iterator[None]:
    """Run DDL of the models on a scratch.

    Args:
        connection: on which they are made.
        names: names of the scratch, and what an error shows in place of each; a dot after a name goes with it.
        moved: what is sent in place of a statement.

    Raises:
        JobFailed: a statement was refused, or cannot be written for this engine.
    """
    last, item = [""], [None]
    ddl: list[sa.DDL | None] = [None]

    def begun(conn: Any, clause: Any, *rest: Any) -> None:
        item[0] = getattr(clause, "element", None)
        ddl[0] = clause if isinstance(clause, sa.DDL) else None

    def note(conn: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> tuple[str, Any]:
        last[0] = once(moved(statement))
        return last[0], parameters

    event.listen(connection, "before_execute", begun)
    event.listen(connection, "before_cursor_execute", note, retval=True)
    try:
        with warnings.catch_warnings():  # whoever makes the tables for good is warned
            warnings.simplefilter("ignore", sa.exc.SAWarning)
            yield
    except sa.exc.DBAPIError as error:
        reason = " ".join(str(error.orig).split("\n", 1)[0].split())
        statement = " ".join(last[0].split())
        for name, shown in (names or {}).items():
            reason, statement = (
                text.replace(f"{name}.", shown).replace(name, shown) for text in (reason, statement)
            )
        raise JobFailed(
            f"the server refuses what the models would make: {reason}; the statement, sent to a scratch that is gone"
            f" again: {statement}{way_out(item[0])}"
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        if ddl[0] is None:
            raise
        raise unwritable(ddl[0], error) from error
    except sa.exc.SQLAlchemyError as error:
        raise JobFailed(f"the models cannot be made on this engine: {error}{way_out(item[0])}") from error
    finally:
        event.remove(connection, "before_execute", begun)
        event.remove(connection, "before_cursor_execute", note)
