"""Negations: how many a question has, and what they deny.

Two questions differ where their negations add up to an odd number and what is denied in one is asked in the other, or
where each denies what the other affirms. A negation that opens a yes-or-no question ("Isn't it …?") changes nothing;
one behind a question word ("Why doesn't …?") counts, and denies no single word.
"""

from collections.abc import Iterator

from vdb.cache.guard.antonyms import COMPLETE, OPPOSITES, is_denial
from vdb.cache.guard.chunks import EMPTY_WORD, LINK, NOT, Token
from vdb.cache.guard.reading import Reading
from vdb.cache.guard.wording import are_same, overlap
from vdb.cache.guard.words import listed, root

_ASKING = listed("why what when where how which who if because and so but")
_AUXILIARIES = listed("is are was were do does did can could will would should have has had may must am")
_SUBJECTS = listed("i you we they the my our your these those")
_TAGGED = frozenset(("it", "they", "i", "we", "you", "he", "she"))
_TROUBLE = frozenset(
    map(root, ("problem", "trouble", "difficulty", "decline", "fail", "error", "wrong", "help", "wait"))
)
_MIN_OVERLAP = 0.5


def differs_in_negation(one: Reading, other: Reading) -> bool:
    """Whether one text denies what the other asks for."""
    if "!" not in one.bag and "!" not in other.bag and not _denials(one, other):
        return False
    n_one, may_one, of_one = _negations(one.shape)
    n_other, may_other, of_other = _negations(other.shape)
    flips = len(_denials(one, other))
    odd = (n_one + n_other + flips) % 2 == 1
    if odd and not (may_one or may_other):
        if not flips and _n_opposites(one, other) == 1:
            return False  # "can't remember" is "forgot"
        if not _TROUBLE.isdisjoint((other.bag - one.bag) if n_one > n_other else (one.bag - other.bag)):
            return False  # "can't pay" is "a problem with paying"
        if flips and not n_one and not n_other:
            return True
        denied = (of_one ^ of_other) or of_one | of_other
        return bool(denied & one.bag & other.bag) or overlap(one, other) >= _MIN_OVERLAP
    if not odd and n_one == n_other == 1 and not (may_one or may_other or flips):
        return bool(
            of_one
            and of_other
            and of_one <= other.bag
            and of_other <= one.bag
            and not any(are_same(x, y) for x in of_one for y in of_other)
        )
    return False


def _n_opposites(one: Reading, other: Reading) -> int:
    mine, theirs = one.content - other.content, other.content - one.content
    return sum(y in OPPOSITES.get(x, ()) for x in mine for y in theirs) if len(mine) * len(theirs) < 400 else 0


def is_denied_opposite(one: Reading, other: Reading) -> bool:
    """Whether one text has a negation more, and the other a word's opposite instead: not open, closed."""
    n_one, n_other = _negations(one.shape)[0], _negations(other.shape)[0]
    return (n_one + n_other) % 2 == 1 and max(_n_opposites(one, other), len(_denials(one, other))) == 1


def _denials(one: Reading, other: Reading) -> list[tuple[str, str]]:
    """Words of one text alone whose denial, or complete opposite, the other has alone."""
    mine, theirs = one.content - other.content, other.content - one.content
    return [
        (x, y) for x in mine for y in theirs if is_denial(x, y) or frozenset((x, y)) in COMPLETE
    ] if len(mine) * len(theirs) < 400 else []  # fmt: skip


def _negations(shape: tuple[Token, ...]) -> tuple[int, bool, frozenset[str]]:
    """How many count, whether one is there that need not, and the words denied."""
    n_counted, may_ignore = 0, False
    denied: set[str] = set()
    for place, token in enumerate(shape):
        if token.kind != NOT:
            continue
        if _opens_question(shape, place) or _closes_question(shape, place):
            may_ignore = True
            continue
        n_counted += 1
        if not _is_inverted(shape, place):
            denied.update(_next(shape, place))
    return n_counted, may_ignore, frozenset(denied)


def _next(shape: tuple[Token, ...], place: int) -> Iterator[str]:
    for token in shape[place + 1 : place + 6]:
        if token.kind not in (EMPTY_WORD, LINK, NOT):
            yield token.key
            return


def _is_inverted(shape: tuple[Token, ...], place: int) -> bool:
    """`why doesn't …`: the auxiliary stands behind a question word."""
    return place >= 2 and shape[place - 1].raw in _AUXILIARIES and shape[place - 2].raw in _ASKING


def _opens_question(shape: tuple[Token, ...], place: int) -> bool:
    """`Isn't …`, `Doesn't the …`, `Don't you …`: not the second word of an order such as `Don't send …`."""
    if place == 0 or shape[place].raw != "not" or shape[place - 1].raw not in _AUXILIARIES:
        return False
    if place > 1 and not shape[place - 2].is_last:
        return False
    return shape[place - 1].raw != "do" or (place + 1 < len(shape) and shape[place + 1].raw in _SUBJECTS)


def _closes_question(shape: tuple[Token, ...], place: int) -> bool:
    """`…, isn't it?`"""
    after = shape[place + 1 : place + 3]
    return (
        shape[place].raw == "not"
        and place > 1
        and shape[place - 1].raw in _AUXILIARIES
        and len(after) > 0
        and after[0].raw in _TAGGED
        and (len(after) == 1 or after[0].is_last)
    )
