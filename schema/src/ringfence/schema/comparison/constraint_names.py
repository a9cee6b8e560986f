"""Give names to constraints that have none in the models, so that a revision can drop them again."""

import hashlib
from typing import Any

from alembic.operations import ops

from ringfence.schema.comparison.snapshot import Name
from ringfence.schema.models.object_names import shortened_name

_SUFFIX = {"unique": "key", "foreign key": "fkey", "check": "check", "exclude": "excl"}
_DIGITS = 6


def with_constraint_name(operation: ops.MigrateOperation, name: Name) -> ops.MigrateOperation:
    """Give the constraint that an operation adds a name, if it has none.

    A constraint without a name could not be dropped again. It gets the name that the server gave it in the reference.
    Where the server gives none, as SQLite does, the name has the form of PostgreSQL's
    (`table_<digest of the definition>_key`).

    Args:
        operation: adds a constraint; it is changed in place if the constraint has no name.
        name: the constraint's name in the reference snapshot.

    Returns:
        The same operation.
    """
    adding: Any = operation
    if getattr(adding, "constraint_name", "") is None:
        if name.name.startswith("("):
            digest = hashlib.sha256(name.name.encode()).hexdigest()[:_DIGITS]
            suffix = _SUFFIX.get(name.kind, "constraint")
            adding.constraint_name = shortened_name(f"{name.table}_{digest}_{suffix}")
        else:
            adding.constraint_name = name.name
    return operation
