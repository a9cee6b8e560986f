"""Takes apart what a server prints of its objects, with an eye on quotes and parentheses; and writes SQL as Python."""

import re
from collections.abc import Iterable

_QUOTES = "'\"`"
_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*\Z")
# What `sqlalchemy.text` takes for a parameter, and for a colon that is escaped already.
_PARAMETER = re.compile(r"(?<![:\w\\]):\w+(?!:)")
_ESCAPED = re.compile(r"\\(?=:\w*(?![:\w]))")


def group(text: str, start: int) -> int:
    """Where the parentheses that open at `start` end, as the index behind them.

    Args:
        text: as a server prints it.
        start: the index of the parenthesis that opens.

    Raises:
        ValueError: when they do not end.
    """
    depth, at = 0, start
    while at < len(text):
        sign = text[at]
        if sign in _QUOTES:
            at = _closing(text, at)
        depth += {"(": 1, ")": -1}.get(sign, 0)
        at += 1
        if depth == 0:
            return at
    raise ValueError(f"parentheses of {text!r} do not end")


def _closing(text: str, start: int) -> int:
    """The index of the quote that ends what begins with one at `start`; a doubled one is part of it."""
    quote, at = text[start], start + 1
    while at < len(text):
        if text[at] == quote:
            if text[at + 1 : at + 2] != quote:
                return at
            at += 1
        at += 1
    raise ValueError(f"quotes of {text!r} do not end")


def split(text: str) -> list[str]:
    """The parts between commas that stand outside of quotes and parentheses, without blanks around them.

    Args:
        text: as a server prints it.
    """
    parts, begin, at = [], 0, 0
    while at < len(text):
        if text[at] in _QUOTES:
            at = _closing(text, at)
        elif text[at] == "(":
            at = group(text, at) - 1
        elif text[at] == ",":
            parts.append(text[begin:at].strip())
            begin = at + 1
        at += 1
    return [*parts, text[begin:].strip()] if text.strip() else []


def inside(text: str) -> tuple[str, str]:
    """What stands in the first parentheses of a text, and what comes behind them.

    Args:
        text: as a server prints it.
    """
    start = text.index("(")
    end = group(text, start)
    return text[start + 1 : end - 1], text[end:]


def name(text: str) -> str | None:
    """The name that a text is, with its quotes taken off; None when it is anything else, such as an expression.

    Args:
        text: as a server prints it.
    """
    if _PLAIN.match(text):
        return text
    if len(text) > 1 and text[0] in '"`' and text[-1] == text[0] and _closing(text, 0) == len(text) - 1:
        return text[1:-1].replace(text[0] * 2, text[0])
    return None


def names(text: str) -> list[str] | None:
    """The names of a list, or None when one of them is anything else.

    Args:
        text: as a server prints it.
    """
    found = [name(part) for part in split(text)]
    return None if None in found else [each for each in found if each is not None]


def escaped(sql: str) -> str:
    """SQL as `sqlalchemy.text` takes it: a colon before a word is a parameter there, unless it is escaped.

    Args:
        sql: as a server prints it.

    Raises:
        ValueError: for a word between two colons, as in `':ab:'`, a part of which is a parameter there all the same.
    """
    sql = _ESCAPED.sub(r"\\\\", sql)
    for found in _PARAMETER.finditer(sql):
        if re.match(r"\w", sql[found.end() :]):
            raise ValueError(
                f"SQLAlchemy takes a part of {found[0]!r} for a parameter, and that cannot be escaped"
            )
    return _PARAMETER.sub(lambda found: "\\" + found[0], sql)


def as_text(sql: str) -> str:
    """`sa.text(…)` of it.

    Args:
        sql: as a server prints it.
    """
    return f"sa.text({escaped(sql)!r})"


def call(function: str, *arguments: str, **words: str | None) -> str:
    """The Python source of a call; words that are None are left out.

    Args:
        function: as Python names it.
    """
    given: Iterable[str] = (f"{word}={value}" for word, value in words.items() if value is not None)
    return f"{function}({', '.join([*arguments, *given])})"


def quoted(value: str | None) -> str | None:
    """The Python source of a string, or None.

    Args:
        value: a string, or None.
    """
    return None if value is None else repr(str(value))
