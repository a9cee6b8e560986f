"""The journal of a rehearsal, which records nothing because nothing is committed."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa

from ringfence.schema.job.journal import Journal
from ringfence.schema.state.columns import ColumnPath


class NullJournal(Journal):
    """A journal without entries; it keeps each revision in one transaction, including its `autocommit_block`s."""

    def listen(self, engine: sa.Engine) -> None:
        """Do nothing: no statement is recorded."""

    @contextlib.contextmanager
    def revision(
        self, ctx: Any, revision: str, direction: str, path: str, columns: Callable[[], frozenset[ColumnPath]]
    ) -> Iterator[None]:
        """Replace Alembic's `autocommit_block` by one that commits nothing."""
        vars(ctx)["autocommit_block"] = contextlib.nullcontext
        try:
            yield
        finally:
            del vars(ctx)["autocommit_block"]
