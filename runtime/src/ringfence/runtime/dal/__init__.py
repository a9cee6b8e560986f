"""The only importer of pydal: its query language, over our sessions, types and names."""

from ringfence.runtime.dal.build import RingfenceDAL, build
from ringfence.runtime.dal.takeovers import takeovers

__all__ = ["RingfenceDAL", "build", "takeovers"]
