"""Merges the rules of one account into its grants.

The columns of one rule are never combined with the rows of another, unless the manifest says `widen: true`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from ringfence.runtime.mirror import VERBS
from ringfence.schema.documents import Document
from ringfence.schema.manifest import scopes
from ringfence.schema.manifest.model import Grant, Origin, Scope


@dataclass(frozen=True)
class RequestedGrant:
    """One verb on one table, as one rule asks for it.

    `columns` None means the whole table. `named` are the columns that the rule lists, each with its line.
    """

    columns: frozenset[str] | None
    scope: Scope
    origin: Origin
    widen: bool
    named: tuple[tuple[str, int], ...] = ()
    binds: frozenset[str] = frozenset()
    """The bound scopes that a view's WHERE reads."""


@dataclass(frozen=True)
class _Merged:
    columns: frozenset[str] | None
    scope: Scope
    origins: tuple[Origin, ...]


def table_grants(
    document: Document, service: str, table: sa.Table, requests: Mapping[str, list[RequestedGrant]]
) -> list[Grant]:
    """Merge the rules of one account for one table into at most one grant for each verb.

    Args:
        document: the manifest; it records rules that cannot be merged as mistakes.
        service: the account's.
        table: the table.
        requests: what the rules ask for, by verb, in the order of the rules.
    """
    sums = {verb: _add(document, service, table, verb, requests[verb]) for verb in VERBS if verb in requests}
    order = [str(column.name) for column in table.columns]
    seen = sums["select"].scope if "select" in sums else None
    fixed = scopes.columns(seen) | (scopes.columns(sums["update"].scope) if "update" in sums else frozenset())
    grants = []
    for verb, total in sums.items():
        effective, columns = total.scope, total.columns
        if verb != "select" and seen is not None:
            effective = _effective(document, service, table, verb, total, seen, order)
        if verb == "update" and fixed:
            columns = _updatable(document, table, requests[verb], total, fixed, order)
        grants.append(
            Grant(
                verb,
                None if table.schema is None else str(table.schema),
                str(table.name),
                None if columns is None else tuple(name for name in order if name in columns),
                total.origins[0],
                total.origins[1:],
                effective,
                total.scope,
                tuple(sorted({name for request in requests[verb] for name in request.binds})),
            )
        )
    return grants


def _add(
    document: Document, service: str, table: sa.Table, verb: str, requests: list[RequestedGrant]
) -> _Merged:
    """Merge the rules for one verb: rules with equal rows unite their columns, rules with equal columns their rows."""
    first, *further = _gathered(requests)
    total = _Merged(first.columns, first.scope, (first.origin,))
    widen = any(request.widen for request in requests)
    for request in further:
        same_rows, same_columns = request.scope == total.scope, request.columns == total.columns
        if not (same_rows or widen):
            _check(
                document,
                f"{service!r}: {verb} on {table.fullname!r}",
                total,
                request,
                same_columns=same_columns,
            )
        total = _Merged(
            _union(total.columns, request.columns), scopes.union(total.scope, request.scope), total.origins
        )
    return _Merged(total.columns, total.scope, tuple(dict.fromkeys(request.origin for request in requests)))


def _gathered(requests: list[RequestedGrant]) -> list[RequestedGrant]:
    """Merge the rules with equal rows first, so that rules are only compared after their columns were united."""
    found: list[RequestedGrant] = []
    for request in requests:
        position = next((n for n, known in enumerate(found) if known.scope == request.scope), None)
        if position is None:
            found.append(request)
        else:
            known = found[position]
            found[position] = RequestedGrant(
                _union(known.columns, request.columns), request.scope, known.origin, request.widen
            )
    return found


def _check(
    document: Document, what: str, total: _Merged, request: RequestedGrant, *, same_columns: bool
) -> None:
    rules = f"{what}, with the rule in line {total.origins[0].line}"
    if not same_columns:
        document.mistake(
            request.origin.line,
            f"{rules}: the two name different columns for different rows, which cannot be expressed; name the same"
            " columns or the same rows, or set `widen: true`, and every row of the one shows the columns of the other",
        )
    elif scopes.includes(request.scope, total.scope) or scopes.includes(total.scope, request.scope):
        document.mistake(
            request.origin.line,
            f"{rules}: one's rows ({scopes.to_text(request.scope)}) and the other's"
            f" ({scopes.to_text(total.scope)}) include each other, so that the narrower one has no effect;"
            " take it out, or set `widen: true`",
        )


def _effective(
    document: Document,
    service: str,
    table: sa.Table,
    verb: str,
    total: _Merged,
    seen: Scope,
    order: Iterable[str],
) -> Scope:
    """The rows that a write reaches: those of its own scope that are in the SELECT scope too."""
    what = f"{service!r}: {verb} on {table.fullname!r}"
    try:
        effective = scopes.intersection(total.scope, seen, order)
    except scopes.InexpressibleScope as error:
        document.mistake(
            total.origins[0].line, f"{what}: {error} cannot both be satisfied; write the same for select"
        )
        return total.scope
    if effective == ():
        document.mistake(
            total.origins[0].line,
            f"{what} reaches no row: its rows ({scopes.to_text(total.scope)}) and those of select"
            f" ({scopes.to_text(seen)}) exclude each other",
        )
    return effective


def _updatable(
    document: Document,
    table: sa.Table,
    requests: Iterable[RequestedGrant],
    total: _Merged,
    fixed: frozenset[str],
    order: Iterable[str],
) -> frozenset[str]:
    """The columns of an update without those of the scopes: changing them would move a row out of the scope."""
    for request in requests:
        for name, line in request.named:
            if name in fixed:
                document.mistake(
                    line,
                    f"{name!r} of {table.fullname!r} is in the condition of the account's rows, so the account cannot"
                    " update it: take it out",
                )
    columns = (frozenset(order) if total.columns is None else total.columns) - fixed
    if not columns:
        document.mistake(
            total.origins[0].line, f"update of {table.fullname!r}: no column is left beside those of its rows"
        )
    return columns


def _union(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    return None if one is None or other is None else one | other
