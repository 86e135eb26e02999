"""What an encoding is chosen for: rows, the queries that may be recorded, and others that are asked afterwards."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bench.tenants import growth, mixture
from bench.tenants.workload import Float32s
from vdb.types import Metric

N_ASKED = 400
N_RECORDED = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """Prepared rows and queries. `recorded` is None where rows that are held out stand in for queries."""

    name: str
    metric: Metric
    rows: Float32s
    asked: Float32s
    recorded: Float32s | None = None


def corpora(n: int, seed: int) -> Iterator[Corpus]:
    """The corpora whose data is there, of at most `n` rows each; the mixture is made up."""
    folder = growth.datasets()
    rng = np.random.default_rng([seed, 20])
    if (folder / "arxiv").is_dir():
        source = growth.arxiv(folder / "arxiv")
        yield Corpus("arxiv abstracts", Metric.COSINE, source.vectors[:n], source.queries[:N_ASKED])
        if (folder / "squad2").is_dir():
            found = growth.questions(folder / "squad2", "question_vectors_f16.npy")
            drawn = found[rng.choice(len(found), N_RECORDED + N_ASKED, replace=False)]
            asked, recorded = drawn[:N_ASKED], drawn[N_ASKED:]
            yield Corpus("arxiv, SQuAD questions", Metric.COSINE, source.vectors[:n], asked, recorded)
    if (folder / "fashion_mnist").is_dir():
        yield _fashion(folder / "fashion_mnist", n, rng)
    yield _hard(min(n, 40_000), seed)


def _fashion(folder: Path, n: int, rng: np.random.Generator) -> Corpus:
    def images(name: str, size: int) -> Float32s:
        stored = np.load(folder / name)
        chosen = np.sort(rng.choice(len(stored), min(size, len(stored)), replace=False))
        return np.asarray(stored[chosen].reshape(len(chosen), -1), np.float32)

    return Corpus("fashion-mnist", Metric.L2, images("train_u8.npy", n), images("test_u8.npy", N_ASKED))


def _hard(n: int, seed: int) -> Corpus:
    shape = mixture.Shape(n, 192, 128, max(10, n // 300), 4, 1, N_ASKED)
    with TemporaryDirectory(prefix="vdb-bench-") as made:
        mixture.write(Path(made), shape, seed)
        return Corpus("hard mixture", Metric.L2, np.load(f"{made}/vectors.npy"), np.load(f"{made}/queries.npy"))
