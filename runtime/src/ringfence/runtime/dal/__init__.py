"""The PyDAL layer: the only package that imports pydal, and builds a DAL whose queries run in Ringfence sessions."""

from ringfence.runtime.dal.build import RingfenceDAL, build, define_all
from ringfence.runtime.dal.unique_conflicts import upsert_probes

__all__ = ["RingfenceDAL", "build", "define_all", "upsert_probes"]
