"""Finds the accounts whose inserts use a sequence of the models, and what privileges that needs."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import sqlalchemy as sa

from ringfence.schema.features import FEATURES
from ringfence.schema.manifest.model import Account, Grant
from ringfence.schema.models.sequences import sequences_of


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


def unreadable_sequence_problem(
    column: sa.Column[Any], grants: Mapping[str, Grant], engines: Iterable[str]
) -> str | None:
    """Explain why an account with insert but not select cannot fill a column from its sequence.

    Args:
        column: of the models.
        grants: of one account on the column's table, by verb.
        engines: the names of the deployment's engines.

    Returns:
        The message with how to resolve it; None where the account can fill the column.
    """
    insert = grants.get("insert")
    unable = [engine for engine in engines if FEATURES[engine].sequences_need_select]
    if insert is None or "select" in grants or not unable:
        return None
    named = insert.columns is None or column.name in insert.columns
    names = [repr(str(sequence.name)) for sequence, by_server in sequences_of(column) if by_server or named]
    default = str(getattr(column.server_default, "arg", "")).lower()
    if not names and not ("nextval" in default or "next value for" in default):
        return None
    return (
        f"it is numbered by the sequence {names[0] if names else 'of its default'}, which {', '.join(unable)} let an"
        " account use only with INSERT and SELECT on the sequence, and these also let it reset the sequence, so that an"
        " account that only inserts cannot: give it select on the table too, or number the column otherwise (a single"
        " integer key counts by itself)"
    )
