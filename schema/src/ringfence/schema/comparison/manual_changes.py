"""A difference that no operation of Alembic's can mend: it is listed, and never passed over."""

from typing import Any

from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops


class ByHandOp(ops.MigrateOperation):
    """Stands for a change that a person must write, with `op.execute` or otherwise.

    Args:
        what: the change, in one line.
    """

    def __init__(self, what: str) -> None:
        self.what = what

    def reverse(self) -> ops.MigrateOperation:
        """Nothing is known of the way back."""
        return ops.OpContainer([])

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """For `alembic check`."""
        return ("by_hand", self.what)


@renderers.dispatch_for(ByHandOp)
def _render(context: AutogenContext, operation: ByHandOp) -> str:
    # A function of comments alone is no Python.
    return f"pass  # to be written by hand: {' '.join(operation.what.split())}"


def without_by_hand(container: ops.OpContainer) -> list[str]:
    """Take every `ByHandOp` out of what is to be written.

    Args:
        container: what a revision does; it is changed in place.

    Returns:
        What each stood for.
    """
    found = []
    kept: list[ops.MigrateOperation] = []
    for operation in container.ops:
        if isinstance(operation, ByHandOp):
            found.append(operation.what)
            continue
        if isinstance(operation, ops.OpContainer):
            found += without_by_hand(operation)
            if operation.is_empty():
                continue
        kept.append(operation)
    container.ops = kept
    return found
