"""pgvector's client in a race between servers: a prepared statement, vectors and answers in binary, ids alone."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psycopg
from pgvector.psycopg import register_vector

from .contender import Contender, Float32s, Rows
from .serving import serve

M = 16
_OPERATORS = {"cosine": ("<=>", "vector_cosine_ops"), "l2": ("<->", "vector_l2_ops"), "ip": ("<#>", "vector_ip_ops")}
_STARTING_S = 60.0


class Postgres(Contender):
    """Settings: `hnsw.ef_search`."""

    settings: Sequence[str] = [f"ef_search {ef}" for ef in (10, 20, 40, 80, 160, 320)]

    def __init__(self, port: int, ef_construction: int, n_threads: int) -> None:
        self._port, self._ef_construction, self._n_threads = port, ef_construction, n_threads

    def build(self, vectors: Float32s, metric: str, folder: Path, n_threads: int) -> str:
        self._connect(metric, is_first=True)
        (folder / "metric").write_text(metric, encoding="utf-8")
        n, d = vectors.shape
        self._connection.execute(f"CREATE TABLE points (id bigint PRIMARY KEY, embedding vector({d}))")
        with self._connection.cursor().copy("COPY points FROM STDIN WITH (FORMAT BINARY)") as copy:
            copy.set_types(["int8", "vector"])
            for row in range(n):
                copy.write_row((row, vectors[row]))
        how = f"m = {M}, ef_construction = {self._ef_construction}"
        self._connection.execute(f"SET max_parallel_maintenance_workers = {self._n_threads - 1}")  # the asker works too
        self._connection.execute(f"CREATE INDEX ON points USING hnsw (embedding {_OPERATORS[metric][1]}) WITH ({how})")
        self._connection.execute("VACUUM ANALYZE points")
        self._connection.execute("CHECKPOINT")
        release = self._connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
        buffers = self._connection.execute("SHOW shared_buffers").fetchone()
        assert release is not None and buffers is not None
        server = self._connection.info.server_version // 10_000
        return f"hnsw {metric}, {how}; pgvector {release[0]}, PostgreSQL {server}, shared_buffers {buffers[0]}"

    def use(self, setting: str) -> None:
        self._connection.execute(f"SET hnsw.ef_search = {int(setting.split()[1])}")

    def search(self, query: Float32s, k: int) -> Rows:
        statement = f"{self._statement} LIMIT {k}"  # a number in the plan: an unknown one is taken for many rows
        found = self._connection.execute(statement, (query,), prepare=True, binary=True).fetchall()
        return np.array([row[0] for row in found], np.int64)

    def load(self, folder: Path) -> None:
        self._connect((folder / "metric").read_text(encoding="utf-8"))

    def close(self) -> None:
        self._connection.close()

    def _connect(self, metric: str, *, is_first: bool = False) -> None:
        address = f"host=127.0.0.1 port={self._port} user=postgres dbname=postgres sslmode=disable"
        deadline = time.monotonic() + _STARTING_S
        while True:  # it takes connections before it lets anybody in
            try:
                self._connection = psycopg.connect(address, autocommit=True)
                break
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        if is_first:
            self._connection.execute("CREATE EXTENSION vector")
        register_vector(self._connection)
        self._connection.execute("SET plan_cache_mode = force_generic_plan")  # planned once, not with each query
        self._statement = f"SELECT id FROM points ORDER BY embedding {_OPERATORS[metric][0]} %b"


if __name__ == "__main__":
    serve(Postgres(*(int(argument) for argument in sys.argv[1:4])))
