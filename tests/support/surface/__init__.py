"""PyDAL's public surface: what each method and attribute does with a mirror, with the recipe that shows it.

`docs/reference/pydal.md` is written from these, and the tests hold every recipe against stock PyDAL.
"""

from support.surface.core import Member, page
from support.surface.dal import MEMBERS as _DAL
from support.surface.expressions import MEMBERS as _EXPRESSIONS
from support.surface.fields import MEMBERS as _FIELDS
from support.surface.rows import MEMBERS as _ROWS
from support.surface.sets import MEMBERS as _SETS
from support.surface.tables import MEMBERS as _TABLES

MEMBERS = (*_DAL, *_TABLES, *_FIELDS, *_EXPRESSIONS, *_SETS, *_ROWS)

__all__ = ["MEMBERS", "Member", "page"]
