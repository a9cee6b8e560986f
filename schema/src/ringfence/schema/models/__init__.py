"""The public names for model files: `Base`, mixins, and column types that behave the same on every engine.

The modules other than `base` and `columns` translate SQLAlchemy's own types and defaults to those of a mirror.
"""

from ringfence.schema.models.base import (
    EXACT_TEXT,
    NAMING,
    Base,
    BigKey,
    CreatedUpdated,
    CreatedUpdatedDeleted,
    DeclaredAs,
    Duration,
    Json,
    LongBytes,
    LongText,
    NaiveTimestamp,
    PreciseTime,
    SyncTimes,
    Timestamp,
    UtcNow,
    UuidKey,
    generators,
)

__all__ = [
    "EXACT_TEXT",
    "NAMING",
    "Base",
    "BigKey",
    "CreatedUpdated",
    "CreatedUpdatedDeleted",
    "DeclaredAs",
    "Duration",
    "Json",
    "LongBytes",
    "LongText",
    "NaiveTimestamp",
    "PreciseTime",
    "SyncTimes",
    "Timestamp",
    "UtcNow",
    "UuidKey",
    "generators",
]
