"""Text guard of the semantic cache: tells two questions apart that an encoder puts side by side.

`check` compares the question asked with the cached one, as far as their text tells. It holds no state but bounded
tables of what it has read, needs no model and no network, and knows English only: of another language it compares the
numbers, dates, identifiers and quotations, and words that stand in each other's place.
"""

from vdb.cache.guard.direction import differs_in_direction
from vdb.cache.guard.excerpts import excerpt
from vdb.cache.guard.facts import differing_fact
from vdb.cache.guard.negation import differs_in_negation, is_denied_opposite
from vdb.cache.guard.reading import Reading, read
from vdb.cache.guard.wording import opposites, substitution

__all__ = ["RULES", "check"]

RULES = ("number", "unit", "date", "negation", "antonym", "quoted", "identifier", "entity", "direction", "length")


def check(asked: str, cached: str) -> str | None:
    """None where both texts ask for the same thing, as far as they tell; else the rule of `RULES` that they break."""
    if asked == cached:
        return None
    first, second = (asked, cached) if asked <= cached else (cached, asked)
    parts = excerpt(first, second)
    return _compare(read(parts[0]), read(parts[1])) if parts else "length"


def _compare(one: Reading, other: Reading) -> str | None:
    if rule := differing_fact(one, other):
        return rule
    if differs_in_negation(one, other):
        return "negation"
    is_denied = is_denied_opposite(one, other)
    if not is_denied and opposites(one, other):
        return "antonym"
    if differs_in_direction(one, other):
        return "direction"
    return None if is_denied else substitution(one, other)
