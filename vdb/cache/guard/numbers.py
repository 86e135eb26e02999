"""Numbers in words: two, twenty-five, three hundred and fifty, a dozen, 3 million; each becomes its digits."""

from collections.abc import Sequence

from vdb.cache.guard.chunks import NUMBER, Token, number

_SMALL = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_PLACES = "third fourth fifth sixth seventh eighth ninth tenth"
UNITS_OF_TEN = {word: n for n, word in enumerate(f"{_SMALL} seventeen eighteen nineteen".split())}
TENS = {word: n * 10 for n, word in enumerate(_TENS.split(), 2)}
TENS["fourty"] = 40
_ORDINALS = {word: n for n, word in enumerate(_PLACES.split(), 3)}
_ORDINALS |= {"eleventh": 11, "twelfth": 12, "thirteenth": 13, "fourteenth": 14, "fifteenth": 15, "sixteenth": 16}
_ORDINALS |= {"seventeenth": 17, "eighteenth": 18, "nineteenth": 19, "twentieth": 20, "thirtieth": 30, "hundredth": 100}
_OTHERS = {"dozen": 12, "twice": 2, "thrice": 3}
POWERS = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12, "lakh": 5, "crore": 7}
_MULTIPLES = {**{f"{word}s": power for word, power in POWERS.items()}, **POWERS}
WORDS = {**UNITS_OF_TEN, **TENS}
TRIGGERS = frozenset({*WORDS, *_ORDINALS, *_OTHERS, *_MULTIPLES, "half"})
_MAX_WORDS = 12


def settle_number(tokens: Sequence[Token], at: int) -> tuple[tuple[Token, ...], int] | None:
    """The number that starts at place `at` in words, or in digits with a magnitude behind; how many tokens it spans."""
    token = tokens[at]
    if token.kind == NUMBER:
        power = _MULTIPLES.get(tokens[at + 1].raw, 0) if at + 1 < len(tokens) else 0
        whole, _, fraction = token.key.partition(".")
        if not power or not whole.isdecimal():
            return None
        return (Token(number(whole, fraction, power), NUMBER, f"{token.raw},"),), 2
    if token.raw in WORDS or token.raw in _MULTIPLES:
        return _spelt(tokens, at)
    if token.raw == "half" and at + 1 < len(tokens) and tokens[at + 1].raw in ("a", "an"):
        return (Token("0.5", NUMBER, "half"),), 2
    if token.raw in _OTHERS:
        return (Token(str(_OTHERS[token.raw]), NUMBER, token.raw),), 1
    if token.raw in _ORDINALS:
        return (Token(str(_ORDINALS[token.raw]), NUMBER, "ordinal"),), 1
    return None


def _spelt(tokens: Sequence[Token], at: int) -> tuple[tuple[Token, ...], int]:
    total = part = n = 0
    last = 10**6
    for token in tokens[at : at + _MAX_WORDS]:
        word = token.raw
        if word in WORDS:
            value = WORDS[word]
            if n and (last < 10 or (last < 100 and value >= 10)):
                break
            part, last = part + value, value if value < 20 else 20
            last = 1 if value < 20 else 20
        elif word in _MULTIPLES:
            size = 10 ** _MULTIPLES[word]
            part = (part or 1) * size
            if size > 100:
                total, part = total + part, 0
            last = size
        elif word in _ORDINALS and n and last == 20 and _ORDINALS[word] < 10:
            part, n = part + _ORDINALS[word], n + 1
            break
        elif word == "and" and n and last >= 100 and at + n + 1 < len(tokens) and tokens[at + n + 1].raw in WORDS:
            pass
        else:
            break
        n += 1
    raw = tokens[at].raw if n == 1 else "spelt,"
    return (Token(str(total + part), NUMBER, raw),), n
