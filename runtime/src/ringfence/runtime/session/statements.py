"""Check SQL written by the program for effects on the session's transaction and on later sessions."""

import functools
import re

from ringfence.runtime.errors import InterfaceError
from ringfence.runtime.values.parameters import QUOTED

_FIRST_WORDS = re.compile(
    r"(?:\s|(?:--|\#)[^\n]*\n|/\*M?!\d*|/\*.*?\*/|;|\()*([a-z]+)(?:\s+([a-z]+))?", re.IGNORECASE | re.DOTALL
)
# The session itself begins and ends transactions; what outlives one would affect the connection's next session.
_TRANSACTION = frozenset("abort begin commit end prepare release rollback savepoint start xa".split())
_LASTING = frozenset({"set", "reset", "discard", "use"})
_LOCAL = frozenset({"local", "transaction", "constraints", "statement"})
_PASSING = frozenset(
    "select insert update delete replace merge with values table explain show describe desc lock fetch".split()
)
"""Statements that leave nothing on the connection after their transaction."""

# Settings, locks and variables that a function or an expression sets, and that outlast the transaction.
_STAYS = re.compile(
    r"\bpg_settings\b|set_config\s*\((?![^()]*,\s*true\s*\))|advisory_lock|\bget_lock\s*\(|:=|\binto\s+@|/\*",
    re.IGNORECASE,
)


def _name(quoted: re.Match[str]) -> str:
    return quoted[0][1:-1] if quoted[0][0] in '"`' else " "


def refuse_transaction_sql(sql: str) -> None:
    """Refuse a statement that would end the session's transaction, or change later sessions.

    Args:
        sql: one statement.

    Raises:
        InterfaceError: the statement begins or ends a transaction, or changes a setting beyond it.
    """
    found = _FIRST_WORDS.match(sql)
    if found is None:
        return
    first, second = found[1].lower(), (found[2] or "").lower()
    if first in _TRANSACTION:
        raise InterfaceError(
            f"{first.upper()} is the session's own work: it commits at its end and rolls back on an error; a nested "
            "`with db.session():` is a savepoint"
        )
    if first in _LASTING and second not in _LOCAL:
        raise InterfaceError(
            f"{first.upper()} outlives the session and would change the next one on this connection: SET LOCAL where "
            "the engine has it, and `timeout=` and `read_only=` of the session, end with it"
        )


def may_leave_state(sql: str, *, local_settings_end: bool) -> bool:
    """Whether SQL of the program may leave something on the connection after the session.

    Args:
        sql: one statement, or several where the engine takes them.
        local_settings_end: whether SET LOCAL ends with the transaction.

    Raises:
        InterfaceError: a statement begins or ends a transaction, or changes a setting beyond it.
    """
    look = _parsed if len(sql) <= _SHORT else _parsed.__wrapped__
    return look(sql, local_settings_end)


_SHORT = 2_000  # in characters; longer SQL usually contains values and does not recur, so it is not cached


# Parameters are positional, because the cache distinguishes positional from keyword arguments.
@functools.lru_cache(maxsize=512)
def _parsed(sql: str, local_settings_end: bool) -> bool:
    bare = QUOTED.sub(" ", sql)
    # Search twice, because the name of a function may be quoted.
    left = any(map(_STAYS.search, (bare, QUOTED.sub(_name, sql))))
    for statement in bare.split(";"):
        refuse_transaction_sql(statement)
        found = _FIRST_WORDS.match(statement)
        first = found[1].lower() if found else statement.strip()
        left = left or not (not first or first in _PASSING or (first == "set" and local_settings_end))
    return left
