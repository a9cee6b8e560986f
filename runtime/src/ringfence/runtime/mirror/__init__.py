"""The mirror: the runtime's knowledge of the schema and the account, read with the standard library alone."""

from ringfence.runtime.mirror.mirror import (
    TYPES,
    VERBS,
    Column,
    Constraint,
    Default,
    ForeignKey,
    Mirror,
    Table,
    Verb,
)

__all__ = ["TYPES", "VERBS", "Column", "Constraint", "Default", "ForeignKey", "Mirror", "Table", "Verb"]
