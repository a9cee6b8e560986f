"""Create the models in a scratch database or schema, and report a refused statement together with its text."""

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
from ringfence.schema.models.source_lines import SourceLines

_MADE = re.compile(r"\A\s*CREATE\s+(?:SCHEMA|EXTENSION)\s+(?!IF\s|AUTHORIZATION\s)", re.IGNORECASE)
_SHOWN = 120
"""Maximum number of characters of a statement in an error message."""


def model_location(item: object) -> str:
    """Describe where the models define a refused object, and how to leave it out of the deployment.

    Args:
        item: a table, an index or a constraint; the text is empty for anything else.
    """
    table = getattr(item, "table", item)
    if not isinstance(table, sa.Table):
        return ""
    file, line = SourceLines(Path.cwd()).find(table)
    where = f"{file}:{line}" if line else file
    what, left = f"the table {table.key!r}", str(table.key)
    if isinstance(item, sa.Index):
        what, left = f"the index {item.name!r} of {table.key!r}", f"index:{table.key}.{item.name}"
    return (
        f"; it is {what} ({where}): change it there, or leave it out in ringfence.toml:"
        f" leave_out = [{json.dumps(left)}]"
    )


def if_not_exists(statement: str) -> str:
    """Add IF NOT EXISTS to CREATE SCHEMA and CREATE EXTENSION, since neither can be created in a scratch schema.

    Args:
        statement: a statement of the models; any other kind is returned unchanged.
    """
    return _MADE.sub(r"\g<0>IF NOT EXISTS ", statement, count=1)


def placeholder_error(ddl: sa.DDL, error: Exception) -> JobFailed:
    """Build the error for DDL with a percent sign that SQLAlchemy takes for a placeholder.

    Args:
        ddl: the DDL element of the models.
        error: the exception that compiling it raised.

    Returns:
        The error, for the caller to raise.
    """
    return JobFailed(
        f"DDL of the models cannot be compiled: {error}; write a literal percent sign as %%. Its"
        f" text: {' '.join(str(ddl.statement).split())[:_SHOWN]}"
    )


@contextmanager
def creating_models(
    connection: sa.Connection,
    names: Mapping[str, str] | None = None,
    moved: Callable[[str], str] = str,
) -> Iterator[None]:
    """Run DDL of the models on a scratch inside the block, and turn database errors into `JobFailed`.

    Args:
        connection: the connection on which the block runs the DDL.
        names: names of the scratch, and what error messages show instead of each; a dot after a name is replaced too.
        moved: rewrites each statement before it is sent.

    Raises:
        JobFailed: the server refuses a statement, or it cannot be compiled for this engine.
    """
    last, item = [""], [None]
    ddl: list[sa.DDL | None] = [None]

    def begun(conn: Any, clause: Any, *rest: Any) -> None:
        item[0] = getattr(clause, "element", None)
        ddl[0] = clause if isinstance(clause, sa.DDL) else None

    def note(conn: Any, cursor: Any, statement: str, parameters: Any, *rest: Any) -> tuple[str, Any]:
        last[0] = if_not_exists(moved(statement))
        return last[0], parameters

    event.listen(connection, "before_execute", begun)
    event.listen(connection, "before_cursor_execute", note, retval=True)
    try:
        with warnings.catch_warnings():  # the same warnings appear when the tables are really created
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
            f"the server refuses an object of the models: {reason}; the statement, sent to a scratch database that was"
            f" removed again: {statement}{model_location(item[0])}"
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        if ddl[0] is None:
            raise
        raise placeholder_error(ddl[0], error) from error
    except sa.exc.SQLAlchemyError as error:
        raise JobFailed(
            f"the models cannot be created on this engine: {error}{model_location(item[0])}"
        ) from error
    finally:
        event.remove(connection, "before_execute", begun)
        event.remove(connection, "before_cursor_execute", note)
