"""Passages as the extractive backend sees them: sentences, where their terms stand, what they name. Kept by text."""

import re
import sys
import threading
from collections import OrderedDict
from typing import Final
from zlib import crc32

from vdb.rag.analysis import Analyser
from vdb.rag.sentences import sentences

__all__ = ["CAUSE", "CODE", "DATE", "HEADING", "NAME", "NUMBER", "PROSE", "ROW", "SHARED", "Analysed", "Analyses"]

NUMBER: Final = 1
DATE: Final = 2
NAME: Final = 4
CAUSE: Final = 8
"""What a sentence has, as bits."""

PROSE: Final = 0
ROW: Final = 1
HEADING: Final = 2
CODE: Final = 3
"""The form of a sentence: of a text, a row of a table, a heading, a block of code."""

_FENCED: Final = re.compile(
    r"^[ \t]{0,12}(`{3,}|~{3,})[^\n]*(?:\n(?![ \t]{0,12}\1)[^\n]*)*(?:\n[ \t]{0,12}\1[`~]*|\Z)", re.MULTILINE
)
"""A block of code, to its end or that of the text."""
_HEADING: Final = re.compile(r"#{1,6}\s")
_ITEM: Final = re.compile(r"(?:[-*+•‣◦⁃–—]|\d{1,3}[.)])\s+(?=\S)")

_KEPT_BYTES: Final = 64 << 20
"""Of analyses that are kept: some 4,000 passages of prose."""
_BYTES_PER_SENTENCE: Final = 540
_BYTES_PER_TERM: Final = 80
_BYTES_PER_PLACE: Final = 40
"""What an analysis takes of memory at most, about, beside its text: a passage may be nothing but ends of sentences."""
_LONGEST: Final = 1 << 16
"""Characters of a passage that are read; no chunk is as long."""

_DIGITS: Final = re.compile(
    r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|sixty|seventy|eighty"
    r"|ninety|hundreds?|thousands?|millions?|billions?|half|third|quarter|dozens?|percent)\b",
    re.IGNORECASE,
)
_DATES: Final = re.compile(
    r"\b1\d{3}s?\b|\b20\d\ds?\b|\b(?:January|February|March|April|May|June|July|August|September|October|November"
    r"|December)\b|\bcentur(?:y|ies)\b|\bBCE?\b|\bA\.?D\b"
)
_NAMES: Final = re.compile(r"(?<=[\w,;:'’\"”)(“‘] )[(\"“‘]?[^\W\d_a-zß-öø-ÿ][\w'’.-]*")
_CAUSES: Final = re.compile(
    r"\b(?:because|due to|in order to|so that|since|as a result|reasons?|caused?|owing)\b", re.IGNORECASE
)


class Analysed:
    """One passage with s sentences: `spans` (s,) in its text, their `forms` (s,), `firsts` (s + 1,) the place of each
    sentence's first term, counted over the passage; `places` of each term, ascending. What is asked for seldom is found
    when it is."""

    __slots__ = ("_analyser", "_kinds", "_names", "_signature", "_text", "firsts", "forms", "places", "spans")

    def __init__(self, text: str, analyser: Analyser) -> None:
        text = text[:_LONGEST]
        self._text = text
        self._analyser = analyser
        self._kinds: dict[int, int] = {}
        self._names: dict[int, frozenset[str]] = {}
        self._signature = 0
        self.spans, self.forms = _spans_of(text)
        self.firsts = [0]
        self.places: dict[str, list[int]] = {}
        places = self.places
        terms: list[str] = []
        for start, end in self.spans:
            terms += analyser.terms(text[start:end])
            self.firsts.append(len(terms))
        for place, term in enumerate(terms):
            found = places.get(term)
            if found is None:
                places[term] = [place]
            else:
                found.append(place)

    @property
    def n_bytes(self) -> int:
        """What it takes of memory at most, about, once all of it was asked for."""
        of_terms = len(self.places) * _BYTES_PER_TERM + self.firsts[-1] * _BYTES_PER_PLACE
        return sys.getsizeof(self._text) + len(self.spans) * _BYTES_PER_SENTENCE + of_terms

    @property
    def signature(self) -> int:
        """Its terms as bits, one of 2,048 each: what two texts share is told by the bits that both have."""
        if not self._signature and self.places:
            signature = 0
            for term in self.places:
                signature |= 1 << (crc32(term.encode("utf-8", "surrogatepass")) & 2047)
            self._signature = signature
        return self._signature

    def kinds(self, sentence: int) -> int:
        """What a sentence has, as bits; `NAME` is not among them: see `names`."""
        kinds = self._kinds.get(sentence)
        if kinds is None:
            kinds = self._kinds[sentence] = _kinds_of(self._text[slice(*self.spans[sentence])])
        return kinds

    def names(self, sentence: int) -> frozenset[str]:
        """The terms of its words with a capital letter, but for the first."""
        names = self._names.get(sentence)
        if names is None:
            found = _NAMES.findall(self._text[slice(*self.spans[sentence])])
            names = self._names[sentence] = frozenset(self._analyser.terms(" ".join(found)))
        return names


class Analyses:
    """Analyses of passages, the latest used of a bounded number of bytes. Any thread may ask."""

    def __init__(self, kept_bytes: int = _KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str], tuple[int, Analysed]] = OrderedDict()
        self._n_bytes = 0

    def of(self, text: str, analyser: Analyser) -> Analysed:
        """The analysis of a text in the analyser's language."""
        text = text[:_LONGEST]
        key = analyser.language, text  # which the analysis holds anyway
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
                return known[1]
        made = Analysed(text, analyser)
        n_bytes = made.n_bytes
        with self._lock:
            if key not in self._known and n_bytes <= self._kept_bytes:
                self._known[key] = n_bytes, made
                self._n_bytes += n_bytes
                while self._n_bytes > self._kept_bytes:
                    self._n_bytes -= self._known.popitem(last=False)[1][0]
        return made


SHARED: Final = Analyses()
"""Of everyone who does not bring their own: the same passages are packed, held against a threshold and quoted."""


def _spans_of(text: str) -> tuple[list[tuple[int, int]], list[int]]:
    """The sentences of a text without the signs that begin items of lists, and their forms; a block of code is one."""
    spans: list[tuple[int, int]] = []
    forms: list[int] = []
    start = 0
    for fence in _FENCED.finditer(text) if _may_hold_code(text) else ():
        _add_prose(spans, forms, text, start, fence.start())
        spans.append(fence.span())
        forms.append(CODE)
        start = fence.end()
    _add_prose(spans, forms, text, start, len(text))
    return spans, forms


def _may_hold_code(text: str) -> bool:
    return "```" in text or "~~~" in text


def _add_prose(spans: list[tuple[int, int]], forms: list[int], text: str, start: int, end: int) -> None:
    for first, last in sentences(text[start:end] if start or end < len(text) else text):
        begin = start + first
        item = _ITEM.match(text, begin, start + last)
        spans.append((item.end() if item else begin, start + last))
        forms.append(HEADING if _HEADING.match(text, begin) else ROW if text[begin] == "|" else PROSE)


def _kinds_of(sentence: str) -> int:
    kinds = NUMBER if _DIGITS.search(sentence) else 0
    if _DATES.search(sentence):
        kinds |= DATE
    if _CAUSES.search(sentence):
        kinds |= CAUSE
    return kinds
