"""Chunks: a text cut into pieces of at most so many words, each with its place.

What reads a format says where sections and their blocks lie (`Section`, `Block`). Blocks are packed into chunks in
their order: a chunk begins and ends with a block, one that is too long is cut by `semchunk` (lines, sentences, words),
and no chunk crosses a heading unless what stands before it is tiny. A chunk is a slice of the text: offsets are
characters.

Sizes are words, counted without a tokenizer (`n_words`); an English word is about 1.3 tokens of a model.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, takewhile
from typing import NamedTuple, cast

from msgspec import Struct

from vdb.errors import InvalidArgument

__all__ = [
    "MAX_CHUNK_WORDS",
    "Block",
    "Chunk",
    "ChunkOptions",
    "Section",
    "check_options",
    "chunks_of",
    "n_words",
]

MAX_CHUNK_WORDS = 8_192
"""Largest `size`: no model embeds more at once."""

_TINY_SHARE = 8
"""A section of less than one in so many of `size` is tiny: it may stand in one chunk with what follows."""

_WORD_CHARACTERS = 16
"""A word longer than this counts as several, so that a text without spaces has chunks too."""

_WINDOW = 1 << 16
"""Characters that `semchunk` sees at once: it cuts at the longest run of white space first, by recursion, and so many
characters hold at most 360 lengths of runs."""

_UNSPACED = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]|[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]{4}"
)
"""What counts as a word in scripts that put no space between words: an ideograph or kana, four letters of Thai, Lao,
Burmese or Khmer."""

_BREAK = re.compile(r"\s")
_SENTENCE_START = re.compile(r"(?<=[.!?。！？])\s+(?=\S)|\n\s*(?=\S)")
_WORD = re.compile(r"\S+")


class Chunk(Struct, frozen=True):
    """A piece of a document. `source[start:end]` holds `text`: exactly, in text and Markdown; with the tags between, in
    HTML; of the extracted text of `page` (from 1), in PDF. `heading` is the path of headings it stands under."""

    text: str
    start: int
    end: int
    heading: tuple[str, ...] = ()
    page: int | None = None


class ChunkOptions(Struct, frozen=True):
    """How large chunks are: at most `size` words, of which up to `overlap` repeat the end of the chunk before."""

    size: int = 200
    overlap: int = 0


class Block(NamedTuple):
    """Characters [start, end) of a text that belong together: a paragraph, a list, a table, code, a heading."""

    start: int
    end: int


class Section(NamedTuple):
    """The blocks under one heading. `n_headings`: how many of the first ones are the headings themselves."""

    heading: tuple[str, ...]
    blocks: Sequence[Block]
    n_headings: int = 0


class _Unit(NamedTuple):
    """A block, or a piece of one, that fits a chunk."""

    start: int
    end: int
    words: int
    is_heading: bool = False


class _Run(NamedTuple):
    """Units that chunks are packed from: no chunk holds units of two runs."""

    heading: tuple[str, ...]
    units: list[_Unit]
    has_body: bool
    words: int


def n_words(text: str) -> int:
    """How many words a text has: what stands between white space, or in scripts without spaces what `_UNSPACED` says;
    never less than one per 16 characters. A single character is never more than one."""
    if text.isascii():
        words = len(text.split())
    else:
        spaced, n_unspaced = _UNSPACED.subn(" ", text)
        words = len(spaced.split()) + n_unspaced
    return max(words, -(-len(text) // _WORD_CHARACTERS))


def check_options(options: ChunkOptions) -> None:
    """Raises InvalidArgument unless 1 <= size <= MAX_CHUNK_WORDS and overlap is at most half of size."""
    if not 1 <= options.size <= MAX_CHUNK_WORDS:
        raise InvalidArgument.at("/size", f"size is 1 to {MAX_CHUNK_WORDS:,} words")
    if not 0 <= options.overlap <= options.size // 2:
        raise InvalidArgument.at("/overlap", "overlap is 0 to half of size, in words")


def chunks_of(
    text: str, sections: Iterable[Section], options: ChunkOptions, page: int | None = None
) -> Iterator[Chunk]:
    """The chunks of a text whose sections are given in their order; none where there is only white space."""
    size = options.size - options.overlap
    for run in _merged(_runs(text, sections, size), size):
        for n_before, (start, end) in enumerate(_packed(text, run.units, size)):
            if n_before and options.overlap:
                start = _moved_back(text, run.units[0].start, start, options.overlap)
            yield Chunk(text[start:end], start, end, run.heading, page)


def _runs(text: str, sections: Iterable[Section], size: int) -> Iterator[_Run]:
    for section in sections:
        units = [
            unit
            for at, block in enumerate(section.blocks)
            for unit in _units(text, block, size, at < section.n_headings)
        ]
        if units:
            has_body = len(section.blocks) > section.n_headings
            yield _Run(section.heading, units, has_body, sum(unit.words for unit in units))


def _merged(runs: Iterable[_Run], size: int) -> Iterator[_Run]:
    """Runs, tiny ones joined with what follows them."""
    tiny = size // _TINY_SHARE
    before: _Run | None = None
    for run in runs:
        if before is not None and _may_join(before, run, tiny, size):
            before = _joined(before, run)
            continue
        if before is not None:
            yield before
        before = run
    if before is not None:
        yield before


def _may_join(before: _Run, run: _Run, tiny: int, size: int) -> bool:
    """A heading without a text goes with what it heads; a tiny section with its own parts, or with another tiny one."""
    is_part = run.heading[: len(before.heading)] == before.heading
    if not before.has_body:
        return before.words < size and (is_part or before.words + run.words <= size)
    return before.words < tiny and before.words + run.words <= size and (is_part or run.words < tiny)


def _joined(before: _Run, run: _Run) -> _Run:
    """Two runs as one, under the path of the longer one if the other is a part of it, else under what both share."""
    is_part = run.heading[: len(before.heading)] == before.heading
    if not before.has_body or (is_part and run.words > before.words):
        heading = run.heading
    else:
        heading = tuple(
            one for one, _ in takewhile(lambda pair: pair[0] == pair[1], zip(before.heading, run.heading, strict=False))
        )
    has_body = before.has_body or run.has_body
    before.units.extend(run.units)
    return _Run(heading, before.units, has_body, before.words + run.words)


def _packed(text: str, units: list[_Unit], size: int) -> Iterator[tuple[int, int]]:
    """Start and end of chunks: as many units one after another as fit, a heading never last."""
    waiting = deque(units)
    held = waiting.popleft()
    while waiting:
        unit = waiting.popleft()
        room = size - held.words
        if unit.words <= room:
            held = _Unit(held.start, unit.end, held.words + unit.words, held.is_heading and unit.is_heading)
        elif held.is_heading and not unit.is_heading and 2 * room >= size:
            waiting.extendleft(reversed([*_cut(text, unit.start, unit.end, room)]))
        else:
            yield held.start, held.end
            held = unit
    yield held.start, held.end


def _units(text: str, block: Block, size: int, is_heading: bool) -> list[_Unit]:
    start, end = _stripped(text, *block)
    if start == end:
        return []
    words = n_words(text[start:end])
    if words <= size:
        return [_Unit(start, end, words, is_heading)]
    return [unit for window in _windows(text, start, end) for unit in _cut(text, *window, size)]


def _cut(text: str, start: int, end: int, size: int) -> Iterator[_Unit]:
    """Pieces of a stretch that is too long, of nearly equal size: a full one and a scrap are both worse."""
    from semchunk.semchunk import chunk

    words = n_words(text[start:end])
    n_pieces = -(-words // size)
    aim = min(size, -(-words // n_pieces) + words // n_pieces // 8)
    found = chunk(text[start:end], aim, n_words, memoize=False, offsets=True)
    for piece in cast(tuple[list[str], list[tuple[int, int]]], found)[1]:
        a, b = _stripped(text, start + piece[0], start + piece[1])
        if a < b:
            yield _Unit(a, b, n_words(text[a:b]))


def _windows(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Stretches of at most `_WINDOW` characters, cut at a line's end or at white space where there is any."""
    while end - start > _WINDOW:
        cut = text.rfind("\n", start + _WINDOW // 2, start + _WINDOW)
        if cut < 0:
            spaces = _BREAK.finditer(text, start + _WINDOW - 4 * _WORD_CHARACTERS, start + _WINDOW)
            cut = max((space.start() for space in spaces), default=start + _WINDOW)
        yield start, cut
        start = cut
    yield start, end


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """The stretch without white space at its ends."""
    piece = text[start:end]
    kept = piece.strip()
    start += len(piece) - len(piece.lstrip())
    return start, start + len(kept)


def _moved_back(text: str, least: int, start: int, overlap: int) -> int:
    """Where a chunk begins that repeats up to `overlap` words of the one before: with a sentence, or else a word."""
    window = max(least, start - overlap * _WORD_CHARACTERS)
    words = [match.start() + window for match in _WORD.finditer(text[window:start])]
    counts = accumulate(n_words(text[a:b]) for a, b in zip(reversed(words), reversed([*words[1:], start]), strict=True))
    n_kept = sum(1 for n in counts if n <= overlap)
    if n_kept == 0:
        return start
    first = words[-n_kept]
    sentence = _SENTENCE_START.search(text, first, start)
    return sentence.end() if sentence and sentence.end() < start else first
