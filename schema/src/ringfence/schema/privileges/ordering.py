"""In which order rights are given and taken, so that nobody lacks for long what it is to keep."""

from collections.abc import Iterator

from ringfence.schema.engines.base import Accounts
from ringfence.schema.grants.difference import Batch, Bundle, Difference, batches, bundles


def orders(accounts: Accounts, change: Difference) -> Iterator[tuple[str, Batch]]:
    """What to say, each with `grant` or `revoke`.

    Where each statement commits, what is new comes before what goes, and what a revoke takes along follows it at once.
    """
    again = {(b.login, b.kind, b.schema, b.name): b for b in bundles(change.again)}
    grants = [("grant", batch) for batch in batches(change.grant, things=accounts.several)]
    if not accounts.atomic:
        yield from grants
    paired = [p for p in change.revoke if not accounts.atomic and p.place in again]
    for batch in batches(set(change.revoke).difference(paired), things=accounts.several):
        yield "revoke", batch
    for bundle in bundles(paired):
        yield "revoke", _alone(bundle)
        if taken := again.pop((bundle.login, bundle.kind, bundle.schema, bundle.name), None):
            yield "grant", _alone(taken)
    if accounts.atomic:
        yield from grants
        yield from (("grant", batch) for batch in batches(change.again, things=accounts.several))


def _alone(bundle: Bundle) -> Batch:
    return Batch((bundle.login,), bundle.kind, ((bundle.schema, bundle.name),), bundle.verbs)
