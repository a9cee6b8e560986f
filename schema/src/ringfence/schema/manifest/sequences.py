"""Finds the accounts whose inserts use a sequence of the models, and which therefore need a privilege on it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.functions import next_value

from ringfence.schema.manifest.model import Account, Grant
from ringfence.schema.models.defaults import insert_sequence


def sequence_uses(
    accounts: Iterable[Account], tables: Mapping[str, sa.Table]
) -> Iterator[tuple[Account, Grant, sa.Sequence]]:
    """Find the inserts that use a sequence.

    A server default uses its sequence even for an account that may not write the column.

    Args:
        accounts: those of the manifest.
        tables: the models' tables, by `table` or `schema.table`.

    Yields:
        The account, its grant of insert, and the sequence.
    """
    for account in accounts:
        for grant in account.grants:
            # A table that a contract revision will drop is still granted, and is no longer in the models.
            if grant.verb == "insert" and grant.key in tables:
                for column in tables[grant.key].columns:
                    named = grant.columns is None or column.name in grant.columns
                    for sequence, by_server in sequences_of(column):
                        if by_server or named:
                            yield account, grant, sequence


def sequences_of(column: sa.Column[Any]) -> Iterator[tuple[sa.Sequence, bool]]:
    """The sequence that a column takes its value from, if any, with whether the server's default uses it."""
    said = getattr(column.server_default, "arg", None)
    if isinstance(said, next_value):
        yield said.sequence, True
    elif (sequence := insert_sequence(column)) is not None:
        yield sequence, False
