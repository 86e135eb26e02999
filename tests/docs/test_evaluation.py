"""The commands of docs/evaluation.md run, in their order, on a small handbook."""

import json
import shlex
from pathlib import Path

import pytest

import vdb.testing
from tests.docs.pages import blocks
from vdb.cli import main

PAGE = "docs/evaluation.md"
DOCUMENTS = {
    "pumps": "The hydraulic pump leaks oil after a cold start.",
    "valves": "A valve that sticks is cleaned with oil.",
    "gaskets": "Replace the gasket before winter, it is cheap.",
    "engines": "The engine coughs on cold mornings.",
}
QUERIES = {
    "q1": ("why does the pump leak", "pumps"),
    "q2": ("sticking valve", "valves"),
    "q3": ("when to replace a gasket", "gaskets"),
    "q4": ("coughing engine", "engines"),
}


def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [json.dumps({"_id": name, "text": text}) for name, (text, _) in QUERIES.items()]
    Path("queries.jsonl").write_text("\n".join(lines))
    asked = [{"question": text, "answers": [DOCUMENTS[name]], "relevant": [name]} for text, name in QUERIES.values()]
    Path("questions.jsonl").write_text("\n".join(json.dumps(one) for one in asked))
    judged = [f"{name}\t{document}\t1\n" for name, (_, document) in QUERIES.items()]
    Path("qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(judged))
    with vdb.testing.server(compile_kernels=False) as server:
        monkeypatch.setenv("VDB_URL", server.url)
        monkeypatch.setenv("VDB_API_KEY", server.admin_key)
        admin = server.admin()
        embedding = {"model": "lexical", "version": "1"}
        admin.create_collection("handbook", 64, text={"fields": {"text": 1}}, embedding=embedding)
        documents = [{"id": name, "text": text} for name, text in DOCUMENTS.items()]
        admin.collection("handbook", "acme").put_documents(documents)
        for line in "".join(blocks(PAGE, "sh")).splitlines():
            assert main(shlex.split(line)[1:]) == 0, (line, capsys.readouterr())
    assert len(Path("sparse.trec").read_text().splitlines()) >= len(QUERIES)
