"""Chunks: sizes, offsets, sections, overlap."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import InvalidArgument
from vdb.rag.chunk import Block, Chunk, ChunkOptions, Section, check_options, chunks_of, n_words

SENTENCE = "The quick brown fox jumps over the lazy dog near the river bank. "


def _chunks(text: str, size: int = 200, overlap: int = 0) -> list[Chunk]:
    """Chunks of a text whose blocks are its paragraphs."""
    blocks = [Block(found.start(), found.end()) for found in re.finditer(r"(?:.|\n(?!\n))+", text)]
    return list(chunks_of(text, [Section((), blocks)], ChunkOptions(size, overlap)))


def _sections(*parts: tuple[tuple[str, ...], str, str]) -> tuple[str, list[Section]]:
    """A text of sections, each a heading (left out where empty) and a body."""
    text, sections = "", []
    for heading, title, body in parts:
        blocks = []
        for piece in (title, body):
            if piece:
                blocks.append(Block(len(text), len(text) + len(piece)))
                text += piece + "\n\n"
        sections.append(Section(heading, blocks, 1 if title else 0))
    return text, sections


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        ("one", 1),
        ("two words", 2),
        ("Grüße aus Köln", 3),
        ("日本 and 本", 4),
        ("a" * 160, 10),
        ("これは日本語です", 8),
        ("ภาษาไทยไม่มีช่องว่าง", 20 // 4),
    ],
)
def test_words_are_counted_in_every_script(text: str, words: int) -> None:
    assert n_words(text) == words


def test_a_short_text_is_one_chunk_without_the_space_around_it() -> None:
    assert _chunks("\n  A short text.  \n") == [Chunk("A short text.", 3, 16)]


def test_paragraphs_are_packed_whole() -> None:
    paragraph = SENTENCE * 5
    chunks = _chunks("\n\n".join([paragraph.strip()] * 10), size=140)
    assert [chunk.text for chunk in chunks] == ["\n\n".join([paragraph.strip()] * 2)] * 5


def test_a_long_paragraph_is_cut_at_sentences_into_pieces_of_nearly_equal_size() -> None:
    chunks = _chunks(SENTENCE * 17, size=200)
    assert all(chunk.text.endswith("bank.") for chunk in chunks)
    assert [n_words(chunk.text) for chunk in chunks] == [117, 104]


def test_a_line_without_spaces_has_chunks_of_bounded_size() -> None:
    text = "x" * 200_000
    chunks = _chunks(text, size=100)
    assert "".join(chunk.text for chunk in chunks) == text
    assert max(len(chunk.text) for chunk in chunks) <= 1_600


def test_runs_of_white_space_of_many_lengths_do_not_exhaust_the_stack() -> None:
    text = "".join("word" + "\n" * n for n in range(1, 1_500))
    assert sum(chunk.text.count("word") for chunk in _chunks(text, size=20)) == 1_499


def test_no_chunk_crosses_a_heading() -> None:
    body = SENTENCE * 4
    text, sections = _sections((("A",), "# A", body), (("A", "B"), "## B", body), (("C",), "# C", body))
    chunks = list(chunks_of(text, sections, ChunkOptions(200)))
    assert [chunk.heading for chunk in chunks] == [("A",), ("A", "B"), ("C",)]
    assert [chunk.text.split("\n")[0] for chunk in chunks] == ["# A", "## B", "# C"]


def test_a_heading_without_a_text_stands_with_what_it_heads() -> None:
    text, sections = _sections((("A",), "# A", ""), (("A", "B"), "## B", ""), (("A", "B", "C"), "### C", SENTENCE * 40))
    chunks = list(chunks_of(text, sections, ChunkOptions(200)))
    assert chunks[0].text.startswith("# A\n\n## B\n\n### C\n\nThe quick")
    assert {chunk.heading for chunk in chunks} == {("A", "B", "C")}


def test_tiny_sections_beside_one_another_share_a_chunk_under_the_path_they_share() -> None:
    text, sections = _sections(
        *(((("Terms",), "", "")), *((("Terms", name), f"## {name}", "Short.") for name in "abcd"))
    )
    (chunk,) = chunks_of(text, sections, ChunkOptions(200))
    assert chunk.heading == ("Terms",)
    assert chunk.text.count("Short.") == 4


def test_overlap_repeats_the_last_sentence() -> None:
    text = " ".join(f"This is sentence number {n} of this text." for n in range(60))
    plain, lapped = _chunks(text, 80), _chunks(text, 80, 20)
    assert not any(one.end > other.start for one, other in pairwise(plain))
    for one, other in pairwise(lapped):
        repeated = text[other.start : one.end]
        assert repeated.startswith("This is sentence")
        assert 1 <= n_words(repeated) <= 20
    assert all(n_words(chunk.text) <= 80 for chunk in lapped)


def test_overlap_stays_within_a_section() -> None:
    text, sections = _sections((("A",), "# A", SENTENCE * 4), (("B",), "# B", SENTENCE * 4))
    chunks = list(chunks_of(text, sections, ChunkOptions(100, 30)))
    assert [chunk.text.count("#") for chunk in chunks] == [1, 1]


@pytest.mark.parametrize("options", [ChunkOptions(0), ChunkOptions(8_193), ChunkOptions(100, 51), ChunkOptions(10, -1)])
def test_options_out_of_bounds_are_refused(options: ChunkOptions) -> None:
    with pytest.raises(InvalidArgument):
        check_options(options)


@given(
    text=st.text(st.sampled_from("ab c.\n\t\r-é。日 \u2003\u0301"), max_size=2_000),
    size=st.integers(1, 60),
    overlap=st.integers(0, 30),
)
def test_every_chunk_is_a_slice_of_bounded_size_and_together_they_hold_every_character(
    text: str, size: int, overlap: int
) -> None:
    overlap = min(overlap, size // 2)
    chunks = _chunks(text, size, overlap)
    held: set[int] = set()
    for chunk in chunks:
        assert text[chunk.start : chunk.end] == chunk.text == chunk.text.strip() != ""
        assert n_words(chunk.text) <= size
        held.update(range(chunk.start, chunk.end))
    assert [at for at, character in enumerate(text) if not character.isspace() and at not in held] == []
    assert [chunk.end for chunk in chunks] == sorted({chunk.end for chunk in chunks})
