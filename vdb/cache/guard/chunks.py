"""Pieces of text between white space as the guard reads them: words, numbers, dates, units, identifiers.

`read_chunk` is a pure function of one piece, kept for pieces of up to `MAX_KEPT` characters in a bounded table, since
words come again. What depends on the neighbours (a day beside a month) is settled in `reading`.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from vdb.cache.guard.synonyms import EMPTY, LINKS
from vdb.cache.guard.units import UNITS
from vdb.cache.guard.words import expand, listed, root

MAX_KEPT = 40
MAX_DIGITS = 30

WORD, EMPTY_WORD, LINK, NUMBER, UNIT, DATE, NOT, NAME, SIGN = range(9)


class Token(NamedTuple):
    """A word or a fact. `key` is what is compared, `raw` the lower-case word; `is_name` where it stood in capitals."""

    key: str
    kind: int
    raw: str
    is_name: bool = False
    is_last: bool = False


_TRIM_LEFT = "\"'`([{<*,;!?…|“”‘’«»"
_TRIM_RIGHT = "\"'`)]}>*/,;:!?….|“”‘’«»"
_NUMBER = re.compile(r"([$€£¥₹₩~-]?)(\d[\d,]*)(\.\d+)?")
_CLOCK = re.compile(r"(\d{1,2})[:.h](\d\d)(?::\d\d)?([ap]\.?m)?")
_HOUR = re.compile(r"(\d{1,2})([ap])\.?m")
_ISO_DATE = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})")
_DAY_FIRST = re.compile(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})")
_ORDINAL = re.compile(r"(\d{1,9})(?:st|nd|rd|th)")
_DECADE = re.compile(r"'?(\d{2,4})'?s")
_VERSION = re.compile(r"v?\d+\.\d+\.[\d.]+")
_ROMAN = re.compile(r"(?:XX|X)?(?:IX|IV|V?I{1,3}|V)")
_NEGATIONS = listed("not no never without except neither nor none nobody nothing nowhere non cannot")
_CAPITALS = {"US": "usa", "USA": "usa", "U.S": "usa", "U.S.A": "usa", "A": "a"}
_SPOKEN = {"+": "plus", "=": "equal", "*": "tim"}
_MAGNITUDES = {"k": 3, "m": 6, "bn": 9, "mn": 6, "b": 9}
_NAMED = frozenset("_\\/@:=<>#^~|*&+.%$")
_CAMEL = re.compile(r"[a-z0-9][A-Z]")
_GLUED = re.compile(r"[a-z)](?:[?!,;]+|\.\.+|\.(?=[A-Z][a-z]))[A-Za-z]")  # two sentences without a space
_SUM = re.compile(r"\d+(?:[+*=]\d+){1,8}")


def read_chunk(chunk: str) -> tuple[Token, ...]:
    """The tokens of one piece of text without white space; a long one is an identifier, compared whole."""
    return _kept(chunk) if len(chunk) <= MAX_KEPT else _name(chunk.strip(_TRIM_LEFT + _TRIM_RIGHT).casefold())


@lru_cache(maxsize=1 << 15)
def _kept(chunk: str) -> tuple[Token, ...]:
    return _read(chunk)


def _read(chunk: str) -> tuple[Token, ...]:
    bare = chunk.lstrip(_TRIM_LEFT).rstrip(_TRIM_RIGHT).replace("–", "-").replace("—", "-")
    if (stop := _GLUED.search(bare)) and "://" not in bare:
        return _read(bare[: stop.start() + 1] + ".") + _read(bare[stop.end() - 1 :])
    tokens = _pieces(bare.removesuffix("'s")) if bare else _signs(chunk)
    if tokens and chunk.rstrip("\"')]”’")[-1:] in ".!?:;":
        tokens = (*tokens[:-1], tokens[-1]._replace(is_last=True))
    return tokens


def _signs(chunk: str) -> tuple[Token, ...]:
    sign = "".join(letter for letter in chunk if letter in "+=<>*^%")
    return (Token(_SPOKEN.get(sign, sign), SIGN, sign),) if sign else ()


def _pieces(bare: str) -> tuple[Token, ...]:
    if bare in _CAPITALS:
        return (Token(_CAPITALS[bare], WORD, _CAPITALS[bare], True),)
    lower = bare.casefold()
    if bare.isalpha() or lower in UNITS or lower.replace("'", "").isalpha():
        return _words(bare, lower)
    if any(letter.isdigit() for letter in bare):
        return _numeric(bare, lower)
    if not any(letter.isalpha() for letter in bare):
        sign = UNITS.get(lower)
        return (Token(sign, UNIT, lower),) if sign else _signs(bare)
    if lower in ("n/a", "and/or") or "://" in bare:
        return _name(lower)
    joint = next((sign for sign in "-/," if sign in bare), "")
    parts = [part for part in bare.split(joint) if part] if joint else []
    if joint == "-" and len(parts) == 2 and parts[1].casefold() == "free":
        return (word_token("without"), *_pieces(parts[0]))
    if len(parts) > (joint == "/") and all(part.replace("'", "").isalpha() for part in parts):
        return tuple(token for part in parts for token in _pieces(part))
    return _name(lower)


def _words(bare: str, lower: str) -> tuple[Token, ...]:
    if bare.isupper() and len(bare) > 1 and _ROMAN.fullmatch(bare):
        return (Token(str(_roman(bare)), NUMBER, lower),)
    is_name = (not bare.islower() and bare[0] != "I") or (bare[0] == "I" and len(bare) > 3)
    if len(_CAMEL.findall(bare)) > 1:
        return (Token(lower, NAME, lower, True),)
    return tuple(word_token(word, is_name and word not in EMPTY) for word in expand(lower) if word)


def word_token(word: str, is_name: bool = False) -> Token:
    """The token of a lower-case word that stands alone."""
    if word.isdecimal():
        return Token(word, NUMBER, word)
    stem = root(word)
    if word in _NEGATIONS:
        return Token(stem, NOT, word)
    if word in LINKS:
        return Token(stem, LINK, word)
    if word in EMPTY or stem in EMPTY:
        return Token(stem, EMPTY_WORD, word)
    return Token(stem, UNIT if word in UNITS or stem in UNITS else WORD, word, is_name)


def _name(lower: str) -> tuple[Token, ...]:
    return (Token(lower, NAME, lower),)


def _numeric(bare: str, lower: str) -> tuple[Token, ...]:
    if "(" in bare:
        bare = bare.replace("(", "").replace(")", "")
        lower = bare.casefold()
    if _SUM.fullmatch(bare):
        return tuple(
            Token(_SPOKEN.get(part, part), NUMBER if part.isdecimal() else SIGN, part)
            for part in re.split(r"([+*=])", bare)
        )
    return _dated(lower) or _counted(bare, lower) or _joined(bare) or _name(lower)


def _dated(lower: str) -> tuple[Token, ...]:
    if found := _ISO_DATE.fullmatch(lower):
        return _date(*map(int, found.groups()))
    if found := _DAY_FIRST.fullmatch(lower):
        day, month, year = map(int, found.groups())
        if day > 12 or day == month:
            return _date(year, month, day)
        if month > 12:
            return _date(year, day, month)
        return (Token(f"{day}/{month}/{year}", DATE, lower),)
    if found := _HOUR.fullmatch(lower):
        return (clock(int(found[1]), 0, found[2]),)
    if (found := _CLOCK.fullmatch(lower)) and int(found[1]) < 25 and int(found[2]) < 60 and (":" in lower or found[3]):
        return (clock(int(found[1]), int(found[2]), (found[3] or "")[:1]),)
    return _other_date(lower)


def _other_date(lower: str) -> tuple[Token, ...]:
    if found := _DECADE.fullmatch(lower):
        return (Token(f"{'19' if len(found[1]) == 2 else ''}{found[1]}s", DATE, lower),)
    if len(lower) == 2 and lower[0] == "q" and lower[1] in "1234":
        return (Token(lower, DATE, lower),)
    return ()


def _date(year: int, month: int, day: int) -> tuple[Token, ...]:
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return ()
    return tuple(Token(key, DATE, key) for key in (f"{year}", f"m{month}", f"d{day}"))


def clock(hour: int, minute: int, half: str) -> Token:
    """A time of day on the 24-hour clock; `half` is a, p or nothing."""
    if half == "p" and hour < 12:
        hour += 12
    if half == "a" and hour == 12:
        hour = 0
    return Token(f"t{hour}:{minute:02}", DATE, "")


def _counted(bare: str, lower: str) -> tuple[Token, ...]:
    """A number with its sign, currency, magnitude or unit."""
    if found := _ORDINAL.fullmatch(lower):
        place = int(found[1])
        return (word_token("first"),) if place == 1 else (Token(str(place), NUMBER, "ordinal"),)
    if _VERSION.fullmatch(lower):
        return (Token(lower.lstrip("v").strip("."), NUMBER, lower),)
    found = _NUMBER.match(lower.lstrip("#") if not lower.startswith("#$") else lower)
    if lower[0] == "v" and len(lower) > 1 and lower[1].isdigit():
        found = _NUMBER.match(lower[1:])
        lower = lower[1:]
    if not found or len(found[0]) > MAX_DIGITS or (not lower.isascii() and not found[0]):
        return ()
    rest = lower.lstrip("#")[found.end() :].strip("-")
    whole, fraction = found[2].replace(",", ""), (found[3] or "")
    power = _MAGNITUDES.get(rest, 0) if found[1] in ("$", "€", "£", "¥", "₹", "₩") or rest in ("k", "bn", "mn") else 0
    if rest and not power and rest not in UNITS:
        return ()
    value = number(whole, fraction, power)
    tokens = [Token(("-" if found[1] == "-" else "") + value, NUMBER, found[2])]
    if found[1] and found[1] in UNITS:
        tokens.append(Token(UNITS[found[1]], UNIT, found[1]))
    if rest and not power:
        tokens.append(Token(UNITS[rest], UNIT, rest))
    return tuple(tokens)


def number(whole: str, fraction: str = "", power: int = 0) -> str:
    """A number in one form: no leading zeros, no thousands marks; `3.10` keeps its zero, since versions have it."""
    digits = fraction.lstrip(".")
    if power:
        whole, digits = whole + digits[:power].ljust(power, "0"), digits[power:].rstrip("0")
    elif set(digits) == {"0"} and len(digits) > 1:
        digits = ""
    whole = whole.lstrip("0") or "0"
    return f"{whole}.{digits}" if digits else whole


def _joined(bare: str) -> tuple[Token, ...]:
    """Words and numbers joined by hyphens, each for itself: 30-day, covid-19, 10-12."""
    parts = bare.split("-")
    if len(parts) == 2 and len(parts[0]) < 3 and parts[0].isalpha() and parts[1].isdecimal():
        return _name("".join(parts).casefold())
    if 1 < len(parts) <= 6 and all(part and part.replace(".", "").isalnum() for part in parts):
        return tuple(token for part in parts for token in _pieces(part))
    return ()


def _roman(text: str) -> int:
    values = [{"I": 1, "V": 5, "X": 10}[letter] for letter in text]
    return sum(-one if one < after else one for one, after in zip(values, [*values[1:], 0], strict=True))
