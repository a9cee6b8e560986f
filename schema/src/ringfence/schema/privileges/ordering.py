"""Order grants and revokes so that no account loses a privilege it keeps for longer than necessary."""

from collections.abc import Iterator

from ringfence.schema.features import Features
from ringfence.schema.grants.difference import Batch, Difference, batches, bundles


def ordered_changes(features: Features, change: Difference) -> Iterator[tuple[str, Batch]]:
    """Yield the grants and revokes of a difference in the order in which they are sent.

    Where each statement commits by itself, new grants come before revokes, and privileges that a revoke removes along
    with its own are granted again immediately after it.

    Args:
        features: those of the engine: whether an apply is one transaction, and whether a statement names many objects.
        change: the privileges to grant and to revoke.

    Yields:
        `grant` or `revoke`, and the batch.
    """
    again = {(b.login, b.kind, b.schema, b.name): b for b in bundles(change.regrant)}
    grants = [("grant", batch) for batch in batches(change.grant, many_objects=features.grants_many_objects)]
    if not features.transactional_ddl:
        yield from grants
    paired = [p for p in change.revoke if not features.transactional_ddl and p.target in again]
    for batch in batches(set(change.revoke).difference(paired), many_objects=features.grants_many_objects):
        yield "revoke", batch
    for bundle in bundles(paired):
        yield "revoke", bundle
        if taken := again.pop((bundle.login, bundle.kind, bundle.schema, bundle.name), None):
            yield "grant", taken
    if features.transactional_ddl:
        yield from grants
        yield from (
            ("grant", batch) for batch in batches(change.regrant, many_objects=features.grants_many_objects)
        )
