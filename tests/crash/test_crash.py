"""The crash harness in small; `python -m bench crash` is the same at full size."""

from bench.crash import run_cycles


def test_a_killed_server_has_every_acknowledged_write_and_no_partial_request() -> None:
    tally = run_cycles(n_cycles=5, seed=11)
    assert tally.faults == []
    assert tally.n_clean == 5
    assert tally.n_acknowledged > 0


def test_the_same_on_tier_disk_and_between_tiers() -> None:
    tally = run_cycles(n_cycles=4, seed=13, tier="changing")
    assert tally.faults == [] and tally.n_clean == 4
    assert tally.n_acknowledged > 0 and tally.n_indexed > 0


def test_a_server_that_answers_before_it_commits_is_found_out() -> None:
    tally = run_cycles(n_cycles=3, seed=12, is_early=True)
    # "catalog": a collection whose points, answered for, are not there
    assert {"lost", "catalog"} & {fault.kind for fault in tally.faults}
