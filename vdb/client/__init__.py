"""The SDK: `Client` for threads, `AsyncClient` for asyncio (extra `async`), with the same method names.

calls, point_calls, cache_calls, upload   what is sent and how its answer is read; no input or output
arrays, wire                 numpy at the edge; bodies, answers and errors as bytes
retry                        which failure may be tried again, and when
http_sync, http_aio          one transport per HTTP library, the only file that knows it
aio, aio_cache, aio_collection  the source of the methods
sync, cache, collection         generated from those by `python -m vdb.client.unasync`
"""

from vdb.client.aio import AsyncClient
from vdb.client.aio_cache import AsyncCache
from vdb.client.aio_collection import AsyncCollection
from vdb.client.cache import Cache
from vdb.client.cache_calls import Answered, Fresh, retrieval
from vdb.client.collection import Collection
from vdb.client.point_calls import Hits
from vdb.client.sync import Client

__all__ = [
    "Answered",
    "AsyncCache",
    "AsyncClient",
    "AsyncCollection",
    "Cache",
    "Client",
    "Collection",
    "Fresh",
    "Hits",
    "retrieval",
]
