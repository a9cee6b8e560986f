"""The service side: PyDAL tables of one mirror, through one connection pool, under the service's own account."""

from ringfence.runtime.database import Database
from ringfence.runtime.errors import (
    AccessDenied,
    BadMirror,
    BadSettings,
    CheckViolation,
    CommitUnknown,
    Conflict,
    ConnectionLost,
    DataError,
    ForeignKeyViolation,
    IntegrityError,
    Misuse,
    NotNullViolation,
    NotReady,
    PoolExhausted,
    ProgrammingError,
    RingfenceError,
    Timeout,
    TransactionTooLarge,
    Unavailable,
    UniqueViolation,
    UnreadableValue,
)
from ringfence.runtime.mirror import Mirror
from ringfence.runtime.pool import PoolOptions
from ringfence.runtime.settings import Login, Secret, Settings
from ringfence.runtime.values import JSON_NULL

__all__ = [
    "JSON_NULL",
    "AccessDenied",
    "BadMirror",
    "BadSettings",
    "CheckViolation",
    "CommitUnknown",
    "Conflict",
    "ConnectionLost",
    "DataError",
    "Database",
    "ForeignKeyViolation",
    "IntegrityError",
    "Login",
    "Mirror",
    "Misuse",
    "NotNullViolation",
    "NotReady",
    "PoolExhausted",
    "PoolOptions",
    "ProgrammingError",
    "RingfenceError",
    "Secret",
    "Settings",
    "Timeout",
    "TransactionTooLarge",
    "Unavailable",
    "UniqueViolation",
    "UnreadableValue",
]
