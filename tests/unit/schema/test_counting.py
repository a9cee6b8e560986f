"""Numbers with their nouns."""

from ringfence.schema.text import counted


def test_one_is_no_plural():
    assert [counted(n, "account") for n in (0, 1, 2)] == ["0 accounts", "1 account", "2 accounts"]
    agreeing = [counted(n, "account agrees", "accounts agree") for n in (0, 1, 2)]
    assert agreeing == ["0 accounts agree", "1 account agrees", "2 accounts agree"]
