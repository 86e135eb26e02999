"""PDF by `pypdf`: the text of each page, in the order in which the page draws it.

Chunks keep to a page, and their offsets count the characters of that page's text as it is put here. `pypdf` bounds what
streams unpack to, how deep objects nest and how many there are; the worker process bounds the rest.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, TypeVar

from vdb.errors import UnreadableDocument
from vdb.rag.chunk import Chunk, ChunkOptions, Section, chunks_of
from vdb.rag.extract.formats import Reading
from vdb.rag.extract.headings import shortened
from vdb.rag.extract.text import paragraphs

if TYPE_CHECKING:
    from pypdf import PageObject, PdfReader

__all__ = ["page_texts", "read"]

_T = TypeVar("_T")

_NOT_TEXT = re.compile("[\0-\x08\x0b\x0e-\x1f\ud800-\udfff]")
_LINE_WITHIN_PARAGRAPH = re.compile(r"(?<=[^\s.!?:;])\n(?=[^\W\d_])")


def read(data: bytes, options: ChunkOptions) -> Reading:
    """The chunks of a PDF file; its title is that of its metadata. Raises UnreadableDocument."""
    reader = _opened(data)
    pages = list(page_texts(reader))
    if not any(text and not text.isspace() for text in pages):
        raise UnreadableDocument("the document has no text: its pages hold images only, or nothing")
    return Reading(_title(reader), _chunks(pages, options), sum(len(text) for text in pages))


def page_texts(reader: "PdfReader") -> Iterator[str]:
    """The text of every page. Raises UnreadableDocument where one cannot be read."""
    pages = reader.pages
    for at in range(_understood("its list of pages", lambda: len(pages))):
        yield _plain(_understood(f"page {at + 1:,}", partial(_text_of, pages, at)))


def _text_of(pages: "Sequence[PageObject]", at: int) -> str:
    return pages[at].extract_text()


def _opened(data: bytes) -> "PdfReader":
    """The file, decrypted where no password is needed to read it."""
    from pypdf import PasswordType, PdfReader
    from pypdf.errors import DependencyError

    if b"%PDF-" not in data[:1024]:
        raise UnreadableDocument("the document is not a PDF file")
    reader = _understood("its structure", lambda: PdfReader(BytesIO(data), strict=False))
    if _understood("its structure", lambda: reader.is_encrypted):
        try:
            opened = _understood("its encryption", lambda: reader.decrypt(""), DependencyError)
        except DependencyError:
            raise UnreadableDocument("the document is encrypted: save it without encryption") from None
        if opened == PasswordType.NOT_DECRYPTED:
            raise UnreadableDocument("the document is encrypted: it needs a password")
    return reader


def _understood(what: str, read: Callable[[], _T], *passed: type[Exception]) -> _T:
    """What `read` returns. Raises UnreadableDocument: on damaged files pypdf raises errors of any class, which may hold
    text of the file."""
    try:
        return read()
    except passed:
        raise
    except MemoryError:
        raise
    except RecursionError:
        raise UnreadableDocument(f"the document is damaged, or nests too deep: {what} cannot be read") from None
    except Exception as exc:
        raise UnreadableDocument(f"the document is damaged: {what} cannot be read ({type(exc).__name__})") from None


def _plain(text: str) -> str:
    """The text without what is none; a line that ends within a paragraph ends with a space. As long as before."""
    return _LINE_WITHIN_PARAGRAPH.sub(" ", _NOT_TEXT.sub("\ufffd", text))


def _title(reader: "PdfReader") -> str | None:
    """The title of the metadata; damaged metadata is none."""
    try:
        found = reader.metadata
        title = found.title if found is not None else None
    except MemoryError:
        raise
    except Exception:
        return None
    return shortened(_NOT_TEXT.sub("", title)) or None if isinstance(title, str) else None


def _chunks(pages: list[str], options: ChunkOptions) -> Iterator[Chunk]:
    for number, text in enumerate(pages, start=1):
        yield from chunks_of(text, [Section((), list(paragraphs(text)))], options, number)
