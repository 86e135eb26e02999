"""What an operation is: a line of the table in `vdb.protocol.operations`."""

from dataclasses import dataclass
from typing import Any, Literal

from vdb.protocol import requests


@dataclass(frozen=True, slots=True)
class Operation:
    """`name` is the engine's and the SDK's method; `path` has `{collection}`, `{key}` and the like.

    `shape`: whose errors it answers with, ours (RFC 9457) or OpenAI's. `streams`: its answer may come as events, and
    ends when its caller leaves.
    """

    name: str
    method: str
    path: str
    request: type[requests.Request]
    answer: Any
    access: str
    summary: str
    created: bool = False
    shape: Literal["vdb", "openai"] = "vdb"
    streams: bool = False
