"""Numbers with their nouns."""

from ringfence.schema.counting import counted


def test_one_is_no_plural():
    assert [counted(n, "account") for n in (0, 1, 2)] == ["0 accounts", "1 account", "2 accounts"]
