"""What the server and a worker process say to each other: frames of msgpack, each after its length (8 bytes)."""

import struct
from typing import IO

import msgspec

from vdb.rag.chunk import ChunkOptions
from vdb.rag.extract.formats import Parsed

__all__ = ["Answer", "Ask", "Failure", "decode_answer", "decode_ask", "encode", "read_frame", "write_frame"]

_LENGTH = struct.Struct("<Q")
_PIECE = 1 << 20


class Ask(msgspec.Struct, frozen=True):
    """Read this document, in at most so many seconds of the processor's time."""

    data: bytes
    media_type: str
    options: ChunkOptions
    max_chunks: int
    cpu_s: float


class Failure(msgspec.Struct, frozen=True, tag=True):
    """An error of `vdb.errors`, by its code."""

    code: str
    detail: str


class Answer(msgspec.Struct, frozen=True, tag=True):
    """The document, read."""

    parsed: Parsed


_answers = msgspec.msgpack.Decoder(Answer | Failure)
_asks = msgspec.msgpack.Decoder(Ask)


def encode(message: Ask | Answer | Failure) -> bytes:
    """The message as bytes."""
    return msgspec.msgpack.encode(message)


def decode_ask(frame: bytes) -> Ask:
    """The question in a frame; its `data` is a copy."""
    return _asks.decode(frame)


def decode_answer(frame: bytes) -> Answer | Failure:
    """The answer in a frame. Raises msgspec.DecodeError for what is none."""
    answer: Answer | Failure = _answers.decode(frame)
    return answer


def write_frame(file: IO[bytes], frame: bytes) -> None:
    """Write a frame. Raises OSError where the other side is gone."""
    file.write(_LENGTH.pack(len(frame)))
    file.write(frame)
    file.flush()


def read_frame(file: IO[bytes], max_bytes: int) -> bytes | None:
    """The next frame; None where the other side is gone, or sends more than `max_bytes`."""
    head = file.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (n_bytes,) = _LENGTH.unpack(head)
    if n_bytes > max_bytes:
        return None
    frame = bytearray()
    while len(frame) < n_bytes:
        piece = file.read(min(_PIECE, n_bytes - len(frame)))
        if not piece:
            return None
        frame += piece
    return bytes(frame)
