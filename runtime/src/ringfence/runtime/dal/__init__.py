"""The only importer of pydal: its query language, over our sessions, types and names."""

from ringfence.runtime.dal.build import RingfenceDAL, build

__all__ = ["RingfenceDAL", "build"]
