"""A cell of CSV says what its value was."""

import csv
import datetime as dt
import decimal
import io
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.runtime import JSON_NULL
from ringfence.runtime.dal.csv_files import read, written

_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
_JSON = st.recursive(
    _SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5
)
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(),
    "boolean": st.booleans(),
    "bigint": st.integers(),
    "double": st.floats(allow_nan=False),
    "blob": st.binary(),
    "interval": st.timedeltas(),
    "json": _JSON.filter(lambda value: value is not None) | st.just(JSON_NULL),
    "array": st.lists(st.none() | st.text()),
    "set": st.sets(st.text(st.characters(exclude_characters=",", codec="utf-8"), min_size=1)),
}
# What the column's codec takes as text.
AS_TEXT: dict[str, tuple[st.SearchStrategy[Any], Any]] = {
    "datetime": (st.datetimes() | st.datetimes(timezones=st.just(dt.UTC)), dt.datetime.fromisoformat),
    "date": (st.dates(), dt.date.fromisoformat),
    "time": (st.times(), dt.time.fromisoformat),
    "decimal(38,4)": (st.decimals(allow_nan=False, allow_infinity=False), decimal.Decimal),
}


def _through_a_file(value: Any, kind: str) -> str:
    file = io.StringIO(newline="")
    csv.writer(file).writerow(["before", written(value, kind)])
    (row,) = csv.reader(io.StringIO(file.getvalue(), newline=""))
    return row[1]


@pytest.mark.parametrize("kind", KINDS)
def test_every_value_comes_back(kind: str) -> None:
    @settings(max_examples=25, deadline=None)
    @given(KINDS[kind])
    def check(value: Any) -> None:
        found = read(_through_a_file(value, kind), kind, "text")
        assert found == value
        assert type(found) is type(value) or kind == "json"

    check()


@pytest.mark.parametrize("kind", AS_TEXT)
def test_every_text_that_a_codec_accepts_has_the_same_value(kind: str) -> None:
    values, parsed = AS_TEXT[kind]

    @settings(max_examples=25, deadline=None)
    @given(values)
    def check(value: Any) -> None:
        assert parsed(read(_through_a_file(value, kind), kind)) == value

    check()


def test_what_is_no_value_is_an_error_and_an_empty_cell_is_none() -> None:
    for kind, text in (
        ("bigint", "1.5"),
        ("boolean", "maybe"),
        ("blob", "!"),
        ("json", "{"),
        ("json", "NaN"),
    ):
        with pytest.raises(ValueError, match=r".+"):
            read(text, kind)
    assert [read("", kind) for kind in ("bigint", "date", "json", "string", "blob", "set")] == [
        *(None, None, None),
        *("", b"", set()),
    ]
    assert math.isinf(read("inf", "double"))
