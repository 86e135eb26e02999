"""The workloads of `bench tenants`: the same from the same seed, and shaped as they say."""

from pathlib import Path

import numpy as np
import pytest

from bench.tenants import growth
from bench.tenants.access import exclusive, from_labels, log_uniform
from bench.tenants.contender import LeftOut
from bench.tenants.growth import Growth, Source
from bench.tenants.store import Store, save
from bench.tenants.truth import exact
from bench.tenants.workload import Workload
from bench.tenants.worlds import NAMES, QUICK, Worlds


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench-cache")


def _made(folder: Path, name: str, seed: int = 1) -> Workload:
    return Worlds(Store(folder), seed, is_quick=True).make(name)


def _source() -> Source:
    return growth.generated(300, 16, 20, seed=3)


@pytest.mark.parametrize("name", NAMES)
def test_a_workload_is_the_same_when_made_again_and_when_kept(name: str, folder: Path, tmp_path: Path) -> None:
    first, kept, again = _made(folder, name), _made(folder, name), _made(tmp_path, name)
    for other in (kept, again):
        np.testing.assert_array_equal(first.vectors, other.vectors)
        np.testing.assert_array_equal(first.queries, other.queries)
        np.testing.assert_array_equal(first.askers, other.askers)
        np.testing.assert_array_equal(first.access.owners, other.access.owners)
        np.testing.assert_array_equal(first.access.grantees, other.access.grantees)
        np.testing.assert_array_equal(first.truth.ids, other.truth.ids)


@pytest.mark.parametrize("name", NAMES)
def test_the_truth_of_a_workload_is_that_of_its_vectors(name: str, folder: Path) -> None:
    made = _made(folder, name)
    truth = exact(made.metric, made.vectors, made.access, made.queries, made.askers)
    np.testing.assert_array_equal(made.truth.ids, truth.ids)
    assert (made.truth.n_expected > 0).all()


def test_another_seed_makes_another_workload(folder: Path) -> None:
    assert not np.array_equal(_made(folder, "shared-1m", 1).vectors, _made(folder, "shared-1m", 2).vectors)


def test_a_longer_set_begins_with_the_shorter_one(tmp_path: Path) -> None:
    grown = Growth(_source(), seed=5)
    short, long = (grown.write(tmp_path / f"{n}.npy", n) for n in (10_400, 11_000))
    assert short.tolist() == long[:10_400].tolist()
    np.testing.assert_array_equal(np.load(tmp_path / "10400.npy"), np.load(tmp_path / "11000.npy")[:10_400])


def test_a_set_begins_with_its_source_and_grown_points_lie_near_their_parents(tmp_path: Path) -> None:
    source = _source()
    parents = Growth(source, seed=5).write(tmp_path / "grown.npy", 1_000)
    vectors = np.load(tmp_path / "grown.npy")
    np.testing.assert_array_equal(vectors[:300], source.vectors)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(1_000), abs=1e-5)
    to_parent = (vectors[300:] * source.vectors[parents[300:]]).sum(axis=1).mean()
    to_another = (vectors[300:] * source.vectors[np.roll(parents[300:], 1)]).sum(axis=1).mean()
    assert to_parent > 0.7 > 0.3 > to_another


def test_queries_held_out_are_in_no_set(folder: Path) -> None:
    made = _made(folder, "exclusive-1000")
    assert (made.queries @ made.vectors.T).max() < 1 - 1e-6


def test_recorded_queries_are_never_asked(folder: Path) -> None:
    made = _made(folder, "ood-squad")
    assert made.recorded.shape == made.queries.shape
    assert (made.recorded @ made.queries.T).max() < 1 - 1e-6
    assert len(_made(folder, "shared-19k").recorded) == 0


def test_a_point_is_granted_to_the_tenants_who_were_given_one_of_its_labels() -> None:
    source = _source()
    parents = np.arange(600, dtype=np.int32) % 300
    access = from_labels(source, parents, 20, 4, np.random.default_rng(1))
    assert access.n_grants / access.n_points == pytest.approx(4, rel=0.3)
    assert set(access.owners.tolist()) == {20}
    seen = [set(access.rows_of(tenant).tolist()) for tenant in range(20)]
    assert [{row + 300 for row in rows if row < 300} for rows in seen] == [
        {row for row in rows if row >= 300} for rows in seen
    ]
    for label in range(source.n_labels):
        bounds = zip(source.offsets[:-1], source.offsets[1:], strict=True)
        rows = {row for row, (first, last) in enumerate(bounds) if label in source.labels[first:last]}
        assert sum(rows <= some for some in seen) >= 3  # 4 over the 1.5 labels of a point, rounded


def test_every_point_of_exclusive_tenants_has_one_reader() -> None:
    access = exclusive(5_000, 50, np.random.default_rng(1))
    assert access.n_grants == 0
    assert access.sizes.sum() == 5_000
    assert sorted(access.sizes.tolist()) == sorted(log_uniform(50, 5_000, 1_000).tolist())


def test_log_uniform_sizes_sum_up_and_spread() -> None:
    sizes = log_uniform(100, 1_000_000, 1_000)
    assert sizes.sum() == 1_000_000
    assert 700 < sizes[-1] / sizes[0] <= 1_000
    assert sizes[50] / sizes[0] == pytest.approx(sizes[-1] / sizes[49], rel=0.1)


def test_rounding_does_not_make_one_tenant_much_larger_than_the_next() -> None:
    sizes = np.sort(log_uniform(10_000, 1_000_000, 1_000))
    assert sizes.sum() == 1_000_000
    assert sizes[-1] <= 1.01 * sizes[-2] + 1


def test_tenants_of_the_mixture_favour_some_of_its_centres(folder: Path) -> None:
    made = _made(folder, "hard")
    shape = QUICK.hard
    sizes = made.access.sizes[: shape.n_tenants]
    assert made.access.n_tenants == shape.n_tenants + 1
    assert sizes.max() / sizes.min() > 20
    smallest = made.vectors[made.access.rows_of(int(sizes.argmin()))]
    spread = np.linalg.norm(smallest - smallest.mean(axis=0), axis=1).mean()
    assert spread < np.linalg.norm(made.vectors - made.vectors.mean(axis=0), axis=1).mean()


def test_norms_vary_for_the_inner_product(folder: Path) -> None:
    norms = np.linalg.norm(_made(folder, "ip-0.6").vectors, axis=1)
    assert np.log(norms).std() == pytest.approx(0.6, rel=0.1)


def test_a_data_set_that_is_absent_leaves_its_workloads_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VDB_DATASETS", str(tmp_path / "nothing"))
    with pytest.raises(LeftOut, match="no data set"):
        Worlds(Store(tmp_path), 1).make("shared-19k")


def test_a_folder_whose_making_fails_is_not_kept(tmp_path: Path) -> None:
    def fail(new: Path) -> None:
        save(new, {"half": np.zeros(3)})
        raise LeftOut("too long")

    with pytest.raises(LeftOut):
        Store(tmp_path).arrays("key", fail)
    assert list(tmp_path.iterdir()) == []
