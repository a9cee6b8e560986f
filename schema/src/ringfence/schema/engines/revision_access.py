"""What is asked of the server while a revision holds its locks."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Protocol

import sqlalchemy as sa

from ringfence.schema.grants.difference import Privilege

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment


class Within(Protocol):
    """What is asked while a revision holds its locks: of a few tables, at the cost of those few.

    Tables are (schema, name), the real ones.
    """

    def columns(
        self, connection: sa.Connection, tables: Collection[tuple[str, str]]
    ) -> Mapping[tuple[str, str], frozenset[str]]:
        """Those of the tables that are there, with their columns."""
        ...

    def wanted(
        self, connection: sa.Connection, deployment: "Deployment", tables: Collection[tuple[str, str]]
    ) -> set[Privilege]:
        """What of `Accounts.wanted` is of these tables."""
        ...

    def altered(self, connection: sa.Connection) -> frozenset[tuple[str, str]]:
        """The tables that this transaction has altered so far, or given an index or a trigger."""
        ...
