"""Attempts that show from which sequences an account may draw numbers, without drawing any."""

from collections.abc import Iterator

from ringfence.runtime import Database
from ringfence.schema.deployment import Deployment
from ringfence.schema.manifest.model import Account, Grant
from ringfence.schema.manifest.sequences import sequence_uses
from ringfence.schema.models.sequences import sequences_of

SequenceName = tuple[str | None, str]


def sequence_attempts(
    deployment: Deployment, account: Account, database: Database
) -> Iterator[tuple[str, str, Grant | None]]:
    """Yield, for each sequence of the models, how to try whether an account may draw from it.

    Args:
        deployment: its tables.
        account: the account that is tried.
        database: opened as the account.

    Yields:
        The sequence's name, a statement that needs the right to draw from it, and the grant that gives this right,
        if any.
    """
    given: dict[SequenceName, Grant] = {}
    for one, grant, sequence in sequence_uses(deployment.accounts.values(), deployment.tables):
        if one is account:
            given[_sequence_name(sequence.schema, sequence.name)] = grant
    known = dict.fromkeys(
        _sequence_name(sequence.schema, sequence.name)
        for table in deployment.tables.values()
        for column in table.columns
        for sequence, _ in sequences_of(column)
    )
    for schema, name in known:
        sql = database.backend.sequence_privilege_probe(schema, name)
        if sql is not None:
            yield ".".join(filter(None, (schema, name))), sql, given.get((schema, name))


def _sequence_name(schema: str | None, name: str) -> SequenceName:
    return (None if schema is None else str(schema)), str(name)
