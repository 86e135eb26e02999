"""Sets made from the seed: the same each time, longer ones begin with shorter ones, shaped as they say."""

from pathlib import Path

import numpy as np
import pytest

from bench.datasets import load
from bench.datasets.clouds import BLOCK, Duplicates, Plain, spectrum
from bench.datasets.hardness import hardness, intrinsic_dimensions
from bench.datasets.made import KINDS, parts
from bench.datasets.tenancies import Skewed, access_of
from bench.tenants.contender import LeftOut
from bench.tenants.store import Store
from bench.tenants.truth import distances
from bench.tenants.workload import Workload


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench-cache")


def _loaded(folder: Path, name: str, seed: int = 1) -> Workload:
    return load(name, Store(folder), seed, is_quick=True)


def _same(first: Workload, other: Workload) -> None:
    for name in ("vectors", "queries", "askers", "recorded"):
        np.testing.assert_array_equal(getattr(first, name), getattr(other, name))
    np.testing.assert_array_equal(first.access.owners, other.access.owners)
    np.testing.assert_array_equal(first.access.grantees, other.access.grantees)
    np.testing.assert_array_equal(first.truth.ids, other.truth.ids)


@pytest.mark.parametrize("kind", KINDS)
def test_a_set_is_the_same_when_kept_and_when_made_again(kind: str, folder: Path, tmp_path: Path) -> None:
    name = f"made-{kind}-20kx24"
    first = _loaded(folder, name)
    _same(first, _loaded(folder, name))
    _same(first, _loaded(tmp_path, name))
    assert first.vectors.shape == (2_000, 24) and first.queries.shape == (50, 24)
    assert first.vectors.dtype == first.queries.dtype == np.float32


@pytest.mark.parametrize("kind", KINDS)
def test_the_truth_is_that_of_brute_force(kind: str, folder: Path) -> None:
    made = _loaded(folder, f"made-{kind}-20kx24")
    if made.metric == "cosine":
        np.testing.assert_allclose(np.linalg.norm(made.vectors, axis=1), 1, atol=1e-5)
    for query in range(0, len(made.queries), 7):
        seen = made.access.rows_of(int(made.askers[query]))
        nearest = np.sort(distances(made.metric, made.queries[query], made.vectors[seen]))[:10]
        found = made.truth.distances[query][: len(nearest)]
        np.testing.assert_allclose(found, nearest, atol=1e-9)


def test_another_seed_makes_another_set(folder: Path) -> None:
    name = "made-clustered-20kx24"
    assert not np.array_equal(_loaded(folder, name, 1).vectors, _loaded(folder, name, 2).vectors)


@pytest.mark.parametrize("kind", KINDS)
def test_a_longer_set_begins_with_the_shorter_one(kind: str, tmp_path: Path) -> None:
    short, long = (parts(f"made-{kind}-{n}x8", Store(tmp_path), 1, False) for n in (BLOCK - 3_000, BLOCK + 500))
    assert short is not None and long is not None
    n = len(short.vectors)
    assert n == 7_000
    np.testing.assert_array_equal(short.vectors, long.vectors[:n])
    if short.access is not None and long.access is not None:
        np.testing.assert_array_equal(short.access.owners, long.access.owners[:n])
        np.testing.assert_array_equal(short.access.grantees, long.access.grantees[: short.access.n_grants])


def test_the_spectrum_is_that_of_embeddings() -> None:
    energy = np.cumsum(spectrum(384))
    assert energy[-1] == pytest.approx(1)
    assert 0.80 <= energy[127] <= 0.84 and 0.90 <= energy[191] <= 0.94, "arXiv by MiniLM: .82 and .92"
    points = Plain(96, seed=3).points(0)
    values = np.linalg.eigvalsh(np.cov(points, rowvar=False))[::-1]
    expected = float(np.cumsum(spectrum(96))[31])
    assert float(values[:32].sum() / values.sum()) == pytest.approx(expected, abs=0.03)


def test_duplicates_are_a_tenth_of_the_points_and_some_have_many() -> None:
    points = Duplicates(16, seed=1).points(0)
    _, counts = np.unique(points, axis=0, return_counts=True)
    assert len(points) - len(counts) == 1_000
    assert counts.max() >= 10


def test_tenants_differ_in_size_and_share_a_fifth_of_the_points() -> None:
    access = access_of(Skewed(8, seed=1), 2 * BLOCK)
    sizes = np.sort(np.bincount(access.owners, minlength=access.n_tenants))[::-1]
    assert sizes[0] > 20 * np.median(sizes)
    n_shared = int((np.diff(access.offsets) > 0).sum())
    assert 0.17 <= n_shared / access.n_points <= 0.21
    rows = np.repeat(np.arange(access.n_points), np.diff(access.offsets))
    assert not (access.owners[rows] == access.grantees).any(), "nobody is granted its own"
    ascends = np.diff(access.grantees) > 0
    assert ascends[np.diff(rows) == 0].all()


def test_queries_from_another_distribution_are_farther_and_some_are_recorded(folder: Path) -> None:
    like, unlike = (_loaded(folder, f"made-{kind}-20kx24") for kind in ("clustered", "ood"))
    assert np.median(unlike.truth.distances[:, 0]) > 1.3 * np.median(like.truth.distances[:, 0])
    assert len(like.recorded) == 0 and len(unlike.recorded) == len(unlike.queries)
    assert not np.array_equal(unlike.recorded, unlike.queries)


@pytest.mark.parametrize("name", ["made-plain", "made-none-20k", "made-plain-0", "made-plain-20kx1", "made-plain-20g"])
def test_what_cannot_be_made_is_left_out_with_a_reason(name: str, tmp_path: Path) -> None:
    with pytest.raises(LeftOut, match="made-"):
        load(name, Store(tmp_path), 1)


def test_the_intrinsic_dimension_is_that_of_the_space_points_fill(rng: np.random.Generator) -> None:
    for dimension in (2, 8):
        radii = np.sort(rng.random((200, 100)) ** (1 / dimension), axis=1)
        assert float(np.median(intrinsic_dimensions(radii))) == pytest.approx(dimension, rel=0.15)
    assert np.isinf(intrinsic_dimensions(np.ones((1, 5)))[0])


def test_foreign_queries_show_as_hard_and_copies_as_ties(folder: Path) -> None:
    clustered, unlike, duplicates = (
        hardness(_loaded(folder, f"made-{kind}-20kx24"), 1) for kind in ("clustered", "ood", "duplicates")
    )
    assert unlike.dimensions > clustered.dimensions and unlike.contrast < clustered.contrast
    assert duplicates.tied > clustered.tied
