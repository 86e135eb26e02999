"""What an operation is: a line of the table in `vdb.protocol.operations`."""

from dataclasses import dataclass
from typing import Any

from vdb.protocol import requests


@dataclass(frozen=True, slots=True)
class Operation:
    """`name` is the engine's and the SDK's method; `path` has `{collection}`, `{key}` and the like."""

    name: str
    method: str
    path: str
    request: type[requests.Request]
    answer: Any
    access: str
    summary: str
    created: bool = False
