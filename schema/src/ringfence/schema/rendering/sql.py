"""Writes SQL in revisions as the models have it, although Alembic doubles its percent signs and unescapes its colons.

Alembic compiles the SQL, and `sqlalchemy.text` then takes a colon before a word for a parameter, whose value is NULL in
DDL: `CHECK (a <> ':x')` became another check.
"""

import functools
from typing import Any

import sqlalchemy as sa
from alembic.ddl.impl import DefaultImpl
from alembic.util import CommandError

from ringfence.schema.alembic_compat import on_install
from ringfence.schema.sql.parsing import escaped
from ringfence.schema.sql.text import single_percents

_compiled = DefaultImpl.render_ddl_sql_expr


@functools.wraps(_compiled)
def _render(self: DefaultImpl, expr: sa.ClauseElement, is_server_default: bool = False, **words: Any) -> str:
    text = single_percents(_compiled(self, expr, is_server_default, **words), self.dialect)
    # An element of an index is written as a `literal_column`, which has no parameters.
    try:
        return text if words.get("is_index") else escaped(text)
    except ValueError as error:
        raise CommandError(f"{text}: {error}") from error


def _install() -> None:
    DefaultImpl.render_ddl_sql_expr = _render  # type: ignore[method-assign]  # Alembic has no hook for it


on_install(_install)
