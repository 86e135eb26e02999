"""Dates and times in one form: `2024` a year, `m3` a month, `d12` a day of it, `w1` a weekday, `t17:00`, `q1`.

`settle_date` looks at the tokens from one place on and takes those that say a date together, whatever their order:
3 May, May 3rd and the third of May are `m5 d3`.
"""

from collections.abc import Sequence

from vdb.cache.guard.chunks import DATE, NUMBER, UNIT, Token, clock
from vdb.cache.guard.words import listed

_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
MONTHS = {name: f"m{n}" for n, name in enumerate(_MONTHS, 1)}
MONTHS |= {name[:3]: f"m{n}" for n, name in enumerate(_MONTHS, 1)} | {"sept": "m9"}
WEEKDAYS = {name + plural: f"w{n}" for n, name in enumerate(_WEEKDAYS, 1) for plural in ("", "s")}
WEEKDAYS |= {"tue": "w2", "tues": "w2", "wed": "w3", "thu": "w4", "thur": "w4", "thurs": "w4", "fri": "w5", "mon": "w1"}
WORDS = {"today": "today", "tomorrow": "tomorrow", "yesterday": "yesterday", "tonight": "tonight", "noon": "t12:00"}
WORDS |= {"midnight": "t0:00", "todays": "today"}
_RELATIVE = {"last": "last", "past": "last", "previous": "last", "next": "next", "coming": "next", "upcoming": "next"}
_RELATIVE |= {"this": "this", "current": "this"}
_SPANS = {"week", "month", "quarter", "year", "weekend", "decade", "century", "night", "season", "semester"}
_SPANS |= {"hour", "minute", "summer", "winter", "spring", "autumn", "fall", "term", "fiscal", "morning", "evening"}
_ORDINALS = {"first": "q1", "second": "q2", "third": "q3", "fourth": "q4"}
_DOUBTFUL = {
    "may",
    "march",
    "august",
    "mar",
    "jun",
    "jan",
    "dec",
    "sep",
    "nov",
    "oct",
    "apr",
    "feb",
    "jul",
    "aug",
    "mon",
    "fri",
    "sat",
    "sun",
}
_BEFORE_MONTH = listed(
    "in of on by until till since from this next last early late mid every during for before after through"
)
_HOLIDAYS = {
    ("new", "year", "day"): ("m1", "d1"), ("new", "years", "day"): ("m1", "d1"), ("new", "year", "eve"): ("m12", "d31"),
    ("new", "years", "eve"): ("m12", "d31"), ("christmas", "eve"): ("m12", "d24"), ("christmas", "day"): ("m12", "d25"),
    ("boxing", "day"): ("m12", "d26"), ("christmas",): ("m12", "d25"), ("xmas",): ("m12", "d25"),
    ("halloween",): ("m10", "d31"), ("valentine", "day"): ("m2", "d14"), ("valentines", "day"): ("m2", "d14"),
    ("day", "after", "tomorrow"): ("day-after-tomorrow",), ("day", "before", "yesterday"): ("day-before-yesterday",),
}  # fmt: skip
_FIRST_OF_HOLIDAY = frozenset(words[0] for words in _HOLIDAYS)
TRIGGERS = frozenset({*MONTHS, *WEEKDAYS, *WORDS, *_RELATIVE, *_ORDINALS, *_FIRST_OF_HOLIDAY})
TIME_WORDS = listed("morning afternoon evening night weekend weekday summer winter spring autumn fall dawn dusk")

Taken = tuple[tuple[Token, ...], int]


def settle_date(tokens: Sequence[Token], at: int) -> Taken | None:
    """The tokens of the date that starts at place `at` and how many it spans, or None."""
    token = tokens[at]
    raw = token.raw
    if token.kind in (NUMBER, DATE):
        return _after_number(tokens, at) if token.kind == NUMBER else _half_of_day(tokens, at)
    if raw in _FIRST_OF_HOLIDAY and (taken := _holiday(tokens, at)):
        return taken
    if raw in WORDS:
        return _dates(WORDS[raw]), 1
    if raw in MONTHS and _is_month(tokens, at):
        return _from_month(tokens, at)
    if raw in WEEKDAYS and (raw not in _DOUBTFUL or (token.is_name and _raw(tokens, at - 1) != "the")):
        return _dates(WEEKDAYS[raw]), 1
    return _relative(raw, _raw(tokens, at + 1))


def _relative(raw: str, after: str) -> Taken | None:
    """Last week, next Monday, this May; the first quarter."""
    if raw in _RELATIVE:
        name = after.removesuffix("s") if after.removesuffix("s") in _SPANS else ""
        name = name or WEEKDAYS.get(after, "") or (MONTHS.get(after, "") if after != "may" else "m5")
        return (_dates(f"{_RELATIVE[raw]}-{name}"), 2) if name else None
    if raw in _ORDINALS and after == "quarter":
        return _dates(_ORDINALS[raw]), 2
    return None


def _dates(*keys: str) -> tuple[Token, ...]:
    return tuple(Token(key, DATE, "") for key in keys)


def _raw(tokens: Sequence[Token], at: int) -> str:
    return tokens[at].raw if 0 <= at < len(tokens) else ""


def _holiday(tokens: Sequence[Token], at: int) -> Taken | None:
    for n in (3, 2, 1):
        words = tuple(token.raw for token in tokens[at : at + n])
        if words in _HOLIDAYS:
            return _dates(*_HOLIDAYS[words]), n
    return None


def _is_month(tokens: Sequence[Token], at: int) -> bool:
    token = tokens[at]
    if token.raw not in _DOUBTFUL or token.is_name:
        return True
    beside = [tokens[place] for place in (at - 1, at + 1) if 0 <= place < len(tokens)]
    if any(one.kind in (NUMBER, DATE) or (one.raw in MONTHS and one.raw not in _DOUBTFUL) for one in beside):
        return True
    return _raw(tokens, at - 1) in _BEFORE_MONTH


def _is_day(token: Token) -> bool:
    return token.raw == "first" or (
        token.kind == NUMBER and token.key.isdecimal() and len(token.key) < 3 and int(token.key) < 32
    )


def _is_year(token: Token) -> bool:
    return token.kind == NUMBER and len(token.key) == 4 and token.key.isdecimal()


def _day(token: Token) -> str:
    return "d1" if token.raw == "first" else f"d{token.key}"


def _from_month(tokens: Sequence[Token], at: int) -> Taken:
    keys, n = [MONTHS[tokens[at].raw]], 1
    while (
        at + n < len(tokens)
        and _raw(tokens, at + n) == "the"
        and at + n + 1 < len(tokens)
        and _is_day(tokens[at + n + 1])
    ):
        n += 1
    if at + n < len(tokens) and _is_day(tokens[at + n]):
        keys.append(_day(tokens[at + n]))
        n += 1
    if at + n < len(tokens) and _is_year(tokens[at + n]):
        keys.insert(0, tokens[at + n].key)
        n += 1
    return _dates(*keys), n


def _after_number(tokens: Sequence[Token], at: int) -> Taken | None:
    """A day in front of its month, an hour in front of am or pm, or a year."""
    token, after = tokens[at], _raw(tokens, at + 1)
    if after in ("am", "pm", "a.m", "p.m") and token.key.isdecimal() and int(token.key) < 13:
        return (clock(int(token.key), 0, after[0]),), 2
    if after == "oclock" and token.key.isdecimal() and int(token.key) < 25:
        return (token,), 2
    step = 2 if after == "of" else 1
    if _is_day(token) and _raw(tokens, at + step) in MONTHS and tokens[at + step].kind != UNIT:
        taken, n = _from_month(tokens, at + step)
        if len(taken) < 3 and not any(one.key.startswith("d") for one in taken):
            month = next(place for place, one in enumerate(taken) if one.key.startswith("m"))
            return (*taken[: month + 1], *_dates(_day(token)), *taken[month + 1 :]), n + step
    if _is_year(token) and "," not in token.raw and 1500 <= int(token.key) < 2100:
        follows = tokens[at + 1] if at + 1 < len(tokens) else None
        if follows is None or follows.kind != UNIT:
            return (Token(token.key, DATE, token.raw),), 1
    return None


def _half_of_day(tokens: Sequence[Token], at: int) -> Taken | None:
    """A time such as 6:30 with am or pm behind it."""
    token, after = tokens[at], _raw(tokens, at + 1)
    if token.key.startswith("t") and token.key[1:2].isdigit() and after in ("am", "pm", "a.m", "p.m"):
        hour, _, minute = token.key[1:].partition(":")
        return (clock(int(hour), int(minute), after[0]),), 2
    return None
