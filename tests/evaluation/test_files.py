"""Queries, judgements and runs in the forms of BEIR and TREC, and what is wrong with others."""

import gzip
from itertools import pairwise
from pathlib import Path

import pytest

from vdb.errors import InvalidArgument
from vdb.evaluation import Query, read_qrels, read_queries, read_run, write_run
from vdb.evaluation.files import strictly_falling


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_queries_are_lines_of_json_or_of_columns(tmp_path: Path) -> None:
    beir = '{"_id": "q1", "text": "Who?", "metadata": {}}\n\n'
    beir += '{"id": 2, "text": "é", "tenant": "acme", "vector": [1, 0.5]}\n'
    assert read_queries(written(tmp_path / "a.jsonl", beir)) == [
        Query("q1", "Who?"),
        Query("2", "é", "acme", (1.0, 0.5)),
    ]
    assert read_queries(written(tmp_path / "a.tsv", "\ufeff7\tWho, then?\r\n8\tWhy\tso?\r\n")) == [
        Query("7", "Who, then?"),
        Query("8", "Why\tso?"),
    ]


def test_files_may_be_zipped(tmp_path: Path) -> None:
    path = tmp_path / "queries.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"_id": "q", "text": "t"}'))
    assert read_queries(path) == [Query("q", "t")]


@pytest.mark.parametrize(
    "text",
    [
        "query-id\tcorpus-id\tscore\nq1\tdoc one\t1\nq1\td2\t0\n",
        "q1\tdoc one\t1\nq1\td2\t0\n",
        '{"query-id": "q1", "corpus-id": "doc one", "score": 1}\n{"query-id": "q1", "corpus-id": "d2", "score": 0}\n',
        "q1\t0\tdoc one\t1\nq1\t0\td2\t0\n",
    ],
)
def test_judgements_come_in_every_form(tmp_path: Path, text: str) -> None:
    assert read_qrels(written(tmp_path / "qrels", text)) == {"q1": {"doc one": 1, "d2": 0}}


def test_judgements_of_trec_may_have_any_spaces_and_grades_below_zero(tmp_path: Path) -> None:
    assert read_qrels(written(tmp_path / "qrels", "1 Q0  d1   2\n1 0 d2 -1\n")) == {"1": {"d1": 2, "d2": -1}}


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    run = {"q1": dict(zip("abc", strictly_falling([0.5, 0.5, 0.25]), strict=True)), "q2": {"é": -1.5}}
    write_run(tmp_path / "run", run, "ours")
    assert read_run(tmp_path / "run") == run
    assert (tmp_path / "run").read_text(encoding="utf-8").splitlines()[0] == "q1 Q0 a 1 0.5 ours"


def test_ranks_outlive_equal_scores() -> None:
    scores = strictly_falling([1.0, 1.0, 1.0, 0.5, 0.7, -3.0])
    assert all(later < earlier for earlier, later in pairwise(scores))
    assert [round(score, 5) for score in scores] == [1.0, 1.0, 1.0, 0.5, 0.5, -3.0]


def test_an_id_with_a_space_is_not_written_to_a_run(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="has a space"):
        write_run(tmp_path / "run", {"q": {"two words": 1.0}}, "ours")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no queries"),
        ("only an id\n", "line 1: a query is a JSON object"),
        ('{"_id": "q"}', "line 1: a query needs a `text`"),
        ('{"text": "t"}', "line 1: a query needs an `_id`"),
        ('{"_id": "q", "text": "t", "vector": [null]}', "the vector is not a list of numbers"),
        ('{"_id": "q", "text": "t", "tenant": 3}', "the tenant is not a text"),
        ("q\tt\nq\tu\n", "line 2: there is a query 'q' before"),
        ('{"_id": "q", "text": "t"\n', "line 1"),
    ],
)
def test_what_is_wrong_with_queries_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InvalidArgument, match=told):
        read_queries(written(tmp_path / "queries", text))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no judgements"),
        ("q1 d1\n", "line 1: a judgement has three columns"),
        ("q1\td1\t1\nq1\td2\thigh\n", "line 2: 'high' is not a grade"),
        ('{"query-id": "q", "score": 1}\n', "line 1: a judgement needs 'corpus-id'"),
    ],
)
def test_what_is_wrong_with_judgements_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InvalidArgument, match=told):
        read_qrels(written(tmp_path / "qrels", text))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("q Q0 d 1 0.5\n", "six columns, not 5"),
        ("q Q0 d 1 best ours\n", "'best' is not a score"),
        ("q Q0 d 1 nan ours\n", "not finite"),
    ],
)
def test_what_is_wrong_with_a_run_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InvalidArgument, match=told):
        read_run(written(tmp_path / "run", text))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"cannot read .*missing"):
        read_qrels(tmp_path / "missing")
    (tmp_path / "latin").write_bytes(b"q\tcaf\xe9\n")
    with pytest.raises(InvalidArgument, match="not UTF-8"):
        read_queries(tmp_path / "latin")
    (tmp_path / "broken.gz").write_bytes(gzip.compress(b"q\tt\n")[:-9])
    with pytest.raises(InvalidArgument, match=r"cannot read .*broken"):
        read_queries(tmp_path / "broken.gz")
