"""Whether a password is in anything that an error can bring to a log."""

import traceback
from collections.abc import Iterator
from urllib.parse import quote

from hypothesis import strategies as st

SHOWN = 8
"""Characters of a password in a row that count as telling it."""
# Few letters, so that no message holds eight of them in a row by chance.
PASSWORDS = st.text("qxzQX_-.@/:#?%&=+,;[]0 9\\'\"\t\n\0é\u4e00\udcff", min_size=SHOWN, max_size=24)


def said(error: BaseException) -> str:
    """Everything that an error can bring to a log: its words, those of what it came from, and the traceback."""

    def chain(one: BaseException | None) -> Iterator[BaseException]:
        while one is not None:
            yield one
            one = one.__cause__ or one.__context__

    errors = list(chain(error))
    texts = [f"{one}\n{one!r}\n{one.args!r}\n{vars(one)!r}" for one in errors]
    return "\n".join([*texts, *traceback.format_exception(error)])


def see_silence(password: str, text: str) -> None:
    for form in (password, quote(password, errors="replace"), repr(password)[1:-1]):
        for start in range(len(form) - SHOWN + 1):
            assert form[start : start + SHOWN] not in text
