"""SQL in revisions as the models have it: Alembic compiles it, which doubles percent signs and unescapes colons.

`sqlalchemy.text` takes a colon before a word for a parameter, whose value is NULL in DDL: `CHECK (a <> ':x')` came back
as another check.
"""

import functools
from typing import Any

import sqlalchemy as sa
from alembic.ddl.impl import DefaultImpl
from alembic.util import CommandError

from ringfence.schema.sql.parsing import escaped
from ringfence.schema.sql.text import single_percents

_compiled = DefaultImpl.render_ddl_sql_expr


@functools.wraps(_compiled)
def _render(self: DefaultImpl, expr: sa.ClauseElement, is_server_default: bool = False, **words: Any) -> str:
    text = single_percents(_compiled(self, expr, is_server_default, **words), self.dialect)
    # An element of an index becomes a `literal_column`, which knows no parameters.
    try:
        return text if words.get("is_index") else escaped(text)
    except ValueError as error:
        raise CommandError(f"{text}: {error}") from error


DefaultImpl.render_ddl_sql_expr = _render  # type: ignore[method-assign]
