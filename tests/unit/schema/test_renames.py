"""What a person says of what goes and what comes, and what that says of nothing."""

import pytest

from ringfence.schema.autogenerate.renames import Ambiguous, BadRename, Renames


@pytest.mark.parametrize("word", ["all", "index:ix"])
def test_what_names_no_table_is_no_word_about_one_that_may_have_a_new_name(word):
    with pytest.raises(
        Ambiguous, match=r"no longer have the table old, and have the new table new.*--retire old"
    ):
        Renames.from_options((), (word,)).choose("", ["old"], ["new"])


def test_a_table_is_named_to_go_and_one_that_does_not_go_is_refused():
    assert Renames.from_options((), ("old",)).choose("", ["old"], ["new"]) == {}
    with pytest.raises(BadRename, match="the database loses no 'older'; it loses old"):
        Renames.from_options((), ("older",)).choose("", ["old"], ["new"])
