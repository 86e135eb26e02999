"""An importer that is killed again and again ends with every row exactly once."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import vdb.testing

N = 120_000
N_KILLS = 4


def test_a_killed_importer_goes_on_without_a_gap(tmp_path: Path, rng: np.random.Generator) -> None:
    vectors = rng.standard_normal((N, 4)).astype(np.float32)
    vectors[777::1000] = np.nan
    np.save(tmp_path / "rows.npy", vectors)
    state, chance = tmp_path / "rows.npy.vdb-import.json", random.Random(1)
    with vdb.testing.server(compile_kernels=False) as server:
        command = [sys.executable, "-m", "vdb.cli", "import", str(tmp_path / "rows.npy"), "--collection", "docs"]
        command += ["--tenant", "acme", "--create", "--json", "--in-flight", "3"]
        environment = os.environ | {"VDB_URL": server.url, "VDB_API_KEY": server.admin_key}
        places = []
        for _ in range(N_KILLS):
            process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            before = state.read_bytes() if state.exists() else b""
            while process.poll() is None and (not state.exists() or state.read_bytes() == before):
                time.sleep(0.001)
            time.sleep(chance.uniform(0.0, 0.05))
            process.kill()
            process.wait()
            places.append(json.loads(state.read_bytes())["row"] if state.exists() else N)
        assert places == sorted(places) and places[0] > 0
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == 1, done.stderr
        report = json.loads(done.stdout)
        points = {p.id: p for p in server.admin().collection("docs", "acme").scroll(with_vector=True, page_size=1000)}
        n_bad = len(range(777, N, 1000))
        assert (len(points), server.admin().collection("docs", "acme").count()) == (N - n_bad, N - n_bad)
        assert all(np.array_equal(points[str(i)].vector, vectors[i]) for i in range(0, N, 19) if str(i) in points)
    lines = (tmp_path / "rows.npy.rejected.jsonl").read_text().splitlines()
    rejected = [json.loads(line)["row"] for line in lines]
    assert rejected == list(range(777, N, 1000)) and report["n_rejected"] == n_bad
    assert report["n_rows"] == N and not state.exists()
