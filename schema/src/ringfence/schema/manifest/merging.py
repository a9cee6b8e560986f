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
    document: Document, service: str, table: sa.Table, wishes: Mapping[str, list[RequestedGrant]]
) -> list[Grant]:
    """Merge the rules of one account for one table into at most one grant for each verb.

    Args:
        document: the manifest; it records rules that cannot be merged as mistakes.
        service: the account's.
        table: the table.
        wishes: what the rules ask for, by verb, in the order of the rules.
    """
    sums = {verb: _add(document, service, table, verb, wishes[verb]) for verb in VERBS if verb in wishes}
    order = [str(column.name) for column in table.columns]
    seen = sums["select"].scope if "select" in sums else None
    fixed = scopes.columns(seen) | (scopes.columns(sums["update"].scope) if "update" in sums else frozenset())
    grants = []
    for verb, total in sums.items():
        effective, columns = total.scope, total.columns
        if verb != "select" and seen is not None:
            effective = _effective(document, service, table, verb, total, seen, order)
        if verb == "update" and fixed:
            columns = _updatable(document, table, wishes[verb], total, fixed, order)
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
                tuple(sorted({name for wish in wishes[verb] for name in wish.binds})),
            )
        )
    return grants


def _add(
    document: Document, service: str, table: sa.Table, verb: str, wishes: list[RequestedGrant]
) -> _Merged:
    """Merge the rules for one verb: rules with equal rows unite their columns, rules with equal columns their rows."""
    first, *further = _gathered(wishes)
    total = _Merged(first.columns, first.scope, (first.origin,))
    widen = any(wish.widen for wish in wishes)
    for wish in further:
        same_rows, same_columns = wish.scope == total.scope, wish.columns == total.columns
        if not (same_rows or widen):
            _check(
                document, f"{service!r}: {verb} on {table.fullname!r}", total, wish, same_columns=same_columns
            )
        total = _Merged(
            _union(total.columns, wish.columns), scopes.union(total.scope, wish.scope), total.origins
        )
    return _Merged(total.columns, total.scope, tuple(dict.fromkeys(wish.origin for wish in wishes)))


def _gathered(wishes: list[RequestedGrant]) -> list[RequestedGrant]:
    """Merge the rules with equal rows first, so that rules are only compared after their columns were united."""
    found: list[RequestedGrant] = []
    for wish in wishes:
        place = next((n for n, known in enumerate(found) if known.scope == wish.scope), None)
        if place is None:
            found.append(wish)
        else:
            known = found[place]
            found[place] = RequestedGrant(
                _union(known.columns, wish.columns), wish.scope, known.origin, wish.widen
            )
    return found


def _check(
    document: Document, what: str, total: _Merged, wish: RequestedGrant, *, same_columns: bool
) -> None:
    told = f"{what}, with the rule in line {total.origins[0].line}"
    if not same_columns:
        document.mistake(
            wish.origin.line,
            f"{told}: the two name different columns for different rows, which no engine can tell apart; name the same"
            " columns or the same rows, or say `widen: true`, and every row of the one shows the columns of the other",
        )
    elif scopes.includes(wish.scope, total.scope) or scopes.includes(total.scope, wish.scope):
        document.mistake(
            wish.origin.line,
            f"{told}: one's rows ({scopes.to_text(wish.scope)}) and the other's"
            f" ({scopes.to_text(total.scope)}) hold each other, so that the narrower one means nothing;"
            " take it out, or say `widen: true`",
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
            total.origins[0].line, f"{what}: {error} cannot both be held; write the same for select"
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
    wishes: Iterable[RequestedGrant],
    total: _Merged,
    fixed: frozenset[str],
    order: Iterable[str],
) -> frozenset[str]:
    """The columns of an update without those of the scopes: changing them would move a row out of the scope."""
    for wish in wishes:
        for name, line in wish.named:
            if name in fixed:
                document.mistake(
                    line,
                    f"{name!r} of {table.fullname!r} says which rows are the account's, so it cannot be updated by it:"
                    " take it out",
                )
    columns = (frozenset(order) if total.columns is None else total.columns) - fixed
    if not columns:
        document.mistake(
            total.origins[0].line, f"update of {table.fullname!r}: no column is left beside those of its rows"
        )
    return columns


def _union(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    return None if one is None or other is None else one | other
