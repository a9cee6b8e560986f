"""Splits SQL that a server prints, outside of quotes and parentheses, and writes SQL as Python source."""

import re
from collections.abc import Iterable

_QUOTES = "'\"`"
_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*\Z")
# What `sqlalchemy.text` takes for a parameter, and for the backslash of an escaped colon.
_PARAMETER = re.compile(r"(?<![:\w\\]):\w+(?!:)")
_ESCAPED = re.compile(r"\\(?=:\w*(?![:\w]))")


def group(text: str, start: int) -> int:
    """Find the end of the parentheses that open at an index.

    Args:
        text: SQL, as a server prints it.
        start: The index of the opening parenthesis.

    Returns:
        The index after the closing parenthesis.

    Raises:
        ValueError: The parentheses, or quotes inside them, do not end.
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
    """Return the index of the quote that ends the quotes at `start`; a doubled quote is part of the text."""
    quote, at = text[start], start + 1
    while at < len(text):
        if text[at] == quote:
            if text[at + 1 : at + 2] != quote:
                return at
            at += 1
        at += 1
    raise ValueError(f"quotes of {text!r} do not end")


def split(text: str) -> list[str]:
    """Split SQL at the commas outside of quotes and parentheses.

    Args:
        text: SQL, as a server prints it.

    Returns:
        The parts, without blanks around them.
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
    """Return the content of the first parentheses, and the text after them.

    Args:
        text: SQL, as a server prints it.
    """
    start = text.index("(")
    end = group(text, start)
    return text[start + 1 : end - 1], text[end:]


def name(text: str) -> str | None:
    """Return the name that a text is, without its quotes; None when it is anything else, such as an expression.

    Args:
        text: SQL, as a server prints it.
    """
    if _PLAIN.match(text):
        return text
    if len(text) > 1 and text[0] in '"`' and text[-1] == text[0] and _closing(text, 0) == len(text) - 1:
        return text[1:-1].replace(text[0] * 2, text[0])
    return None


def names(text: str) -> list[str] | None:
    """Return the names of a list; None when one of them is anything else.

    Args:
        text: SQL, as a server prints it.
    """
    found = [name(part) for part in split(text)]
    return None if None in found else [each for each in found if each is not None]


def escaped(sql: str) -> str:
    """Escape colons before words, which `sqlalchemy.text` would take for parameters.

    Args:
        sql: SQL, as a server prints it.

    Raises:
        ValueError: A word is between two colons, as in `':ab:'`; SQLAlchemy takes part of it for a parameter anyway.
    """
    sql = _ESCAPED.sub(r"\\\\", sql)
    for found in _PARAMETER.finditer(sql):
        if re.match(r"\w", sql[found.end() :]):
            raise ValueError(
                f"SQLAlchemy takes a part of {found[0]!r} for a parameter, and that cannot be escaped"
            )
    return _PARAMETER.sub(lambda found: "\\" + found[0], sql)


def as_text(sql: str) -> str:
    """Return the source `sa.text(…)` for SQL.

    Args:
        sql: SQL, as a server prints it.
    """
    return f"sa.text({escaped(sql)!r})"


def call(function: str, *arguments: str, **words: str | None) -> str:
    """Return the Python source of a call.

    Args:
        function: The function's name in the source.
        arguments: The sources of the positional arguments.
        words: The sources of the keyword arguments; those that are None are left out.
    """
    given: Iterable[str] = (f"{word}={value}" for word, value in words.items() if value is not None)
    return f"{function}({', '.join([*arguments, *given])})"


def quoted(value: str | None) -> str | None:
    """Return the Python source of a string; None for None."""
    return None if value is None else repr(str(value))
