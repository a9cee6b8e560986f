"""The nodes of a server that belongs to no cluster."""

from collections.abc import Collection, Iterable

import sqlalchemy as sa

from ringfence.schema.engines.base import Accounts


class SingleServer:
    """There are no other nodes to compare, so that every result is empty."""

    def compare_schemas(
        self, connection: sa.Connection, schemas: Collection[str | None]
    ) -> tuple[list[str], list[str]]:
        """Return no difference and no node."""
        return [], []

    def compare_accounts(
        self, connection: sa.Connection, accounts: Accounts, logins: Iterable[str], schemas: Iterable[str]
    ) -> tuple[list[str], list[str]]:
        """Return no difference and no node."""
        return [], []
