"""HTML: the text that a reader sees, with the place of every character in the source.

White space is collapsed but in `pre`; block elements part blocks, rows and list items are lines, tabs part cells. Left
out: scripts, styles, templates, navigation, forms' choices, and what is hidden by an attribute. Nothing is built of the
elements: neither depth nor missing end tags cost anything.
"""

import codecs
import re
from collections.abc import Iterator
from html import unescape

from vdb.errors import UnreadableDocument
from vdb.rag.chunk import Block, Chunk, ChunkOptions, Section, chunks_of
from vdb.rag.extract.decoding import decoded
from vdb.rag.extract.elements import BLOCKS, CELLS, HEADINGS, LINES, SKIPPED, VOID, LeftOut, is_hidden
from vdb.rag.extract.formats import Reading
from vdb.rag.extract.headings import HeadingPath, shortened
from vdb.rag.extract.markup import Attributes, scan
from vdb.rag.extract.places import Places

__all__ = ["read"]

_COLLAPSED = re.compile(r"[ \t\n\r\f]{2,}|\u00ad+")
_SPACES = str.maketrans("\t\n\r\f\xa0", "     ")
_DECLARED = re.compile(
    rb"<meta\b[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w.:-]{1,40})|<\?xml\b[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]{1,40})",
    re.IGNORECASE,
)
_DECLARED_WITHIN = 1_024
_ENCODINGS = re.compile(
    r"utf-?8|iso-8859-\d{1,2}|windows-(?:125\d|874)|cp125\d|koi8-[ru]|macintosh|gb2312|gbk|gb18030|big5(?:-hkscs)?"
    r"|euc-(?:jp|kr)|shift[_-]jis|iso-2022-jp|tis-620"
)
_READ_AS = {
    "iso-8859-1": "cp1252",
    "us-ascii": "utf-8",
    "ascii": "utf-8",
    "latin1": "cp1252",
    "macintosh": "mac-roman",
    "windows-874": "cp874",
}
"""Declared names that browsers read as something else."""


def read(data: bytes, options: ChunkOptions) -> Reading:
    """The chunks of an HTML page; its title is `title`, or else the first `h1`. Raises UnreadableDocument."""
    source = decoded(data, _declared(data))
    page = _Page(source)
    scan(source, page)
    page.finish()
    return Reading(page.title or page.path.title, _chunks(page, options), len(source))


def _chunks(page: "_Page", options: ChunkOptions) -> Iterator[Chunk]:
    for chunk in chunks_of(page.places.text(), page.sections, options):
        start, end = page.places.of(chunk.start, chunk.end)
        yield Chunk(chunk.text, start, end, chunk.heading)


def _declared(data: bytes) -> str | None:
    """The encoding that the page names. Raises UnreadableDocument for one that is not known."""
    found = _DECLARED.search(data, 0, _DECLARED_WITHIN)
    if found is None:
        return None
    name = (found.group(1) or found.group(2)).decode("ascii", "replace").lower()
    if name.startswith("utf-16"):  # what says so in ASCII is not
        return None
    name = _READ_AS.get(name, name)
    if not (name in _READ_AS.values() or _ENCODINGS.fullmatch(name)) or not _is_codec(name):
        raise UnreadableDocument("the page names an encoding that is not known")
    return name


def _is_codec(name: str) -> bool:
    """Whether Python has it: there are no iso-8859-12 and no windows-1259, though they look like names."""
    try:
        codecs.lookup(name)
    except LookupError:
        return False
    return True


class _Page:
    """Collects the page's text into `places`, and where its sections and blocks lie in it. For one page, one thread."""

    def __init__(self, source: str) -> None:
        self.title: str | None = None
        self.path = HeadingPath()
        self.places = Places()
        self.sections: list[Section] = []
        self._source = source
        self._heading: tuple[str, ...] = ()
        self._blocks: list[Block] = []
        self._n_headings = 0
        self._block_start = 0
        self._level: int | None = None  # of the heading that is open
        self._title_parts: list[str] | None = None
        self._left_out: LeftOut | None = None
        self._n_pre = 0

    def start_tag(self, name: str, attributes: Attributes) -> None:
        if self._left_out is not None:
            if not self._left_out.is_ended_by_start(name):
                return
            self._left_out = None
        self._break(name)
        if name == "title":
            self._title_parts = []
        elif name in SKIPPED or (attributes and is_hidden(attributes)):
            self._left_out = None if name in VOID else LeftOut(name)
        elif name in HEADINGS:
            self._open_heading(HEADINGS[name])
        elif name == "pre":
            self._n_pre += 1

    def end_tag(self, name: str) -> None:
        if self._left_out is not None:
            if not self._left_out.is_ended_by_end(name):
                return
            is_own, self._left_out = name == self._left_out.name, None
            if is_own:
                return
        if self._title_parts is not None and name == "title":
            self.title, self._title_parts = self.title or shortened("".join(self._title_parts)) or None, None
        elif name in HEADINGS and self._level is not None:
            self._close_heading()
        else:
            self._break(name)
            if name == "pre" and self._n_pre:
                self._n_pre -= 1

    def text(self, start: int, end: int) -> None:
        if self._left_out is not None:
            return
        data = self._source[start:end]
        if self._title_parts is not None:
            self._title_parts.append(data)
        elif self._n_pre:
            self.places.put(data, start, end)
        else:
            self._put_collapsed(data, start)

    def reference(self, start: int, end: int) -> None:
        if self._left_out is not None:
            return
        shown = unescape(self._source[start:end]).translate(_SPACES).replace("\u00ad", "")
        if self._title_parts is not None:
            self._title_parts.append(shown)
        elif shown.isspace() and not self._n_pre:
            self.places.space(" ")
        else:
            self.places.put(shown, start, end)

    def finish(self) -> None:
        """The end of the page ends what is open."""
        if self._level is not None:
            self._close_heading()
        self._end_section()

    def _put_collapsed(self, data: str, start: int) -> None:
        at = 0
        for gap in _COLLAPSED.finditer(data):
            self._put_plain(data[at : gap.start()], start + at)
            if gap.group()[0] != "\u00ad":
                self.places.space(" ")
            at = gap.end()
        self._put_plain(data[at:], start + at)

    def _put_plain(self, data: str, at: int) -> None:
        """Text without runs of white space; one space may stand at either end."""
        if data and data[0] in " \t\n\r\f":
            data, at = data[1:], at + 1
            self.places.space(" ")
        if data:
            text = data.translate(_SPACES)
            kept = text.rstrip(" ")
            self.places.put(kept, at, at + len(kept))
            if len(kept) < len(text):
                self.places.space(" ")

    def _break(self, name: str) -> None:
        if name in BLOCKS:
            self._end_block()
        elif name in LINES:
            self.places.space("\n")
        elif name in CELLS:
            self.places.space("\t")

    def _open_heading(self, level: int) -> None:
        if self._level is not None:
            self._close_heading()
        self._end_section()
        self._level = level

    def _close_heading(self) -> None:
        assert self._level is not None
        self._end_block()
        text = self.places.text_from(self._blocks[0].start) if self._blocks else ""
        self._heading, self._level = self.path.enter(self._level, shortened(text)), None
        self._n_headings = len(self._blocks)

    def _end_block(self) -> None:
        end = self.places.n_characters
        if end > self._block_start:
            self._blocks.append(Block(self._block_start, end))
            self.places.space("\n\n")
        self._block_start = self.places.start_of_next()

    def _end_section(self) -> None:
        self._end_block()
        if self._blocks:
            self.sections.append(Section(self._heading, self._blocks, self._n_headings))
        self._blocks, self._n_headings = [], 0
