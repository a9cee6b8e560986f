"""Defaults, expressions and conditions of an SQLite table word for word, as a rebuild must repeat them.

SQLAlchemy (2.1.9) takes a colon in them for a parameter, which becomes NULL, and takes the text that follows a computed
column in the statement for a part of its expression.
"""

import re

import sqlalchemy as sa

from ringfence.schema.engines.sqlite.create_statements import Token, positions
from ringfence.schema.sql.text import verbatim

# What may follow DEFAULT without parentheses: https://www.sqlite.org/lang_createtable.html#the_default_clause
_LITERAL = re.compile(
    r"[+-]?\s*(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|[xX]?'(?:[^']|'')*'"
    r"|\"(?:[^\"]|\"\")*\""
    r"|[^\W\d]\w*"
)


def default_of(text: str) -> sa.TextClause:
    """Return a default that is valid after DEFAULT: an expression other than a literal is put in parentheses.

    Args:
        text: The default, as `PRAGMA table_xinfo` shows it.
    """
    return verbatim(text if _LITERAL.fullmatch(text) else f"({text})")


def computed_in(statement: str) -> dict[str, str]:
    """Find the expressions of the computed columns of a table.

    Args:
        statement: A CREATE TABLE statement, as `sqlite_master` keeps it.

    Returns:
        Column, in lower case -> its expression.
    """
    found: dict[str, str] = {}
    column: Token | None = None
    depth = begin = 0
    awaited = inside = False
    for token, start, end in positions(statement):
        change = {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "sign" else 0
        if depth == 1 and change == 1 and awaited:
            inside, begin = True, end
        elif depth == 2 and change == -1 and inside and column is not None:
            found[column.written.lower()] = statement[begin:start].strip()
            inside = False
        elif depth == 1 and change == 0 and token == Token("sign", ","):
            column = None
        elif depth == 1 and change == 0 and column is None:
            column = token
        if depth == 1:
            awaited = token.is_word("as")
        depth += change
    return found
