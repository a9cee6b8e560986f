"""What SQL of the program's own would do to the session it runs in, and to the next one on its connection."""

import functools
import re

from ringfence.runtime.errors import Misuse
from ringfence.runtime.values.parameters import QUOTED

_FIRST_WORDS = re.compile(
    r"(?:\s|(?:--|\#)[^\n]*\n|/\*M?!\d*|/\*.*?\*/|;|\()*([a-z]+)(?:\s+([a-z]+))?", re.IGNORECASE | re.DOTALL
)
# What begins and ends transactions is the session's work, and what outlives them would meet the next session.
_TRANSACTION = frozenset("abort begin commit end prepare release rollback savepoint start xa".split())
_LASTING = frozenset({"set", "reset", "discard", "use"})
_LOCAL = frozenset({"local", "transaction", "constraints", "statement"})
_PASSING = frozenset(
    "select insert update delete replace merge with values table explain show describe desc lock fetch".split()
)
"""Statements of which nothing is left on the connection when their transaction has ended."""

# Settings, locks and variables that are set by a function or in passing, and stay.
_STAYS = re.compile(
    r"\bpg_settings\b|set_config\s*\((?![^()]*,\s*true\s*\))|advisory_lock|\bget_lock\s*\(|:=|\binto\s+@|/\*",
    re.IGNORECASE,
)


def _name(quoted: re.Match[str]) -> str:
    return quoted[0][1:-1] if quoted[0][0] in '"`' else " "


def refuse_own(sql: str) -> None:
    """Raise Misuse for what would end the session's transaction, or outlive it."""
    found = _FIRST_WORDS.match(sql)
    if found is None:
        return
    first, second = found[1].lower(), (found[2] or "").lower()
    if first in _TRANSACTION:
        raise Misuse(
            f"{first.upper()} is the session's own work: it commits at its end and rolls back on an error; a nested "
            "`with db.session():` is a savepoint"
        )
    if first in _LASTING and second not in _LOCAL:
        raise Misuse(
            f"{first.upper()} outlives the session and would change the next one on this connection: SET LOCAL where "
            "the engine has it, and `timeout=` and `read_only=` of the session, end with it"
        )


def leaves_traces(sql: str, *, local_settings_end: bool) -> bool:
    """Whether something of a program's own SQL may stay on the connection when the session has ended.

    Args:
        sql: one statement, or several where the engine takes them.
        local_settings_end: whether SET LOCAL ends with the transaction.

    Raises:
        Misuse: when one of them would end the session's transaction, or outlive it on purpose.
    """
    look = _looked_at if len(sql) <= _SHORT else _looked_at.__wrapped__
    return look(sql, local_settings_end)


_SHORT = 2_000  # in characters: what is longer has its values in it, and does not come again


@functools.lru_cache(maxsize=512)
def _looked_at(sql: str, local_settings_end: bool) -> bool:  # a cache goes by position
    bare = QUOTED.sub(" ", sql)
    # A function's name may stand in quotes.
    left = any(map(_STAYS.search, (bare, QUOTED.sub(_name, sql))))
    for statement in bare.split(";"):
        refuse_own(statement)
        found = _FIRST_WORDS.match(statement)
        first = found[1].lower() if found else statement.strip()
        left = left or not (not first or first in _PASSING or (first == "set" and local_settings_end))
    return left
