"""`bench retrieval --only chunks`: what it counts, on two articles."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from bench.retrieval import main
from bench.retrieval.chunks import articles


def _put(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    topics = {"Fruit": "apples and pears", "Rail": "trains and rails", "Sky": "moons and tides"}
    texts = [{"title": title, "text": f"{words} of number{n}."} for title, words in topics.items() for n in range(30)]
    _put(tmp_path / "squad2" / "paragraphs.jsonl.gz", [{"pid": pid, **text} for pid, text in enumerate(texts)])
    asked = [(pid, f"number{pid % 30} {topics[texts[pid]['title']]}", f"number{pid % 30}") for pid in (3, 41, 65)]
    questions = [
        {"question": words, "pid": pid, "answers": [answer], "is_impossible": False} for pid, words, answer in asked
    ]
    never = {"question": "x", "pid": 1, "answers": [], "is_impossible": True}
    _put(tmp_path / "squad2" / "questions.jsonl.gz", [never, *questions])
    return tmp_path


def test_answers_stand_where_the_article_has_them(data: Path) -> None:
    documents, asked = articles(data / "squad2")
    assert len(documents) == 3
    assert [documents[each.document][each.start : each.end] for each in asked] == ["number3", "number11", "number5"]


def test_every_size_and_format_has_its_figures(data: Path, tmp_path: Path) -> None:
    assert main(["--only", "chunks", "--quick", "--data", str(data), "--results", str(tmp_path)]) == 0
    (row,) = json.loads((tmp_path / "retrieval.json").read_text())
    figures = {name: figure["value"] for name, figure in row["figures"].items()}
    assert figures["40 words: answers in the first 5 chunks"] == 1.0
    assert figures["200 words, 40 of overlap: answers in the first 1,000 words"] == 1.0
    assert all(figures[f"{kind}: chunks read"] > 0 for kind in ("text/plain", "text/html", "application/pdf"))


def test_without_texts_the_part_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "chunks", "--data", str(tmp_path), "--results", str(tmp_path)]) == 0
    assert "left out" in capsys.readouterr().err
