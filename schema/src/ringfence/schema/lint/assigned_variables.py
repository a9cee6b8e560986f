"""Parse the system variables that a SET statement of MySQL or MariaDB assigns."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_EXECUTABLE = re.compile(r"/\*M?!\d*(.*?)\*/", re.DOTALL)
_COMMENT = re.compile(r"/\*.*?\*/|--\s[^\n]*|#[^\n]*", re.DOTALL)
_SET = re.compile(
    r"\s*SET\s+(?!STATEMENT\b|PASSWORD\b|NAMES\b|CHARACTER\s|CHARSET\b|ROLE\b|DEFAULT\s+ROLE\b)",
    re.IGNORECASE,
)
_ONE = re.compile(
    r"\s*(?:(?P<word>GLOBAL|SESSION|LOCAL|PERSIST(?:_ONLY)?)\s+|@@(?:(?P<dotted>GLOBAL|SESSION|LOCAL|PERSIST(?:_ONLY)?)\s*\.\s*)?)?"
    r"`?(?P<name>@?[\w.]+)`?\s*:?=\s*(?P<value>(?:'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\([^()]*\)|[^,;'\"(])*)[,;]?",
    re.IGNORECASE,
)
_ALL_SESSIONS = frozenset({"global", "persist", "persist_only"})


@dataclass(frozen=True)
class Assigned:
    """The assignment of one variable; its name and its unquoted value are in lower case."""

    name: str
    value: str
    global_scope: bool
    """Whether it applies to sessions that start later (GLOBAL, PERSIST), and not to the current one."""


def assigned(sql: str) -> Iterator[Assigned]:
    """Yield the variables that a statement sets beyond its own duration; `SET STATEMENT … FOR` sets none.

    A keyword such as GLOBAL also applies to the following assignments that have no keyword:
    https://mariadb.com/docs/server/reference/sql-statements/administrative-sql-statements/set-commands/set

    Args:
        sql: one statement.
    """
    sql = _COMMENT.sub(" ", _EXECUTABLE.sub(r" \1 ", sql))
    begun = _SET.match(sql)
    if begun is None:
        return
    place, kept = begun.end(), "session"
    while found := _ONE.match(sql, place):
        place = found.end()
        if found["word"]:
            kept = found["word"].lower()
        if found["name"].startswith("@"):
            continue  # a user variable
        scope = (found["dotted"] or kept).lower()
        value = found["value"].strip().strip("'\"").lower()
        yield Assigned(found["name"].lower(), value, scope in _ALL_SESSIONS)
