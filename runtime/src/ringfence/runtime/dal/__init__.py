"""The PyDAL layer: the only package that imports pydal, and builds a DAL whose queries run in Ringfence sessions."""

from ringfence.runtime.dal.build import RingfenceDAL, build, define_all
from ringfence.runtime.dal.unique_conflicts import conflicting_inserts

__all__ = ["RingfenceDAL", "build", "conflicting_inserts", "define_all"]
