"""Catalog queries that run while a revision holds its locks."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Protocol

import sqlalchemy as sa

from ringfence.schema.grants.difference import Privilege

if TYPE_CHECKING:
    from ringfence.schema.deployment import Deployment


class RevisionQueries(Protocol):
    """Catalog queries for a few tables, which run while a revision holds its locks.

    Their cost depends on those tables alone. Tables are pairs of the real schema and name.
    """

    def columns(
        self, connection: sa.Connection, tables: Collection[tuple[str, str]]
    ) -> Mapping[tuple[str, str], frozenset[str]]:
        """Return those of the tables that exist, each with its columns."""
        ...

    def declared(
        self, connection: sa.Connection, deployment: "Deployment", tables: Collection[tuple[str, str]]
    ) -> set[Privilege]:
        """Return those privileges of `Privileges.declared` that concern these tables."""
        ...

    def altered(self, connection: sa.Connection) -> frozenset[tuple[str, str]]:
        """Return the tables that this transaction has altered so far, or given an index or a trigger."""
        ...
