// Kernels of the tests: one for each primitive, and each fault that is to be found.

extern "C" __global__ void convert_halves(const half_bits *halves, float *values, half_bits *back, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    values[i] = half_to_float(halves[i]);
    back[i] = float_to_half(values[i]);
}

extern "C" __global__ void round_to_halves(const float *values, half_bits *halves, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) halves[i] = float_to_half(values[i]);
}

extern "C" __global__ void dot_bytes(const unsigned int *a, const unsigned int *b, int *sums, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) sums[i] = dot4(a[i], b[i], sums[i]);
}

// out (16, 8) = a (16, 16) · b (8, 16) transposed, all in C order: both by load_matrix.
extern "C" __global__ void multiply_tile(const half_bits *a, const half_bits *b, float *out) {
    __shared__ __align__(16) half_bits tile_a[16][16], tile_b[8][16];
    int lane = threadIdx.x;
    for (int i = lane; i < 256; i += 32) tile_a[i / 16][i % 16] = a[i];
    for (int i = lane; i < 128; i += 32) tile_b[i / 16][i % 16] = b[i];
    __syncthreads();
    unsigned int of_a[4], of_b[2];
    float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    load_matrix(of_a, &tile_a[lane % 16][lane / 16 * 8]);
    load_matrix(of_b, &tile_b[lane % 8][lane / 8 % 2 * 8]);
    mma_f16(sum, of_a, of_b);
    int row = lane / 4, column = lane % 4 * 2;
    out[row * 8 + column] = sum[0];
    out[row * 8 + column + 1] = sum[1];
    out[(row + 8) * 8 + column] = sum[2];
    out[(row + 8) * 8 + column + 1] = sum[3];
}

// The same with b (16, 8) in C order, which is transposed as it is loaded; by all four matrices of a step at once.
extern "C" __global__ void multiply_tile_transposed(const half_bits *a, const half_bits *b, float *out) {
    DYNAMIC_SHARED(bytes);
    half_bits *tile_a = (half_bits *)bytes, *tile_b = tile_a + 256;
    int lane = threadIdx.x;
    for (int i = lane; i < 256; i += 32) {
        tile_a[i] = a[i];
        tile_b[i] = b[i];
    }
    __syncthreads();
    unsigned int of_a[4], of_b[4];
    load_matrix(of_a, tile_a + lane % 16 * 16 + lane / 16 * 8);
    load_matrix_transposed(of_b, tile_b + lane % 16 * 16 + lane / 16 * 8);
    int row = lane / 4, column = lane % 4 * 2;
    for (int half = 0; half < 2; half++) {
        float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        unsigned int part[2] = {of_b[half * 2], of_b[half * 2 + 1]}, again[2];
        load_matrix_transposed(again, tile_b + lane % 16 * 16 + half * 8);
        mma_f16(sum, of_a, half ? again : part);
        for (int i = 0; i < 4; i++) out[(row + i / 2 * 8) * 16 + half * 8 + column + i % 2] = sum[i];
    }
}

// Sums of tiles of 16-byte pieces that come in a ring of three; pieces from `n` on are not there.
extern "C" __global__ void sum_in_ring(const uint4 *pieces, unsigned int *sums, int n, int n_tiles) {
    DYNAMIC_SHARED(bytes);
    uint4 *ring = (uint4 *)bytes;
    int i = threadIdx.x, last = (int)blockDim.x - 1;
    for (int tile = 0; tile < 2; tile++) {
        int at = tile * blockDim.x + i;
        copy_async16(ring + tile * blockDim.x + i, pieces + (at < n ? at : 0), at < n);
        commit_copies();
    }
    unsigned int sum = 0;
    for (int tile = 0; tile < n_tiles; tile++) {
        wait_copies<1>();
        __syncthreads();
        uint4 piece = ring[tile % 3 * blockDim.x + last - i];
        sum += piece.x + piece.y + piece.z + piece.w;
        int next = (tile + 2) * blockDim.x + i;
        copy_async16(ring + (tile + 2) % 3 * blockDim.x + i, pieces + (next < n ? next : 0), next < n);
        commit_copies();
    }
    wait_copies<0>();
    sums[last - i] = sum;
}

// What the lanes of a warp tell one another: ten numbers of each thread.
extern "C" __global__ void speak_in_warps(const int *values, int *heard) {
    int i = threadIdx.x, value = values[i];
    int *out = heard + i * 10;
    out[0] = __shfl_sync(ALL_LANES, value, 5);
    out[1] = __shfl_xor_sync(ALL_LANES, value, 3);
    out[2] = __shfl_up_sync(ALL_LANES, value, 2);
    out[3] = __shfl_down_sync(ALL_LANES, value, 1, 8);
    out[4] = (int)__ballot_sync(ALL_LANES, value > 0);
    out[5] = __any_sync(ALL_LANES, value == 7);
    out[6] = __all_sync(ALL_LANES, value < 1000);
    out[7] = (int)__reduce_min_sync(ALL_LANES, (unsigned int)value);
    key64 key = (key64)(unsigned int)value << 32 | (unsigned int)i;
    for (int step = 16; step; step /= 2) {
        key64 other = __shfl_xor_sync(ALL_LANES, key, step);
        key = other < key ? other : key;
    }
    out[8] = (int)(unsigned int)key;
    if (i % 2) out[9] = __shfl_xor_sync(0xaaaaaaaau, value, 2);
    else out[9] = __shfl_xor_sync(0x55555555u, value, 4);
    __syncwarp();
}

// Each block sums its values in shared memory, by halves and barriers, then all by an atomic addition.
extern "C" __global__ void sum_all(const int *values, unsigned long long *sum, unsigned int *n_blocks) {
    __shared__ int sums[64];
    int i = threadIdx.x;
    sums[i] = values[blockIdx.x * 64 + i];
    __syncthreads();
    for (int step = 32; step; step /= 2) {
        if (i < step) sums[i] += sums[i + step];
        __syncthreads();
    }
    if (i == 0) {
        atomicAdd(sum, (unsigned long long)(long long)sums[0]);
        atomicAdd(n_blocks, 1u);
    }
}

extern "C" __global__ void order_scores(const float *scores, key64 *keys, float *back, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    keys[i] = key_of(scores[i], (unsigned int)i);
    back[i] = score_of_key(keys[i]);
}
