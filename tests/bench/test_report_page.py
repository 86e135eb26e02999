"""The drawn part of docs/benchmarks.md: what committed results give, and no more; odd names, few rows, no rows."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bench.record import RESULTS, ROOT
from bench.report import main, page, races, replays
from bench.report.page import BEGIN, END
from tests.bench.race_rows import contender, race_row

SVG = "{http://www.w3.org/2000/svg}"
OURS = {0.8: 10.0, 0.96: 20.0, 0.995: 40.0}
RIVAL = {0.8: 20.0, 0.96: 30.0, 0.995: 80.0}
WEAK = {0.6: 5.0, 0.9: 50.0}


def _world(tmp_path: Path, rows: list[dict[str, Any]]) -> tuple[Path, Path]:
    """Folders of results and of documents."""
    results, docs = tmp_path / "results", tmp_path / "docs"
    results.mkdir()
    docs.mkdir()
    if rows:
        (results / "race-made.json").write_text(json.dumps(rows))
    (docs / "benchmarks.md").write_text(f"# Benchmarks\n\nbefore\n\n{BEGIN}\n{END}\n\nafter\n")
    return results, docs


def _words(drawing: str) -> list[str]:
    return ["".join(one.itertext()) for one in ElementTree.fromstring(drawing).iter(f"{SVG}text")]


def test_the_document_and_its_drawings_are_what_the_committed_results_give() -> None:
    assert page.differences(RESULTS, ROOT / "docs") == [], "run `python -m bench report`"


def test_what_the_numbers_do_not_say_stands_before_what_they_say() -> None:
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings[0] == "## What the numbers do not say"
    assert text.index(headings[1]) > text.index(BEGIN)


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    results, docs = _world(tmp_path, [race_row({"hnsw": contender(RIVAL), "vdb": contender(OURS)})])
    assert main(["--results", str(results), "--docs", str(docs)]) == 0
    before = {path.name: path.read_bytes() for path in docs.rglob("*.*")}
    assert main(["--results", str(results), "--docs", str(docs)]) == 0
    assert {path.name: path.read_bytes() for path in docs.rglob("*.*")} == before


def test_text_outside_the_marks_stays(tmp_path: Path) -> None:
    results, docs = _world(tmp_path, [race_row({"vdb": contender(OURS)})])
    page.write(results, docs)
    text = (docs / "benchmarks.md").read_text()
    assert text.startswith("# Benchmarks\n\nbefore\n\n") and text.endswith("\n\nafter\n")


def test_a_document_without_marks_is_not_written(tmp_path: Path) -> None:
    results, docs = _world(tmp_path, [])
    (docs / "benchmarks.md").write_text("no marks")
    with pytest.raises(ValueError, match="once each"):
        page.write(results, docs)
    assert (docs / "benchmarks.md").read_text() == "no marks"


def test_an_edit_by_hand_and_a_stray_drawing_are_told(tmp_path: Path) -> None:
    results, docs = _world(tmp_path, [race_row({"vdb": contender(OURS)})])
    page.write(results, docs)
    assert main(["--check", "--results", str(results), "--docs", str(docs)]) == 0
    drawing = docs / "figures" / "race-made-made.svg"
    drawing.write_text(drawing.read_text().replace("vdb", "best"))
    (docs / "figures" / "old.svg").write_text("<svg/>")
    (docs / "benchmarks.md").write_text((docs / "benchmarks.md").read_text().replace("20", "19"))
    assert page.differences(results, docs) == ["benchmarks.md", "old.svg", "race-made-made.svg"]
    assert main(["--check", "--results", str(results), "--docs", str(docs)]) == 1
    page.write(results, docs)
    assert page.differences(results, docs) == []


def test_without_rows_the_page_says_so(tmp_path: Path) -> None:
    results, _ = _world(tmp_path, [])
    text, drawings = page.page(results)
    assert "There are no rows yet." in text and drawings == {}


def test_the_last_row_of_each_data_set_counts(tmp_path: Path) -> None:
    rows = [race_row({"vdb": contender({0.96: cost})}, name) for cost, name in ((10, "a"), (20, "b"), (33, "a"))]
    results, _ = _world(tmp_path, rows)
    text, drawings = page.page(results)
    assert "33 µs" in text and "20 µs" in text and "10 µs" not in text
    assert sorted(drawings) == ["race-made-a.svg", "race-made-b.svg"]


def test_a_newer_row_of_fewer_stands_below_the_one_of_most(tmp_path: Path) -> None:
    found = {"vdb": contender({0.96: 10}), "peer": contender({0.96: 15}), "other": contender({0.96: 18})}
    rows = [race_row(dict(list(found.items())[:n]), "a") for n in (2, 3, 2)]
    text, drawings = page.page(_world(tmp_path, rows)[0])
    assert text.count("### Race made: a") == 1 and text.count("Later, of fewer: made, a") == 1
    assert text.index("| other |") < text.index("Later, of fewer") < text.rindex("| peer |")
    assert sorted(drawings) == ["race-made-a.svg"]
    (tmp_path / "all").mkdir()
    assert "Later" not in page.page(_world(tmp_path / "all", rows[:2])[0]).text


def test_every_drawing_is_xml_with_a_title_a_description_and_its_origin() -> None:
    drawings = page.page(RESULTS).drawings
    assert drawings, "the committed results give none"
    for name, drawing in drawings.items():
        root = ElementTree.fromstring(drawing)
        title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
        assert title is not None and title.text and description is not None and description.text, name
        assert root.get("role") == "img" and root.get("aria-labelledby") == "title description"
        assert any("commit" in words and "cores" in words for words in _words(drawing)), name


def test_odd_names_neither_break_the_drawing_nor_the_page() -> None:
    odd = 'IVF <b> & "x" | *y*'
    text, drawings = races.section("made", race_row({odd: contender(RIVAL)}, "a/b & c"))
    assert list(drawings) == ["race-made-a-b-c.svg"]
    assert odd in _words(drawings["race-made-a-b-c.svg"])
    line = next(line for line in text.splitlines() if line.startswith("| IVF"))
    assert "<b>" not in line and line.replace("\\|", "").count("|") == text.splitlines()[
        text.splitlines().index(line) - 1
    ].count("|")


def test_one_that_never_finds_enough_has_a_curve_and_no_figure() -> None:
    row = race_row({"weak": contender(WEAK), "vdb": contender(OURS), "other": contender(RIVAL)})
    text, drawings = races.section("made", row)
    assert "never find that much: weak." in text
    line = next(line for line in text.splitlines() if line.startswith("| weak"))
    assert line.split(" | ")[3:5] == ["-", "-"]
    assert "weak" in _words(drawings["race-made-made.svg"])


def test_one_that_finds_next_to_nothing_stands_in_the_legend() -> None:
    drawing = races.section("made", race_row({"blind": contender({0.1: 5.0}), "vdb": contender(OURS)}))[1]
    assert "blind (no figure)" in _words(drawing["race-made-made.svg"])


def test_who_leads_is_said_whoever_it_is() -> None:
    slow = contender({0.9: 100.0, 0.95: 150.0, 0.99: 200.0})
    text, _ = races.section("made", race_row({"vdb": slow, "a": contender(OURS), "b": contender(RIVAL)}))
    assert "**a** leads" in text and "vdb takes" in text and "place 3" in text


def test_costs_of_a_server_are_called_so() -> None:
    row = race_row({"vdb json": contender(OURS), "rival": contender(RIVAL)}, cost="server CPU")
    _, drawings = races.section("http", row)
    assert "queries per server CPU second" in _words(drawings["race-http-made.svg"])
    assert {"p50", "p95", "p99"} <= set(_words(drawings["race-http-made-latency.svg"]))


def test_clients_at_once_have_a_table_of_their_own() -> None:
    crowd = {"setting": "ef 20", "4": {"qps": 1234, "wall us": {"p99": 5678.0}}}
    row = race_row({"vdb json": contender(OURS, clients=crowd), "alone": contender(RIVAL)}, clients=[1, 4])
    text, drawings = races.section("http", row)
    assert "| vdb json | 1,234 | 5,678 |" in text and "race-http-made-latency.svg" in drawings


def test_figures_of_contenders_stand_side_by_side(tmp_path: Path) -> None:
    row = race_row({})
    figures = {"ours: p50": 2.0, "ours: p99": 3.0, "rival: p50": 4.0}
    row["figures"] = {name: {"value": value, "unit": "µs"} for name, value in figures.items()}
    row["figures"]["p50, rival / ours"] = {"value": 2.0, "unit": "x", "bar": ">= 4", "passes": False}
    results, _ = _world(tmp_path, [row | {"command": "python -m bench race made --data x --data y z --seed 2"}])
    text, drawings = page.page(results)
    assert "### Race made: y, z" in text
    assert "|  | ours | rival |" in text and "| p50, µs | 2 | 4 |" in text and "| p99, µs | 3 | - |" in text
    assert "- p50, rival / ours: 2 x, bar >= 4: **missed**" in text and drawings == {}


def test_contests_of_tenants_count_whichever_command_ran_them(tmp_path: Path) -> None:
    committed = json.loads((RESULTS / "tenants.json").read_text())
    older = next(row for row in committed if row["figures"]["workload"]["name"] == "single-19k")
    results, _ = _world(tmp_path, [])
    (results / "tenants.json").write_text(json.dumps([older]))
    newer = older | {"date": "2099-01-01T00:00:00+00:00"}
    (results / "race-tenants.json").write_text(json.dumps([newer]))
    text, _ = page.page(results)
    assert "2099-01-01" in text and older["date"][:10] not in text and "### Race tenants" not in text


def _replay_row(largest_ms: float) -> dict[str, Any]:
    row = race_row({})
    ms = {"p50": 1.0, "p95": 2.0, "p99": largest_ms}
    figures = {f"latency, {one}": {"value": value, "unit": "ms"} for one, value in ms.items()}
    figures |= {f"largest tenant, {one}": {"value": 2 * value, "unit": "ms"} for one, value in ms.items()}
    trace, world = {"source": "a <trace>"}, {"tenants": 5, "data set": "made"}
    row["figures"] = {"trace": trace, "world": world, **figures, "refused (429, 503)": {"value": 3, "unit": ""}}
    return row


def test_a_replay_shows_latencies_by_size_of_the_tenant(tmp_path: Path) -> None:
    results, _ = _world(tmp_path, [])
    (results / "replay.json").write_text(json.dumps([_replay_row(3.0), _replay_row(4.0)]))
    text, drawings = page.page(results)
    assert "| largest tenant | 2 | 4 | 8 | - |" in text and "refused (429, 503) 3." in text
    assert {"all requests", "largest tenant", "p99"} <= set(_words(drawings["replay-a-trace-5-tenants-of-made.svg"]))


def test_without_replays_there_is_no_section() -> None:
    assert replays.section({}) == ("", {})


def test_what_was_left_out_and_missed_bars_are_told() -> None:
    bar = {"ours / rival": {"value": 0.5, "unit": "x", "bar": ">= 1.4", "passes": False}}
    row = race_row({"vdb": contender(OURS)}, bars=bar) | {}
    row["figures"]["left out"] = {"rival": "it cannot be installed"}
    text, _ = races.section("made", row)
    assert "Left out: rival: it cannot be installed." in text
    assert "- ours / rival: 0.5 x, bar >= 1.4: **missed**" in text


def test_a_race_in_which_nobody_took_part_has_no_drawing() -> None:
    row = race_row({})
    row["figures"]["left out"] = {"vdb": "no data"}
    text, drawings = races.section("made", row)
    assert drawings == {} and "Left out: vdb: no data." in text
