// Words of a block that are set one by one.

// block[places[i]] = values[i]: different places.
extern "C" __global__ void scatter_words(unsigned int *block, const long long *places, const unsigned int *values,
                                         long long n) {
    long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) block[places[i]] = values[i];
}
