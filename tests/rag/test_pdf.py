"""PDF: text by page; encrypted, damaged and empty files; files made to be hard to read."""

import pytest

from tests.rag.pdf_files import bomb, pages, pdf, stream, text_page
from vdb.errors import UnreadableDocument
from vdb.rag.chunk import ChunkOptions
from vdb.rag.extract.formats import PDF, Parsed, parse

ENCRYPTED = b"/Encrypt << /Filter /Standard /V 1 /R 2 /Length 40 /P -4 /O <%s> /U <%s> >> /ID [<00> <00>]" % (
    b"11" * 32,
    b"22" * 32,
)


def _parse(data: bytes, size: int = 200) -> Parsed:
    return parse(data, PDF, ChunkOptions(size), 10_000)


def test_chunks_keep_to_pages_and_count_from_one() -> None:
    data = pages(
        [text_page("First page.", "A second line"), text_page(), text_page("Third page: coffee.", "more")],
        b"/Info 10 0 R",
        [b"<< /Title (A test) >>"],
    )
    parsed = _parse(data)
    assert parsed.title == "A test"
    assert [(chunk.page, chunk.start, chunk.text) for chunk in parsed.chunks] == [
        (1, 0, "First page.\nA second line"),
        (3, 0, "Third page: coffee.\nmore"),
    ]
    assert parsed.n_characters == len("First page.\nA second line") + len("Third page: coffee.\nmore")


def test_a_line_that_ends_within_a_paragraph_ends_with_a_space() -> None:
    (chunk,) = _parse(pages([text_page("A sentence that goes", "on. Another", "- item", "12 more")])).chunks
    assert chunk.text == "A sentence that goes on. Another\n- item\n12 more"


def test_offsets_count_the_characters_of_the_page() -> None:
    lines = [f"Sentence number {n} of the page." for n in range(40)]
    whole = "\n".join(lines)
    chunks = _parse(pages([text_page(*lines)]), 20).chunks
    assert [whole[chunk.start : chunk.end] for chunk in chunks] == [chunk.text for chunk in chunks]
    assert len(chunks) > 5


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is not a PDF file"),
        (b"plain text", "is not a PDF file"),
        (b"%PDF-1.4\n", "damaged: its structure cannot be read"),
        (b"%PDF-1.4\n" + b"\xff" * 5_000, "damaged: its structure cannot be read"),
        (pages([text_page("Secret words")])[:200], "damaged"),
        (pages([text_page("Secret words")]).replace(b"/Kids", b"/Kinds"), "damaged|no text"),
        (pages([stream(b"BT (Secret words) Tj", b"/Filter /FlateDecode")]), "damaged|no text"),
        (pages([text_page()]), "no text: its pages hold images only"),
        (pages([text_page("  ")]), "no text: its pages hold images only"),
        (pages([]), "no text"),
        (pages([text_page("Secret words")], ENCRYPTED), "encrypted: it needs a password"),
        (pages([text_page("Secret words")], b"/Encrypt << /Filter /Other >>"), "encrypted|damaged"),
        (pdf([b"<< /Type /Catalog /Pages 1 0 R >>"]), "damaged|no text"),
        (pdf([b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Count 1 /Kids [2 0 R] >>"]), "damaged"),
        (pdf([b"<< /Type /Catalog /Pages 2 0 R >>", b"[" * 100_000 + b"]" * 100_000]), "damaged"),
        (pages([stream(b"[" * 100_000)]), "damaged|no text"),
        (pages([bomb(200_000_000)]), "damaged|no text"),
    ],
    ids=range(17),
)
def test_what_cannot_be_read_is_refused_without_a_word_of_it(data: bytes, says: str) -> None:
    with pytest.raises(UnreadableDocument, match=says) as caught:
        _parse(data)
    assert "Secret" not in caught.value.detail


def test_damaged_metadata_is_no_title() -> None:
    assert _parse(pages([text_page("Text")], b"/Info 99 0 R")).title is None
    assert _parse(pages([text_page("Text")], b"/Info 6 0 R", [b"[1 2]"])).title is None


def test_any_byte_changed_gives_chunks_or_a_clear_error() -> None:
    data = pages([text_page("Some words of a page.", "More of them."), text_page("A second page.")])
    n_read = 0
    for at in range(9, len(data), 3):
        changed = data[:at] + bytes([data[at] ^ 0x15]) + data[at + 1 :]
        try:
            n_read += len(_parse(changed).chunks)
        except UnreadableDocument as error:
            assert "words" not in error.detail
    assert n_read > 100
