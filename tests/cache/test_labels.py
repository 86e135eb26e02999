"""The window of labels."""

import numpy as np

from vdb.cache.labels import WINDOW, LabelWindow


def test_it_keeps_the_newest_in_order_however_many_come() -> None:
    window = LabelWindow()
    n = 3 * WINDOW + 17
    window.extend((float(number), number % 3 == 0, float(number % 7)) for number in range(n))
    log_odds, is_right, weights = window.arrays()
    kept = np.arange(n - WINDOW, n)
    assert len(window) == WINDOW
    assert np.array_equal(log_odds, kept)
    assert np.array_equal(is_right, kept % 3 == 0)
    assert np.array_equal(weights, kept % 7)


def test_few_labels_take_little_room_and_are_all_there() -> None:
    window = LabelWindow()
    window.add(0.5, True, 1.0)
    assert [array.tolist() for array in window.arrays()] == [[0.5], [1.0], [1.0]]


def test_arrays_are_copies() -> None:
    window = LabelWindow()
    window.add(0.5, True, 1.0)
    window.arrays()[0][0] = 9.0
    assert window.arrays()[0][0] == 0.5
