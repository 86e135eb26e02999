"""`vdb ingest` and its server, killed at random moments, end with exactly the documents and chunks of the folder."""

from pathlib import Path

from bench.retrieval.killed_ingest import killed


def test_a_killed_ingest_is_started_again_and_ends_exact(tmp_path: Path) -> None:
    counts = killed(tmp_path, n_kills=3, seed=7, n_files=60)
    assert counts["wrong"] == 0, counts
    assert counts["documents"] > 40 and counts["client kills"] + counts["server kills"] == 3
