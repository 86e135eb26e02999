"""`bench retrieval --only hybrid` runs in small, and its better leg is the one of the half that is judged."""

import json
from pathlib import Path

from bench.retrieval import main


def test_legs_and_fusions_are_reported_beside_the_better_leg(tmp_path: Path) -> None:
    assert main(["--only", "hybrid", "--quick", "--results", str(tmp_path)]) == 0
    (row,) = json.loads((tmp_path / "retrieval.json").read_text())
    figures = {name.removeprefix("made-up R@5, "): figure for name, figure in row["figures"].items()}
    ways = {"dense", "BM25", "default", "equal ranks", "learned"}
    over = {f"{way} over the better leg" for way in ("default", "equal ranks", "learned")}
    assert figures.keys() == ways | over
    assert all(len(figure["runs"]) == 5 and figure["unit"] == "points" for figure in figures.values())
    for split in range(5):
        better = max(figures["dense"]["runs"][split], figures["BM25"]["runs"][split])
        gain = figures["learned over the better leg"]["runs"][split]
        assert abs(figures["learned"]["runs"][split] - better - gain) < 0.01
