"""Text to terms: what a text index holds, and what a query asks it for.

A text is normalised (NFKC, case folded) and cut into words: runs of letters, digits and the marks upon them. Scripts
that put no spaces between words (Han, kana, Hangul, Thai, Lao, Khmer, Burmese) give overlapping pairs of characters
instead. Stop words of the language go, the rest is stemmed. A query is read the same way; one of stop words alone
has no terms, and finds nothing: the index does not hold them.

Stop words of English are the list below, 149 words without a meaning of their own: the library's 1,333 ("new", "group",
"page") cost 1 to 7 points of recall on SQuAD, CISI, Cranfield and NPL. Other languages have the library's.
"""

import re
import threading
import unicodedata
from collections import Counter
from functools import cache
from importlib import import_module
from importlib.metadata import version as version_of
from typing import Any, Final

from vdb.storage.text_postings import term_hash

RULES: Final = 1
"""Raised with any change of what this module makes of a text: indexes of another number are built anew."""

NONE: Final = "none"
LANGUAGES: Final = (
    NONE, "arabic", "armenian", "basque", "bulgarian", "catalan", "chinese", "czech", "danish", "dutch", "english",
    "esperanto", "estonian", "finnish", "french", "german", "greek", "gujarati", "hebrew", "hindi", "hungarian",
    "indonesian", "irish", "italian", "japanese", "korean", "lithuanian", "malaysian", "nepali", "norwegian",
    "persian", "polish", "portuguese", "romanian", "russian", "serbian", "slovak", "spanish", "swedish", "tamil",
    "turkish", "ukrainian", "vietnamese", "yiddish",
)  # fmt: skip
"""What a text may be said to be in: "none" has neither stop words nor a stemmer, some languages have one of the two."""

KEPT_WORDS = 1 << 16
"""Words whose terms, and the hashes of these, are remembered per language; some 10 MB each."""
LONGEST_WORD = 64
"""Characters of a word that is stemmed and remembered: longer ones are no words of a language."""

_ENGLISH: Final = """
a about above after again against all am an and any are aren as at be because been before being below between both but
by can cannot could couldn d did didn do does doesn doing don down during each few for from further had hadn has hasn
have haven having he her here hers herself him himself his how i if in into is isn it its itself ll m me more most
mustn my myself no nor not of off on once only or other ought our ours ourselves out over own re s same shan she should
shouldn so some such t than that the their theirs them themselves then there these they this those through to too under
until up ve very was wasn we were weren what when where which while who whom why will with won would wouldn you your
yours yourself yourselves
"""

_UNSPACED = "ก-๎ກ-ໟက-႟ក-៓ᄀ-ᇿ぀-ヺー-ヿㄱ-ㆎㇰ-ㇿ㐀-䶿一-鿿가-힣豈-龎\U0001b000-\U0001b16f\U00020000-\U000323af"
_ASCII_WORD = re.compile("[a-z0-9]+")
_PLAIN_WORD = re.compile(r"[^\W_]+")
_MAY_BE_SPECIAL = re.compile("[\u0300-\u036f\u0483-\u0489\u0591-\u1dff\u20d0-\u20ff\u2cef-\U0010ffff]")
"""Ranges that hold all marks, and all scripts without spaces: a text without any of them is cut up quickly."""
_APOSTROPHE = re.compile("['’]")
_HAS_UNSPACED = re.compile(f"[{_UNSPACED}]")


class Analyser:
    """Terms of texts in one language. Free for any thread; `analyser_of` gives the one of a language.

    `version` changes whenever a text may give other terms: with the libraries, Unicode's tables, or our own rules.
    """

    def __init__(self, language: str) -> None:
        """Raises KeyError for a language that is not among `LANGUAGES`."""
        if language not in LANGUAGES:
            raise KeyError(language)
        self.language = language
        self.version = _version()
        stop_words = frozenset(_stop_words(language))
        terms = _Terms(stop_words, _stemmer(language))
        self._term = terms.__getitem__
        self._hash = _Hashes(terms).__getitem__

    def terms(self, text: str) -> list[str]:
        """The terms of a text in its order, repeated as it repeats them."""
        return [term for term in map(self._term, words_of(text)) if term]

    def frequencies(self, text: str) -> dict[bytes, int]:
        """Hash of a term → how often the text has it."""
        hash_of = self._hash
        found: dict[bytes, int] = {}
        for word, n in Counter(words_of(text)).items():
            term = hash_of(word)
            if term:
                found[term] = found.get(term, 0) + n
        return found


class _Terms(dict[str, str]):
    """Word → term, "" for a stop word. Words are remembered up to a number, then forgotten all at once."""

    def __init__(self, stop_words: frozenset[str], stemmer: Any) -> None:
        super().__init__()
        self._stop_words = stop_words
        self._stemmer = stemmer
        self._lock = threading.Lock()

    def __missing__(self, word: str) -> str:
        if len(word) > LONGEST_WORD:
            return word
        if word in self._stop_words:
            term = ""
        elif self._stemmer is None:
            term = word
        else:
            with self._lock:  # a stemmer is one thread's at a time
                term = self._stemmer.stemWord(word)
        if len(self) >= KEPT_WORDS:
            self.clear()
        self[word] = term
        return term


class _Hashes(dict[str, bytes]):
    """Word → hash of its term, b"" for a stop word; remembered as terms are."""

    def __init__(self, terms: _Terms) -> None:
        super().__init__()
        self._terms = terms

    def __missing__(self, word: str) -> bytes:
        term = self._terms[word]
        name = term_hash(term) if term else b""
        if len(self) >= KEPT_WORDS:
            self.clear()
        if len(word) <= LONGEST_WORD:
            self[word] = name
        return name


@cache
def analyser_of(language: str) -> Analyser:
    """The analyser of a language; raises KeyError for one that is not among `LANGUAGES`."""
    return Analyser(language)


def words_of(text: str) -> list[str]:
    """The words of a text, folded, before stop words and stemming."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    if not _MAY_BE_SPECIAL.search(folded):
        return _PLAIN_WORD.findall(folded)
    found = _word().findall(folded)
    if not _HAS_UNSPACED.search(folded):
        return found
    return [part for word in found for part in (_pairs(word) if _HAS_UNSPACED.match(word) else (word,))]


def _pairs(run: str) -> list[str]:
    """The overlapping pairs of characters of a run without spaces; of a single one, itself."""
    return [run[i : i + 2] for i in range(len(run) - 1)] if len(run) > 1 else [run]


@cache
def _word() -> re.Pattern[str]:
    """Words of any script: `\\w` leaves out the marks that vowels of many scripts are, so they are named."""
    marks = [code for code in (*range(0x300, 0x20000), *range(0xE0100, 0xE01F0)) if _is_mark(code)]
    runs: list[list[int]] = []
    for code in marks:
        if runs and runs[-1][1] == code - 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    named = "".join(f"{chr(first)}-{chr(last)}" for first, last in runs)
    spaced = f"(?:(?![{_UNSPACED}])[^\\W_]|(?![{_UNSPACED}])[{named}])"
    return re.compile(f"[{_UNSPACED}]+|{spaced}+")


def _is_mark(code: int) -> bool:
    return unicodedata.category(chr(code))[0] == "M"


def _stop_words(language: str) -> list[str]:
    """The stop words of a language as words of a text: the parts of one with an apostrophe that are short are some."""
    if language == "english":
        return _ENGLISH.split()
    library = import_module("stop_words")
    if language not in library.AVAILABLE_LANGUAGES:
        return []
    found: set[str] = set()
    for entry in library.get_stop_words(language):
        words = words_of(entry)
        if len(words) == 1:
            found.update(words)
        elif _APOSTROPHE.search(entry):
            found.update(word for word in words if len(word) <= 2)
    return sorted(found)


def _stemmer(language: str) -> Any:
    library = import_module("Stemmer")
    return library.Stemmer(language, 0) if language in library.algorithms() else None


@cache
def _version() -> str:
    libraries = f"{version_of('PyStemmer')} {version_of('stop-words')}"
    return f"{RULES} {libraries} {unicodedata.unidata_version}"
