"""The only importer of pydal: its query language, over our sessions, types and names."""

from ringfence.runtime.dal.build import RingfenceDAL, build, define_all
from ringfence.runtime.dal.takeovers import takeovers

__all__ = ["RingfenceDAL", "build", "define_all", "takeovers"]
