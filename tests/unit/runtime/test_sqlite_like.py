"""The LIKE of ours on SQLite means what LIKE means."""

import re
import sqlite3

from hypothesis import given, settings
from hypothesis import strategies as st

from ringfence.runtime.engines.sqlite.functions import like

_CHARACTERS = "ab%_!.\\*\n\ufffd\ufffe\uffff"


def _as_regex(pattern: str) -> str:
    made, literal = "", False
    for character in pattern:
        if literal or character not in "%_!":
            made, literal = made + re.escape(character), False
        elif character == "!":
            literal = True
        else:
            made += ".*" if character == "%" else "."
    return made


@settings(max_examples=500, deadline=None)
@given(st.text(_CHARACTERS, max_size=8), st.text(_CHARACTERS, max_size=8))
def test_it_matches_what_the_pattern_says(text: str, pattern: str) -> None:
    if re.search("(?<!!)(!!)*!$", pattern):
        return  # it ends with its escape
    wanted = re.fullmatch(_as_regex(pattern), text, re.DOTALL) is not None
    assert like(text, pattern) == wanted
    if not re.search("[\ufffd-\uffff]", pattern):
        connection = sqlite3.connect(":memory:")
        connection.execute("PRAGMA case_sensitive_like = ON")
        assert connection.execute("SELECT ? LIKE ? ESCAPE '!'", (text, pattern)).fetchone() == (wanted,)
        connection.close()


def test_null_and_other_kinds() -> None:
    assert like(None, "a") is None
    assert like("a", None) is None
    assert like(12, "1%") is True
    assert like(b"ab", "a_") is True


def test_many_wildcards_take_no_time() -> None:
    assert like("a" * 20_000, "%a" * 200 + "%b") is False
