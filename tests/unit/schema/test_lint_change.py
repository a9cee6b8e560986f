"""What a change of type does: which values are lost, and which table is written anew."""

import itertools

import pytest
import sqlalchemy as sa
from hypothesis import assume, given
from hypothesis import strategies as st

from ringfence.schema import models
from ringfence.schema.lint.type_changes import narrows, rewrites, same
from ringfence.schema.models.types import DIALECTS, ENGINES

DIALECT = {engine: sa.make_url(f"{DIALECTS[engine]}://").get_dialect()() for engine in ENGINES}
PLAIN = [
    sa.Boolean(),
    sa.SmallInteger(),
    sa.Integer(),
    sa.BigInteger(),
    sa.Double(),
    sa.Date(),
    sa.Uuid(),
    models.Timestamp(),
    models.NaiveTimestamp(),
    models.PreciseTime(),
    models.Duration(),
    models.LongText(),
    models.LongBytes(),
    models.Json(),
]
decimals = st.integers(1, 15).flatmap(lambda p: st.builds(sa.Numeric, st.just(p), st.integers(0, p)))
strings = st.builds(sa.String, st.integers(1, 400))
types = st.one_of(st.sampled_from(PLAIN), decimals, strings)
engines = st.sampled_from(ENGINES)


@given(types, engines)
def test_a_type_that_stays_changes_nothing(type_, engine):
    assert same(type_, type_, DIALECT[engine])
    assert not narrows(type_, type_, engine, DIALECT[engine])
    assert not rewrites(type_, type_, engine, DIALECT[engine])


@given(types, types, engines)
def test_a_change_and_its_reverse_lose_something_unless_both_are_one(old, new, engine):
    dialect = DIALECT[engine]
    assume(not same(old, new, dialect))
    assert narrows(old, new, engine, dialect) or narrows(new, old, engine, dialect)


@given(strings, strings, engines)
def test_a_string_is_narrowed_when_it_becomes_shorter(old, new, engine):
    assert narrows(old, new, engine, DIALECT[engine]) == (new.length < old.length)


@given(decimals, decimals, engines)
def test_a_decimal_is_narrowed_when_digits_on_either_side_go(old, new, engine):
    lost = new.scale < old.scale or new.precision - new.scale < old.precision - old.scale
    assert narrows(old, new, engine, DIALECT[engine]) == lost


@given(st.integers(1, 400), st.integers(1, 400))
def test_a_longer_string_is_free_on_postgresql_and_within_its_length_byte_on_mysql(a, b):
    old, new = sa.String(min(a, b)), sa.String(max(a, b))
    assert not rewrites(old, new, "postgresql", DIALECT["postgresql"])
    crosses = old.length * 4 <= 255 < new.length * 4
    assert rewrites(old, new, "mysql", DIALECT["mysql"]) == crosses


@given(types, types, engines)
def test_only_sqlite_rewrites_without_long_waits(old, new, engine):
    assert not rewrites(old, new, "sqlite", DIALECT["sqlite"])


WHOLE = [sa.Boolean(), sa.SmallInteger(), sa.Integer(), sa.BigInteger()]


@pytest.mark.parametrize(("small", "large"), list(itertools.combinations(WHOLE, 2)))
@pytest.mark.parametrize("engine", ["postgresql", "mysql"])
def test_whole_numbers_fit_into_larger_ones(small, large, engine):
    assert not narrows(small, large, engine, DIALECT[engine])
    assert narrows(large, small, engine, DIALECT[engine])
    assert rewrites(small, large, engine, DIALECT[engine])


@pytest.mark.parametrize(
    ("old", "new", "lost"),
    [
        (sa.Integer(), sa.Numeric(10, 0), False),
        (sa.Integer(), sa.Numeric(10, 1), True),
        (sa.Uuid(), sa.String(36), False),
        (sa.Uuid(), sa.String(35), True),
        (sa.Enum("a", "bcd", name="e"), sa.String(3), False),
        (sa.Enum("a", "bcd", name="e"), sa.String(2), True),
        (sa.String(9), sa.Enum("a", name="e"), True),
        (sa.Date(), models.Timestamp(), False),
        (models.Timestamp(), sa.Date(), True),
        (models.Timestamp(), models.NaiveTimestamp(), True),
        (sa.Text(), sa.String(9), True),
        (sa.Numeric(8, 2), sa.Integer(), True),
    ],
)
def test_from_one_kind_to_another_on_postgresql(old, new, lost):
    assert narrows(old, new, "postgresql", DIALECT["postgresql"]) == lost
