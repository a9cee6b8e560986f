"""Which accounts draw from a sequence of the models when they insert, and so need its right."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.functions import next_value

from ringfence.schema.manifest.model import Account, Grant
from ringfence.schema.models.defaults import drawn


def draws(
    accounts: Iterable[Account], tables: Mapping[str, sa.Table]
) -> Iterator[tuple[Account, Grant, sa.Sequence]]:
    """Each account whose inserts draw from a sequence: its right to insert, and the sequence.

    A default of the server draws for who may not write its column too.

    Args:
        accounts: those of the manifest.
        tables: the models' tables by the manifest's keys.
    """
    for account in accounts:
        for grant in account.grants:
            # A table that a contract is to take away is granted still, and the models have it no more.
            if grant.verb == "insert" and grant.key in tables:
                for column in tables[grant.key].columns:
                    named = grant.columns is None or column.name in grant.columns
                    for sequence, by_server in drawn_from(column):
                        if by_server or named:
                            yield account, grant, sequence


def drawn_from(column: sa.Column[Any]) -> Iterator[tuple[sa.Sequence, bool]]:
    """The sequences that a column's value is drawn from, each with whether the server's own default draws."""
    said = getattr(column.server_default, "arg", None)
    if isinstance(said, next_value):
        yield said.sequence, True
    elif (sequence := drawn(column)) is not None:
        yield sequence, False
