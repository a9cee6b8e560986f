"""What model files import: `Base`, mixins, and column types that behave the same on every engine.

`base` and `columns` have the classes, `types` the portable column types; the other modules translate SQLAlchemy's own
types and defaults to those of a mirror.
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
