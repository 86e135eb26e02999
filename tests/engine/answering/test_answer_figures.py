"""What /metrics says of answers."""

from typing import Any

import pytest

from tests.engine.answering.world import Scripted, World, failing
from vdb.engine.answering.figures import STAGES
from vdb.errors import ModelUnavailable


def told(made: World) -> dict[str, dict[tuple[str, ...], Any]]:
    """Value by name and labels."""
    return {
        name: {tuple(labels.values()): value for labels, value in samples}
        for name, _, _, samples in made.engine.metrics()
        if name.startswith("vdb_answer")
    }


def test_answers_are_counted_by_what_became_of_them(made: World) -> None:
    made.use(Scripted("So [1] and [77]."))
    made.ask()
    made.ask("Zebra?", threshold=1.0)
    made.use(Scripted(failing(ModelUnavailable("down"))))
    with pytest.raises(ModelUnavailable):
        made.ask()
    found = told(made)
    outcomes = found["vdb_answers_total"]
    assert sum(outcomes.values()) == 3
    assert outcomes[("error",)] == 1 and outcomes[("found",)] >= 1
    assert found["vdb_answer_unknown_citations_total"][()] >= 1
    assert found["vdb_answers_under_way"][()] == found["vdb_answers_waiting"][()] == 0


def test_stages_are_counted_in_buckets(made: World) -> None:
    made.use(Scripted())
    made.ask()
    stages = {stage: (sum(counts), seconds) for stage, counts, seconds in made.engine.answer_stages()}
    assert set(stages) == set(STAGES)
    for stage in ("retrieval", "context", "first_token", "generation"):
        assert stages[stage][0] == 1 and stages[stage][1] > 0
