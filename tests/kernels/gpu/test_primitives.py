"""Each primitive of the kernels against NumPy, by the kernels of `probes.cu`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.kernels.devices import gpu_driver
from tests.kernels.gpu.emulated.driver import EmulatedDriver
from vdb.kernels.gpu import sources
from vdb.kernels.gpu.driver import Driver

PROBES = Path(__file__).with_name("probes.cu").read_text(encoding="utf-8")


@pytest.fixture(params=["emulated", "backwards", "gpu"], scope="module")
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    """Each driver in turn, of the kernels of `probes.cu`."""
    shared = sources.parts()["keys.cuh"] + PROBES
    if request.param == "gpu":
        opened = gpu_driver(sources.parts()[sources.PRIMITIVES] + shared)
    else:
        opened = EmulatedDriver(shared, backwards=request.param == "backwards")
    yield opened
    opened.close()


def test_all_halves_are_converted_and_back(driver: Driver) -> None:
    halves = np.arange(65_536).astype(np.uint16)
    values, back = driver.make((65_536,), np.float32), driver.make((65_536,), np.uint16)
    driver.launch("convert_halves", (256, 1), 256, 0, driver.put(halves), values, back, np.int32(65_536))
    wanted = halves.view(np.float16).astype(np.float32)
    np.testing.assert_array_equal(driver.take(values), wanted)
    is_number = ~np.isnan(wanted)
    np.testing.assert_array_equal(driver.take(back)[is_number], halves[is_number])


def test_floats_are_rounded_to_the_nearest_half(driver: Driver, rng: np.random.Generator) -> None:
    midpoints = (np.arange(0x7BFF).astype(np.uint16).view(np.float16).astype(np.float32)) * np.float32(1 + 2**-11)
    sizes = np.exp2(rng.uniform(-27, 18, 20_000)).astype(np.float32)
    special = np.array([0, -0.0, 65_519, 65_520, 2**-24, 2**-25, 2**-25 * 1.001, 2**-14 * 0.9999, np.inf], np.float32)
    values = np.concatenate([midpoints, sizes, -sizes, special, -special])
    out = driver.make((len(values),), np.uint16)
    driver.launch(
        "round_to_halves", (-(-len(values) // 256), 1), 256, 0, driver.put(values), out, np.int32(len(values))
    )
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(driver.take(out), values.astype(np.float16).view(np.uint16))


def test_four_bytes_are_multiplied_by_four_signed_ones(driver: Driver, rng: np.random.Generator) -> None:
    a, b = rng.integers(0, 256, (1_000, 4), np.uint8), rng.integers(-128, 128, (1_000, 4), np.int8)
    a[0], b[0] = 255, -128
    sums = rng.integers(-1000, 1000, 1_000).astype(np.int32)
    out = driver.put(sums)
    words = driver.put(a.view(np.uint32)[:, 0]), driver.put(b.view(np.uint32)[:, 0])
    driver.launch("dot_bytes", (4, 1), 256, 0, *words, out, np.int32(1_000))
    np.testing.assert_array_equal(driver.take(out), sums + (a.astype(np.int32) * b).sum(axis=1))


def _small_halves(rng: np.random.Generator, *shape: int) -> NDArray[np.uint16]:
    """Small numbers, of which sums of products are exact."""
    return rng.integers(-8, 9, shape).astype(np.float16).view(np.uint16)


def test_a_product_of_tiles_is_numpys(driver: Driver, rng: np.random.Generator) -> None:
    a, b = _small_halves(rng, 16, 16), _small_halves(rng, 8, 16)
    out = driver.make((16, 8), np.float32)
    driver.launch("multiply_tile", (1, 1), 32, 0, driver.put(a), driver.put(b), out)
    wanted = a.view(np.float16).astype(np.float32) @ b.view(np.float16).astype(np.float32).T
    np.testing.assert_array_equal(driver.take(out), wanted)


def test_a_product_of_a_tile_that_is_transposed_as_it_is_loaded_is_numpys(
    driver: Driver, rng: np.random.Generator
) -> None:
    a, b = _small_halves(rng, 16, 16), _small_halves(rng, 16, 16)
    out = driver.make((16, 16), np.float32)
    driver.launch("multiply_tile_transposed", (1, 1), 32, 1_024, driver.put(a), driver.put(b), out)
    wanted = a.view(np.float16).astype(np.float32) @ b.view(np.float16).astype(np.float32)
    np.testing.assert_array_equal(driver.take(out), wanted)


def test_asynchronous_copies_arrive_in_their_groups(driver: Driver, rng: np.random.Generator) -> None:
    n, n_tiles = 500, 9
    pieces = rng.integers(0, 1 << 20, (n, 4)).astype(np.uint32)
    out = driver.make((64,), np.uint32)
    driver.launch("sum_in_ring", (1, 1), 64, 3 * 64 * 16, driver.put(pieces), out, np.int32(n), np.int32(n_tiles))
    padded = np.zeros((n_tiles * 64, 4), np.uint32)
    padded[:n] = pieces
    np.testing.assert_array_equal(driver.take(out), padded.reshape(n_tiles, 64, 4).sum(axis=(0, 2), dtype=np.uint32))


def test_lanes_of_a_warp_hear_each_other(driver: Driver, rng: np.random.Generator) -> None:
    values = rng.integers(0, 100, 96).astype(np.int32)
    values[40] = 7
    out = driver.make((96, 10), np.int32)
    driver.launch("speak_in_warps", (1, 1), 96, 0, driver.put(values), out)
    heard, lane = driver.take(out), np.arange(32)
    for warp in range(3):
        own = values[warp * 32 : warp * 32 + 32]
        wanted = [
            np.full(32, own[5]),
            own[lane ^ 3],
            own[np.where(lane < 2, lane, lane - 2)],
            own[np.where(lane % 8 == 7, lane, lane + 1)],
            np.full(32, ((own > 0).astype(np.uint32) << lane.astype(np.uint32)).sum(dtype=np.uint32)).view(np.int32),
            np.full(32, (own == 7).any()),
            np.full(32, 1),
            np.full(32, own.min()),
            np.full(32, warp * 32 + own.argmin()),
            np.where(lane % 2, own[lane ^ 2], own[lane ^ 4]),
        ]
        np.testing.assert_array_equal(heard[warp * 32 : warp * 32 + 32], np.stack(wanted, axis=1))


def test_blocks_sum_by_barriers_and_atomic_additions(driver: Driver, rng: np.random.Generator) -> None:
    values = rng.integers(-(1 << 20), 1 << 20, 2_000 * 64).astype(np.int32)
    total, n_blocks = driver.put(np.zeros(1, np.uint64)), driver.put(np.zeros(1, np.uint32))
    driver.launch("sum_all", (2_000, 1), 64, 0, driver.put(values), total, n_blocks)
    assert driver.take(total).view(np.int64)[0] == values.sum(dtype=np.int64)
    assert driver.take(n_blocks)[0] == 2_000


def test_keys_order_as_scores_and_then_rows_do(driver: Driver, rng: np.random.Generator) -> None:
    scores = rng.normal(size=500).astype(np.float32)
    scores[:8] = 0.0, -0.0, np.inf, -np.inf, 1e-40, -1e-40, 0.0, scores[20]
    keys, back = driver.make((500,), np.uint64), driver.make((500,), np.float32)
    driver.launch("order_scores", (2, 1), 256, 0, driver.put(scores), keys, back, np.int32(500))
    np.testing.assert_array_equal(np.argsort(driver.take(keys)), np.lexsort((np.arange(500), scores)))
    np.testing.assert_array_equal(driver.take(back), scores)
