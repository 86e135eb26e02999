"""Isolation in small: the state machine and the concurrent run of `python -m bench isolation`."""

from pathlib import Path

from hypothesis import settings

from bench.isolation.concurrent import NEVER_NS, Look, State, judge_look, run_concurrently
from bench.isolation.machine import IsolationMachine

TestIsolation = IsolationMachine.TestCase
TestIsolation.settings = settings(max_examples=12, stateful_step_count=40)

PLACE = ("acme", "acme-1")


def _look(began_ns: int, ended_ns: int, token: str = "t") -> Look:
    return Look("globex", began_ns, ended_ns, ((*PLACE, token),))


def test_readers_beside_writers_see_what_is_theirs_and_all_of_it(tmp_path: Path) -> None:
    outcome = run_concurrently(tmp_path / "data", seconds=2.0, seed=31)
    assert outcome.problems == []
    assert outcome.n_hits > 0


def test_the_judge_of_searches_accepts_what_was_visible_at_some_moment() -> None:
    both = frozenset({"acme", "globex"})
    history = {PLACE: [State("t", both, 10, 20), State("t", frozenset({"acme"}), 100, 110)]}
    assert judge_look(_look(15, 16), history) == []
    assert judge_look(_look(105, 120), history) == []


def test_the_judge_of_searches_finds_a_point_shown_after_its_revoke_was_acknowledged() -> None:
    history = {PLACE: [State("t", frozenset({"globex"}), 10, 20), State("t", frozenset({"acme"}), 100, 110)]}
    assert len(judge_look(_look(111, 120), history)) == 1


def test_the_judge_of_searches_finds_replaced_content_and_missing_points() -> None:
    history = {PLACE: [State("old", frozenset({"globex"}), 10, 20), State("new", frozenset({"globex"}), 100, 110)]}
    assert len(judge_look(_look(111, 120, "old"), history)) == 1
    assert len(judge_look(Look("globex", 111, 120, ()), history)) == 1
    assert judge_look(Look("globex", 12, 15, ()), {PLACE: [State("t", frozenset({"globex"}), 10, NEVER_NS)]}) == []
