"""Markdown: headings, blocks, front matter; text exactly as in the source."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdb.errors import UnreadableDocument
from vdb.rag.chunk import ChunkOptions, n_words
from vdb.rag.extract import Extractor, Parsed

GUIDE = """\
---
title: "The guide"
tags: [a, b]
---
Before any heading, some words.

# Using `vdb` *well*

Introduction of a few words.

Setext
------

Text under setext.

> # A quoted heading is none

### Third [level](https://example.org "title") & more ###

- a list
- of items

    # code, no heading

```python
# a comment, no heading

print("kept whole")
```

# Second part

The end.
"""


def _parse(text: str, size: int = 10, overlap: int = 0) -> Parsed:
    extractor = Extractor()
    try:
        return extractor.parse(text.encode(), "text/markdown", ChunkOptions(size, overlap))
    finally:
        extractor.close()


def test_every_chunk_stands_under_its_headings() -> None:
    parsed = _parse(GUIDE)
    assert parsed.title == "The guide"
    under = {chunk.text.split("\n")[-1]: chunk.heading for chunk in parsed.chunks}
    top = "Using vdb well"
    assert under == {
        "Before any heading, some words.": (),
        "Introduction of a few words.": (top,),
        "Text under setext.": (top, "Setext"),
        "> # A quoted heading is none": (top, "Setext"),
        '### Third [level](https://example.org "title") & more ###': (top, "Setext", "Third level & more"),
        "    # code, no heading": (top, "Setext", "Third level & more"),
        "```": (top, "Setext", "Third level & more"),
        "The end.": ("Second part",),
    }


def test_code_that_fits_a_chunk_stays_whole() -> None:
    code = [chunk.text for chunk in _parse(GUIDE).chunks if "print" in chunk.text]
    assert code == ['```python\n# a comment, no heading\n\nprint("kept whole")\n```']


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_offsets_hold_with_every_line_end(line_end: str) -> None:
    source = GUIDE.replace("\n", line_end)
    parsed = _parse(source)
    assert [source[chunk.start : chunk.end] for chunk in parsed.chunks] == [chunk.text for chunk in parsed.chunks]
    assert [chunk.heading for chunk in parsed.chunks] == [chunk.heading for chunk in _parse(GUIDE).chunks]
    assert parsed.title == "The guide"


def test_other_characters_that_python_takes_for_line_ends_do_not_shift_offsets() -> None:
    source = "# A\u2028B\x0b\x0c\x85\n\nOne.\x1c Two.\n\n# C\n\nThree."
    assert [chunk.text for chunk in _parse(source, 4).chunks] == ["# A\u2028B", "One.\x1c Two.", "# C\n\nThree."]


@pytest.mark.parametrize(
    ("source", "title", "first"),
    [
        ("+++\ntitle = 'Toml'\n+++\ntext", "Toml", "text"),
        ("---\nname: x\n---\n# Head\n\ntext", "Head", "# Head\n\ntext"),
        ("---\n---\ntext", None, "text"),
        ("---\n\nA ruler above a text.\n\n---\n\nmore", None, "---\n\nA ruler above a text.\n\n---\n\nmore"),
        ("---\nkey: never closed\n\ntext", None, "---\nkey: never closed\n\ntext"),
        ("## Second level\n\ntext", None, "## Second level\n\ntext"),
        ("#\n\ntext", None, "#\n\ntext"),
    ],
)
def test_front_matter_is_no_text(source: str, title: str | None, first: str) -> None:
    parsed = _parse(source)
    assert (parsed.title, parsed.chunks[0].text) == (title, first)


def test_front_matter_alone_is_no_text() -> None:
    with pytest.raises(UnreadableDocument, match="no text"):
        _parse("---\ntitle: only\n---\n")


def test_a_heading_of_thousands_of_characters_is_shortened() -> None:
    (chunk, *_) = _parse("# " + "*word* " * 5_000 + "\n\ntext").chunks
    assert len(chunk.heading[0]) <= 200 and chunk.heading[0].endswith("…")


@pytest.mark.parametrize(
    "source",
    [
        "- " * 10_000 + "deep",
        "> " * 10_000 + "deep",
        "".join("  " * level + "- item\n" for level in range(300)),
        "[a]: x\n" * 5_000,
        "[" * 20_000,
        "`" * 20_000 + "a",
        "*a_ " * 20_000,
        "a\n" * 20_000 + "===",
        "| a " * 5_000 + "\n" + "|---" * 5_000,
        "<div>\n" * 5_000,
        "# " * 20_000,
        "1. a\n" * 20_000,
    ],
    ids=[
        "lists",
        "quotes",
        "items",
        "references",
        "brackets",
        "ticks",
        "stars",
        "setext",
        "table",
        "html",
        "heads",
        "list",
    ],
)
def test_no_structure_is_lost_however_deep(source: str) -> None:
    chunks = _parse(source, 200).chunks
    held = sum(len(chunk.text.split()) for chunk in chunks)
    assert held >= len(source.split())
    assert all(source[chunk.start : chunk.end] == chunk.text and n_words(chunk.text) <= 200 for chunk in chunks)


@given(
    lines=st.lists(
        st.sampled_from(
            ["# A", "## B", "- x", "  y", "> q", "```", "", "---", "    c", "t e x t", "\u2028", "===", "<p>", "\t"]
        )
    ),
    size=st.integers(2, 30),
)
def test_any_mix_of_blocks_keeps_every_word(lines: list[str], size: int) -> None:
    source = "Start.\n\n" + "\n".join(lines)
    chunks = _parse(source, size).chunks
    held: set[int] = set()
    for chunk in chunks:
        assert source[chunk.start : chunk.end] == chunk.text
        held.update(range(chunk.start, chunk.end))
    assert [at for at, character in enumerate(source) if not character.isspace() and at not in held] == []


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_front_matter_that_never_ends_is_given_up_at_once(end: str) -> None:
    """It took twice as long with every line that ended with CR LF: sixty of them would never have been done."""
    text = f"---{end}a: 1{end}" + end * 60 + "words"
    assert _parse(text).chunks[-1].text.endswith("words")


def test_a_title_with_a_wide_gap_is_read_at_once() -> None:
    """The time grew with the square of the gap."""
    gap = " " * 20_000
    parsed = _parse(f"---\ntitle: {gap}'one{gap}two' \t\n---\nwords")
    assert parsed.title == "one two"
