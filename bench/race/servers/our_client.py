"""Our client in a race between servers: searches in JSON or with binary bodies, by the standard library's HTTP."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.race.peers.contender import Contender, Float32s, LeftOut, Rows
from bench.race.peers.exchange import Exchange
from bench.race.peers.serving import serve
from vdb.protocol.columns import MEDIA_TYPE, join_frame

__all__ = ["OurClient"]

_COLLECTION, _TENANT = "points", "race"
_SEARCH = f"/v1/collections/{_COLLECTION}/search"
_BATCH = 1_000
_TIMEOUT_S = 900.0
_POLL_S = 0.05
_TARGETS = (0.8, 0.9, 0.95, 0.97, 0.99, 0.995)


class OurClient(Contender):
    """Settings: the recall aimed at; the server says what that takes. `build` waits until the index is tuned."""

    settings: Sequence[str] = [f"recall {target}" for target in _TARGETS]

    def __init__(self, port: int, form: str, admin_key: str, index_from_points: int) -> None:
        self._port, self._is_binary, self._index_from_points = port, form == "binary", index_from_points
        self._admin = Exchange(port, {"Authorization": f"Bearer {admin_key}"})
        self._params: Mapping[str, Any] = {}

    def build(self, vectors: Float32s, metric: str, folder: Path, n_threads: int) -> str:
        self._await(lambda: self._admin.ask("GET", "/readyz")["kernels"] != "numpy", "compiled kernels")
        made = {"name": _COLLECTION, "dimension": vectors.shape[1], "metric": metric}
        self._admin.ask("POST", "/v1/collections", made)
        key = self._admin.ask("POST", "/v1/keys", {"tenant": _TENANT, "role": "write"})["key"]
        (folder / "key").write_text(key, encoding="utf-8")
        self.load(folder)
        for first in range(0, len(vectors), _BATCH):
            rows = vectors[first : first + _BATCH]
            head = {"ids": [str(first + i) for i in range(len(rows))]}
            self._server.post(f"/v1/collections/{_COLLECTION}/points", join_frame(head, rows), MEDIA_TYPE)
        coded = self._tuned() if len(vectors) >= self._index_from_points else "exact: too few points for an index"
        return f"{coded}; {'binary bodies' if self._is_binary else 'JSON'}"

    def use(self, setting: str) -> None:
        self._params = {"recall": float(setting.split()[1])}

    def search(self, query: Float32s, k: int) -> Rows:
        head = {"limit": k, "params": self._params}
        if self._is_binary:
            answer = self._server.post(_SEARCH, join_frame(head, query), MEDIA_TYPE)
        else:
            body = json.dumps({"vector": query.tolist()} | head, separators=(",", ":"))
            answer = self._server.post(_SEARCH, body.encode())
        return np.array([int(hit["id"]) for hit in json.loads(answer)["hits"]], np.int64)

    def load(self, folder: Path) -> None:
        key = (folder / "key").read_text(encoding="utf-8")
        self._server = Exchange(self._port, {"Authorization": f"Bearer {key}"})

    def _tuned(self) -> str:
        """Has the index made of all points; says how rows are coded."""
        path = f"/v1/collections/{_COLLECTION}"
        self._await(lambda: self._index(path)["state"] == "ready", "index")
        job = self._admin.ask("POST", f"{path}/tune", {"queries": "rows"})["id"]
        self._await(lambda: self._ended(job), "tuned index")
        index = self._index(path)
        return f"encoding {index['encoding']}, {index['cells']} cells"

    def _index(self, path: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._admin.ask("GET", f"{path}/stats")["index"]
        return found

    def _ended(self, job: str) -> bool:
        state = self._admin.ask("GET", f"/v1/jobs/{job}")["state"]
        if state == "failed":
            raise LeftOut("its index could not be tuned")
        return bool(state == "done")

    def _await(self, is_met: Any, what: str) -> None:
        deadline = time.monotonic() + _TIMEOUT_S
        while not is_met():
            if time.monotonic() > deadline:
                raise LeftOut(f"no {what} within {_TIMEOUT_S:.0f} s")
            time.sleep(_POLL_S)


if __name__ == "__main__":
    serve(OurClient(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))
