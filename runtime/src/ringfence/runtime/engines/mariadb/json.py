"""SQL that normalizes JSON on MariaDB, where it is text in which one character can be escaped in several ways."""

_ESCAPED = r"(?<!\\)((?:\\\\)*)\\"
"""The backslash that begins an escape: preceded by no backslash or by pairs of them, which are escaped backslashes."""
_ONE, _TWO = "\x01", "\x02"
"""Markers for matches: valid JSON contains no unescaped control character."""

_AS_ITSELF = _ESCAPED + r"(u(?!00(?:[01][0-9a-fA-F]|22|5[cC]))[0-9a-fA-F]{4}|/)"
"""Escapes of characters that need none."""
_IN_ONE_WAY = _ESCAPED + r"u00([01][0-9a-fA-F]|22|5[cC])"
"""Escapes of characters that need one, and that have a shorter form or hexadecimal digits of either case."""
_FORMS = {"22": r"\"", "5c": r"\\", "08": r"\b", "09": r"\t", "0a": r"\n", "0c": r"\f", "0d": r"\r"}
_FORMS |= {form.replace("c", "C").replace("a", "A").replace("d", "D"): to for form, to in _FORMS.items()}
_FORMS |= {f"{high}{digit}": f"\\u00{high}{digit.lower()}" for high in "01" for digit in "ABCDEF"} | _FORMS


def normalize_escapes(sql: str) -> str:
    r"""Return SQL of JSON text in which every character is escaped as this runtime escapes it.

    `\u00fc`, which Python's json writes by default, becomes ü; `\/` becomes /; `\u0022` becomes `\"`. Only characters
    that JSON must escape stay escaped, and text that is not JSON stays unchanged.

    Args:
        sql: an expression that yields JSON text.
    """
    text = _replaced(sql, _AS_ITSELF, rf"\1{_ONE}\2")
    text = _replaced(text, _IN_ONE_WAY, rf"\1{_TWO}\2")
    for found, form in _FORMS.items():
        text = f"REPLACE({text},{_literal(_TWO + found)},{_literal(form)})"
    text = f"REPLACE({text},{_literal(_TWO)},{_literal(_CODE)})"
    # The text becomes the content of one JSON string, which the server unescapes; escapes to be kept are escaped twice.
    for found, form in ((_BACKSLASH, _BACKSLASH * 2), ('"', r"\""), (_ONE, _BACKSLASH)):
        text = f"REPLACE({text},{_literal(found)},{_literal(form)})"
    quote = _literal('"')
    unescaped = f"JSON_UNQUOTE(CONCAT({quote},{text},{quote}))"
    return f"IF(LOCATE({_literal(_BACKSLASH)},{sql}),COALESCE({unescaped},{sql}),{sql})"


_BACKSLASH = "\\"
_CODE = _BACKSLASH + "u00"


def _replaced(sql: str, pattern: str, by: str) -> str:
    return f"REGEXP_REPLACE({sql},{_literal(pattern)},{_literal(by)})"


def _literal(text: str) -> str:
    """Return a hexadecimal literal: the meaning of a backslash in a quoted one depends on the session's mode."""
    return f"_utf8mb4 X'{text.encode().hex()}'"
