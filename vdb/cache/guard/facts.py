"""Facts that must agree wherever they stand: numbers, dates, units, identifiers, quotations."""

from vdb.cache.guard.reading import Reading
from vdb.cache.guard.units import LOOSE

_WEAK = frozenset(("1",))


def differing_fact(one: Reading, other: Reading) -> str | None:
    """The rule that a number, date, unit, identifier or quotation breaks, or None."""
    if one.quoted != other.quoted and _quotes_differ(one, other):
        return "quoted"
    if one.names != other.names and _names_differ(one, other):
        return "identifier"
    mine, theirs = one.numbers | one.dates, other.numbers | other.dates
    units_one, units_other = one.units, other.units
    if one.amounts and other.amounts and (mine != theirs or units_one != units_other):
        numbers, units = _equal_amounts(one, other)
        mine, theirs = mine - numbers, theirs - numbers
        units_one, units_other = units_one - units, units_other - units
    apart = mine ^ theirs
    if apart and not apart <= _WEAK:
        is_date = apart & (one.dates | other.dates)
        return "number" if apart - is_date - _WEAK else "date"
    left, right = units_one - units_other, units_other - units_one
    if left and right and not any(frozenset((x, y)) in LOOSE for x in left for y in right):
        return "unit"
    return None


def _equal_amounts(one: Reading, other: Reading) -> tuple[frozenset[str], frozenset[str]]:
    """The numbers and units of amounts that both texts have, be it in different units."""
    sizes = {amount[:2] for amount in one.amounts} & {amount[:2] for amount in other.amounts}
    same = [amount for amount in (*one.amounts, *other.amounts) if amount[:2] in sizes]
    return frozenset(amount[2] for amount in same), frozenset(amount[3] for amount in same)


def _quotes_differ(one: Reading, other: Reading) -> bool:
    return not (_holds(other, one.quoted) and _holds(one, other.quoted))


def _holds(reading: Reading, quoted: tuple[tuple[str, ...], ...]) -> bool:
    return all(set(words) <= reading.raws for words in quoted)


def _names_differ(one: Reading, other: Reading) -> bool:
    """Whether an identifier of one text is not written in the other, points and hyphens aside."""
    return not (_writes(other, one.names) and _writes(one, other.names))


def _writes(reading: Reading, names: frozenset[str]) -> bool:
    if names <= reading.raws:
        return True
    written = set(map(_plain, reading.raws))
    return all(_plain(name) in written for name in names if name not in reading.raws)


def _plain(name: str) -> str:
    """The letters and digits of a name; of one that has a sign in it such as C++, the name."""
    return name if name[-1:] in "+#" else "".join(letter for letter in name if letter.isalnum())
