"""The formats that documents may have, and what reading one yields.

A format's module has `read(data) -> Reading`; it runs here for short texts and in a worker process otherwise
(`extractor`). Modules are imported when first needed: a worker that reads Markdown loads no PDF library.
"""

import re
from collections.abc import Iterable
from itertools import islice
from typing import NamedTuple

from msgspec import Struct

from vdb.errors import DocumentTooLarge, UnreadableDocument
from vdb.rag.chunk import Chunk, ChunkOptions

__all__ = [
    "HTML",
    "MARKDOWN",
    "MEDIA_TYPES",
    "PARSER_VERSION",
    "PDF",
    "TEXT",
    "Parsed",
    "Reading",
    "media_type_of",
    "parse",
    "plain_media_type",
]

PARSER_VERSION = 1
"""Counts up whenever the same bytes could yield other chunks, so that documents are read again."""

TEXT, MARKDOWN, HTML, PDF = "text/plain", "text/markdown", "text/html", "application/pdf"

MEDIA_TYPES = (TEXT, MARKDOWN, HTML, PDF)
"""Media types of documents that can be read."""

_SAME = {"text/x-markdown": MARKDOWN, "application/xhtml+xml": HTML}
_SUFFIXES = {
    **dict.fromkeys(("txt", "text"), TEXT),
    **dict.fromkeys(("md", "markdown", "mdown", "mkd"), MARKDOWN),
    **dict.fromkeys(("html", "htm", "xhtml"), HTML),
    "pdf": PDF,
}
_HTML_START = re.compile(rb"(?>(?:\s|<\?.*?>|<!--.*?-->)*)<(?:!doctype\s+html|html|head|body)\b", re.I | re.S)
_HEAD_BYTES = 1_024


class Parsed(Struct, frozen=True):
    """A document that was read. `n_characters`: of its source as decoded, or of all pages' texts of a PDF."""

    title: str | None
    chunks: tuple[Chunk, ...]
    media_type: str
    n_characters: int


class Reading(NamedTuple):
    """What a format's reader returns; chunks may be made as they are asked for."""

    title: str | None
    chunks: Iterable[Chunk]
    n_characters: int


def plain_media_type(media_type: str) -> str:
    """The media type without parameters, one of MEDIA_TYPES. Raises UnreadableDocument for another one."""
    plain = media_type.split(";", 1)[0].strip().lower()
    plain = _SAME.get(plain, plain)
    if plain not in MEDIA_TYPES:
        raise UnreadableDocument(f"documents of this media type cannot be read; those are {', '.join(MEDIA_TYPES)}")
    return plain


def media_type_of(name: str, head: bytes) -> str | None:
    """The media type of a file by its name and its first bytes (a kilobyte will do); None for what cannot be read."""
    if b"%PDF-" in head[:_HEAD_BYTES]:
        return PDF
    suffix = name.rpartition(".")[2].lower() if "." in name else ""
    if suffix in _SUFFIXES:
        return _SUFFIXES[suffix]
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return TEXT
    if b"\0" in head or not _starts_as_utf8(head):
        return None
    return HTML if _HTML_START.match(head[:_HEAD_BYTES]) else TEXT


def _starts_as_utf8(head: bytes) -> bool:
    """Whether the bytes are UTF-8; the last character may be cut."""
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as exc:
        return exc.reason == "unexpected end of data" and exc.end == len(head)
    return True


def parse(data: bytes, media_type: str, options: ChunkOptions, max_chunks: int) -> Parsed:
    """Read a document in this process. `media_type` is one of MEDIA_TYPES.

    Raises UnreadableDocument, and DocumentTooLarge where it has more than `max_chunks` chunks.
    """
    reading = _read(data, media_type, options)
    chunks = tuple(islice(reading.chunks, max_chunks + 1))
    if len(chunks) > max_chunks:
        raise DocumentTooLarge(
            f"a document has up to {max_chunks:,} chunks: cut it into several, or make `size` larger"
        )
    if not chunks:
        raise UnreadableDocument("the document has no text")
    return Parsed(reading.title, chunks, media_type, reading.n_characters)


def _read(data: bytes, media_type: str, options: ChunkOptions) -> Reading:
    if media_type == TEXT:
        from vdb.rag.extract import text

        return text.read(data, options)
    if media_type == MARKDOWN:
        from vdb.rag.extract import markdown

        return markdown.read(data, options)
    if media_type == HTML:
        from vdb.rag.extract import html

        return html.read(data, options)
    from vdb.rag.extract import pdf

    return pdf.read(data, options)
