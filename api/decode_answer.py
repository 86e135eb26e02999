"""A question on its way in: judged without the numbers of its vector, which are most of the body, and cannot be wrong
in another way than the typed decoder sees.

What is not plainly right is left to the way of all other requests, which says what is wrong.
"""

from collections.abc import Callable

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from vdb.errors import VdbError
from vdb.protocol import strict_json
from vdb.protocol.answer_requests import Answer
from vdb.protocol.requests import Request

__all__ = ["decode_answer"]


class _OnlyVector(Struct):
    vector: Raw | UnsetType = UNSET


_decode = msgspec.json.Decoder(Answer).decode
_decode_vector = msgspec.json.Decoder(_OnlyVector).decode


def decode_answer(body: bytes, cold: Callable[[], Request]) -> Request:
    """The question in `body`; `cold` decodes it with all care, and raises what is wrong with it."""
    try:
        request = _decode(body)
        raw = _decode_vector(body).vector
        numbers = b"" if isinstance(raw, UnsetType) else bytes(raw)
        if numbers[:1] != b"[" or body.count(numbers) != 1:  # what looks like the vector may be part of a key
            return cold()
        strict_json.decode(body.replace(numbers, b"[]"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, VdbError):
        return cold()
    return request
