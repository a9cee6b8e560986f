"""What MySQL, MariaDB and Galera say of a transaction that they undo whole; needs no driver."""

import re
from typing import Final

IN_COMMIT: Final = 1180
"""ER_ERROR_DURING_COMMIT: the engine failed while it committed."""
CODES: Final = frozenset({1197})
"""ER_TRANS_CACHE_FULL: the binary log's cache takes no more; that statement alone is undone."""
_MAYBE = frozenset({1105, IN_COMMIT})
_WRITE_SET = re.compile(
    r"wsrep_max_ws_(?:rows|size)|(?:writeset|transaction) size exceeded|error 90\b", re.IGNORECASE
)
"""Galera's words: of any statement under 1180, of COMMIT under 1105 (90 is EMSGSIZE of its provider)."""
LIMITS: Final = (
    "wsrep_max_ws_rows and wsrep_max_ws_size of each node (Galera), or max_binlog_cache_size, bound it"
)


_CUT_OFF = re.compile(r"primary component|provider status: (?:provider|fatal|unknown)", re.IGNORECASE)
_BEATEN = re.compile(r"provider status: .*(?:certification failed|aborted)", re.IGNORECASE)


def cut_off(error: object) -> bool:
    """Whether a Galera node says under 1180 that it has lost its cluster, and with it the whole transaction.

    As it says so of COMMIT, others may have got the write set before and stored it; of another statement they have not.

    Args:
        error: the driver's.
    """
    return _says(error, _CUT_OFF)


def beaten(error: object) -> bool:
    """Whether a Galera node says under 1180 that another transaction won."""
    return _says(error, _BEATEN)


def _says(error: object, words: re.Pattern[str]) -> bool:
    args: tuple[object, ...] = getattr(error, "args", ())
    return args[:1] == (IN_COMMIT,) and words.search(str(args[-1])) is not None


def too_large(error: object) -> bool:
    """Whether a transaction holds more than a write set, or a binary log, may.

    Galera has then undone the whole transaction, its savepoints too, and would take what follows for the beginning of
    another one (tried on MariaDB 10.11): nothing more may be sent until it is rolled back.

    Args:
        error: the driver's.
    """
    args: tuple[object, ...] = getattr(error, "args", ())
    code = args[0] if args else None
    return code in CODES or (code in _MAYBE and _WRITE_SET.search(str(args[-1])) is not None)
