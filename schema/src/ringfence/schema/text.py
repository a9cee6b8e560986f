"""Numbers with their nouns, as a person reads them."""


def counted(number: int, one: str, many: str = "") -> str:
    """`1 account`, `2 accounts`; with `many`, what is not one with an s: `1 account agrees`, `2 accounts agree`."""
    return f"{number} {one if number == 1 else many or one + 's'}"
