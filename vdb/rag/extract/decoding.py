"""Bytes to characters: UTF-8, UTF-16 with a byte order mark, or what an HTML page declares. Never a guess.

Offsets of chunks count the characters of what is returned here; the byte order mark is none of them.
"""

import codecs

from vdb.errors import UnreadableDocument

__all__ = ["decoded", "encoding_of_mark"]

_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def encoding_of_mark(data: bytes) -> tuple[str, int] | None:
    """The encoding that the byte order mark names and the mark's length; None without one."""
    return next(((name, len(mark)) for mark, name in _MARKS if data.startswith(mark)), None)


def decoded(data: bytes, declared: str | None = None) -> str:
    """The characters of `data`: as its byte order mark says, or else `declared`, or else UTF-8.

    Raises UnreadableDocument for bytes that are not of that encoding, for NUL characters (a binary file), and where
    nothing but white space is left.
    """
    encoding, n_mark = encoding_of_mark(data) or (declared or "utf-8", 0)
    try:
        text = codecs.decode(memoryview(data)[n_mark:], encoding)
    except UnicodeDecodeError as exc:
        raise UnreadableDocument(_fault(encoding, exc, n_mark)) from None
    if "\0" in text:
        raise UnreadableDocument("the document is not text: it holds NUL characters, as binary files do")
    if not text or text.isspace():
        raise UnreadableDocument("the document has no text")
    return text


def _fault(encoding: str, exc: UnicodeDecodeError, n_mark: int) -> str:
    """What is wrong, without a byte of the text."""
    name = encoding.upper().removesuffix("-LE").removesuffix("-BE")
    return f"the document is not {name} text: it cannot be read from byte {exc.start + n_mark} on"
