"""What the guard knows of one text: its tokens in order and the facts that they say.

`read` keeps the readings of the texts seen last in a bounded table, so that a cached question that is looked at again
costs nothing.
"""

import re
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from vdb.cache.guard import dates, numbers
from vdb.cache.guard.chunks import (
    DATE,
    EMPTY_WORD,
    LINK,
    NAME,
    NOT,
    NUMBER,
    UNIT,
    WORD,
    Token,
    read_chunk,
    word_token,
)
from vdb.cache.guard.synonyms import GROUPS, PHRASES
from vdb.cache.guard.units import AFTER_NUMBER, BARE, SCALES, UNITS

MAX_KEPT_READINGS = 1024
MAX_KEPT_CHARACTERS = 1024
_SETTLED = dates.TRIGGERS | numbers.TRIGGERS
_SWITCHED = frozenset(word_token(word).key for word in ("turn", "switch", "shut", "power", "keep", "put"))
_SWITCH_SPAN = 8
# Scripts written without spaces, Thai to Chinese: each character is read as a word.
_SPACELESS = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


class Reading(NamedTuple):
    """One text. `keys` are the tokens that count, in order; `shape` also holds the empty words' stems."""

    tokens: tuple[Token, ...]
    keys: tuple[str, ...]
    bag: frozenset[str]
    content: frozenset[str]
    numbers: frozenset[str]
    dates: frozenset[str]
    units: frozenset[str]
    amounts: tuple[tuple[str, Fraction, str, str], ...]
    names: frozenset[str]
    shape: tuple[Token, ...]
    quoted: tuple[tuple[str, ...], ...]
    raws: frozenset[str]


def read(text: str) -> Reading:
    """The reading of a text."""
    return _kept(text) if len(text) <= MAX_KEPT_CHARACTERS else _read(text)


def forget() -> None:
    """Drop all kept readings, for measuring what reading costs."""
    _kept.cache_clear()


@lru_cache(maxsize=MAX_KEPT_READINGS)
def _kept(text: str) -> Reading:
    return _read(text)


def _read(text: str) -> Reading:
    shape = settled(_in_order(text))
    tokens: list[Token] = []
    content, names, raws, bag = (set[str]() for _ in range(4))
    facts: dict[int, set[str]] = {NUMBER: set(), DATE: set(), NAME: names}
    for token in shape:
        key, kind, raw, _, _ = token
        bag.add(key)
        raws.add(raw)
        if kind == EMPTY_WORD:
            continue
        tokens.append(token)
        if kind in (LINK, NOT):
            continue
        content.add(key)
        if kind in facts:
            facts[kind].add(key)
    units, amounts = _amounts(shape)
    return Reading(
        tokens=tuple(tokens),
        keys=tuple([token[0] for token in tokens]),
        bag=frozenset(bag),
        content=frozenset(content),
        numbers=frozenset(facts[NUMBER]),
        dates=frozenset(facts[DATE]),
        units=units,
        amounts=amounts,
        names=frozenset(names),
        shape=tuple(shape),
        quoted=_quotes(text),
        raws=frozenset(raws),
    )


def _in_order(text: str) -> list[Token]:
    """The tokens of all pieces; a capital at the start of a sentence says nothing."""
    tokens: list[Token] = []
    is_start = True
    if not text.isascii():
        text = _SPACELESS.sub(r" \g<0> ", text.replace("’", "'").replace("‘", "'"))
    for chunk in text.split():
        pieces = read_chunk(chunk)
        if not pieces:
            continue
        if is_start and pieces[0].is_name and pieces[0].kind != NAME:
            first = word_token("a") if pieces[0].raw == "a" else pieces[0]._replace(is_name=False)
            pieces = (first, *pieces[1:])
        tokens.extend(pieces)
        is_start = pieces[-1].is_last
    return tokens


def settled(tokens: list[Token]) -> list[Token]:
    """The tokens with phrases replaced, and numbers, dates and units in one form each."""
    tokens = _with_phrases(tokens)
    out: list[Token] = []
    at, n_tokens = 0, len(tokens)
    while at < n_tokens:
        token = tokens[at]
        if token.kind in (NUMBER, DATE) or token.raw in _SETTLED:
            taken = dates.settle_date(tokens, at) or numbers.settle_number(tokens, at)
            if taken and taken[0] and taken[0][0].kind == NUMBER:
                tokens[at + taken[1] - 1] = taken[0][0]
                at += taken[1] - 1
                taken = dates.settle_date(tokens, at) or (taken[0], 1)
            if taken:
                out.extend(taken[0])
                at += taken[1]
                continue
        at += 1
        if token.raw == "a" and (at == n_tokens or tokens[at].kind == LINK):
            token = Token("a", WORD, "a")  # column a, vitamin A
        if token.kind == UNIT or token.raw in BARE:
            token = _unit(token, out, tokens[at] if at < n_tokens else None)
        elif token.kind == WORD:
            if token.key in GROUPS:
                token = Token(GROUPS[token.key], WORD, token.raw, token.is_name, token.is_last)
        elif token.kind == NOT:
            token = token._replace(key="!")
        out.append(token)
    return out


def _unit(token: Token, before: list[Token], after: Token | None) -> Token:
    """The token as a unit where its neighbours make it one; a word otherwise."""
    last = before[-1] if before else None
    is_counted = last is not None and (last.kind == NUMBER or last.raw in ("per", "a", "an", "square", "cubic", "half"))
    is_measured = is_counted and last is not None and (last.kind in (NUMBER, UNIT) or last.raw == "per")
    if (
        last is not None
        and last.kind == UNIT
        and last.key == "degree"
        and token.raw in ("c", "f", "k", "celsius", "fahrenheit")
    ):
        before.pop()
        is_measured = True
    name = UNITS.get(token.raw) or UNITS.get(token.key, "")
    if token.raw in BARE:
        return (
            Token(BARE[token.raw], UNIT, token.raw)
            if is_measured
            else token._replace(key=GROUPS.get(token.key, token.key))
        )
    if token.raw == "second" and last is not None and last.raw == "the":
        return Token("2", NUMBER, "ordinal")
    if name and (is_counted or not {token.raw, token.key} & AFTER_NUMBER):
        if last is not None and last.raw == "square" and before:
            name = {"ft": "sqft", "m": "sqm"}.get(name, name)
        return Token(name, UNIT, token.raw)
    return Token(name if len(token.raw) > 2 else GROUPS.get(token.key, token.key), WORD, token.raw, token.is_name)


def _with_phrases(tokens: list[Token]) -> list[Token]:
    out: list[Token] = []
    at, n_tokens = 0, len(tokens)
    while at < n_tokens:
        token = tokens[at]
        taken = 0
        follows = tokens[at + 1].key if at + 1 < n_tokens else ""
        for rest, replacement in _phrases_from(token.key, follows) if token.key in PHRASES else ():
            n = len(rest)
            if n < 2 or tuple(one.key for one in tokens[at + 1 : at + 1 + n]) == rest:
                out.extend(word_token(word) for word in replacement)
                taken = n + 1
                break
        if not taken:
            taken = 1
            if token.key in _SWITCHED and (switched := _switched(tokens, at)) is not None:
                token = switched
            out.append(token)
        at += taken
    return out


def _phrases_from(head: str, follows: str) -> Sequence[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The phrases that may start with two words, longest first; a phrase of one word is under the empty word."""
    by_second = PHRASES[head]
    return [*by_second.get(follows, ()), *by_second.get("", ())]


def _switched(tokens: list[Token], at: int) -> Token | None:
    """`turn … off` as disable and `turn … on` as enable; the particle goes."""
    for place in range(at + 1, min(at + _SWITCH_SPAN, len(tokens))):
        if tokens[place].raw in ("off", "on") and tokens[place].kind == LINK:
            is_off = tokens[place].raw == "off"
            if not is_off and place + 1 < len(tokens) and not tokens[place].is_last:
                return None
            tokens[place] = tokens[place]._replace(kind=EMPTY_WORD)
            return word_token("disable" if is_off else "enable")
    return None


def _amounts(shape: list[Token]) -> tuple[frozenset[str], tuple[tuple[str, Fraction, str, str], ...]]:
    """The units bound to numbers or to `per`, and the amounts that can be converted: dimension, size, number, unit."""
    units, amounts = set(), []
    before: Token | None = None
    for token in shape:
        if token.kind == UNIT and before is not None:
            if before.kind == NUMBER or before.raw in ("per", "a", "an", "one", "square", "in"):
                units.add(token.key)
            if before.kind == NUMBER and token.key in SCALES and before.key.replace(".", "", 1).isdecimal():
                dimension, size = SCALES[token.key]
                amounts.append((dimension, size * Fraction(before.key), before.key, token.key))
        before = token
    return frozenset(units), tuple(amounts)


def _quotes(text: str) -> tuple[tuple[str, ...], ...]:
    """What stands between double quotes or backticks, in words."""
    found = []
    for left, right in (('"', '"'), ("“", "”"), ("`", "`")):
        if left in text:
            parts = text.split(left) if left == right else [part.partition(right)[0] for part in text.split(left)]
            step = 2 if left == right else 1
            found += parts[1::step] if left != right or len(parts) % 2 else parts[1:-1:step]
    return tuple(words for one in found if (words := tuple(token.raw for token in _in_order(one))))
