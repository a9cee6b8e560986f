"""Literals for PostgreSQL."""

from decimal import Decimal
from typing import Any

import psycopg2.extensions as ext


def setting_value(value: Any) -> str:
    """Return a scope's value as a setting's literal, without `%`, so the statement's parameters cannot affect it."""
    if isinstance(value, bool):
        text = "true" if value else "false"
    else:
        text = f"{value:f}" if isinstance(value, Decimal) else str(value)
    quoted = text.replace("'", "''")
    if "\\" not in text and "%" not in text:
        return f"'{quoted}'"
    return "E'" + quoted.replace("\\", "\\\\").replace("%", "\\x25") + "'"


class Quoting:
    """psycopg2's quoting, adapted to the connection."""

    def __init__(self, connection: Any | None) -> None:
        self._connection = connection

    def text(self, value: str) -> str:
        """Return a text literal."""
        quoted = ext.QuotedString(value)
        return self._done(quoted)

    def octets(self, value: bytes) -> str:
        """Return a binary literal."""
        return self._done(ext.Binary(value))

    def _done(self, adapted: Any) -> str:
        if self._connection is not None:
            adapted.prepare(self._connection)
        elif hasattr(adapted, "encoding"):
            adapted.encoding = "utf-8"
        literal: str = adapted.getquoted().decode("utf-8")
        return literal.lstrip(" ")
