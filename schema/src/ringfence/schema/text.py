"""Numbers with the singular or plural of their noun, for messages."""

from collections.abc import Callable


def counted(number: int, one: str, many: str = "") -> str:
    """Write a number with its noun: `1 account`, `2 accounts`.

    Args:
        number: decides between singular and plural.
        one: the singular.
        many: the plural, where it is not the singular with an s: `2 accounts agree` for `1 account agrees`.
    """
    return f"{number} {one if number == 1 else many or one + 's'}"


MessageCallback = Callable[[str], None]
"""Receives one line of progress, for a person."""
