"""Words that stand in each other's place: where all around them is the same, another word asks for another thing.

A run of words that only one text has is set against the run of the other text between the same neighbours. Runs that
are misspellings or derivations of each other say the same; anything else is a substitution.
"""

from collections.abc import Iterator, Sequence

from vdb.cache.guard.antonyms import SIDES, is_opposite
from vdb.cache.guard.chunks import DATE, EMPTY_WORD, LINK, NUMBER, UNIT, Token
from vdb.cache.guard.dates import TIME_WORDS
from vdb.cache.guard.reading import Reading
from vdb.cache.guard.synonyms import NEAR
from vdb.cache.guard.words import is_derived, is_slip, listed, root

MAX_RUN = 4
MAX_AROUND = 2
MAX_SUBSTITUTED = 3
_MIN_SHARED = 0.3
_ENDS = ("^", "$")
# Verbs that take their meaning from what follows: they stand for too many others to be set against one.
_LIGHT = listed(
    "make makes made come comes get got have has had go goes do does take takes give gives keep keeps put use using "
    "used see need needs bring let set work works look looks feel run turn like be happen happens amount count"
)
_CONTRASTED = """
to/from into/from since/until before/after before/during after/during with/from for/against to/in over/under above/below
into/out in/out and/or and/but with/or with/against until/after from/until in/outside through/around toward/from
"""
_CONTRASTS = frozenset(frozenset(map(root, pair.split("/"))) for pair in _CONTRASTED.split())
_ARTICLES = listed("a an the my our your his her their this that these those its")

Run = tuple[str, str, tuple[Token, ...]]


def overlap(one: Reading, other: Reading) -> float:
    """The share of content words that both texts have, in [0, 1]."""
    both = len(one.content & other.content)
    return both / max(1, len(one.content | other.content))


def are_same(one: str, other: str) -> bool:
    """Whether two stems are one word, by a slip or a derivation."""
    return one == other or other in NEAR.get(one, ()) or is_slip(one, other) or is_derived(one, other)


def substitution(one: Reading, other: Reading) -> str | None:
    """The rule that a substituted word breaks, or None."""
    if rule := _in_place(one.shape, other.shape):
        return rule
    mine, theirs = one.content - other.content, other.content - one.content
    if not mine or not theirs or overlap(one, other) < _MIN_SHARED:
        return None
    mine, theirs = _unmatched(mine, theirs), _unmatched(theirs, mine)
    if not mine or not theirs or len(mine) > MAX_RUN or len(theirs) > MAX_RUN:
        return None
    there = {(left, right): run for left, right, run in _runs(other.tokens, theirs)}
    for left, right, run in _runs(one.tokens, mine):
        against = there.get((left, right))
        is_apart = against and (left, right) != _ENDS and _is_told_apart(one, other, run, against)
        if against and is_apart and (rule := _named(run, against)):
            return rule
    return None


def _is_told_apart(one: Reading, other: Reading, run: Sequence[Token], against: Sequence[Token]) -> bool:
    """Whether two runs ask for different things, and the texts are not just worded otherwise around them."""
    if _is_joined(run, against) or _is_light(run) or _is_light(against):
        return False
    around = (one.raws ^ other.raws) - _ARTICLES - {token.raw for token in (*run, *against)}
    return len(around) <= MAX_AROUND or all(token.is_name for token in (*run, *against))


def _is_light(run: Sequence[Token]) -> bool:
    return all(token.raw in _LIGHT for token in run)


def _in_place(one: tuple[Token, ...], other: tuple[Token, ...]) -> str | None:
    """The rule that is broken where the texts agree word by word but for one run, articles aside."""
    mine, theirs = ([token for token in shape if token.raw not in _ARTICLES] for shape in (one, other))
    n = min(len(mine), len(theirs))
    start = 0
    while start < n and mine[start].key == theirs[start].key:
        start += 1
    end = 0
    while end < n - start and mine[-1 - end].key == theirs[-1 - end].key:
        end += 1
    left, right = mine[start : len(mine) - end], theirs[start : len(theirs) - end]
    n_most = max(len(left), len(right))
    if not left or not right or n_most > MAX_RUN or start + end < n_most:
        return None
    if all(token.kind == LINK for token in (*left, *right)):
        pairs = (frozenset((x.key, y.key)) for x in left for y in right)
        return "direction" if any(pair in _CONTRASTS for pair in pairs) else None
    here, there = _content(left, right), _content(right, left)
    if not here or not there or _is_joined(here, there) or n_most > MAX_SUBSTITUTED:
        return None
    if not _are_opposite(here, there) and (_is_light(here) or _is_light(there)):
        return None
    return _named(here, there)


def _content(run: Sequence[Token], other: Sequence[Token]) -> list[Token]:
    """The content words of a run that the other does not say too."""
    return [x for x in run if x.kind not in (EMPTY_WORD, LINK) and not any(are_same(x.key, y.key) for y in other)]


def opposites(one: Reading, other: Reading) -> bool:
    """Whether a word of one text has its opposite in the other, and neither text has both."""
    mine, theirs = one.bag - other.bag, other.bag - one.bag
    if len(mine) * len(theirs) > 2500:
        return False
    if any(is_opposite(x, y) for x in mine for y in theirs):
        return overlap(one, other) >= _MIN_SHARED
    if len(mine) + len(theirs) == 1:  # a word was added whose opposite is in both: to hide, and to show what is hidden
        return any(is_opposite(x, y) for x in mine | theirs for y in one.content & other.content)
    return False


def _unmatched(mine: frozenset[str], theirs: frozenset[str]) -> frozenset[str]:
    if len(mine) * len(theirs) > 900:
        return mine
    return frozenset(word for word in mine if not any(are_same(word, against) for against in theirs))


def _runs(tokens: Sequence[Token], alone: frozenset[str]) -> Iterator[Run]:
    """Runs of words that only this text has, with the keys beside them."""
    start = -1
    for place in range(len(tokens) + 1):
        is_alone = place < len(tokens) and tokens[place].key in alone
        if is_alone and start < 0:
            start = place
        elif not is_alone and start >= 0:
            if place - start <= MAX_RUN:
                left = tokens[start - 1].key if start else "^"
                right = tokens[place].key if place < len(tokens) else "$"
                yield left, right, tuple(tokens[start:place])
            start = -1


def _is_joined(one: Sequence[Token], other: Sequence[Token]) -> bool:
    """Whether two runs are the same letters: bed time and bedtime, or initials."""
    mine, theirs = "".join(token.raw for token in one), "".join(token.raw for token in other)
    if mine == theirs:
        return True
    short, words = (mine, other) if len(one) == 1 else (theirs, one)
    return len(words) > 1 and short == "".join(token.raw[:1] for token in words)


def _named(one: Sequence[Token], other: Sequence[Token]) -> str | None:
    """The rule's name by what was substituted."""
    both = [*one, *other]
    for kind, rule in ((NUMBER, None), (DATE, None), (UNIT, "unit")):
        if any(token.kind == kind for token in one) and any(token.kind == kind for token in other):
            return rule  # numbers and dates were compared already, and may be one amount in two units
    if _are_opposite(one, other):
        return "antonym"
    if any(token.raw in TIME_WORDS for token in both):
        return "date"
    return "entity" if all(token.kind != LINK for token in both) else "direction"


def _are_opposite(one: Sequence[Token], other: Sequence[Token]) -> bool:
    return any(is_opposite(x.key, y.key) or frozenset((x.key, y.key)) in SIDES for x in one for y in other)
