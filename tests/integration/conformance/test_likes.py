"""LIKE and its family mean on every engine what the same question means in Python."""

import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ringfence.runtime import ArgumentError, Database, DataError

# Letters whose lower case every engine agrees on, and every character that has a meaning somewhere.
LETTERS = "aAbBzZéÉñÑßüÜжЖωΩ"
ENDS = (
    "\ufffd\ufffe\uffff\U0001fffe\U0001ffff\U0010ffff"  # of planes, which some engines take for one character
)
SPECIAL = "%_!\\'\"|$^*+?.[](){}/:; \n\t😀𝄞" + ENDS
hostile = st.text(st.sampled_from(LETTERS + SPECIAL), max_size=8)
PROPERTY = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def as_regex(pattern: str, escape: str | None = None) -> str:
    """What a LIKE pattern says, as a regular expression of Python's."""
    made, literal = "", False
    for character in pattern:
        if literal or character not in ("%", "_", escape):
            made += re.escape(character)
            literal = False
        elif character == escape:
            literal = True
        else:
            made += ".*" if character == "%" else "."
    return made


def matches(pattern: str, text: str, escape: str | None = None) -> bool:
    return re.fullmatch(as_regex(pattern, escape), text, re.DOTALL) is not None


@PROPERTY
@given(stored=hostile, asked=hostile)
@example(stored="a", asked="A")
@example(stored="a\\b", asked="a\\%")
@example(stored="50%", asked="50!%")
@example(stored="É", asked="é")
@example(stored="a ", asked="a")
@example(stored="'; --", asked="'%")
@example(stored="\uffff\ufffd", asked="\ufffe_")
@example(stored="a\ufffe", asked="%\uffff%")
def test_every_question_is_answered_as_python_would(shop: Database, stored: str, asked: str) -> None:
    with shop.session() as dal:
        field = dal.specimen.name
        key = dal.specimen.insert(name=stored)

        def found(query: object) -> bool:
            return dal((dal.specimen.id == key) & query).count() == 1

        low, question = stored.lower(), asked.lower()
        assert found(field.like(asked)) == matches(asked, stored)
        assert found(field.startswith(asked)) == stored.startswith(asked)
        assert found(field.endswith(asked)) == stored.endswith(asked)
        assert found(field.contains(asked, case_sensitive=True)) == (asked in stored)
        assert found(field == asked) == (stored == asked)
        assert found(field != asked) == (stored != asked)
        assert found(field.belongs([asked, "no such"])) == (stored == asked)
        if not (folds_all_letters(shop) or (stored + asked).isascii()):
            return
        assert found(field.ilike(asked)) == matches(question, low)
        assert found(field.contains(asked)) == (question in low)
        assert found(field.lower() == question) == (low == question)
        assert found(field.upper() == asked.upper().replace("SS", "ß")) or stored != asked or "ß" in stored


def folds_all_letters(shop: Database) -> bool:
    """Not so on a PostgreSQL database of locale C, which knows the letters of ASCII alone (docs/reference/types.md)."""
    if shop.settings.db_type != "postgresql":
        return True
    sql = "SELECT datctype FROM pg_database WHERE datname = current_database()"
    return shop.dal.executesql(sql)[0][0] not in ("C", "POSIX")


@PROPERTY
@given(
    stored=hostile, asked=hostile.filter(lambda text: not text.endswith("\\")), escape=st.sampled_from("\\!|")
)
def test_an_escape_character_of_the_programs_own(
    shop: Database, stored: str, asked: str, escape: str
) -> None:
    asked = asked.rstrip(escape)
    with shop.session() as dal:
        key = dal.specimen.insert(name=stored)
        query = (dal.specimen.id == key) & dal.specimen.name.like(asked, escape=escape)
        assert (dal(query).count() == 1) == matches(asked, stored, escape)


def test_a_dangling_escape_is_refused(shop: Database) -> None:
    with pytest.raises(DataError), shop.session() as dal:
        dal(dal.specimen.name.like("abc!", escape="!")).select()


def test_a_column_may_be_the_pattern(shop: Database) -> None:
    with shop.session() as dal:
        table = dal.specimen
        table.insert(name="50%_! off", story="_!")
        table.insert(name="50 off", story="%")
        assert [row.name for row in dal(table.name.contains(table.story)).select()] == ["50%_! off"]
        assert dal(table.name.like(table.story)).select().first().name == "50 off"
        assert dal(table.name.startswith(table.story)).count() == 0
        with pytest.raises(ArgumentError):
            dal(table.name.like(table.story, escape="!")).count()


def test_ends_of_planes_in_a_pattern_of_a_column_and_in_long_ones(shop: Database) -> None:
    with shop.session() as dal:
        table = dal.specimen
        for one in ENDS:
            for other in ENDS:
                table.insert(name=f"a{one}b", story=other)
        assert dal(table.name.contains(table.story, case_sensitive=True)).count() == len(ENDS)
        assert dal(table.name.ilike(table.story)).count() == 0
        long = "é%_!" * 15_000
        key = table.insert(story=f"x{long}y")
        assert [row.id for row in dal(table.story.contains(long)).select(table.id)] == [key]
        assert dal(table.story.startswith(long)).count() == 0


def test_numbers_and_enums_are_matched_as_text(shop: Database) -> None:
    with shop.session() as dal:
        table = dal.specimen
        table.insert(whole=1234, mood="calm")
        table.insert(whole=5678, mood="wild")
        assert [row.whole for row in dal(table.whole.like("12%")).select()] == [1234]
        assert [row.whole for row in dal(table.mood.like("%il%")).select()] == [5678]


def test_regular_expressions(shop: Database) -> None:
    with shop.session() as dal:
        field = dal.specimen.name
        for name in ("abc", "ABC", "x1y", "it's \\"):
            dal.specimen.insert(name=name)

        def names(query: object) -> list[str]:
            return sorted(row.name for row in dal(query).select(field))

        assert names(field.regexp("^a")) == ["abc"]
        assert names(field.regexp("^a", match_parameter="i")) == ["ABC", "abc"]
        assert names(field.regexp("[0-9]")) == ["x1y"]
        assert names(field.regexp("'s \\\\$")) == ["it's \\"]
        with pytest.raises(ArgumentError):
            dal(field.regexp("a", match_parameter="x")).count()
