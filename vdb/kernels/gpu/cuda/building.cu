// Building: the nearest centroid of rows, from products that are made; sums and means of the rows of each centroid.
//
// Sums are integers: a component times a power of two, rounded. So they are the same whatever the order they are added
// in, and so are the means. A few copies of the sums keep threads out of each other's way where centroids are few.

namespace building {

constexpr int N_THREADS = 256;
constexpr int N_WARPS = N_THREADS / 32;

__device__ __forceinline__ float sum_of_warp(float value) {
    for (int apart = 16; apart > 0; apart /= 2) value += __shfl_xor_sync(ALL_LANES, value, apart);
    return value;
}

__device__ __forceinline__ float square_norm(const float* row, int dimension, int lane) {
    float sum = 0.0f;
    for (int i = lane; i < dimension; i += 32) sum = fmaf(row[i], row[i], sum);
    return sum_of_warp(sum);
}

}  // namespace building

// out[i] = rows[first + i], words of 4 bytes, for i < n.
extern "C" __global__ void __launch_bounds__(building::N_THREADS) copy_words(
    const float* rows, float* out, long long first, long long n) {
    const long long step = (long long)gridDim.x * building::N_THREADS;
    for (long long i = (long long)blockIdx.x * building::N_THREADS + threadIdx.x; i < n; i += step) out[i] = rows[first + i];
}

// norms[i] = |rows[i]|^2, a warp per row.
extern "C" __global__ void __launch_bounds__(building::N_THREADS) square_norms(
    const float* rows, float* norms, int n_rows, int dimension) {
    const int row = blockIdx.x * building::N_WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= n_rows) return;
    const float norm = building::square_norm(rows + (size_t)row * dimension, dimension, lane);
    if (lane == 0) norms[row] = norm;
}

// The nearest of c centroids for rows of which `products` (n, c) has the products, a warp per row: `norms` are the
// centroids'. labels[first + i] and distances[first + i] for i < n.
extern "C" __global__ void __launch_bounds__(building::N_THREADS) nearest_centroid(
    const float* rows, const float* products, const float* norms, int* labels, float* distances, long long first,
    int n_rows, int n_centroids, int dimension) {
    const int row = blockIdx.x * building::N_WARPS + threadIdx.x / 32, lane = threadIdx.x % 32;
    if (row >= n_rows) return;
    const float* mine = products + (size_t)row * n_centroids;
    key64 best = NO_KEY;
    for (int i = lane; i < n_centroids; i += 32) {
        const key64 key = key_of(fmaf(-2.0f, mine[i], norms[i]), (unsigned)i);
        best = key < best ? key : best;
    }
    for (int apart = 16; apart > 0; apart /= 2) {
        const key64 other = __shfl_xor_sync(ALL_LANES, best, apart);
        best = other < best ? other : best;
    }
    const float norm = building::square_norm(rows + (size_t)row * dimension, dimension, lane);
    if (lane == 0) {
        labels[first + row] = (int)row_of_key(best);
        distances[first + row] = fmaxf(score_of_key(best) + norm, 0.0f);
    }
}

// The bits of the largest magnitude of n components into `largest`, which starts at 0.
extern "C" __global__ void __launch_bounds__(building::N_THREADS) largest_component(
    const float* rows, unsigned* largest, long long n) {
    const long long step = (long long)gridDim.x * building::N_THREADS;
    unsigned bits = 0;
    for (long long i = (long long)blockIdx.x * building::N_THREADS + threadIdx.x; i < n; i += step) {
        bits = max(bits, __float_as_uint(rows[i]) & 0x7fffffffu);
    }
    for (int apart = 16; apart > 0; apart /= 2) bits = max(bits, __shfl_xor_sync(ALL_LANES, bits, apart));
    if (threadIdx.x % 32 == 0) atomicMax(largest, bits);
}

// sums[copy][labels[i]] += rows[i] in fixed point, counts likewise; warps take rows in turn, blocks copies.
extern "C" __global__ void __launch_bounds__(building::N_THREADS) add_rows(
    const float* rows, const int* labels, unsigned long long* sums, unsigned* counts, long long n_rows,
    int n_centroids, int dimension, int n_copies, float scale) {
    const size_t copy = blockIdx.x % n_copies;
    const int lane = threadIdx.x % 32;
    const long long step = (long long)gridDim.x * building::N_WARPS;
    for (long long row = (long long)blockIdx.x * building::N_WARPS + threadIdx.x / 32; row < n_rows; row += step) {
        const size_t cell = copy * n_centroids + labels[row];
        for (int i = lane; i < dimension; i += 32) {
            const long long fixed = llrintf(rows[(size_t)row * dimension + i] * scale);
            atomicAdd(&sums[cell * dimension + i], (unsigned long long)fixed);
        }
        if (lane == 0) atomicAdd(&counts[cell], 1u);
    }
}

// Each centroid to the mean of its rows, one without rows stays; a thread per component. `unit`: what 1 is worth.
extern "C" __global__ void __launch_bounds__(building::N_THREADS) move_centroids(
    const unsigned long long* sums, const unsigned* counts, float* centroids, int n_centroids, int dimension,
    int n_copies, float unit) {
    const long long n = (long long)n_centroids * dimension, i = (long long)blockIdx.x * building::N_THREADS + threadIdx.x;
    if (i >= n) return;
    unsigned long long sum = 0;
    unsigned count = 0;
    for (int copy = 0; copy < n_copies; copy++) {
        sum += sums[copy * n + i];
        count += counts[(size_t)copy * n_centroids + i / dimension];
    }
    if (count) centroids[i] = (float)((double)(long long)sum / (double)count * (double)unit);
}
