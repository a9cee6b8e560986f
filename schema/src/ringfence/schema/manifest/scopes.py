"""Scopes as sets of rows: inclusion, union, intersection, and their text for messages."""

from collections.abc import Iterable, Iterator
from itertools import product

from ringfence.schema.manifest.model import Condition, Conjunction, Scope


class InexpressibleScope(ValueError):
    """Two conditions on one column whose conjunction no single condition can express."""


def includes(wide: Scope, narrow: Scope) -> bool:
    """Whether every row of `narrow` is certainly in `wide`.

    Args:
        wide: the scope that may include the other; a condition on a bound value is only met by the same condition.
        narrow: the scope that may be included.
    """
    if wide is None:
        return True
    if narrow is None:
        return False
    return all(any(_holds(part, inner) for part in wide) for inner in narrow)


def union(left: Scope, right: Scope) -> Scope:
    """The union of two scopes, without alternatives that another alternative includes."""
    return None if left is None or right is None else _shortest((*left, *right))


def intersection(left: Scope, right: Scope, order: Iterable[str]) -> Scope:
    """The intersection of two scopes; the empty tuple when they exclude each other.

    Args:
        left: one scope.
        right: the other.
        order: the table's columns, in the order that conditions get.

    Raises:
        InexpressibleScope: one column would have to equal a bound value and something else.
    """
    if left is None or right is None:
        return left if right is None else right
    positions = {column: position for position, column in enumerate(order)}
    parts = (_joined(one, other, positions) for one, other in product(left, right))
    return _shortest(part for part in parts if part is not None)


def columns(scope: Scope) -> frozenset[str]:
    """The columns that the conditions of a scope are on."""
    return frozenset(condition.column for part in scope or () for condition in part)


def to_text(scope: Scope) -> str:
    """Write a scope as a text for messages."""
    if scope is None:
        return "every row"
    parts = [" and ".join(map(_described, part)) for part in scope]
    return " or ".join(f"({part})" if len(parts) > 1 and " and " in part else part for part in parts)


def _described(condition: Condition) -> str:
    match condition.kind:
        case "null":
            return f"{condition.column} is null"
        case "in":
            return f"{condition.column} in {', '.join(map(repr, condition.value))}"
        case "bound":
            return f"{condition.column} = :{condition.value}"
    return f"{condition.column} = {condition.value!r}"


def _holds(part: Conjunction, inner: Conjunction) -> bool:
    """Whether every row that meets `inner` meets `part` too."""
    return all(any(_implies(given, condition) for given in inner) for condition in part)


def _implies(given: Condition, condition: Condition) -> bool:
    if given.column != condition.column:
        return False
    if given == condition:
        return True
    constants = _constants(given)
    allowed = _constants(condition)
    return constants is not None and allowed is not None and set(constants) <= set(allowed)


def _constants(condition: Condition) -> tuple[object, ...] | None:
    return {"equals": (condition.value,), "in": condition.value}.get(condition.kind)


def _joined(one: Conjunction, other: Conjunction, positions: dict[str, int]) -> Conjunction | None:
    """Join two conjunctions, or give None where no row can meet both."""
    found: dict[str, Condition] = {}
    for condition in (*one, *other):
        known = found.get(condition.column)
        met = condition if known is None else _met(known, condition)
        if met is None:
            return None
        found[condition.column] = met
    return tuple(sorted(found.values(), key=lambda condition: positions[condition.column]))


def _met(one: Condition, other: Condition) -> Condition | None:
    if _implies(one, other):
        return one
    if _implies(other, one):
        return other
    if "bound" in (one.kind, other.kind):
        raise InexpressibleScope(f"{_described(one)} and {_described(other)}")
    left, right = _constants(one), _constants(other)
    if left is None or right is None:
        return None
    shared = tuple(constant for constant in left if constant in right)
    if not shared:
        return None
    return (
        Condition(one.column, "in", shared) if len(shared) > 1 else Condition(one.column, "equals", shared[0])
    )


def _shortest(parts: Iterable[Conjunction]) -> tuple[Conjunction, ...]:
    """Remove duplicate alternatives and those that another alternative includes."""
    once = list(dict.fromkeys(parts))
    return tuple(part for position, part in enumerate(once) if not any(_including(once, position, part)))


def _including(parts: list[Conjunction], position: int, part: Conjunction) -> Iterator[bool]:
    for other_position, other in enumerate(parts):
        if other_position != position and _holds(other, part):
            yield other_position < position or not _holds(part, other)
