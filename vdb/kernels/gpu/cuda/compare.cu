// Candidates compared by their vectors, and the nearest of them in their order.

namespace readings {

const unsigned N_WARPS = N_THREADS / 32;
const unsigned MOST_CANDIDATES = 1024;

template <int FORM, bool IS_ALIGNED>
__device__ __forceinline__ float sum_of_vector(const unsigned char* vector, const uint4* query, unsigned n_bytes) {
    const unsigned n_pieces = (n_bytes + 15) / 16, lane = threadIdx.x % 32;
    float sum = 0;
    for (unsigned first = lane; first < n_pieces; first += 32 * ROWS_AT_ONCE) {
        uint4 words[ROWS_AT_ONCE], asked[ROWS_AT_ONCE][2];
#pragma unroll
        for (unsigned j = 0; j < ROWS_AT_ONCE; j++) {
            const unsigned piece = min(first + 32 * j, n_pieces - 1);
            words[j] = load_piece<IS_ALIGNED>(vector, piece, n_bytes);
            asked[j][0] = __ldg(query + piece);
        }
#pragma unroll
        for (unsigned j = 0; j < ROWS_AT_ONCE; j++) {
            const float longer = add_piece<FORM>(words[j], asked[j], sum);
            sum = first + 32 * j < n_pieces ? longer : sum;
        }
    }
    for (unsigned apart = 16; apart > 0; apart /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, apart);
    return sum;
}

template <bool IS_ALIGNED>
__device__ __forceinline__ void compare(
    const unsigned char* asked, int asked_bytes, int full_at, const key64* words, int m, const int* pages,
    unsigned n_pages, const unsigned* pids, const unsigned char* vectors, int vector_bytes, int metric, key64* keys) {
    const unsigned i = blockIdx.x * N_WARPS + threadIdx.x / 32;
    if (i >= m) return;
    const size_t at = (size_t)blockIdx.y * m + i;
    const key64 word = words[at];
    const unsigned place = word == NO_KEY ? NO_ROW : place_of_row(pages, n_pages, row_of_key(word));
    key64 key = NO_KEY;
    if (place != NO_ROW) {
        const unsigned char* vector = vectors + (size_t)place * vector_bytes;
        const uint4* query = (const uint4*)(asked + (size_t)blockIdx.y * asked_bytes + full_at);
        float distance;
        if (metric == L2) {
            distance = sum_of_vector<DIFFERENCES, IS_ALIGNED>(vector, query, vector_bytes);
        } else {
            distance = -sum_of_vector<PRODUCTS, IS_ALIGNED>(vector, query, vector_bytes);
            if (metric == COSINE) {
                const float left = __fadd_rn(1.0f, distance);
                distance = left < 0.0f ? 0.0f : left;
            }
        }
        key = key_of(settled(distance), pids[place]);
    }
    if (threadIdx.x % 32 == 0) keys[at] = key;
}

}  // namespace readings

// A warp for each of the m candidates of each query, a grid of (parts of m, queries): the key of its distance and pid.
#define COMPARE_KERNEL(name, is_aligned)                                                                               \
    extern "C" __global__ void __launch_bounds__(readings::N_THREADS, 4) name(                                         \
        const unsigned char* asked, int asked_bytes, int full_at, const key64* words, int m, const int* pages,         \
        unsigned n_pages, const unsigned* pids, const void* vectors, int vector_bytes, int metric,                     \
        key64* keys) {                                                                                                 \
        readings::compare<is_aligned>(                                                                                 \
            asked, asked_bytes, full_at, words, m, pages, n_pages, pids, (const unsigned char*)vectors, vector_bytes,      \
            metric, keys);                                                                                             \
    }

COMPARE_KERNEL(compare_rows, true)
COMPARE_KERNEL(compare_rows_unaligned, false)

// A block per query: its candidates sorted by (distance, pid), the first k as words of distance and row, and how many
// were compared.
extern "C" __global__ void __launch_bounds__(readings::N_THREADS, 4) order_rows(
    const key64* words, const key64* keys, int m, int k, key64* answers) {
    using namespace readings;
    __shared__ key64 held[MOST_CANDIDATES];
    __shared__ unsigned rows[MOST_CANDIDATES];
    __shared__ unsigned n_compared;
    if (threadIdx.x == 0) n_compared = 0;
    __syncthreads();
    unsigned n = 0;
    for (unsigned i = threadIdx.x; i < m; i += N_THREADS) {
        const size_t at = (size_t)blockIdx.x * m + i;
        held[i] = keys[at];
        rows[i] = row_of_key(words[at]);
        n += held[i] != NO_KEY;
    }
    atomicAdd(&n_compared, n);
    __syncthreads();
    sort_keys<N_THREADS, true>(held, rows, m);
    key64* mine = answers + (size_t)blockIdx.x * (k + 4);
    for (unsigned i = threadIdx.x; i < k; i += N_THREADS) {
        mine[i] = held[i] == NO_KEY ? NO_KEY : (held[i] & 0xffffffff00000000ull) | rows[i];
    }
    if (threadIdx.x == 0) mine[k + 3] = n_compared;
}
