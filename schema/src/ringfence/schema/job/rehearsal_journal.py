"""The journal of a rehearsal: nothing commits there, and so nothing is written down."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa

from ringfence.schema.job.journal import Journal
from ringfence.schema.state.columns import ColumnPath


class Unwritten(Journal):
    """Lets revisions run in one transaction, what asks for one of its own too."""

    def listen(self, engine: sa.Engine) -> None:
        """Nothing is listened to."""

    @contextlib.contextmanager
    def revision(
        self, ctx: Any, revision: str, direction: str, path: str, columns: Callable[[], frozenset[ColumnPath]]
    ) -> Iterator[None]:
        """See Journal. An `autocommit_block` commits nothing."""
        vars(ctx)["autocommit_block"] = contextlib.nullcontext
        try:
            yield
        finally:
            del vars(ctx)["autocommit_block"]
