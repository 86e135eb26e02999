"""Real documents (`documents/`, licences there): offsets lead to the text, known sentences are where they belong."""

import re
from functools import cache
from html import unescape
from io import BytesIO
from pathlib import Path

import pytest
from pypdf import PdfReader

from vdb.errors import UnreadableDocument
from vdb.rag.chunk import Chunk, ChunkOptions, n_words
from vdb.rag.extract import Extractor, Parsed, media_type_of
from vdb.rag.extract.formats import parse

FOLDER = Path(__file__).parent / "documents"
FILES = sorted(path.name for path in FOLDER.iterdir() if path.name not in ("LICENCES.md", "needs-a-password.pdf"))


@cache
def _read(name: str, size: int = 200, overlap: int = 0) -> Parsed:
    data = (FOLDER / name).read_bytes()
    media_type = media_type_of(name, data[:1_000])
    assert media_type is not None
    return parse(data, media_type, ChunkOptions(size, overlap), 10_000)


def _source(name: str) -> str:
    return (FOLDER / name).read_bytes().decode()


def _with(name: str, words: str) -> Chunk:
    """The first chunk that holds these words, whatever white space is between them."""
    pattern = re.compile(r"\s+".join(map(re.escape, words.split())))
    return next(chunk for chunk in _read(name).chunks if pattern.search(chunk.text))


def test_every_file_has_its_licence_and_every_format_three_files() -> None:
    licences = (FOLDER / "LICENCES.md").read_text(encoding="utf-8")
    assert [path.name for path in FOLDER.iterdir() if f"`{path.name}`" not in licences] == ["LICENCES.md"]
    suffixes = [name.rpartition(".")[2] for name in FILES]
    assert all(suffixes.count(suffix) >= 3 for suffix in ("md", "html", "pdf"))
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 1_500_000


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".md")])
@pytest.mark.parametrize(("size", "overlap"), [(200, 0), (40, 10)])
def test_markdown_chunks_are_slices_of_the_source(name: str, size: int, overlap: int) -> None:
    source = _source(name)
    for chunk in _read(name, size, overlap).chunks:
        assert source[chunk.start : chunk.end] == chunk.text
        assert n_words(chunk.text) <= size


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".html")])
@pytest.mark.parametrize("size", [200, 15])
def test_html_chunks_stand_in_the_source_with_tags_between(name: str, size: int) -> None:
    source = _source(name)
    for chunk in _read(name, size).chunks:
        place = re.sub(r"<!--.*?-->|<script.*?</script>|<[^>]*>", "", source[chunk.start : chunk.end], flags=re.DOTALL)
        assert "".join(unescape(place).split()) == "".join(chunk.text.split())


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".pdf")])
def test_pdf_chunks_are_slices_of_the_text_of_their_page(name: str) -> None:
    pages = PdfReader(BytesIO((FOLDER / name).read_bytes())).pages
    texts = [page.extract_text() for page in pages]
    for chunk in _read(name).chunks:
        assert chunk.page is not None
        assert texts[chunk.page - 1][chunk.start : chunk.end].split() == chunk.text.split()


@pytest.mark.parametrize("name", FILES)
def test_no_word_of_a_document_is_lost(name: str) -> None:
    """Chunks of any size hold the same words."""
    large, small = (" ".join(chunk.text for chunk in _read(name, size).chunks).split() for size in (400, 50))
    assert len(large) > 5
    assert "".join(large) == "".join(small)


@pytest.mark.parametrize(
    ("name", "words", "heading"),
    [
        ("commander-readme.md", "By default, every command has a help option", ".helpOption(flags, description)"),
        ("commander-readme.md", "program .option('-c, --cheese [type]'", "Other option types, negatable boolean"),
        ("commander-readme.md", "If the default parsing does not suit your needs", "Parsing Configuration"),
        ("mescroll-readme.md", "支持监听列表滚动事件", "功能亮点"),
        ("mescroll-readme.md", "一套代码多端运行", "mescroll.js"),
        ("pypdf-readme.md", "pip install pypdf", "Installation"),
        ("pypdf-readme.md", "reader = PdfReader", "Usage"),
        ("ncurses-hackguide.html", "The lib_mouse() code is logically split", "Mouse Events"),
        ("ncurses-hackguide.html", "We used System V curses as a model", "Why System V Curses?"),
        ("ncurses-intro.html", "A panel object is a window that is implicitly treated", "Overview of Panels"),
        ("ncurses-intro.html", "This field type accepts a decimal number", "TYPE_NUMERIC"),
        ("opus-encoder-controls.html", "Rates from 500 to 512000 bits per second", "OPUS_SET_BITRATE"),
    ],
)
def test_known_words_stand_under_their_heading(name: str, words: str, heading: str) -> None:
    assert heading in _with(name, words).heading[-1]


@pytest.mark.parametrize(
    ("name", "words", "page"),
    [
        ("nauty-guide.pdf", "nauty and Traces User’s Guide (Version 2.8.6)", 1),
        ("nauty-guide.pdf", "5 Options and statistics Various options are provided", 19),
        ("nauty-guide.pdf", "There is also a program callgeng2.c", 66),
        ("pdflatex-outline.pdf", "8 Bar Hello, here is some text", 4),
        ("multilang.pdf", "Привет, мир", 1),
        ("multilang.pdf", "你好世界", 1),
    ],
)
def test_known_words_stand_on_their_page(name: str, words: str, page: int) -> None:
    assert _with(name, words).page == page


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("commander-readme.md", "Commander.js"),
        ("mescroll-readme.md", "mescroll"),
        ("ncurses-hackguide.html", "A Hacker's Guide to Ncurses Internals"),
        ("opus-encoder-controls.html", "Opus: Encoder related CTLs"),
        ("multilang.pdf", None),
    ],
)
def test_documents_say_their_title(name: str, title: str | None) -> None:
    assert _read(name).title == title


def test_workers_read_them_as_this_process_does() -> None:
    extractor = Extractor()
    try:
        for name in ("commander-readme.md", "ncurses-hackguide.html", "pdflatex-outline.pdf"):
            data = (FOLDER / name).read_bytes()
            assert extractor.parse(data, media_type_of(name, data) or "", ChunkOptions()) == _read(name)
    finally:
        extractor.close()


def test_an_encrypted_file_says_so() -> None:
    with pytest.raises(UnreadableDocument, match="encrypted"):
        parse((FOLDER / "needs-a-password.pdf").read_bytes(), "application/pdf", ChunkOptions(), 10)
