"""The commands of docs/import-export.md run, in their order, and do what the page says."""

import json
import shlex
from pathlib import Path

import h5py
import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

import vdb.testing
from tests.docs.pages import blocks
from vdb.cli import main

PAGE = "docs/import-export.md"


def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    vectors = np.eye(5, 4, dtype=np.float32)
    rows = [{"id": f"p{i}", "vector": vectors[i].tolist(), "payload": {"lang": "en"}} for i in range(3)]
    Path("rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    np.save("vectors.npy", vectors)
    with h5py.File("sift-128-euclidean.hdf5", "w") as file:
        file["train"], file.attrs["distance"] = vectors, "euclidean"
    table = {"key": ["a", "b"], "embedding": list(vectors[:2]), "title": ["x", "y"], "year": [1, 2], "other": [0, 0]}
    parquet.write_table(arrow.table(table), "rows.parquet")
    with vdb.testing.server(compile_kernels=False) as server:
        monkeypatch.setenv("VDB_URL", server.url)
        monkeypatch.setenv("VDB_API_KEY", server.admin_key)
        for line in "".join(blocks(PAGE, "sh")).splitlines():
            assert main(shlex.split(line)[1:]) == 0, (line, capsys.readouterr())
        admin = server.admin()
        assert admin.get_collection("sift").metric == "l2"
        found = {point.id: point.payload for point in admin.collection("copy", tenant="acme").scroll()}
        assert set(found) == {f"p{i}" for i in range(3)} | {f"row-{i}" for i in range(5)} | {"a", "b"}
        assert found["b"] == {"title": "y", "year": 2}
    assert parquet.read_table("docs-acme.parquet").num_rows == 10
    with np.load("english.npz") as arrays:
        assert arrays["vectors"].shape == (3, 4)


def test_the_example_of_a_bad_row_is_what_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = (json.loads(text) for text in blocks(PAGE, "json"))
    source = tmp_path / "rows.jsonl"
    good = json.dumps({"id": "b", "vector": [1, 2, 3, 4]})
    source.write_text("\n".join([good, *[""] * 15, json.dumps(example["value"])]))
    command = ["import", str(source), "--collection", "docs", "--create", "--tenant", "acme"]
    assert main([*command, "--data-dir", str(tmp_path / "data")]) == 1
    written = (tmp_path / "rows.jsonl.rejected.jsonl").read_text()
    assert written == json.dumps(example, separators=(",", ":")) + "\n"
