"""GPTCache in the fastest of its settings that serves hits: SQLite in memory, no reports, faiss, no eviction.

(Its hnswlib store is faster and never hits: SQLite does not find the NumPy integers that it is asked for.)
Reads rows and questions from a file of `np.savez`, says `{"ready": …}`, then answers each line of its input with the
microseconds of all questions, one after the other, and how many were hits. The folder of that file is its to write to.
"""

import argparse
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from gptcache import Cache, Config
from gptcache.adapter.api import get
from gptcache.manager import CacheBase, VectorBase, get_data_manager
from gptcache.processor.pre import get_prompt
from gptcache.similarity_evaluation import SearchDistanceEvaluation

N_AT_ONCE = 1_000


def main() -> None:
    """Fill, then answer until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=Path, required=True)
    parser.add_argument("--similarity", type=float, required=True, help="cosine from which on an answer is served")
    given = parser.parse_args()
    with np.load(given.vectors) as kept:
        rows, questions = kept["rows"], kept["questions"]
    began = time.perf_counter()
    cache = filled(rows, questions, given.similarity, given.vectors.parent)
    ready = {"fill s": time.perf_counter() - began, "version": version("gptcache"), "n": len(rows)}
    print(json.dumps({"ready": ready}), flush=True)
    for _ in sys.stdin:
        print(json.dumps(asked(cache, len(questions))), flush=True)


def filled(rows: np.ndarray, questions: np.ndarray, similarity: float, folder: Path) -> Cache:
    """Question i of the input is the text `q<i>`; its vector is known, so embedding takes nothing."""
    manager = get_data_manager(
        CacheBase("sqlite", sql_url="sqlite:///:memory:"),
        VectorBase("faiss", dimension=rows.shape[1], index_path=str(folder / "faiss.index")),
        max_size=2 * len(rows),
    )
    cache = Cache()
    cache.init(
        pre_embedding_func=get_prompt,
        embedding_func=lambda text, **_: questions[int(text[1:])],
        data_manager=manager,
        similarity_evaluation=SearchDistanceEvaluation(),
        config=Config(similarity_threshold=(similarity + 1) / 2, disable_report=True),  # of its scale, 4 - |x - y|²
    )
    for first in range(0, len(rows), N_AT_ONCE):
        part = list(rows[first : first + N_AT_ONCE])
        names = [f"{first + i}" for i in range(len(part))]
        manager.import_data([f"e{name}" for name in names], [f"a{name}" for name in names], part, [None] * len(part))
    return cache


def asked(cache: Cache, n: int) -> dict[str, object]:
    """Microseconds of `n` lookups."""
    took, n_hits = [], 0
    for i in range(n):
        began = time.perf_counter_ns()
        answer = get(f"q{i}", cache_obj=cache)
        took.append((time.perf_counter_ns() - began) / 1e3)
        n_hits += answer is not None
    return {"us": took, "hits": n_hits}


if __name__ == "__main__":
    main()
