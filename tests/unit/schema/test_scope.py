"""Scopes as sets of rows, compared with what they say of every row of a small table."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringfence.schema.manifest import scopes
from ringfence.schema.manifest.model import Condition

DOMAIN = {"a": (None, 1, 2, 3), "b": (None, True, False), "c": (None, "x", "y")}
ROWS = [dict(zip(DOMAIN, values, strict=True)) for values in product(*DOMAIN.values())]

constants = {column: [value for value in values if value is not None] for column, values in DOMAIN.items()}


@st.composite
def conditions(draw, column):
    kind = draw(st.sampled_from(("equals", "in", "null")))
    if kind == "null":
        return Condition(column, "null")
    value = st.sampled_from(constants[column])
    if kind == "equals":
        return Condition(column, "equals", draw(value))
    chosen = draw(st.lists(value, min_size=2, max_size=2, unique=True))
    return Condition(column, "in", tuple(chosen))


@st.composite
def conjunctions(draw):
    columns = draw(st.sets(st.sampled_from(sorted(DOMAIN)), min_size=1))
    return tuple(draw(conditions(column)) for column in sorted(columns))


drawn = st.none() | st.lists(conjunctions(), min_size=1, max_size=3).map(tuple)


def matches(condition, row):
    value = row[condition.column]
    if condition.kind == "null":
        return value is None
    wanted = condition.value if condition.kind == "in" else (condition.value,)
    return value in wanted


def rows_of(scope):
    return {
        place
        for place, row in enumerate(ROWS)
        if scope is None or any(all(matches(condition, row) for condition in part) for part in scope)
    }


@given(drawn, drawn)
def test_sums_and_products_have_the_rows_that_sets_of_rows_have(left, right):
    assert rows_of(scopes.union(left, right)) == rows_of(left) | rows_of(right)
    assert rows_of(scopes.intersection(left, right, DOMAIN)) == rows_of(left) & rows_of(right)


@given(drawn, drawn)
def test_a_scope_that_covers_another_has_its_rows(wide, narrow):
    if scopes.includes(wide, narrow):
        assert rows_of(narrow) <= rows_of(wide)
    assert scopes.includes(wide, wide)


def test_a_bound_name_is_covered_by_itself_alone():
    bound, other, constant = (
        Condition("a", kind, value)
        for kind, value in (("bound", "tenant"), ("bound", "owner"), ("equals", 1))
    )
    assert scopes.includes(((bound,),), ((bound, Condition("b", "null")),))
    assert not scopes.includes(((bound,),), ((other,),))
    assert not scopes.includes(((bound,),), ((constant,),))
    with pytest.raises(scopes.InexpressibleScope, match="a = :tenant and a = 1"):
        scopes.intersection(((bound,),), ((constant,),), DOMAIN)


def test_a_scope_reads_as_a_sentence():
    parts = (
        (Condition("a", "in", (1, 2)), Condition("b", "null")),
        (Condition("c", "bound", "owner"),),
    )
    assert scopes.to_text(parts) == "(a in 1, 2 and b is null) or c = :owner"
    assert scopes.to_text(None) == "every row"
