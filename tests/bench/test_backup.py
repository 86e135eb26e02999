"""The judge of backups under load finds what it must, and a small run of the whole workload is clean."""

from math import inf
from pathlib import Path

import pytest

from bench.backup import run
from bench.backup.history import History, Request, faults_of

A, B = ("first", "a"), ("second", "a")


def history(name: str, *requests: Request) -> History:
    made = History(name)
    made.requests = list(requests)
    return made


ACME = history(
    "acme", Request({A: 1}, 0.0, 1.0), Request({B: 2}, 2.0, 3.0), Request({A: None}, 4.0, 5.0), Request({B: 3}, 6.0)
)


@pytest.mark.parametrize(
    ("state", "window", "is_fine"),
    [
        ({A: 1}, (0.5, 1.5), True),
        ({}, (0.5, 1.5), True),
        ({}, (1.5, 1.8), False),  # lost: it was answered before the backup was asked for
        ({A: 1}, (0.5, 9.0), True),
        ({A: 1, B: 2}, (1.5, 1.8), False),  # from the future
        ({B: 2}, (4.5, 4.6), True),
        ({B: 3}, (4.5, 7.0), True),  # sent, never answered: either way
        ({B: 2}, (6.5, 7.0), True),
        ({A: 1, B: 3}, (0.0, 9.0), False),  # torn between the collections: the deletion is missing
    ],
)
def test_one_writer(state: dict[tuple[str, str], int], window: tuple[float, float], is_fine: bool) -> None:
    assert (faults_of([ACME], {"acme": state}, *window) == []) is is_fine


def test_two_writers_must_be_of_one_moment() -> None:
    other = history("globex", Request({A: 7}, 1.1, 1.2), Request({A: 8}, 5.1, 5.2))
    window = (0.5, 9.0)
    assert faults_of([ACME, other], {"acme": {A: 1}, "globex": {A: 7}}, *window) == []
    assert faults_of([ACME, other], {"acme": {A: 1}, "globex": {A: 8}}, *window) != []


def test_what_nobody_did_is_found() -> None:
    assert faults_of([ACME], {"acme": {A: 99}}, 0.0, inf) != []


def test_a_small_run_is_clean(tmp_path: Path) -> None:
    figures = {figure.name: figure for figure in run(tmp_path, n_backups=4, n_ballast=1_000, seed=2)}
    assert figures["backups of one instant"].value == 4
    assert figures["faults"].value == 0
    assert figures["requests meanwhile"].value > 20
