"""What model files import: `Base`, mixins, and column types that mean the same on every engine.

The modules beside `base` and `columns` hold what SQLAlchemy's own types and defaults mean to a mirror.
"""

from ringfence.schema.models.base import (
    EXACT_TEXT,
    NAMING,
    Base,
    BigKey,
    CreatedUpdated,
    CreatedUpdatedDeleted,
    Duration,
    Json,
    LongBytes,
    LongText,
    NaiveTimestamp,
    PreciseTime,
    Spelled,
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
    "Duration",
    "Json",
    "LongBytes",
    "LongText",
    "NaiveTimestamp",
    "PreciseTime",
    "Spelled",
    "SyncTimes",
    "Timestamp",
    "UtcNow",
    "UuidKey",
    "generators",
]
