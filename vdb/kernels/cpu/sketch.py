"""The words of a text as a signed random projection of what they are made of: each word whole, and its 3- to 5-grams.

Every feature is hashed, and its weight added to or taken from `N_PLACES` of the sums, by the hash. All arithmetic is of
integers, so a text has the same sums on every machine and in any order of its words.
characters uint32 (n,): code points of the words, each between two marks, one word after another. ends int64 (w,): where
each ends. weights int32 (w,): of the word whole. gram_weights int32: of one of a word's i grams, in 64ths of its
weight; the last stands for all beyond. sums int64 (d,), added to. d is at most 2^31.
Twin: `vdb/kernels/reference_sketch.py`. Sources: count sketch (Charikar, Chen, Farach-Colton, ICALP 2002) with several
places per feature; subword features as in fastText (Bojanowski et al., TACL 2017).
"""

import numpy as np
from numba import types

from vdb.kernels.cpu.compiling import compiled, inlined, input_array
from vdb.kernels.reference import Int64s, UInt32s
from vdb.kernels.reference_layout import Int32s
from vdb.kernels.reference_sketch import (
    FIRST_FACTOR,
    GRAM_SEED,
    GRAM_UNIT,
    LEAST_GRAM,
    MOST_GRAM,
    MULTIPLIER,
    N_PLACES,
    SECOND_FACTOR,
    STEP,
    WORD_SEED,
)

SKETCH_WORDS = types.void(
    input_array(types.uint32),  # characters
    input_array(types.int64),  # ends
    input_array(types.int32),  # weights
    input_array(types.int32),  # gram_weights
    types.int64[::1],  # sums
)


@inlined
def _chained(state: np.uint64, character: np.uint32) -> np.uint64:
    state = (state ^ np.uint64(character)) * MULTIPLIER
    return state ^ (state >> np.uint64(32))


@inlined
def _spread(state: np.uint64, weight: int, sums: Int64s) -> None:
    n = np.uint64(sums.shape[0])
    for _ in range(N_PLACES // 2):
        state += STEP
        bits = (state ^ (state >> np.uint64(30))) * FIRST_FACTOR
        bits = (bits ^ (bits >> np.uint64(27))) * SECOND_FACTOR
        bits ^= bits >> np.uint64(31)
        for half in (bits & np.uint64(0xFFFFFFFF), bits >> np.uint64(32)):
            place = ((half >> np.uint64(1)) * n) >> np.uint64(31)
            sums[place] += weight if half & np.uint64(1) else -weight


@compiled(SKETCH_WORDS)
def sketch_words(characters: UInt32s, ends: Int64s, weights: Int32s, gram_weights: Int32s, sums: Int64s) -> None:
    """Add the features of all words to `sums`."""
    first = 0
    for word in range(ends.shape[0]):
        end = ends[word]
        state = WORD_SEED
        for i in range(first, end):
            state = _chained(state, characters[i])
        _spread(state, weights[word] * GRAM_UNIT, sums)
        n_grams = 0
        for n in range(LEAST_GRAM, MOST_GRAM + 1):
            n_grams += max(0, end - first - n + 1)
        weight = np.int64(weights[word]) * gram_weights[min(n_grams, gram_weights.shape[0] - 1)]
        for start in range(first, end - LEAST_GRAM + 1):
            state = GRAM_SEED
            for i in range(start, min(start + MOST_GRAM, end)):
                state = _chained(state, characters[i])
                if i - start + 1 >= LEAST_GRAM:
                    _spread(state, weight, sums)
        first = end
