"""Questions in other words, and questions that differ in one: what the guard was tuned on beside the traps.

`wordings.jsonl` was written while the guard was built; each batch first judged it, then changed it. A guard that does
worse on them has lost something, one that does well on them has shown nothing yet: the traps' second half is for that.
"""

import json
from pathlib import Path

from vdb.cache.guard import check
from vdb.cache.guard.antonyms import OPPOSITES, is_opposite
from vdb.cache.guard.synonyms import GROUPS, NEAR

ROWS = [
    json.loads(line) for line in (Path(__file__).parent / "wordings.jsonl").read_text(encoding="utf-8").splitlines()
]
MAX_LOST, MAX_MISSED = 0.01, 0.06


def _share_refused(is_same: bool) -> float:
    verdicts = [check(row["a"], row["b"]) for row in ROWS if row["same"] is is_same]
    return sum(verdict is not None for verdict in verdicts) / len(verdicts)


def test_few_of_the_other_wordings_are_lost() -> None:
    assert _share_refused(is_same=True) <= MAX_LOST


def test_most_of_the_changed_questions_are_refused() -> None:
    assert _share_refused(is_same=False) >= 1 - MAX_MISSED


def test_no_word_has_its_opposite_as_a_synonym() -> None:
    assert {one: other for one, others in OPPOSITES.items() for other in others if GROUPS.get(one) == other} == {}


def test_no_word_stands_for_one_that_is_near_its_opposite() -> None:
    assert [(one, other) for one, others in NEAR.items() for other in others if is_opposite(one, other)] == []
