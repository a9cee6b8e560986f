"""Who takes part: the one place where a peer is named."""

import importlib
from typing import Any

# Name in the table -> its module and class. The first is the measure of the others.
PEERS = {
    "raw": ("raw", "Raw"),
    "ringfence": ("ringfence_peer", "RingfencePeer"),
    "pydal": ("stock_pydal", "StockPydal"),
    "sqlalchemy-core": ("sqlalchemy_core", "SqlalchemyCore"),
    "sqlalchemy-orm": ("sqlalchemy_orm", "SqlalchemyOrm"),
    "peewee": ("peewee_peer", "PeeweePeer"),
    "django": ("django_peer", "DjangoPeer"),
    "penguin-dal": ("penguin", "Penguin"),
}
ASYNC_PEERS = {
    "ringfence": ("ringfence_async", "RingfenceAsync"),
    "sqlalchemy-asyncio": ("sqlalchemy_asyncio", "SqlalchemyAsyncio"),
    "databases": ("encode_databases", "EncodeDatabases"),
}


class Missing(Exception):
    """This peer is not installed, or cannot do what is asked on this engine; the message says why."""


def peer_class(name: str, asynchronous: bool = False) -> Any:
    """The class of a peer. Raises Missing when it is not installed."""
    module, class_name = (ASYNC_PEERS if asynchronous else PEERS)[name]
    try:
        return getattr(importlib.import_module(f"benchmarks.peers.{module}"), class_name)
    except ModuleNotFoundError as error:
        raise Missing(f"{error.name} is not installed") from error
