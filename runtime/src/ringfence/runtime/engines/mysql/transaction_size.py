"""Recognizes errors by which MySQL, MariaDB or Galera has rolled back a whole transaction; imports no driver."""

import re
from typing import Final

IN_COMMIT: Final = 1180
"""ER_ERROR_DURING_COMMIT: the engine failed while it committed."""
CODES: Final = frozenset({1197})
"""ER_TRANS_CACHE_FULL: the binary log's cache is full; only that statement is rolled back."""
_MAYBE = frozenset({1105, IN_COMMIT})
_WRITE_SET = re.compile(
    r"wsrep_max_ws_(?:rows|size)|(?:writeset|transaction) size exceeded|error 90\b", re.IGNORECASE
)
"""Galera's messages: with 1180 for any statement, with 1105 for COMMIT (90 is EMSGSIZE of its provider)."""
LIMITS: Final = (
    "wsrep_max_ws_rows and wsrep_max_ws_size of each node (Galera), or max_binlog_cache_size, bound it"
)


_CUT_OFF = re.compile(r"primary component|provider status: (?:provider|fatal|unknown)", re.IGNORECASE)
_BEATEN = re.compile(r"provider status: .*(?:certification failed|aborted)", re.IGNORECASE)


def left_cluster(error: object) -> bool:
    """Return whether error 1180 says that a Galera node has left its cluster, and has lost the transaction.

    If the statement is COMMIT, other nodes may have received the write set before and stored it; otherwise they have
    not.

    Args:
        error: the driver's error.
    """
    return _says(error, _CUT_OFF)


def lost_conflict(error: object) -> bool:
    """Return whether error 1180 says that another transaction won a conflict on Galera.

    Args:
        error: the driver's error.
    """
    return _says(error, _BEATEN)


def _says(error: object, words: re.Pattern[str]) -> bool:
    args: tuple[object, ...] = getattr(error, "args", ())
    return args[:1] == (IN_COMMIT,) and words.search(str(args[-1])) is not None


def too_large(error: object) -> bool:
    """Return whether a transaction is larger than a write set or the binary log's cache may be.

    Galera has then rolled back the whole transaction with its savepoints, and would run further statements in a new one
    (tested on MariaDB 10.11): nothing more may be sent until it is rolled back.

    Args:
        error: the driver's error.
    """
    args: tuple[object, ...] = getattr(error, "args", ())
    code = args[0] if args else None
    return code in CODES or (code in _MAYBE and _WRITE_SET.search(str(args[-1])) is not None)
