"""How searches of readings are launched: rows in parts, queries in turns, scratch kept; what the sources agree on."""

import re

import numpy as np
import pytest

from tests.contract.readings import ENCODINGS, HUGE, Case, blurred, make_case
from tests.kernels.gpu.emulated.driver import EmulatedDriver
from tests.kernels.reading_cases import Laid, lay, make_cases
from vdb.kernels import device as words
from vdb.kernels.device import DeviceFound, OutOfDeviceMemory
from vdb.kernels.gpu import launch_readings, sources
from vdb.kernels.gpu.cuda_device import CudaDevice
from vdb.kernels.gpu.launch_readings import ReadingLauncher
from vdb.kernels.numpy_device import NumpyDevice
from vdb.kernels.reference import IP, L2
from vdb.kernels.reference_cells import LVQ4, LVQ8, N_TAIL, OWN_STOP


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 40 rows, so that a few hundred rows make many."""
    monkeypatch.setattr(launch_readings, "LEAST_ROWS", 40)
    monkeypatch.setattr(launch_readings, "BLOCKS_OF_PROCESSOR", 64)


def _searched(rng: np.random.Generator, driver: EmulatedDriver, cases: list[Case], m: int, k: int) -> DeviceFound:
    """What the launcher finds, which is what plain arrays find."""
    state = rng.bit_generator.state
    laid = lay(CudaDevice(driver), rng, cases)
    rng.bit_generator.state = state
    twin = NumpyDevice()
    of_twin = lay(twin, rng, cases)
    found = ReadingLauncher(driver).search(laid.rows, laid.model, laid.queries, laid.wanted, m, k)
    wanted = twin.search(of_twin.rows, of_twin.model, of_twin.queries, of_twin.wanted, m, k)
    np.testing.assert_array_equal(found.row, wanted.row)
    np.testing.assert_array_equal(found.distance, wanted.distance)
    np.testing.assert_array_equal(found.statistics, wanted.statistics)
    return found


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("n_processors", [1, 132])
def test_rows_in_many_parts_are_merged_to_the_best_of_all(rng: np.random.Generator, n_processors: int) -> None:
    driver = EmulatedDriver(n_processors=n_processors)
    cases = make_cases(rng, 1_500, 6, L2, LVQ8, [400, HUGE, 0], 10, 20)
    _searched(rng, driver, [blurred(rng, cases[0]), *cases[1:]], 20, 10)


@pytest.mark.usefixtures("small_parts")
def test_a_query_of_many_rows_beside_one_of_few_has_more_parts(rng: np.random.Generator) -> None:
    few, many = (make_case(rng, 3_000, 4, IP, LVQ4, k=5, m=15) for _ in range(2))
    for case, n in ((many, 3_000), (few, 30)):
        for reading in (case.mine, case.everyones):
            reading.spans[:] = 0
        case.world = many.world
        case.mine.spans[OWN_STOP] = n
    many.n_laid = few.n_laid
    few.query = few.query[: len(many.query)]
    found = _searched(rng, EmulatedDriver(), [blurred(rng, many), few], 15, 5)
    assert found.statistics[:, 2].tolist() == [3_000, 30]


def test_more_queries_than_a_launch_takes_come_in_turns(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch_readings, "MOST_QUERIES", 3)
    cases = make_cases(rng, 90, 8, L2, LVQ8, [20, HUGE, 0, 5, 40, HUGE, 3], 4, 12)
    blurred(rng, cases[0])
    assert _searched(rng, EmulatedDriver(), cases, 12, 4).row.shape == (7, 4)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("d", [3, 200, 1_030])
def test_rows_of_any_width_are_read_by_groups_of_lanes(rng: np.random.Generator, d: int, encoding: int) -> None:
    cases = make_cases(rng, 60, d, L2, encoding, [HUGE, 20], 5, 10)
    _searched(rng, EmulatedDriver(), [blurred(rng, cases[0]), cases[1]], 10, 5)


def test_lanes_share_a_row_where_hardly_any_would_idle() -> None:
    assert [launch_readings._lanes(16 * n) for n in (1, 2, 3, 4, 10, 12, 24, 25, 48, 192)] == [
        1, 2, 1, 4, 4, 4, 8, 4, 16, 32,
    ]  # fmt: skip


def _laid(rng: np.random.Generator, driver: EmulatedDriver) -> Laid:
    return lay(CudaDevice(driver), rng, make_cases(rng, 100, 8, L2, LVQ8, [HUGE] * 4, 5, 20))


def test_scratch_memory_is_kept_from_search_to_search(rng: np.random.Generator) -> None:
    driver = EmulatedDriver()
    laid, launcher = _laid(rng, driver), ReadingLauncher(driver)
    launcher.search(laid.rows, laid.model, laid.queries, laid.wanted, 20, 5)
    n_bytes, n_launches = driver.n_bytes, driver.n_launches
    launcher.search(laid.rows, laid.model, laid.queries, laid.wanted, 20, 5)
    assert driver.n_bytes == n_bytes
    assert driver.n_launches == 2 * n_launches


def test_a_search_that_memory_is_short_for_fails_and_a_smaller_one_succeeds(rng: np.random.Generator) -> None:
    driver = EmulatedDriver()
    laid, launcher = _laid(rng, driver), ReadingLauncher(driver)
    before = launcher.search(laid.rows, laid.model, laid.queries, laid.wanted, 5, 5)
    driver.capacity_bytes = driver.n_bytes + 1_000
    with pytest.raises(OutOfDeviceMemory):
        launcher.search(laid.rows, laid.model, laid.queries, laid.wanted, 1_000, 5)
    after = launcher.search(laid.rows, laid.model, laid.queries, laid.wanted, 5, 5)
    np.testing.assert_array_equal(after.row, before.row)
    np.testing.assert_array_equal(after.distance, before.distance)


def test_entries_whose_rows_were_revoked_make_room_for_more(rng: np.random.Generator) -> None:
    """A budget counts rows that a tenant may see: where a list's are revoked, further entries are visited."""
    for seed in range(16):
        rng = np.random.default_rng(seed)
        cases = make_cases(rng, 140, 8, L2, LVQ8, [30], 5, 40)
        listed = cases[0].mine.listed
        listed[rng.random(len(listed)) < 0.8] |= np.uint32(1 << 31)
        cases[0].mine.spans[N_TAIL] = 0
        _searched(rng, EmulatedDriver(), [blurred(rng, cases[0])], 40, 5)


def test_the_sources_have_the_numbers_of_the_host() -> None:
    text = sources.text()

    def number(name: str) -> int:
        found = re.search(rf"const unsigned {name} = (\d+)", text)
        assert found is not None, name
        return int(found[1])

    assert f"sizeof(Asked) == {launch_readings._ASKED.itemsize}" in text
    assert 1 << number("PAGE_SHIFT") == words.PAGE_ROWS
    assert number("N_THREADS") == launch_readings.N_THREADS
    assert number("MOST_WHOLE") == launch_readings.MOST_WHOLE
    assert number("MOST_CANDIDATES") == launch_readings.MOST_CANDIDATES
    assert number("MOST_CANDIDATES") + number("TILE") <= number("MOST_KEYS")
    names = re.search(r"enum Column \{([^}]*)\}", text)
    assert names is not None
    columns = [name.strip() for name in names[1].split(",")]
    assert [getattr(words, name) for name in columns] == list(range(len(columns)))
