"""Stand-in operation for a difference that no Alembic operation can express, so that it is listed and not ignored."""

from typing import Any

from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops

from ringfence.schema.alembic_compat import renderer


class ManualChangeOp(ops.MigrateOperation):
    """A change that a person must write by hand, with `op.execute` or otherwise.

    Args:
        what: description of the change, in one line.
    """

    def __init__(self, what: str) -> None:
        self.what = what

    def reverse(self) -> ops.MigrateOperation:
        """Return an empty container: the downgrade of a manual change is unknown."""
        return ops.OpContainer([])

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return the change as `alembic check` lists it."""
        return ("by_hand", self.what)


@renderer(ManualChangeOp)
def _render(context: AutogenContext, operation: ManualChangeOp) -> str:
    # `pass`, because a function body that holds only comments is not valid Python.
    return f"pass  # to be written by hand: {' '.join(operation.what.split())}"


def remove_manual_changes(container: ops.OpContainer) -> list[str]:
    """Remove every `ManualChangeOp` from the operations of a revision.

    Args:
        container: the operations of a revision, nested or not; it is changed in place.

    Returns:
        The descriptions of the removed changes.
    """
    found = []
    kept: list[ops.MigrateOperation] = []
    for operation in container.ops:
        if isinstance(operation, ManualChangeOp):
            found.append(operation.what)
            continue
        if isinstance(operation, ops.OpContainer):
            found += remove_manual_changes(operation)
            if operation.is_empty():
                continue
        kept.append(operation)
    container.ops = kept
    return found
