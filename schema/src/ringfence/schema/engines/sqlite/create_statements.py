"""Parses the CREATE statements that SQLite keeps: the only record of checks, names, collations and expressions.

The grammar is https://www.sqlite.org/lang_createtable.html. The texts that are returned have one spelling: words in
lower case, names without needless quotes, one blank between tokens.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""
    (?P<blank>\s+|--[^\n]*(?:\n|\Z)|/\*.*?(?:\*/|\Z))
  | (?P<text>[xX]?'(?:[^']|'')*')
  | (?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
  | (?P<number>0[xX][0-9a-fA-F]+|(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?)
  | (?P<word>[^\W\d][\w$]*)
  | (?P<sign>->>|->|\|\||<<|>>|<=|>=|<>|!=|==|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_WORD = re.compile(r"[^\W\d][\w$]*\Z")
_CLAUSES = frozenset(
    "constraint primary not null unique check default collate references generated as on deferrable".split()
)
# Keywords that are a name only in quotes: https://www.sqlite.org/lang_keywords.html, less those that may be names.
_RESERVED = frozenset(
    "add all alter and as autoincrement between case check collate commit constraint create default deferrable delete"
    " distinct drop else escape except exists foreign from group having in index insert intersect into is isnull join"
    " limit not notnull null on or order primary references returning select set table then to transaction union unique"
    " update using values when where".split()
)
_LOGICAL = {"true": "1", "false": "0"}
_NUMBER = re.compile(r"'([+-]?(?:\d+\.?\d*|\.\d+))'\Z")


@dataclass(frozen=True, slots=True)
class Token:
    """A part of a statement.

    `kind` is text, name, number, word or sign; `text` is the normalized spelling, by which tokens are compared.
    """

    kind: str
    text: str
    written: str = field(default="", compare=False)
    """A name in its original case, without quotes."""

    def is_word(self, *words: str) -> bool:
        """Return whether the token is one of these keywords, without quotes."""
        return self.kind == "word" and self.text in words


def positions(statement: str) -> Iterator[tuple[Token, int, int]]:
    """Yield the tokens of a statement without comments and blanks, each with the indexes at which it begins and ends.

    Args:
        statement: SQL, as SQLite keeps it.
    """
    for match in _TOKEN.finditer(statement):
        kind, text = str(match.lastgroup), match[0]
        written = _bare(text) if kind == "name" else text
        if kind in ("word", "name"):
            text = written.lower()
        if kind != "blank":
            yield Token(kind, text, written), *match.span()


def tokens(statement: str) -> list[Token]:
    """Return the tokens of a statement without comments and blanks.

    Args:
        statement: SQL, as SQLite keeps it.
    """
    return [token for token, _, _ in positions(statement)]


def _bare(quoted: str) -> str:
    end = quoted[-1]
    return quoted[1:-1] if end == "]" else quoted[1:-1].replace(end * 2, end)


def spelled(parts: list[Token]) -> str:
    """Return tokens as normalized SQL, where a quoted name and the same word without quotes are equal."""
    return " ".join(
        '"' + part.text.replace('"', '""') + '"'
        if part.kind == "name" and (part.text in _RESERVED or not _WORD.match(part.text))
        else part.text
        for part in parts
    )


def canonical(statement: str) -> str:
    """Return a statement or an expression as normalized SQL.

    Args:
        statement: SQL, as SQLite keeps it.
    """
    return spelled(tokens(statement))


@dataclass(slots=True)
class ColumnText:
    """A column, as the CREATE TABLE statement declares it."""

    name: str
    type: str = ""
    not_null: bool = False
    conflict: str = ""
    """The ON CONFLICT clause of NOT NULL; empty for ABORT, the default."""
    default: str | None = None
    collation: str | None = None
    computed: str | None = None
    autoincrement: bool = False


@dataclass(slots=True)
class ConstraintText:
    """A constraint of a table.

    `kind` is one of `comparison.snapshot.KINDS`; `name` is as written, and empty for a constraint without one.
    """

    kind: str
    name: str
    columns: tuple[str, ...] = ()
    definition: str = ""
    conflict: str = ""
    """The ON CONFLICT clause of a primary key; empty for ABORT, the default."""


@dataclass(slots=True)
class TableText:
    """The contents of a CREATE TABLE statement."""

    columns: list[ColumnText] = field(default_factory=list)
    constraints: list[ConstraintText] = field(default_factory=list)
    options: str = ""
    """The options after the columns: STRICT, WITHOUT ROWID."""


def read_table(statement: str) -> TableText:
    """Parse a CREATE TABLE statement, or one for a virtual table.

    Args:
        statement: SQL, as SQLite keeps it.
    """
    cursor = _Cursor(tokens(statement))
    while cursor.left() and cursor.peek() != Token("sign", "("):
        cursor.take()
    table = TableText()
    if not cursor.left():
        return table
    for part in _split(cursor.group()):
        inner = _Cursor(part)
        if inner.peek().is_word("constraint", "primary", "unique", "check", "foreign"):
            _constraint(inner, table, None)
        elif part:
            _column(inner, table)
    table.options = spelled(cursor.rest())
    return table


def read_index(statement: str) -> tuple[str, str | None]:
    """Parse a CREATE INDEX statement.

    Args:
        statement: SQL, as SQLite keeps it.

    Returns:
        The columns in parentheses, with order and collation, and the condition after WHERE, or None.
    """
    cursor = _Cursor(tokens(statement))
    while cursor.left() and not cursor.take().is_word("on"):
        pass
    cursor.take()
    if cursor.left() and cursor.peek() == Token("sign", "."):
        cursor.take(), cursor.take()
    columns = f"({', '.join(map(spelled, _split(cursor.group())))})"
    return columns, spelled(cursor.rest()) if cursor.took("where") else None


def read_view(statement: str) -> tuple[str, str]:
    """Parse a CREATE VIEW statement.

    Args:
        statement: SQL, as SQLite keeps it: without TEMP, IF NOT EXISTS and a schema.

    Returns:
        The list of columns in parentheses, or an empty text, and the SELECT.
    """
    cursor = _Cursor(tokens(statement)[3:])
    columns = ""
    if cursor.peek() == Token("sign", "("):
        columns = f"({', '.join(spelled(part) for part in _split(cursor.group()))})"
    cursor.took("as")
    return columns, spelled(cursor.rest())


class _Cursor:
    def __init__(self, parts: list[Token]) -> None:
        self._parts, self._at = parts, 0

    def left(self) -> bool:
        return self._at < len(self._parts)

    def peek(self) -> Token:
        return self._parts[self._at] if self.left() else Token("sign", "")

    def take(self) -> Token:
        found = self.peek()
        self._at += 1
        return found

    def took(self, *words: str) -> bool:
        """Take the next token if it is one of these keywords; return whether it was."""
        if self.peek().is_word(*words):
            self._at += 1
            return True
        return False

    def rest(self) -> list[Token]:
        found, self._at = self._parts[self._at :], len(self._parts)
        return found

    def group(self) -> list[Token]:
        """Take the parentheses that come next, and return the tokens between them."""
        depth, found = 0, []
        while self.left():
            token = self.take()
            depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "sign" else 0
            if depth == 0:
                break
            found.append(token)
        return found[1:]


def _split(parts: list[Token]) -> Iterator[list[Token]]:
    """Split tokens at the commas outside of parentheses."""
    depth, found = 0, list[Token]()
    for token in parts:
        if token.kind == "sign":
            depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0 and token == Token("sign", ","):
            yield found
            found = []
        else:
            found.append(token)
    if found:
        yield found


def _column(cursor: _Cursor, table: TableText) -> None:
    column = ColumnText(cursor.take().written)
    kind: list[Token] = []
    while cursor.left() and not cursor.peek().is_word(*_CLAUSES):
        kind.append(cursor.take())
    column.type = spelled(kind).upper().replace(" ( ", "(").replace(" )", ")").replace(" , ", ", ")
    table.columns.append(column)
    while cursor.left():
        _constraint(cursor, table, column)


def _constraint(cursor: _Cursor, table: TableText, column: ColumnText | None) -> None:
    """Parse one clause of a column, or one constraint of the table."""
    name = cursor.take().written if cursor.took("constraint") else ""
    word = cursor.take()
    own = () if column is None else (column.name.lower(),)
    match word.text:
        case "primary":
            cursor.took("key")
            columns = own or _names(cursor.group())
            cursor.took("asc", "desc")
            conflict = _conflict(cursor)
            if cursor.took("autoincrement") and column is not None:
                column.autoincrement = True
            table.constraints.append(ConstraintText("primary key", name, columns, conflict=conflict))
        case "unique":
            columns = own or _names(cursor.group())
            table.constraints.append(ConstraintText("unique", name, columns, _conflict(cursor)))
        case "check":
            table.constraints.append(ConstraintText("check", name, (), spelled(cursor.group())))
            _conflict(cursor)  # SQLite parses it here, and ignores it
        case "foreign":
            cursor.took("key")
            columns = _names(cursor.group())
            cursor.took("references")
            _reference(cursor, table, name, columns)
        case "references":
            _reference(cursor, table, name, own)
        case _ if column is not None:
            _clause(cursor, word, column)


def _clause(cursor: _Cursor, word: Token, column: ColumnText) -> None:
    """Parse a clause that only a column has."""
    match word.text:
        case "not":
            column.not_null = cursor.took("null") or column.not_null
            column.conflict = _conflict(cursor)
        case "default":
            column.default = _default(cursor, column.type)
        case "collate":
            column.collation = cursor.take().text
        case "generated" | "as":
            while cursor.took("always", "as"):
                pass
            expression = spelled(cursor.group())
            column.computed = f"{expression} {'STORED' if cursor.took('stored') else 'VIRTUAL'}"
            cursor.took("virtual")


def _default(cursor: _Cursor, kind: str) -> str:
    """Return a default in one spelling.

    Needless parentheses are removed, and so are quotes around a number if the column is numeric: neither changes the
    value.
    """
    parts = cursor.group() if cursor.peek() == Token("sign", "(") else [cursor.take()]
    if parts[-1].text in ("+", "-") and parts[-1].kind == "sign":
        parts.append(cursor.take())
    while parts and parts[0] == Token("sign", "(") and len(_Cursor(parts).group()) == len(parts) - 2:
        parts = parts[1:-1]
    text = spelled(parts).replace("- ", "-") if len(parts) == 2 else spelled(parts)
    text = _LOGICAL.get(text, text)
    number = _NUMBER.match(text)
    return number[1] if number and numeric(kind) else text


def numeric(kind: str) -> bool:
    """Return whether a column of this declared type converts text that looks like a number to a number.

    The rules of affinity: https://www.sqlite.org/datatype3.html#determination_of_column_affinity.

    Args:
        kind: The declared type, in any case.
    """
    kind = kind.upper()
    if "INT" in kind:
        return True
    return bool(kind) and not any(word in kind for word in ("CHAR", "CLOB", "TEXT", "BLOB"))


def _reference(cursor: _Cursor, table: TableText, name: str, columns: tuple[str, ...]) -> None:
    target = cursor.take().text
    named = _names(cursor.group()) if cursor.peek() == Token("sign", "(") else ()
    words: list[str] = []
    actions: dict[str, str] = {}
    while cursor.peek().is_word("on", "match", "not", "deferrable"):
        word = cursor.take().text
        if word == "on":
            verb, action = cursor.take().text, cursor.take().text
            if action in ("set", "no"):
                action += f" {cursor.take().text}"
            if action != "no action":
                actions[verb] = action
        elif word == "match":
            cursor.take()
        elif word == "not":
            if not cursor.took("deferrable"):  # it is the NOT NULL of the column
                cursor._at -= 1  # noqa: SLF001 - the class is this module's own
                break
            _initially(cursor)
        else:
            words.append(f"deferrable{_initially(cursor)}")
    words = [f"on {verb} {actions[verb]}" for verb in sorted(actions)] + words
    text = f"{target} ({', '.join(named)})" + "".join(f" {word}" for word in words)
    table.constraints.append(ConstraintText("foreign key", name, columns, text))


def _initially(cursor: _Cursor) -> str:
    return f" initially {cursor.take().text}" if cursor.took("initially") else ""


def _conflict(cursor: _Cursor) -> str:
    """Take the clause ON CONFLICT, and return it unless it says ABORT, which is the default.

    https://www.sqlite.org/lang_conflict.html
    """
    if not cursor.took("on"):
        return ""
    cursor.took("conflict")
    action = cursor.take().text
    return "" if action == "abort" else f"on conflict {action}"


def _names(parts: list[Token]) -> tuple[str, ...]:
    """Return the columns of a key, each with its order and collation."""
    return tuple(spelled(part) if len(part) > 1 else part[0].text for part in _split(parts))
