"""Plain text and what is common to all that is text: encodings, binary files, empty ones, sizes."""

import codecs
from dataclasses import replace

import pytest

from vdb.config import Limits
from vdb.errors import DocumentTooLarge, UnreadableDocument
from vdb.rag.chunk import ChunkOptions
from vdb.rag.extract import Extractor, Parsed, media_type_of

GERMAN = "Grüße aus Köln.\n\nZweiter Absatz – mit Strich."


def _parse(data: bytes, media_type: str = "text/plain", limits: Limits | None = None, size: int = 200) -> Parsed:
    extractor = Extractor(limits)
    try:
        return extractor.parse(data, media_type, ChunkOptions(size))
    finally:
        extractor.close()


@pytest.mark.parametrize(
    "data",
    [
        GERMAN.encode(),
        codecs.BOM_UTF8 + GERMAN.encode(),
        codecs.BOM_UTF16_LE + GERMAN.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + GERMAN.encode("utf-16-be"),
    ],
    ids=["utf-8", "utf-8 with a mark", "utf-16 le", "utf-16 be"],
)
def test_every_encoding_gives_the_same_characters_and_offsets(data: bytes) -> None:
    parsed = _parse(data, size=4)
    assert [chunk.text for chunk in parsed.chunks] == ["Grüße aus Köln.", "Zweiter Absatz –", "mit Strich."]
    assert all(GERMAN[chunk.start : chunk.end] == chunk.text for chunk in parsed.chunks)
    assert (parsed.title, parsed.media_type, parsed.n_characters) == (None, "text/plain", len(GERMAN))


@pytest.mark.parametrize("media_type", ["text/plain", "text/markdown"])
@pytest.mark.parametrize(
    ("data", "says"),
    [
        (GERMAN.encode("cp1252"), "not UTF-8 text: it cannot be read from byte 2"),
        (b"a lone surrogate \xed\xa0\x80", "not UTF-8 text: it cannot be read from byte 17"),
        (codecs.BOM_UTF16_LE + b"a\x00\x00\xd8b\x00", "not UTF-16 text"),
        (codecs.BOM_UTF16_LE + b"a\x00b", "not UTF-16 text"),
        (b"text\0more", "NUL"),
        (GERMAN.encode("utf-16-le"), "NUL|not UTF-8"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "not UTF-8"),
        (b"", "has no text"),
        (codecs.BOM_UTF8, "has no text"),
        (" \n\t\u2003\n".encode(), "has no text"),
    ],
)
def test_what_is_not_text_is_refused_without_a_word_of_it(data: bytes, says: str, media_type: str) -> None:
    with pytest.raises(UnreadableDocument, match=says) as caught:
        _parse(data, media_type)
    assert "surrogate" not in caught.value.detail and "more" not in caught.value.detail


def test_control_characters_stay_as_they_are() -> None:
    text = "a\x01b \x1b[1mbold\x1b[0m \x7f and \u200b\ufeff"
    assert [chunk.text for chunk in _parse(text.encode()).chunks] == [text]


def test_more_bytes_than_a_document_may_have_are_refused() -> None:
    limits = replace(Limits(), max_document_bytes=1_000)
    assert len(_parse(b"a" * 1_000, limits=limits).chunks) == 1
    with pytest.raises(DocumentTooLarge, match="up to 1,000 bytes"):
        _parse(b"a" * 1_001, limits=limits)


def test_more_chunks_than_a_document_may_have_are_refused() -> None:
    limits = replace(Limits(), max_chunks_per_document=3)
    assert len(_parse(b"one two three", limits=limits, size=1).chunks) == 3
    with pytest.raises(DocumentTooLarge, match="up to 3 chunks"):
        _parse(b"one two three four", limits=limits, size=1)


def test_a_media_type_that_cannot_be_read_is_refused_with_those_that_can() -> None:
    with pytest.raises(UnreadableDocument, match="text/plain, text/markdown, text/html, application/pdf"):
        _parse(b"a", "application/msword")


def test_a_media_type_may_have_parameters() -> None:
    assert _parse(b"# A\n\nText.", "Text/Markdown; charset=utf-8").title == "A"


@pytest.mark.parametrize(
    ("name", "head", "media_type"),
    [
        ("a.txt", b"text", "text/plain"),
        ("a.MD", b"# text", "text/markdown"),
        ("folder.d/README", b"text", "text/plain"),
        ("a.htm", b"", "text/html"),
        ("page", b"<!-- a --> <!-- b -->\n<!DOCTYPE html><html>", "text/html"),
        ("page", b"<?xml version='1.0'?>\n<html>", "text/html"),
        ("page", b"<!---->" * 140, "text/plain"),
        ("a.bin", b"%PDF-1.7", "application/pdf"),
        ("a.rst", "Grüße".encode()[:-2], "text/plain"),
        ("a.rst", "Grüß".encode()[:-1], "text/plain"),
        ("a.rst", codecs.BOM_UTF16_LE + b"a\0", "text/plain"),
        ("a.docx", b"PK\x03\x04\0\0", None),
        ("a.png", b"\x89PNG\r\n", None),
    ],
)
def test_the_media_type_follows_from_name_and_first_bytes(name: str, head: bytes, media_type: str | None) -> None:
    assert media_type_of(name, head) == media_type
