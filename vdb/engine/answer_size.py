"""The cap on one answer: a thousand hits of large payloads, for hundreds of queries, must not fill the server's memory.

Counted are the bytes a point adds to the encoded answer, about.
"""

from vdb.config import Limits
from vdb.errors import TooLarge
from vdb.protocol.columns import SearchHead
from vdb.protocol.requests import GetPoints, Scroll, Search
from vdb.storage.codec import Record

POINT_BYTES = 128
NUMBER_BYTES = {"list": 12, "base64": 6}


class AnswerSize:
    """What an answer has come to. For one request."""

    __slots__ = ("_max_bytes", "_vector_bytes", "_with_payload", "n_bytes")

    def __init__(self, request: GetPoints | Scroll | Search | SearchHead, dimension: int, limits: Limits) -> None:
        self._max_bytes = limits.max_answer_bytes
        self._with_payload = request.with_payload
        self._vector_bytes = dimension * NUMBER_BYTES[request.vector_encoding] if request.with_vector else 0
        self.n_bytes = 0

    def takes(self, record: Record) -> bool:
        """Count a point; False when the answer has become too large with it."""
        return self._takes(1, len(record.payload))

    def add(self, n_points: int, n_payload_bytes: int) -> None:
        """Count points with payloads of so many bytes; raises TooLarge."""
        if not self._takes(n_points, n_payload_bytes):
            raise TooLarge(f"the answer would be larger than {self._max_bytes} bytes: ask for less at once")

    def _takes(self, n_points: int, n_payload_bytes: int) -> bool:
        self.n_bytes += n_points * (POINT_BYTES + self._vector_bytes)
        if self._with_payload:
            self.n_bytes += n_payload_bytes
        return self.n_bytes <= self._max_bytes
