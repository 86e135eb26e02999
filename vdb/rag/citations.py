"""Citations: markers in a generated text, read while it comes.

A marker names passages by their place in the context, from 1: `[1]`, `[1][2]`, `[1, 2]`, `[1-3]`, `[^1]`,
`[passage 1]`, `【1】`, `【1†source】`. It belongs to the sentence that it stands in or behind. What is passed on has
one form, `[1][2]`, numbered by first citation.

No marker is what holds a 0 or a number of more than three digits that is no passage's (`[0, 1]`, `[2024]`), a link
(`[1](https://…)`), what a backslash stands before, and what stands in code: between lines of three backticks, or
between backticks on one line. Takes time linear in the text, and holds back at most `HELD` characters of it.
"""

import re
from itertools import pairwise

from vdb.rag.sentences import sentences

__all__ = ["HELD", "MOST_PER_SENTENCE", "CitationStream", "quoted"]

MOST_PER_SENTENCE = 3
"""Passages that a sentence may cite; markers of more are dropped."""

_INSIDE = 64
_BLANKS = 8
HELD = _BLANKS + _INSIDE + 2
"""Characters that may be held back, because what follows decides what they are."""

_WINDOW = 2_000
"""Characters of a sentence; a longer one is cut."""

_LOOKED_BACK = 64
"""Characters that are read again when the end of a sentence is looked for."""

_WIDEST = 10
"""Passages that a range may name."""

_STEP = re.compile(rf"(?P<blanks>[ \t]{{0,{_BLANKS}}})(?P<open>[\[【［])|`{{1,16}}|[\n\\]")
_LAST_BLANKS = re.compile(rf"[ \t]{{1,{_BLANKS}}}\Z")
_FOLLOWING_BLANKS = re.compile(r"[ \t]+")
_BRACKETED = re.compile(rf"[\[【［]([^\[\]【】［］\n]{{1,{_INSIDE}}})[\]】］]")
_UNFINISHED = re.compile(rf"[\[【［][^\[\]【】［］\n]{{0,{_INSIDE}}}\Z")
_NAME = r"(?:(?:passages?|sources?|documents?|docs?|references?|refs?)[ .]?)?[#^]?"
_ITEM = rf"{_NAME}[1-9][0-9]{{0,5}}(?: ?[-–—] ?[#^]?[1-9][0-9]{{0,5}})?"
_LIST = re.compile(rf" ?{_ITEM}(?:(?: ?[,;&] ?| and ){_ITEM})* ?(?:†[^†]{{0,40}})?", re.IGNORECASE)
_RANGE = re.compile(r"([0-9]+)(?: ?[-–—] ?[#^]?([0-9]+))?")
_SPECIAL = "[【［`"
_ESCAPED = re.compile(f"[{re.escape(_SPECIAL)}]")


def quoted(text: str) -> str:
    """The text with a backslash before what a `CitationStream` would take for a marker, or for code; one with
    `is_quoted` takes them out again."""
    return _ESCAPED.sub(lambda match: f"\\{match[0]}" if _is_special(text, match.start()) else match[0], text)


def _is_special(text: str, at: int) -> bool:
    if text[at] == "`" or text[at - 1 : at] == "\\":
        return True
    bracketed = _BRACKETED.match(text, at)
    return bracketed is not None and _LIST.fullmatch(bracketed[1]) is not None


class CitationStream:
    """Reads the text of one answer, piece by piece; however it is cut, what comes out is the same. One thread's.

    `order`: places in the context, from 0, in order of first citation: marker `[i + 1]` of the text that comes out is
    `order[i]`. `n_unknown`: markers of no passage; they are dropped, as those beyond `MOST_PER_SENTENCE` are.

    `is_quoted`: the text is `quoted` but for its own markers. The escapes are taken out of the sentences, and of what
    is passed on but before what would be read as a marker there.
    """

    def __init__(self, n_passages: int, *, is_quoted: bool = False) -> None:
        self.order: list[int] = []
        self.n_unknown = 0
        self._numbers: dict[int, int] = {}
        self._n_passages = n_passages
        self._is_quoted = is_quoted
        self._held = ""
        self._last = ""
        self._is_line_start = True
        self._is_after_dropped = False  # at the beginning of a line: the blanks behind it go, too
        self._fence = 0
        self._inline = 0
        self._said = _Said()

    def feed(self, piece: str) -> str:
        """Take the next piece of the text; returns what is certain of it."""
        return self._read(piece, is_last=False)

    def finish(self) -> str:
        """The text has ended; returns what was held back."""
        return self._read("", is_last=True)

    def sentences(self) -> list[tuple[str, list[int]]]:
        """The sentences of the whole text without markers, each with what it cites: places in `order`, ascending."""
        return self._said.finished()

    def _read(self, piece: str, *, is_last: bool) -> str:
        data = self._held + piece
        out: list[str] = []
        at = 0
        while at < len(data):
            if self._is_after_dropped and (blanks := _FOLLOWING_BLANKS.match(data, at)):
                at = blanks.end()
                continue
            step = _STEP.search(data, at)
            if step is None:
                last = None if is_last else _LAST_BLANKS.search(data, at)
                end = last.start() if last else len(data)
                self._text(out, data[at:end])
                at = end
                break
            self._text(out, data[at : step.start()])
            at = step.start()
            if not is_last and self._is_undecided(data, step):
                break
            at = self._step(out, data, step)
        self._held = data[at:]
        return "".join(out)

    def _is_undecided(self, data: str, step: re.Match[str]) -> bool:
        """Whether what follows the end of the data decides what this is."""
        first = data[step.end() - 1]
        if first == "\n":
            return False
        if first == "\\":
            return step.end() == len(data)
        if first == "`":
            return step.end() == len(data) and step.end() - step.start() < 16
        if self._fence or self._inline:
            return False
        if _UNFINISHED.match(data, step.start("open")):
            return True
        bracketed = _BRACKETED.match(data, step.start("open"))
        return bracketed is not None and bracketed.end() == len(data)

    def _step(self, out: list[str], data: str, step: re.Match[str]) -> int:
        """Read what stands out at `step`; returns where to go on."""
        found = step[0]
        end = step.end()
        if found == "\n":
            self._text(out, found)
            self._inline = 0
            self._is_line_start = True
            return end
        if found == "\\":
            return self._backslash(out, data, end)
        if found[0] == "`":
            self._code(len(found))
            self._text(out, found)
            return end
        return self._bracket(out, data, step)

    def _backslash(self, out: list[str], data: str, end: int) -> int:
        """Read a backslash that ends at `end`."""
        following = data[end : end + 1]
        if not following or following not in _SPECIAL or self._fence or self._inline:
            self._text(out, "\\")
            return end
        if not self._is_quoted:
            self._text(out, f"\\{following}")
        elif following == "`" or self._last == "\\":
            self._text(out, following)
        else:
            self._text(out, following, f"\\{following}")
        return end + 1

    def _code(self, n: int) -> None:
        """`n` backticks begin code, or end it."""
        if self._fence:
            if self._is_line_start and n >= self._fence:
                self._fence = 0
        elif self._is_line_start and n >= 3:
            self._fence = n
        elif not self._inline:
            self._inline = n
        elif self._inline == n:
            self._inline = 0

    def _bracket(self, out: list[str], data: str, step: re.Match[str]) -> int:
        bracketed = None if self._fence or self._inline else _BRACKETED.match(data, step.start("open"))
        places = self._places(bracketed[1]) if bracketed else None
        if bracketed is None or places is None:
            self._text(out, step[0])
            return step.end()
        following = data[bracketed.end() : bracketed.end() + 1]
        if following == "(":
            self._text(out, data[step.start() : bracketed.end()])
            return bracketed.end()
        kept = self._cited(places)
        if kept:
            self._said.gap = bool(step["blanks"]) and not self._is_line_start
            out.append(step["blanks"] + "".join(f"[{n + 1}]" for n in kept))
            self._is_line_start = self._is_after_dropped = False
        elif self._is_line_start:
            self._is_after_dropped = True
        elif following.isalnum():
            self._text(out, step["blanks"])
        return bracketed.end()

    def _places(self, inside: str) -> list[int] | None:
        """The numbers between two brackets, from 1; None where they are no marker."""
        if not _LIST.fullmatch(inside):
            return None
        numbers: list[int] = []
        for first, last in _RANGE.findall(inside.partition("†")[0]):
            low, high = int(first), int(last or first)
            if not 0 <= high - low < _WIDEST or (high > self._n_passages and high > 999):
                return None
            numbers += range(low, high + 1)
        return numbers

    def _cited(self, numbers: list[int]) -> list[int]:
        """Cite passages by number; returns their places in `order`, without those that are dropped."""
        known = [number for number in dict.fromkeys(numbers) if number <= self._n_passages]
        self.n_unknown += len(set(numbers)) - len(known)
        kept: list[int] = []
        for number in known:
            place = self._numbers.get(number, len(self.order))
            if not self._said.cite(place):
                continue
            kept.append(place)
            if place == len(self.order):
                self._numbers[number] = place
                self.order.append(number - 1)
        return kept

    def _text(self, out: list[str], text: str, passed_on: str | None = None) -> None:
        if not text:
            return
        out.append(text if passed_on is None else passed_on)
        self._last = text[-1]
        self._said.add(text)
        self._is_after_dropped = False
        self._is_line_start = self._is_line_start and text.isspace()


class _Said:
    """The text without markers, cut into sentences as it comes: a marker needs to know its own."""

    def __init__(self) -> None:
        self.gap = False
        """Whether blanks before a marker were left out: they come back where a word follows at once."""
        self._done: list[tuple[str, list[int]]] = []
        self._tail = ""
        self._seen = 0
        self._is_cut = True
        self._cited: list[int] = []

    def add(self, text: str) -> None:
        """More of the text."""
        if self.gap and text[0].isalnum():
            text = f" {text}"
        self.gap = False
        for start in range(0, len(text), _WINDOW):
            rest = text[start : start + _WINDOW]
            while len(self._tail) + len(rest) > _WINDOW:
                room = _WINDOW - len(self._tail)
                self._tail, rest = self._tail + rest[:room], rest[room:]
                self._is_cut = False
                self._cut()
                if len(self._tail) == _WINDOW:
                    self._close(self._tail)
                    self._tail, self._seen = "", 0
            self._tail += rest
        self._is_cut = False

    def cite(self, place: int) -> bool:
        """The text so far ends with a marker; returns False where its sentence has enough of them."""
        self._cut()
        is_behind = bool(self._done) and not self._tail.strip()
        cited = self._done[-1][1] if is_behind else self._cited
        if place not in cited:
            if len(cited) >= MOST_PER_SENTENCE:
                return False
            cited.append(place)
        return True

    def finished(self) -> list[tuple[str, list[int]]]:
        """The sentences, those of the end too."""
        self._cut()
        last = self._tail.strip()
        ended = [*self._done, (last, self._cited)] if last or self._cited else self._done
        return [(text, sorted(cited)) for text, cited in ended]

    def _cut(self) -> None:
        """Let go of the sentences that have ended: the last one may go on."""
        if self._is_cut:
            return
        self._is_cut = True
        start = max(0, self._seen - _LOOKED_BACK)
        before = "x " if start else ""  # so that no word begins the text that begins none
        shift = start - len(before)
        places = sentences(before + self._tail[start:])
        begin = 0
        for (_, end), (following, _) in pairwise(places):
            self._close(self._tail[begin : end + shift])
            begin = following + shift
        self._tail = self._tail[begin:]
        self._seen = len(self._tail)

    def _close(self, text: str) -> None:
        if text.strip():
            self._done.append((text.strip(), self._cited))
            self._cited = []
