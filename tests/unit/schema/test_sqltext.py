"""SQL as servers print it, taken apart at the right commas; and as `sqlalchemy.text` takes it, unchanged."""

import re

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from ringfence.schema.sql.parsing import escaped, group, inside, name, names, split

PARTS = st.lists(
    st.sampled_from(
        ("a", "b + 1", "f(x, y)", "'it''s, (a) b'", '"odd, ""name"" ("', "((1, 2), 3)", "`x,``y`")
    ),
    min_size=1,
    max_size=6,
)


@given(PARTS)
def test_a_list_is_split_where_it_was_joined(parts):
    assert split(", ".join(parts)) == parts
    assert inside(f"f ({', '.join(parts)}) rest (x)") == (", ".join(parts), " rest (x)")


@given(st.text(st.sampled_from(":ab' %\\0{}"), max_size=20))
def test_text_renders_what_was_given_or_is_refused(sql):
    try:
        taken = escaped(sql)
    except ValueError as error:
        assert "cannot be escaped" in str(error)  # noqa: PT017 - most texts are taken
        assert re.search(r":\w\w+:", sql)
        return
    assert str(sa.text(taken).compile(dialect=sa.create_engine("sqlite://").dialect)) == sql


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", "a"),
        ('"Odd ""x"""', 'Odd "x"'),
        ("`a``b`", "a`b"),
        ("lower(a)", None),
        ('"a" "b"', None),
        ("A", None),
    ],
)
def test_a_name_is_distinguished_from_an_expression(text, expected):
    assert name(text) == expected


def test_a_list_of_names_holds_nothing_else():
    assert names('a, "b c"') == ["a", "b c"]
    assert names("a, lower(b)") is None


@pytest.mark.parametrize("text", ["(a", "('a)", "(a, 'b)"])
def test_an_unterminated_text_is_reported(text):
    with pytest.raises(ValueError, match="do not end"):
        group(text, 0)
