"""Answer groups: entries whose answers are known to say the same.

Every label of a lookup that was then stored says how the new entry stands to its candidate: right, so both belong to
one group; wrong, so they do not. An entry carries what is known of it in two numbers of 8 bytes, its membership:

- `group`: a number that all entries of a group share, that of the entry which founded it;
- `rejected`: the group that the founder was found different from; 0 where it was compared with none.

So two groups are known to differ where one's founder rejected the other; of other pairs nothing is known. There is
nothing else to keep: an entry that goes, a founder too, changes nothing for the others. Groups never merge: a new entry
is compared with one candidate only, so no label ever says that two old groups are one.
"""

from dataclasses import dataclass

NONE = 0
"""No group."""


@dataclass(frozen=True, slots=True)
class Membership:
    """What is known of an entry; both numbers u64."""

    group: int
    rejected: int = NONE


def place(number: int, candidate: Membership | None, is_right: bool | None) -> Membership:
    """The membership of a new entry `number`, whose answer was compared with its candidate's.

    Without a candidate or a comparison (None) it is alone. A verdict that comes after the entry was stored places it
    anew; entries that joined it meanwhile stay where they are, in a group of their own.
    """
    if candidate is None or is_right is None:
        return Membership(number)
    return candidate if is_right else Membership(number, candidate.group)
