"""The only importer of pydal: its query language, over our sessions, types and names."""

from ringfence.runtime.dal.build import RingfenceDAL, build, define_all
from ringfence.runtime.dal.unique_conflicts import conflicting_inserts

__all__ = ["RingfenceDAL", "build", "conflicting_inserts", "define_all"]
