"""NumPy twin of the kernel that sketches words, and the constants of both; contract in `vdb/kernels/cpu/sketch.py`.

The constants decide what every lexical vector is: another one means another version of that embedder.
"""

from typing import Final

import numpy as np

from vdb.kernels.reference import Int64s, UInt32s
from vdb.kernels.reference_layout import Int32s, UInt64s

LEAST_GRAM: Final = 3
MOST_GRAM: Final = 5
N_PLACES: Final = 4
"""Sums that a feature is added to or taken from; two per hash of 64 bits."""
GRAM_UNIT: Final = 64
"""What `gram_weights` are parts of."""
WORD_SEED: Final = np.uint64(0x9AE16A3B2F90404F)
GRAM_SEED: Final = np.uint64(0xC949D7C7509E6557)
MULTIPLIER: Final = np.uint64(0x9FB21C651E98DF25)
STEP: Final = np.uint64(0x9E3779B97F4A7C15)
FIRST_FACTOR: Final = np.uint64(0xBF58476D1CE4E5B9)
SECOND_FACTOR: Final = np.uint64(0x94D049BB133111EB)


def _chained(state: UInt64s, characters: UInt32s) -> UInt64s:
    state = (state ^ characters.astype(np.uint64)) * MULTIPLIER
    return state ^ (state >> np.uint64(32))


def _spread(state: UInt64s, weights: Int64s, sums: Int64s) -> None:
    n = np.uint64(len(sums))
    for _ in range(N_PLACES // 2):
        state = state + STEP
        bits = (state ^ (state >> np.uint64(30))) * FIRST_FACTOR
        bits = (bits ^ (bits >> np.uint64(27))) * SECOND_FACTOR
        bits ^= bits >> np.uint64(31)
        for half in (bits & np.uint64(0xFFFFFFFF), bits >> np.uint64(32)):
            places = (((half >> np.uint64(1)) * n) >> np.uint64(31)).astype(np.int64)
            np.add.at(sums, places, np.where(half & np.uint64(1), weights, -weights))


def sketch_words(characters: UInt32s, ends: Int64s, weights: Int32s, gram_weights: Int32s, sums: Int64s) -> None:
    """Add the features of all words to `sums`."""
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1])) if len(ends) else ends
    lengths = ends - starts
    state = np.full(len(ends), WORD_SEED)
    for i in range(int(lengths.max(initial=0))):
        longer = np.flatnonzero(lengths > i)
        state[longer] = _chained(state[longer], characters[starts[longer] + i])
    _spread(state, weights.astype(np.int64) * GRAM_UNIT, sums)
    n_grams = sum(np.maximum(0, lengths - n + 1) for n in range(LEAST_GRAM, MOST_GRAM + 1))
    weight = weights * gram_weights[np.minimum(n_grams, len(gram_weights) - 1)].astype(np.int64)
    left = np.repeat(ends, lengths) - np.arange(len(characters))
    of_character = np.repeat(weight, lengths)
    state = np.full(len(characters), GRAM_SEED)
    for i in range(MOST_GRAM):
        whole = np.flatnonzero(left > i)
        state[whole] = _chained(state[whole], characters[whole + i])
        if i + 1 >= LEAST_GRAM:
            _spread(state[whole], of_character[whole], sums)
