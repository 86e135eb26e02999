"""Markdown: sections by headings, blocks by `markdown-it-py`, text as it stands in the source.

Only the block structure is parsed, with the lines it came from; chunks are slices of the source, marks included.
Nothing is rendered, so neither nesting nor links can make it slow: `reference` is switched off because markdown-it
reads the rest of a paragraph for each of its definitions.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from vdb.rag.chunk import Block, ChunkOptions, Section, chunks_of
from vdb.rag.extract.decoding import decoded
from vdb.rag.extract.formats import Reading
from vdb.rag.extract.headings import HeadingPath, shortened

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

__all__ = ["read"]

_LINE_END = re.compile(r"\r\n?|\n")
_FRONT_MATTER = re.compile(
    r"(---|\+\+\+)[ \t]*(?:\r\n?|\n)"  # an opening line, then a key: `---` may be a ruler above a text
    r"(?=[ \t]*[\w\"'.-]+[ \t]*[:=]|[ \t]*#|\1)(?>[^\r\n]*(?:\r\n?|\n))*?\1[ \t]*(?:\r\n?|\n|\Z)"
)  # a line is taken as a whole: \r\n read as one end or as two would double the ways to try with every line
_FRONT_TITLE = re.compile(r"^title[ \t]*[:=](.*)$", re.MULTILINE)
_MAX_FRONT_MATTER = 1 << 16
_MARKS = re.compile(r"[\\`*_\[\]<>&!]")
_MAX_INLINE = 1_000
"""Characters of a heading that are parsed for marks; a longer one is taken as it is."""


def read(data: bytes, options: ChunkOptions) -> Reading:
    """The chunks of a Markdown text; its title is the front matter's, or else the first heading of level 1.

    Raises UnreadableDocument.
    """
    source = decoded(data)
    start, front_title = _front_matter(source)
    tokens = _parser().parse(source[start:])
    path = HeadingPath()
    sections = list(_sections(tokens, _line_starts(source, start), path))
    return Reading(front_title or path.title, chunks_of(source, sections, options), len(source))


@cache
def _parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").disable(["reference", "inline", "text_join"])


@cache
def _inline_parser() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark")


def _line_starts(source: str, start: int) -> list[int]:
    """Where the lines of source[start:] begin, as markdown-it counts them, and where the last one ends."""
    return [start, *(match.end() for match in _LINE_END.finditer(source, start)), len(source)]


def _sections(tokens: "list[Token]", lines: list[int], path: HeadingPath) -> Iterator[Section]:
    """A section for the text before the first heading, and one for each heading at the top level."""
    heading: tuple[str, ...] = ()
    blocks: list[Block] = []
    n_headings = 0
    for at, token in enumerate(tokens):
        if token.level != 0 or token.map is None:
            continue
        if token.type == "heading_open":
            if blocks:
                yield Section(heading, blocks, n_headings)
            heading = path.enter(int(token.tag[1:]), _plain(tokens[at + 1].content))
            blocks, n_headings = [], 1
        blocks.append(Block(lines[token.map[0]], lines[min(token.map[1], len(lines) - 1)]))
    if blocks:
        yield Section(heading, blocks, n_headings)


def _plain(content: str) -> str:
    """A heading without its marks."""
    if len(content) > _MAX_INLINE or not _MARKS.search(content):
        return shortened(content)
    (inline,) = _inline_parser().parseInline(content)
    shown = (
        token.content if token.content else " " if token.type.endswith("break") else ""
        for token in inline.children or []
    )
    return shortened("".join(shown))


def _front_matter(source: str) -> tuple[int, str | None]:
    """How many characters at the start are front matter (YAML or TOML), and the title it gives."""
    found = _FRONT_MATTER.match(source, 0, _MAX_FRONT_MATTER)
    if found is None:
        return 0, None
    title = _FRONT_TITLE.search(found.group().replace("\r\n", "\n").replace("\r", "\n"))
    return found.end(), (shortened(title.group(1).strip(" \t").strip("\"'")) or None) if title else None
