"""PyDAL's public surface: what each method and attribute does with a mirror, with the recipe that shows it.

`docs/reference/pydal.md` is written from these, and the tests hold every recipe against stock PyDAL.
"""

from surface.core import Member, page
from surface.dal import MEMBERS as _DAL
from surface.expressions import MEMBERS as _EXPRESSIONS
from surface.fields import MEMBERS as _FIELDS
from surface.rows import MEMBERS as _ROWS
from surface.sets import MEMBERS as _SETS
from surface.tables import MEMBERS as _TABLES

MEMBERS = (*_DAL, *_TABLES, *_FIELDS, *_EXPRESSIONS, *_SETS, *_ROWS)

__all__ = ["MEMBERS", "Member", "page"]
