"""Plain text: one section, whose blocks are the paragraphs between blank lines."""

import re
from collections.abc import Iterator

from vdb.rag.chunk import Block, ChunkOptions, Section, chunks_of
from vdb.rag.extract.decoding import decoded
from vdb.rag.extract.formats import Reading

__all__ = ["paragraphs", "read"]

_BLANK_LINES = re.compile(r"(?:\r\n?|\n)(?:[^\S\r\n]*(?:\r\n?|\n))+")


def read(data: bytes, options: ChunkOptions) -> Reading:
    """The chunks of a text. Raises UnreadableDocument."""
    source = decoded(data)
    sections = [Section((), list(paragraphs(source)))]
    return Reading(None, chunks_of(source, sections, options), len(source))


def paragraphs(text: str, start: int = 0, end: int | None = None) -> Iterator[Block]:
    """What stands between blank lines in text[start:end]."""
    end = len(text) if end is None else end
    for gap in _BLANK_LINES.finditer(text, start, end):
        yield Block(start, gap.start())
        start = gap.end()
    yield Block(start, end)
