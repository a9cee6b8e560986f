"""Finds indexes that PostgreSQL does not search for accounts under a row policy."""

from collections.abc import Iterator

from ringfence.schema.deployment import Deployment
from ringfence.schema.engines import lost_indexes
from ringfence.schema.engines.postgresql.leakproof_indexes import UnusableIndex
from ringfence.schema.manifest.model import Grant
from ringfence.schema.review.finding import NOTE, Finding, finding


def unusable_indexes(deployment: Deployment) -> Iterator[Finding]:
    """Report each index of the models that the scoped accounts of its table cannot use.

    Args:
        deployment: its engines, models and accounts.

    Yields:
        One note for each index, which names all its accounts, at the line of the first of them.
    """
    found: dict[tuple[str, UnusableIndex], dict[str, Grant]] = {}
    for account in deployment.accounts.values():
        for grant in account.grants:
            if grant.scope is None or grant.verb == "insert":
                continue
            columns = tuple(dict.fromkeys(one.column for part in grant.scope for one in part))
            for lost in lost_indexes(deployment.engines, deployment.tables[grant.key], columns):
                found.setdefault((grant.key, lost), {}).setdefault(account.service, grant)
    for (key, lost), grants in found.items():
        grant = next(iter(grants.values()))
        begin = ", ".join(dict.fromkeys(one.column for part in grant.scope or () for one in part))
        keeps = f"; or {lost.resolution}" if lost.resolution else ""
        yield finding(
            "unusable-index",
            NOTE,
            grant.origin,
            f"PostgreSQL searches {lost.index} of {key!r} by {lost.what} for no condition of"
            f" {', '.join(map(repr, grants))}, kept to rows by a policy: {lost.why}",
            f"begin it with {begin}, so that the account's own rows alone are read{keeps}",
        )
