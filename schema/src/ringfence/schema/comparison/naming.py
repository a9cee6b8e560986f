"""Names for constraints to which the models give none, so that a revision can take them back."""

import hashlib
from typing import Any

from alembic.operations import ops

from ringfence.schema.comparison.snapshot import Name
from ringfence.schema.models.object_names import fitted

_SUFFIX = {"unique": "key", "foreign key": "fkey", "check": "check", "exclude": "excl"}
_DIGITS = 6


def named(operation: ops.MigrateOperation, name: Name) -> ops.MigrateOperation:
    """An operation that adds a constraint, with a name.

    A constraint without one could not be dropped again. It gets the name that the server gives it in the reference;
    where the server gives none, as SQLite does, one in the form of PostgreSQL's, made different by its definition.

    Args:
        operation: adds a constraint; it is changed where it has no name.
        name: that of the constraint in the reference.

    Returns:
        The same operation.
    """
    adding: Any = operation
    if getattr(adding, "constraint_name", "") is None:
        if name.name.startswith("("):
            digest = hashlib.sha256(name.name.encode()).hexdigest()[:_DIGITS]
            suffix = _SUFFIX.get(name.kind, "constraint")
            adding.constraint_name = fitted(f"{name.table}_{digest}_{suffix}")
        else:
            adding.constraint_name = name.name
    return operation
