// Keys of 64 bits that are smaller for the smaller score, and for the smaller row where scores are equal.

#define NO_KEY 0xffffffffffffffffull

// Bits that order as the floats do: −0 is 0.
__device__ __forceinline__ unsigned int ordered_bits(float score) {
    unsigned int bits = __float_as_uint(score + 0.0f);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ __forceinline__ float score_of_bits(unsigned int ordered) {
    return __uint_as_float(ordered & 0x80000000u ? ordered & 0x7fffffffu : ~ordered);
}

__device__ __forceinline__ key64 key_of(float score, unsigned int row) {
    return (key64)ordered_bits(score) << 32 | row;
}

__device__ __forceinline__ unsigned int row_of_key(key64 key) {
    return (unsigned int)key;
}

__device__ __forceinline__ float score_of_key(key64 key) {
    return score_of_bits((unsigned int)(key >> 32));
}
