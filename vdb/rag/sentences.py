"""Texts cut into sentences: offsets in characters, by rules alone, without a model.

A sentence ends at `.`, `!`, `?` or an ellipsis, with the quotes, brackets and markers `[1]` that follow, where white
space comes next and then something that may begin a sentence; at the full stops of scripts that need no space after
them; at an empty line; and where the next line begins an item of a list, a heading or a row of a table, both of which
are one line. Other line breaks are white space: lines may be wrapped. A period ends nothing after an abbreviation, an
initial or the number of an item; after those that often end sentences too (`U.S.`, `Inc.`, `a.m.`) it does where a word
follows that often begins one. Takes time linear in the text.
"""

import re
from typing import Final

__all__ = ["sentences"]

_BREAK: Final = "(?:\r\n|[\n\r\v\f\x85\u2028\u2029])"
_BLANK: Final = "[^\\S\n\r\v\f\x85\u2028\u2029]"
_CLOSERS: Final = "(?:[\"'”’»›)\\]}*_」』）】〉》〕]|\\[\\^?\\d{1,3}\\])"
_END: Final = re.compile(
    rf"(?P<wide>(?<![。！？｡．।॥؟۔։።။។])[。！？｡।॥؟۔։።။។]++{_CLOSERS}*+)"
    rf"|(?P<stop>(?<![.!?…‼⁇⁈⁉])[.!?…‼⁇⁈⁉]++{_CLOSERS}*+)(?=\s|\Z)"
    rf"|(?P<line>{_BREAK}{_BLANK}*+(?:(?={_BREAK})|(?=[-*+•‣◦⁃–—]\s|\d{{1,3}}[.)]\s|[#>|]|\(?[a-z]\)\s)))"
    rf"|(?P<row>{_BREAK})"
)
_MARK: Final = re.compile("[.!?…‼⁇⁈⁉。！？｡।॥؟۔።։။។\n\r\v\f\x85\u2028\u2029]")
"""What a sentence may end with, looked for first: it is quick."""
_ONE_LINE: Final = re.compile(r"\s*+(?:#{1,6}[ \t]|\|)")
"""What a sentence begins with that ends with its line: a heading, a row of a table."""
_NEXT: Final = re.compile("\\s*+[\"'“‘«‹„(\\[{¿¡*_「『（–—-]{0,8}(?P<word>\\w{0,24})")
_TOKEN: Final = re.compile(r"[\w.&'’-]*\Z")
_LOOKED_BACK: Final = 24
"""Characters before a period that may tell what it ends: no abbreviation is longer."""

_ALWAYS: Final = """
adm apr approx aug brig ca capt cf ch cmdr col dec dept dr e.g eg esp feb fig figs gen gov hon i.e ie jan lt maj messrs
mme mmes mr mrs ms mt nov nr oct prof rep rev sen sep sept sgt st ste vs viz z.b bzw d.h ggf inkl bspw vgl p.ej sra srta
"""
_NUMBERED: Final = "art bd chap eq eqs hrsg no nos nr p para pp r ref s sec sect tab th v ver vol vols"
_OFTEN: Final = """
al assn assoc ave bros co corp ed eds etc ext inc intl jr ltd natl rd sr univ ph.d m.d b.a m.a b.sc m.sc a.m p.m usw
"""
_FIRST: Final = """
A According After Also Although An And Another As At Because Before Both But By Despite During Each For From Furthermore
He Her Here His How However I If In It Its Later Many More Moreover Most My No Not Of On One Other Our She Since So Some
Such That The Their Then There These They This Those Through Thus To Today Under Until We What When Where Which While
Who Why With You
"""
_JOINED: Final = frozenset(_ALWAYS.split())
"""Abbreviations that do not end a sentence."""
_BEFORE_NUMBERS: Final = frozenset(_NUMBERED.split())
"""Abbreviations before a number, words otherwise."""
_MAYBE: Final = frozenset(_OFTEN.split())
"""Abbreviations that may end a sentence."""
_STARTERS: Final = frozenset(_FIRST.split())
"""Words that often begin a sentence, and seldom a name."""


def sentences(text: str) -> list[tuple[int, int]]:
    """Where the sentences of a text lie, in order: `text[start:end]`, without white space at its ends, never empty.

    They do not overlap, and only white space lies between them.
    """
    found: list[tuple[int, int]] = []
    start = 0
    end = 0
    is_one_line: bool | None = None  # whether the sentence from `start` is, where it was looked at
    for mark in _MARK.finditer(text):
        if mark.start() < end or (match := _END.match(text, mark.start())) is None:
            continue
        end = match.end()
        kind = match.lastgroup
        if kind != "line":
            if is_one_line is None:
                is_one_line = _ONE_LINE.match(text, start) is not None
            if is_one_line != (kind == "row"):
                continue
        if kind == "stop" and not _ends(text, start, match.start(), end):
            continue
        _add(found, text, start, end)
        start, is_one_line = end, None
    _add(found, text, start, len(text))
    return found


def _add(found: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    piece = text[start:end]
    kept = piece.strip()
    if kept:
        start += len(piece) - len(piece.lstrip())
        found.append((start, start + len(kept)))


def _ends(text: str, start: int, stop: int, end: int) -> bool:
    """Whether the marks at `stop`, that end at `end`, end the sentence from `start`."""
    following = _NEXT.match(text, end)
    word = following["word"] if following else ""
    if word[:1].islower():
        return False
    if text[stop:end].rstrip("\"'”’)]*_") != "." or not word:
        return True
    window = text[max(start, stop - _LOOKED_BACK) : stop]
    matched = _TOKEN.search(window)
    token = matched[0].lstrip("'’-.") if matched else ""
    folded = token.lower()
    if folded in _JOINED:
        return False
    if word[0].isdigit() and folded in _BEFORE_NUMBERS:
        return False
    if token.isdigit() and not text[start : max(start, stop - len(token))].strip("([ \t\r\n"):
        return False  # the number of an item
    if (len(token) == 1 and token.isupper()) or ("." in token and token[-1].isalpha()) or folded in _MAYBE:
        return word in _STARTERS
    return True
