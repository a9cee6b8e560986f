"""Values as PostgreSQL reads them within a statement."""

from decimal import Decimal
from typing import Any

import psycopg2.extensions as ext


def setting_value(value: Any) -> str:
    """A scope's value as a setting holds it; in no way that a statement's own parameters could be mixed up with."""
    if isinstance(value, bool):
        text = "true" if value else "false"
    else:
        text = f"{value:f}" if isinstance(value, Decimal) else str(value)
    quoted = text.replace("'", "''")
    if "\\" not in text and "%" not in text:
        return f"'{quoted}'"
    return "E'" + quoted.replace("\\", "\\\\").replace("%", "\\x25") + "'"


class Quoting:
    """psycopg2's own quoting, prepared for the connection."""

    def __init__(self, connection: Any | None) -> None:
        self._connection = connection

    def text(self, value: str) -> str:
        quoted = ext.QuotedString(value)
        return self._done(quoted)

    def octets(self, value: bytes) -> str:
        return self._done(ext.Binary(value))

    def _done(self, adapted: Any) -> str:
        if self._connection is not None:
            adapted.prepare(self._connection)
        elif hasattr(adapted, "encoding"):
            adapted.encoding = "utf-8"
        literal: str = adapted.getquoted().decode("utf-8")
        return literal.lstrip(" ")
