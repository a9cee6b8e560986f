"""The layer over PyDAL: the only package that imports pydal.

It builds a `DAL` whose tables come from the mirror and whose queries run in sessions: `build` creates it, `select`,
`rows`, `bulk` and `upsert` read and write.
"""

from typing import TYPE_CHECKING

from ringfence.runtime.dal.build import RingfenceDAL, build, define_all
from ringfence.runtime.dal.upsert import upsert_probes

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # for its `default`; type checkers bring the module

    DALType = TypeVar("DALType", default=RingfenceDAL)
else:
    from typing import TypeVar

    DALType = TypeVar("DALType")

__all__ = ["DALType", "RingfenceDAL", "build", "define_all", "upsert_probes"]
