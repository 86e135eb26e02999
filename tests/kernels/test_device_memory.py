"""One suite for every device: memory that holds arrays."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.kernels.gpu.emulated.driver import EmulatedDriver
from vdb.kernels.device import Block, Device, DeviceLost, OutOfDeviceMemory
from vdb.kernels.gpu.cuda_device import CudaDevice
from vdb.kernels.numpy_device import NumpyDevice

DTYPES = [np.uint8, np.int32, np.uint32, np.int64, np.uint64, np.float16, np.float32]


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_array_is_taken_as_it_was_put(device: Device, rng: np.random.Generator, dtype: type) -> None:
    array: NDArray[Any] = rng.integers(0, 100, (37, 5)).astype(dtype)
    block = device.put(array)
    assert (block.shape, block.dtype, block.nbytes) == (array.shape, array.dtype, array.nbytes)
    np.testing.assert_array_equal(device.take(block), array)
    np.testing.assert_array_equal(device.take(block, 3, 9), array[3:9])
    np.testing.assert_array_equal(device.take(block, 30), array[30:])


def test_an_array_in_another_order_is_put_in_the_order_of_c(device: Device) -> None:
    array = np.arange(60, dtype=np.float32).reshape(6, 10)
    np.testing.assert_array_equal(device.take(device.put(array[::2, 3:7])), array[::2, 3:7])
    np.testing.assert_array_equal(device.take(device.put(array.T)), array.T)


def test_what_was_put_is_a_copy_and_so_is_what_was_taken(device: Device) -> None:
    array = np.zeros(4, np.int32)
    block = device.put(array)
    array[:] = 1
    device.take(block)[:] = 2
    np.testing.assert_array_equal(device.take(block), np.zeros(4, np.int32))


@pytest.mark.parametrize("shape", [(0,), (0, 7), (1,), (1_000, 3), (3, 2, 5)])
def test_a_new_block_is_of_zeros(device: Device, shape: tuple[int, ...]) -> None:
    block = device.make(shape, np.uint32)
    np.testing.assert_array_equal(device.take(block), np.zeros(shape, np.uint32))
    assert device.take(block).dtype == np.uint32


def test_rows_are_overwritten_where_told(device: Device, rng: np.random.Generator) -> None:
    array, rows = rng.random((50, 3), np.float32), rng.random((7, 3), np.float32)
    block = device.put(array)
    device.write(block, 0, rows)
    device.write(block, 43, rows)
    device.write(block, 50, rows[:0])
    array[:7] = array[43:] = rows
    np.testing.assert_array_equal(device.take(block), array)


@pytest.mark.parametrize("n", [0, 1, 255, 256, 257, 3_000])
def test_words_are_set_at_their_places_in_the_order_of_c(device: Device, rng: np.random.Generator, n: int) -> None:
    array = rng.integers(0, 1 << 32, (1_000, 4), np.uint32)
    places, values = rng.permutation(4_000)[:n], rng.integers(0, 1 << 32, n, np.uint32)
    block = device.put(array)
    device.scatter(block, places, values)
    array.reshape(-1)[places] = values
    np.testing.assert_array_equal(device.take(block), array)


def test_free_memory_shrinks_with_a_block(device: Device) -> None:
    before = device.free_bytes()
    block = device.make((1 << 20,), np.uint8)
    assert device.free_bytes() < before
    assert block.nbytes == 1 << 20


@pytest.mark.parametrize("made", [NumpyDevice, lambda **of: CudaDevice(EmulatedDriver(**of))])
def test_memory_that_is_not_there_is_refused_and_nothing_has_changed(made: "type[NumpyDevice]") -> None:
    device = made(capacity_bytes=1_000)
    block: Block = device.put(np.arange(100, dtype=np.int64))
    with pytest.raises(OutOfDeviceMemory):
        device.make((201,), np.uint8)
    with pytest.raises(OutOfDeviceMemory):
        device.put(np.zeros(201, np.uint8))
    np.testing.assert_array_equal(device.take(block), np.arange(100))
    assert device.free_bytes() == 200


@pytest.mark.parametrize("made", [NumpyDevice, lambda: CudaDevice(EmulatedDriver())])
def test_a_closed_device_answers_nothing(made: "type[NumpyDevice]") -> None:
    device = made()
    block: Block = device.make((3,), np.uint32)
    device.close()
    for ask in (device.free_bytes, lambda: device.take(block), lambda: device.make((3,), np.uint8)):
        with pytest.raises(DeviceLost):
            ask()
