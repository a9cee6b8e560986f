"""Tries forbidden things under one service's account, and prints as JSON how each ended.

Run as a process of its own, with that service's environment. The statements come as JSON on standard input. A
statement that is not refused is rolled back.
"""

import json
import sys
from pathlib import Path

from ringfence.runtime import Database
from ringfence.runtime.errors import AccessDenied, RingfenceError


class _Undo(Exception):
    """Raised to roll a session back."""


def main(mirror: Path) -> None:
    """Try each statement in a session of its own."""
    database = Database.from_env(mirror)
    try:
        print(json.dumps([_attempt(database, statement) for statement in json.load(sys.stdin)]))
    finally:
        database.close()


def _attempt(database: Database, statement: str) -> dict[str, object]:
    try:
        with database.session() as dal:
            dal.executesql(statement)
            raise _Undo
    except _Undo:
        return {"refused": False, "error": "it was done"}
    except AccessDenied as error:
        return {"refused": True, "error": str(error)}
    except RingfenceError as error:
        return {"refused": False, "error": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
