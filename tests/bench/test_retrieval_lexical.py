"""`bench retrieval --only lexical`: its figures, on a handful of texts."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.retrieval import main

TOPICS = ("apples and pears", "trains and rails", "the moon and tides")


def put(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twelve paragraphs and tools; every question but the last has the words of its answer."""
    texts = [f"{topic} number{i}" for i in range(4) for topic in TOPICS]
    put(tmp_path / "squad2" / "paragraphs.jsonl.gz", [{"pid": 7 * i, "text": text} for i, text in enumerate(texts)])
    questions = [{"question": text, "pid": 7 * i} for i, text in enumerate([*texts[:9], "zzz"])]
    put(tmp_path / "squad2" / "questions.jsonl.gz", questions)
    put(tmp_path / "tools" / "tools.jsonl.gz", [{"tool": f"t{i}", "description": text} for i, text in enumerate(texts)])
    put(tmp_path / "tools" / "queries.jsonl.gz", [{"query": texts[i], "tools": [f"t{i}", "t0"]} for i in range(10)])
    for name in ("squad2/paragraph", "squad2/question", "tools/tool", "tools/query"):
        n = 12 if name.endswith(("paragraph", "tool")) else 10
        np.save(tmp_path / f"{name}_vectors_f16.npy", np.eye(n, 12, dtype=np.float16))
    return tmp_path


def test_recall_counts_the_questions_whose_answer_is_among_the_first(data: Path, tmp_path: Path) -> None:
    main(["--only", "lexical", "--data", str(data), "--results", str(tmp_path)])
    (row,) = json.loads((tmp_path / "retrieval.json").read_text())
    figures = {name: figure["value"] for name, figure in row["figures"].items()}
    assert figures["SQuAD R@5, all-MiniLM-L6-v2"] == figures["ToolE R@5, all-MiniLM-L6-v2"] == 1.0
    assert figures["SQuAD R@5, bm25s"] == 0.9 and figures["SQuAD R@5, lexical of 2048"] >= 0.9
    assert figures["ToolE R@5, lexical of 2048"] == 1.0
    assert figures["SQuAD: lexical of 384, per question"] > 0


def test_without_texts_the_part_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "lexical", "--data", str(tmp_path), "--results", str(tmp_path)]) == 0
    assert "left out" in capsys.readouterr().err
    assert not (tmp_path / "retrieval.json").exists()
