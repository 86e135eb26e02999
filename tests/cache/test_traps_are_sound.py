"""The trap set keeps its form: schema, kinds, sizes, and no question pair twice.

A failure names lines and counts, never a row: the second half is not to be read.
"""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

TRAPS = Path(__file__).parent / "traps"
HALVES = ["first", "second"]
SWAPS = ["negation", "antonym", "number", "unit", "entity", "date", "direction"]
CONTROL = "paraphrase"
MIN_ROWS, MIN_SWAPS_PER_KIND, MIN_CONTROLS = 220, 25, 60
MAX_SHARED_WORDS = 0.6  # of the words of two questions in different halves, by Jaccard


def _rows(half: str) -> list[dict[str, str]]:
    lines = (TRAPS / f"{half}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _plain(question: str) -> str:
    return " ".join(re.findall(r"\w+", question.casefold()))


def _pair(row: dict[str, str]) -> frozenset[str]:
    return frozenset((_plain(row["a"]), _plain(row["b"])))


def _shared_words(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other)


@pytest.mark.parametrize("half", HALVES)
def test_every_row_is_a_kind_and_two_questions(half: str) -> None:
    fields = {"kind", "a", "b"}
    bad = [n for n, row in enumerate(_rows(half), 1) if set(row) != fields or not all(map(str.strip, row.values()))]
    assert bad == [], f"lines {bad} of {half}.jsonl"


@pytest.mark.parametrize("half", HALVES)
def test_the_two_questions_of_a_row_differ(half: str) -> None:
    same = [n for n, row in enumerate(_rows(half), 1) if row["a"] == row["b"]]
    assert same == [], f"lines {same} of {half}.jsonl"


@pytest.mark.parametrize("half", HALVES)
def test_every_kind_has_enough_rows(half: str) -> None:
    n_rows = Counter(row["kind"] for row in _rows(half))
    assert set(n_rows) == {*SWAPS, CONTROL}
    assert n_rows.total() >= MIN_ROWS and n_rows[CONTROL] >= MIN_CONTROLS
    assert {kind: n for kind, n in n_rows.items() if kind != CONTROL and n < MIN_SWAPS_PER_KIND} == {}


def test_no_pair_is_there_twice() -> None:
    seen = Counter(_pair(row) for half in HALVES for row in _rows(half))
    assert sum(n > 1 for n in seen.values()) == 0


def test_the_halves_share_no_near_copies() -> None:
    first, second = ([set(_plain(row[side]).split()) for row in _rows(half) for side in "ab"] for half in HALVES)
    shared = max(_shared_words(one, other) for one in first for other in second)
    assert shared <= MAX_SHARED_WORDS, f"two questions of different halves share {shared:.2f} of their words"
