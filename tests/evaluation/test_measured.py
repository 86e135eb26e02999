"""What an evaluation makes of runs: means, comparison, tenants, recall by depth; and its report."""

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from vdb.errors import InvalidArgument
from vdb.evaluation import EvaluateOptions, Evaluation, Query, evaluate, write_report
from vdb.evaluation.report import html, markdown

QRELS = {"q1": {"a": 1, "b": 2}, "q2": {"c": 1}, "q3": {"d": 0}, "unasked": {"a": 1}}
QUERIES = [Query("q1", "one", "acme"), Query("q2", "two", "globex"), Query("q3", "three", "acme"), Query("q4", "four")]
RUNS = {
    "sparse": {"q1": {"x": 3.0, "a": 2.0, "b": 1.0}, "q2": {"x": 2.0, "c": 1.0}},
    "theirs": {"q1": {"b": 3.0, "a": 2.0}, "nobody": {"a": 1.0}},
}


def evaluated(**options: object) -> Evaluation:
    wanted = EvaluateOptions(metrics=("RR@10", "R@2"), limit=3, **options)  # type: ignore[arg-type]
    return evaluate(None, QUERIES, QRELS, wanted, dict(RUNS))


def test_queries_count_that_have_a_relevant_document_answered_or_not() -> None:
    found = evaluated()
    assert (found.n_queries, found.n_without_judgements) == (2, 2)
    assert [system.means for system in found.systems] == [{"RR@10": 0.5, "R@2": 0.75}, {"RR@10": 0.5, "R@2": 0.5}]


def test_runs_are_compared_with_the_better_leg() -> None:
    (compared,) = evaluated().compared
    assert (compared.name, compared.against, compared.metric) == ("theirs", "sparse", "RR@10")
    assert (compared.difference, compared.standard_error) == (0.0, 0.5)
    assert (compared.n_better, compared.n_worse) == (1, 1)


def test_several_tenants_are_measured_apart() -> None:
    tenants = evaluated().tenants
    assert tenants.keys() == {"acme", "globex"}
    assert [system.means["RR@10"] for system in tenants["acme"]] == [0.5, 1.0]
    assert [system.means["RR@10"] for system in tenants["globex"]] == [0.5, 0.0]


def test_recall_is_told_by_depth() -> None:
    assert evaluated().recall_by_depth == {"sparse": [0.0, 0.75, 1.0], "theirs": [0.25, 0.5, 0.5]}


def test_without_a_judged_query_there_is_nothing_to_measure() -> None:
    with pytest.raises(InvalidArgument, match="no query of the file has a relevant document"):
        evaluate(None, QUERIES[2:], QRELS, EvaluateOptions(), dict(RUNS))


@pytest.mark.parametrize("metric", ["nonsense", "nDCG@x", "R", "__import__('os')", ""])
def test_an_unknown_metric_is_refused(metric: str) -> None:
    with pytest.raises(InvalidArgument):
        evaluate(None, QUERIES, QRELS, EvaluateOptions(metrics=(metric,)), dict(RUNS))


def test_a_missing_library_is_asked_for_by_its_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = evaluated()
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    with pytest.raises(InvalidArgument, match="needs ir_measures: install vdb with the extra `eval`"):
        evaluated()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InvalidArgument, match="needs matplotlib: install vdb with the extra `eval`"):
        write_report(tmp_path, found)


def test_a_report_is_three_files(tmp_path: Path) -> None:
    files = write_report(tmp_path / "new", evaluated())
    assert [path.name for path in files] == ["report.md", "report.html", "plot.svg"]
    assert "| theirs | 2 | 0.5000 | 0.5000 |" in files[0].read_text()
    assert "<td>theirs</td><td>2</td><td>0.5000</td>" in files[1].read_text()
    picture = files[2].read_text()
    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert picture in files[1].read_text()


def test_a_report_is_the_same_for_the_same_figures(tmp_path: Path) -> None:
    first, second = write_report(tmp_path / "a", evaluated()), write_report(tmp_path / "b", evaluated())
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_names_in_a_report_are_no_markup(tmp_path: Path) -> None:
    found = evaluated()
    found.systems[1].name = "<script>|*x*\n$\\frac$"
    text = html(found, "<svg/>")
    assert "<script>" not in text and "&lt;script&gt;" in text
    assert "\\<script\\>\\|\\*x\\* $" in markdown(found)
    assert len(write_report(tmp_path, found)) == 3
