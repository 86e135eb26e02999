"""Who does what to whom, and from where to where: the same words in another order.

Two parts that change places around a middle (A owes B, B owes A) make another question, unless the middle joins them as
equals (A and B) or says the same in the passive (A is paid by B). So do two words that change places behind from, to,
into, than and the like, wherever the phrase stands.
"""

from collections.abc import Sequence

from vdb.cache.guard.chunks import LINK, NOT, Token
from vdb.cache.guard.reading import Reading
from vdb.cache.guard.words import listed

_EQUALS = listed("and or vs versus v")
_MUTUAL = listed(
    "differ different difference compar comparison similar same between together combin mix distanc compatibl "
    "interact equal marri marry vs intersection correlat relation relationship near overlap"
)
ARTICLES = listed("a an the")
_WAYS = {"from": "from", "to": "to", "into": "to", "onto": "to", "than": "than"}
_DO = listed("do does did")
_MODALS = listed("should can could may must will would shall have has had")
_SPEAKERS = listed("i we you they he she it")
_MAX_WORDS = 32
MAX_OTHER_WORDS = 2


def differs_in_direction(one: Reading, other: Reading) -> bool:
    """Whether the texts have the same words with parts that changed places."""
    if not _MUTUAL.isdisjoint(one.bag) and not _MUTUAL.isdisjoint(other.bag):
        return False
    if _swapped_ends(one, other) or _asks_for_object(one, other):
        return True
    return len((one.raws ^ other.raws) - ARTICLES) <= MAX_OTHER_WORDS and _exchanged(one.tokens, other.tokens)


def _asks_for_object(one: Reading, other: Reading) -> bool:
    """Whether `who` acts in one text (who beat him) and is acted upon in the other (who did he beat, whom he beat)."""
    if "by" in one.bag | other.bag or one.content != other.content:
        return False
    both = _is_object(one.shape), _is_object(other.shape)
    return None not in both and both[0] != both[1]


def _is_object(shape: Sequence[Token]) -> bool | None:
    """Whether the one asked for is acted upon; None where no one is asked for."""
    if any(token.raw == "whom" for token in shape):
        return True
    if len(shape) < 3 or shape[0].raw != "who":
        return None
    return shape[1].raw in _DO or (shape[1].raw in _MODALS and shape[2].raw in _SPEAKERS)


def _exchanged(one: Sequence[Token], other: Sequence[Token]) -> bool:
    """Whether one text is `… X middle Y …` and the other `… Y middle X …`."""
    n = min(len(one), len(other))
    start = 0
    while start < n and one[start].key == other[start].key:
        start += 1
    end = 0
    while end < n - start and one[-1 - end].key == other[-1 - end].key:
        end += 1
    mine = [token.key for token in one[start : len(one) - end]]
    theirs = [token.key for token in other[start : len(other) - end]]
    if len(mine) < 3 or len(mine) > _MAX_WORDS or len(theirs) > _MAX_WORDS:
        return False
    if len(mine) != len(theirs):
        return False
    sizes = [n_left for n_left in range(1, len(mine)) if mine[:n_left] == theirs[-n_left:]]
    backs = [n_right for n_right in range(1, len(mine)) if mine[-n_right:] == theirs[:n_right]]
    links = [token.kind == LINK for token in one[start : len(one) - end]]
    before = one[start - 1].key if start else ""
    found = False
    for n_left in sizes:
        for n_right in backs:
            middle, of_other = mine[n_left : len(mine) - n_right], theirs[n_right : len(theirs) - n_left]
            if n_left + n_right > len(mine) or not (middle == of_other or len(middle) == len(of_other) == 1):
                continue
            if not middle or set(middle) <= _EQUALS or middle == [before]:
                return False
            found = found or not (links[0] or links[len(mine) - n_right])
    return found


def _swapped_ends(one: Reading, other: Reading) -> bool:
    """Whether two words changed places behind the same preposition, or between two of them."""
    mine, theirs = _bindings(one.tokens), _bindings(other.tokens)
    shared = one.content & other.content
    for way, words in mine.items():
        others = theirs.get(way, frozenset())
        if not others or words & others or not words <= shared or not others <= shared:
            continue
        return True
    return False


def _bindings(tokens: Sequence[Token]) -> dict[str, frozenset[str]]:
    """The words behind each preposition, up to the next one."""
    found: dict[str, set[str]] = {}
    way = None
    n_left = 0
    for token in tokens:
        if token.kind == LINK:
            way, n_left = _WAYS.get(token.key), 3
        elif way and n_left and token.kind != NOT:
            found.setdefault(way, set()).add(token.key)
            n_left -= 1
    return {way: frozenset(words) for way, words in found.items()}
