"""HTML cut into tags, texts and references, with their places, in one pass.

`html.parser` is not used: on markup that never ends (`<!--` or `</` again and again) the one of Python 3.11 takes time
that grows with the square of its length, 22 s for 256 KB, and it stops with an AssertionError at some. Here what never
ends runs to the end of the source, once, as the HTML standard has it (13.2.5, tokenization); its rare states are left
out: `script` within comments within `script`, CDATA of foreign elements.
"""

import re
from typing import Protocol

__all__ = ["Attributes", "Reader", "scan"]

_TAG_NAME = re.compile(r"[a-zA-Z][^\s/>]*+")
_ATTRIBUTE = re.compile(r"[\s/]*+(?:(>)|([^\s/>][^\s/>=]*+)(?:\s*+=\s*+(?:\"([^\"]*+)\"?|'([^']*+)'?|([^\s>]*+)))?)")
_COMMENT_END = re.compile(r"--!?>")
_REFERENCE = re.compile(r"&(?:#(?:[0-9]{1,32}|[xX][0-9a-fA-F]{1,32})|[a-zA-Z][a-zA-Z0-9]{0,31}(?![a-zA-Z0-9]));?")
_RAW = ("script", "style", "title", "textarea", "iframe", "noembed", "noframes")
"""Elements whose content is text up to their own end tag; only in a title are references references."""

_RAW_ENDS = {name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE) for name in _RAW}

Attributes = dict[str, str]


class Reader(Protocol):
    """What is told of the markup, in its order. Names of tags and attributes are in lower case."""

    def start_tag(self, name: str, attributes: Attributes) -> None: ...

    def end_tag(self, name: str) -> None: ...

    def text(self, start: int, end: int) -> None:
        """source[start:end] holds neither tags nor references."""

    def reference(self, start: int, end: int) -> None:
        """source[start:end] is written like a reference to a character; the name may be none."""


def scan(source: str, reader: Reader) -> None:
    """Tell `reader` all of `source`. Takes time in proportion to its length, whatever it holds."""
    at, end = 0, len(source)
    while at < end:
        tag = source.find("<", at)
        if tag < 0:
            _text(source, at, end, reader)
            return
        _text(source, at, tag, reader)
        at = _markup(source, tag, reader)


def _text(source: str, start: int, end: int, reader: Reader) -> None:
    at = start
    if source.find("&", start, end) >= 0:
        for found in _REFERENCE.finditer(source, start, end):
            if at < found.start():
                reader.text(at, found.start())
            reader.reference(found.start(), found.end())
            at = found.end()
    if at < end:
        reader.text(at, end)


def _markup(source: str, at: int, reader: Reader) -> int:
    """Tell what begins with the `<` at `at`; where it ends."""
    name = _TAG_NAME.match(source, at + 1)
    if name is not None:
        return _start_tag(source, name, reader)
    if source.startswith("</", at):
        name = _TAG_NAME.match(source, at + 2)
        if name is not None:
            attributes, end = _attributes(source, name.end())
            if attributes is not None:
                reader.end_tag(name.group().lower())
            return end
        return _past(source, ">", at + 2)
    if source.startswith("<!--", at):
        if source.startswith(">", at + 4) or source.startswith("->", at + 4):
            return source.index(">", at + 4) + 1
        found = _COMMENT_END.search(source, at + 4)
        return found.end() if found else len(source)
    if source.startswith(("<!", "<?"), at):
        return _past(source, ">", at + 2)
    reader.text(at, at + 1)
    return at + 1


def _start_tag(source: str, found: re.Match[str], reader: Reader) -> int:
    name = found.group().lower()
    attributes, end = _attributes(source, found.end())
    if attributes is None:
        return end
    is_empty = source.startswith("/>", end - 2)  # means something in XHTML only, where a script may have no end tag
    if name not in _RAW_ENDS:
        reader.start_tag(name, attributes)
        return end
    if is_empty:
        return end
    reader.start_tag(name, attributes)
    closing = _RAW_ENDS[name].search(source, end)
    stop = closing.start() if closing else len(source)
    if name == "title":
        _text(source, end, stop, reader)
    if closing is None:
        return stop
    reader.end_tag(name)
    return _past(source, ">", stop)


def _attributes(source: str, at: int) -> tuple[Attributes | None, int]:
    """The attributes that begin at `at`, and where the tag ends; None where it does not. The first of a name counts."""
    close = source.find(">", at)
    if close < 0:
        return None, len(source)
    attributes: Attributes = {}
    if close == at:
        return attributes, at + 1
    while (found := _ATTRIBUTE.match(source, at)) is not None:
        at = found.end()
        closes, name, double, single, bare = found.groups()
        if closes:
            return attributes, at
        attributes.setdefault(name.lower(), double or single or bare or "")
    return None, len(source)


def _past(source: str, mark: str, at: int) -> int:
    """Behind the next `mark`, or at the end."""
    found = source.find(mark, at)
    return found + len(mark) if found >= 0 else len(source)
