"""A question as the extractive backend reads it: its terms with weights, and what kind of answer it asks for."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Final

from vdb.rag.analysis import Analyser
from vdb.rag.extractive.analysed import CAUSE, DATE, NAME, NUMBER, Analysed
from vdb.rag.passage import Passage
from vdb.rag.sparse import rarity

__all__ = ["Read", "context_of", "read", "weights_among"]

_WORDS_THAT_ASK: Final = "many much kind kinds type types sort name names called term year years"
"""The answer need not have them."""
_ASKING_SHARE: Final = 0.3
_NO_TERMS: Final[frozenset[str]] = frozenset()

_HOW: Final = "many|much|long|old|tall|far|large|big|often|high|fast"
_TIMES: Final = "year|date|century|decade|month|day|period|era|time"
_NAMED: Final = "country|city|state|region|place|person|king|name|company|river"
_WANTED: Final = (
    (re.compile(rf"\b(?:how (?:{_HOW})|what (?:number|percent\w*|amount|size|age))\b"), NUMBER),
    (re.compile(rf"\bwhen\b|\b(?:what|which) (?:\w+ )?(?:{_TIMES})s?\b"), DATE),
    (re.compile(rf"\bwho(?:m|se)?\b|\bwhere\b|\b(?:what|which) (?:\w+ )?(?:{_NAMED})\b"), NAME),
    (re.compile(r"\bwhy\b|\breason\b"), CAUSE),
)


@dataclass(frozen=True, slots=True)
class Read:
    """`weights` of the terms, which add up to 1 or are none; `pairs` of neighbours; `wanted`: what is asked for."""

    weights: dict[str, float]
    pairs: frozenset[tuple[str, str]]
    wanted: int


def read(question: str, analyser: Analyser, weights: Mapping[str, float]) -> Read:
    """A question; `weights` of its terms as the tenant's index has them, one that is missing counts as the rarest."""
    terms = analyser.terms(question)
    asking = _asking(analyser)
    most = max(weights.values(), default=1.0)
    own = {term: weights.get(term, most) * (_ASKING_SHARE if term in asking else 1.0) for term in terms}
    whole = sum(own.values())
    lowered = question.lower()
    wanted = next((kind for pattern, kind in _WANTED if pattern.search(lowered)), 0)
    return Read(
        {term: weight / whole for term, weight in own.items()} if whole > 0 else {},
        frozenset(pairwise(terms)),
        wanted,
    )


def context_of(passage: Passage, analyser: Analyser) -> frozenset[str]:
    """The terms of a passage's title and headings."""
    if not passage.title and not passage.heading:
        return _NO_TERMS
    return frozenset(analyser.terms(" ".join((passage.title, *passage.heading))))


@cache
def _asking(analyser: Analyser) -> frozenset[str]:
    return frozenset(analyser.terms(_WORDS_THAT_ASK))


def weights_among(terms: Iterable[str], passages: Iterable[Analysed]) -> dict[str, float]:
    """Rarity of terms among the passages themselves: for those who have no index to ask."""
    passages = list(passages)
    return {term: rarity(len(passages), sum(term in one.places for one in passages)) for term in set(terms)}
