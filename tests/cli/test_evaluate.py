"""`vdb eval`: legs and fusion of a served collection, runs in files, learning, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import Command
from vdb.testing import RunningServer

N, DIMENSION = 48, 8
TENANTS = ("acme", "globex")
UNKNOWN = " ".join(f"unheard{number}" for number in range(20))
"""Words that no point holds: so little of a query is found that the default fusion heeds the vectors."""


@pytest.fixture(scope="module")
def noisy(server: RunningServer) -> RunningServer:
    """A collection whose words tell its points apart, and whose vectors say nothing; half of it per tenant."""
    rng = np.random.default_rng(7)
    admin = server.admin()
    admin.create_collection("noisy", DIMENSION, text={"fields": {"text": 1}})
    vectors = rng.standard_normal((N, DIMENSION)).astype(np.float32)
    for number, tenant in enumerate(TENANTS):
        places = range(number, N, 2)
        admin.collection("noisy", tenant).upsert(
            [f"p{place}" for place in places],
            vectors[list(places)],
            [{"text": f"common word{place} here", "document": f"doc{place // 4}"} for place in places],
        )
    return server


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Queries that each ask for the word of one point, with vectors of noise, in the current folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(8)
    lines = [
        {"_id": f"q{place}", "text": f"common word{place} {UNKNOWN}", "tenant": TENANTS[place % 2]}
        for place in range(N)
    ]
    Path("queries.jsonl").write_text("\n".join(json.dumps(line) for line in [*lines, {"_id": "idle", "text": "?"}]))
    own = [line for line in lines if line["tenant"] == "acme"]
    Path("acme.tsv").write_text("".join(f"{line['_id']}\t{line['text']}\n" for line in own))
    np.save("vectors.npy", rng.standard_normal((N + 1, DIMENSION)).astype(np.float32))
    np.save("acme.npy", rng.standard_normal((len(own), DIMENSION)).astype(np.float32))
    Path("qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(f"q{i}\tp{i}\t1\n" for i in range(N)))
    Path("documents.trec").write_text("".join(f"q{i} 0 doc{i // 4} 1\n" for i in range(N)))
    return tmp_path


ASKED = ("eval", "--collection", "noisy", "--metrics", "RR@10", "R@1")
ALL = (*ASKED, "--queries", "queries.jsonl", "--vectors", "vectors.npy", "--tenant", "acme", "--qrels", "qrels.tsv")
ACME = (*ASKED, "--queries", "acme.tsv", "--vectors", "acme.npy", "--tenant", "acme", "--qrels", "qrels.tsv")


def runs_of(document: Any) -> dict[str, float]:
    return {run["name"]: run["RR@10"] for run in document["runs"]}


def test_legs_and_fusion_are_measured_by_tenant(admin: Command, noisy: RunningServer, files: Path) -> None:
    ran = admin(*ALL, "--json")
    assert ran.code == 0, ran.err
    found = runs_of(ran.document)
    assert found.keys() == {"dense", "sparse", "hybrid"}
    assert found["dense"] < 0.5
    assert found["hybrid"] < found["sparse"] == 1.0
    assert (ran.document["n_queries"], ran.document["n_without_judgements"]) == (N, 1)
    assert ran.document["tenants"].keys() == set(TENANTS)
    assert {one["against"] for one in ran.document["compared"]} == {"sparse"}


def test_people_get_tables(admin: Command, noisy: RunningServer, files: Path) -> None:
    ran = admin(*ALL)
    assert [row[0] for row in ran.rows[2:6]] == ["RR@10", "dense", "sparse", "hybrid"]
    assert "48 judged queries" in ran.out
    assert "tenant globex" in ran.out


def test_a_run_written_measures_the_same(admin: Command, noisy: RunningServer, files: Path) -> None:
    asked = admin(*ALL, "--mode", "hybrid", "--run", "ours.trec", "--json")
    read = admin("eval", "--qrels", "qrels.tsv", "--run-file", "ours.trec", "--metrics", "RR@10", "R@1", "--json")
    assert (asked.code, read.code) == (0, 0), (asked.err, read.err)
    assert runs_of(read.document)["ours.trec"] == runs_of(asked.document)["hybrid"]


def test_hits_are_judged_by_their_documents(admin: Command, noisy: RunningServer, files: Path) -> None:
    words = [*ACME[:-1], "documents.trec", "--by", "document", "--mode", "sparse", "--run", "ours.trec"]
    ran = admin(*words, "--json")
    assert runs_of(ran.document) == {"sparse": 1.0}, ran.err
    assert all(line.split()[2].startswith("doc") for line in Path("ours.trec").read_text().splitlines())


def test_learning_leaves_the_vectors_that_say_nothing(admin: Command, noisy: RunningServer, files: Path) -> None:
    tried = admin(*ALL, "--learn", "--dry-run", "--json")
    assert tried.code == 0, tried.err
    assert noisy.admin().get_collection("noisy").fusion is None
    kept = admin(*ALL, "--learn", "--report", "out", "--json")
    learned = kept.document["learned"]
    assert learned["fusion"]["weight"] < 0.5 and learned["kept"] and learned["n_queries"] == N // 2
    found = runs_of(kept.document)
    assert found["learned"] > found["hybrid"]
    fusion = noisy.admin().get_collection("noisy").fusion
    assert fusion is not None and fusion.weight == learned["fusion"]["weight"]
    assert "Learned" in Path("out/report.md").read_text()
    noisy.admin().update_collection("noisy", fusion=None)


def test_a_run_cannot_be_written_of_all_modes(admin: Command, noisy: RunningServer, files: Path) -> None:
    assert admin(*ALL, "--run", "ours.trec").code == 2


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--qrels", "qrels.tsv"], 2, "--collection, --run-file or both"),
        (["--qrels", "qrels.tsv", "--collection", "noisy"], 2, "needs --queries"),
        (["--qrels", "missing", "--run-file", "missing"], 1, "cannot read missing"),
        (["--qrels", "qrels.tsv", "--run-file", "qrels.tsv"], 1, "six columns"),
        (["--qrels", "qrels.tsv", "--run-file", "qrels.tsv", "--learn"], 2, "need a --collection"),
    ],
)
def test_what_makes_no_sense_is_told(admin: Command, files: Path, words: list[str], code: int, told: str) -> None:
    ran = admin("eval", *words)
    assert (ran.code, told in ran.err) == (code, True), ran.err


def test_learning_needs_enough_queries_and_a_metric_that_it_knows(
    admin: Command, noisy: RunningServer, files: Path
) -> None:
    by_precision = admin(*ACME, "--learn", "--metrics", "P@5")
    assert by_precision.code == 1
    assert "fusion is learned by nDCG@k, R@k or RR@k" in by_precision.err
    Path("qrels.tsv").write_text("q0\tp0\t1\n")
    assert "too few to learn" in admin(*ACME, "--learn").err


def test_vectors_must_fit_the_queries(admin: Command, noisy: RunningServer, files: Path) -> None:
    np.save("acme.npy", np.zeros((3, DIMENSION), np.float32))
    ran = admin(*ACME)
    assert (ran.code, "has 3 rows, and there are 24 queries" in ran.err) == (2, True)


def test_a_collection_without_words_answers_by_vectors_alone(
    admin: Command, server: RunningServer, files: Path
) -> None:
    plain = server.admin().create_collection("plain", DIMENSION)
    server.admin().collection(plain.name, "acme").upsert(["p0", "p2"], np.eye(2, DIMENSION))
    words = [word if word != "noisy" else "plain" for word in ACME]
    assert admin(*words, "--mode", "dense").code == 0
    refused = admin(*words, "--mode", "sparse")
    assert refused.code == 1 and "text" in refused.err


def test_answers_are_measured(admin: Command, noisy: RunningServer, files: Path) -> None:
    lines = [{"question": "common word0 here", "answers": ["word0"], "relevant": ["p0"]}, {"question": "unheard of?"}]
    Path("questions.jsonl").write_text("\n".join(map(json.dumps, lines)))
    collection = ("eval", "--collection", "noisy", "--tenant", "acme")
    asked = (*collection, "--answers", "questions.jsonl", "--vectors", "two.npy")
    assert "two.npy" in admin(*asked).err
    np.save("two.npy", np.ones((2, DIMENSION), np.float32))
    shown = admin(*asked, "--report", "out")
    assert "1 answerable questions, 1 others" in shown.out and "threshold 0.5" in shown.out, shown.err
    assert Path("out/plot.svg").is_file()
    document = admin(*asked, "--backend", "extractive", "--json").document
    assert document["backend"] == "extractive"
    assert document["in_first"] == document["cited"] == 1.0


@pytest.mark.parametrize(
    "given",
    [
        ("--answers", "questions.jsonl"),
        ("--collection", "noisy", "--answers", "questions.jsonl", "--qrels", "qrels.tsv"),
        ("--collection", "noisy", "--answers", "questions.jsonl", "--learn"),
        ("--collection", "noisy", "--queries", "queries.jsonl"),
    ],
)
def test_options_that_do_not_go_together_are_refused(admin: Command, files: Path, given: tuple[str, ...]) -> None:
    assert admin("eval", *given).code == 2
