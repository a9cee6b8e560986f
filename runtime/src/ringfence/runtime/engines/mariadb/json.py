"""JSON on MariaDB is text, in which one character may be written in several ways: one way of writing it, in SQL."""

_ESCAPED = r"(?<!\\)((?:\\\\)*)\\"
"""The backslash that begins an escape: one before which stand none, or pairs, which are backslashes of the text."""
_ONE, _TWO = "\x01", "\x02"
"""Marks for what is found: JSON holds no control character as it is."""

_AS_ITSELF = _ESCAPED + r"(u(?!00(?:[01][0-9a-fA-F]|22|5[cC]))[0-9a-fA-F]{4}|/)"
"""What needs no escape."""
_IN_ONE_WAY = _ESCAPED + r"u00([01][0-9a-fA-F]|22|5[cC])"
"""What JSON must escape, for which it has a shorter form or two cases of a digit."""
_FORMS = {"22": r"\"", "5c": r"\\", "08": r"\b", "09": r"\t", "0a": r"\n", "0c": r"\f", "0d": r"\r"}
_FORMS |= {form.replace("c", "C").replace("a", "A").replace("d", "D"): to for form, to in _FORMS.items()}
_FORMS |= {f"{high}{digit}": f"\\u00{high}{digit.lower()}" for high in "01" for digit in "ABCDEF"} | _FORMS


def written_alike(sql: str) -> str:
    r"""SQL that gives JSON text with every character written as this runtime writes it.

    `\u00fc`, as Python's json has it unless told otherwise, becomes ü; `\/` becomes /; `\u0022` becomes `\"`. Only what
    JSON must escape stays escaped, and what is no JSON stays as it is.

    Args:
        sql: an expression that gives JSON text.
    """
    text = _replaced(sql, _AS_ITSELF, rf"\1{_ONE}\2")
    text = _replaced(text, _IN_ONE_WAY, rf"\1{_TWO}\2")
    for found, form in _FORMS.items():
        text = f"REPLACE({text},{_literal(_TWO + found)},{_literal(form)})"
    text = f"REPLACE({text},{_literal(_TWO)},{_literal(_CODE)})"
    # The whole becomes the inside of one JSON text, which the server then unescapes; what shall stay is escaped twice.
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
    """In digits, for a backslash means one thing or another by the session's mode."""
    return f"_utf8mb4 X'{text.encode().hex()}'"
