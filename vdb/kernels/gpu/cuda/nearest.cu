// The nearest of all rows for many queries: products on tensor cores, a filter on what comes out of them.
//
// A block has the tile of `TILE` queries (blockIdx.x) and goes over tiles of `TILE` rows of its group (blockIdx.y), a
// slice of `SLICE` components at a time, through a ring of `STAGES` in shared memory that copies fill ahead. Each of the
// four warps makes 64 x 64 products in registers. A product that reaches the query's limit is looked at closely, and
// its key appended to the query's list; the limit is of the k nearest so far, so that hardly any does.
//
// A slice's row is 128 bytes, 8 pieces of 16; piece p lies at p ^ (row & 7), so that the 8 rows that an 8 x 8 matrix is
// loaded from lie in different banks. Registers: 128 sums, 8 limits, 12 of operands and what addresses need.
//
// What ranks a row is acc = <q, x> - |x|^2 / 2 for L2 (sums start at -|x|^2 / 2) and acc = <q, x> else: greater is nearer.

namespace nearest_tiles {

constexpr int TILE = 128;
constexpr int SLICE = 64;
constexpr int STAGES = 3;
constexpr int N_THREADS = 128;
constexpr int PIECES = SLICE / 8;
constexpr unsigned SLICE_BYTES = TILE * SLICE * 2;
constexpr unsigned NORM_BYTES = TILE * 4;

constexpr int METRIC_COSINE = 0;
constexpr int METRIC_L2 = 1;

struct Work {
    const half_bits* queries;  // (q, s * SLICE), zeros behind the components and the queries; q a multiple of TILE
    const half_bits* rows;     // (n, d)
    const float* norms;             // (n,) squared, read for L2
    const unsigned char* visible;   // (n,), read if has_visible
    const float* squares;           // (q,) of queries
    const float* limits;            // (q,) what a product must reach, +inf behind the queries
    const key64* bounds;  // (q,) the greatest key that may still be among the k smallest
    const int* is_open;             // (q,) 0 where this chunk is done
    int* counts;                    // (q,) keys that were to be appended
    key64* lists;      // (q, k + capacity): the k smallest keys, then those appended
    unsigned n_rows;
    int dimension;
    int n_slices;
    int metric;
    int has_visible;
    int k;
    int capacity;
    unsigned n_tiles;     // of all rows
    unsigned first_tile;  // positions [first, stop) are this chunk's; position p is tile p * step % n_tiles
    unsigned stop_tile;
    unsigned step;
};

__device__ __forceinline__ float distance_of(const Work& work, unsigned query, float acc) {
    if (work.metric == METRIC_L2) return fmaxf(fmaf(-2.0f, acc, work.squares[query]), 0.0f);
    return work.metric == METRIC_COSINE ? fmaxf(1.0f - acc, 0.0f) : 0.0f - acc;
}

// What `acc` is at least where the distance is at most this one: the test is one comparison, and lets too many pass
// rather than too few.
__device__ __forceinline__ float limit_of(int metric, float square, float distance) {
    if (metric == METRIC_L2) return (square - distance) * 0.5f - (square + distance) * 2.4e-7f - 1e-37f;
    return metric == METRIC_COSINE ? (1.0f - distance) - (1.0f + distance) * 2.4e-7f : -distance;
}

__device__ __forceinline__ unsigned piece_at(unsigned row, unsigned piece) {
    return row * (SLICE * 2) + ((piece ^ (row & 7)) << 4);
}

// A slice of TILE padded queries, all of whose pieces are there.
__device__ __forceinline__ void copy_queries(const Work& work, unsigned char* to, int slice) {
    const unsigned piece = threadIdx.x % PIECES, first = threadIdx.x / PIECES;
    const half_bits* from = work.queries + (size_t)slice * SLICE + piece * 8;
    const size_t width = (size_t)work.n_slices * SLICE;
#pragma unroll
    for (int i = 0; i < TILE * PIECES / N_THREADS; i++) {
        const unsigned row = first + i * (N_THREADS / PIECES);
        copy_async16(to + piece_at(row, piece), from + (size_t)(blockIdx.x * TILE + row) * width);
    }
}

// Eight components of a row from `at` on as they come, zeros behind the last.
__device__ void load_piece(const half_bits* row, int at, int dimension, unsigned* to) {
    for (int word = 0; word < 4; word++) {
        const int i = at + 2 * word;
        const unsigned low = i < dimension ? row[i] : 0u, high = i + 1 < dimension ? row[i + 1] : 0u;
        to[word] = low | high << 16;
    }
}

// A slice of TILE rows. Behind the last row it is read again: what comes of that is thrown away.
template <bool IS_ALIGNED>
__device__ __forceinline__ void copy_rows(const Work& work, unsigned char* to, unsigned tile, int slice) {
    const unsigned piece = threadIdx.x % PIECES, first = threadIdx.x / PIECES;
    const int at = slice * SLICE + piece * 8;
#pragma unroll
    for (int i = 0; i < TILE * PIECES / N_THREADS; i++) {
        const unsigned row = first + i * (N_THREADS / PIECES);
        const unsigned named = min(tile * TILE + row, work.n_rows - 1);
        const half_bits* from = work.rows + (size_t)named * work.dimension;
        unsigned char* place = to + piece_at(row, piece);
        if (IS_ALIGNED) {
            const bool is_there = at < work.dimension;
            copy_async16(place, from + (is_there ? at : 0), is_there);
        } else {
            load_piece(from, at, work.dimension, (unsigned*)place);
        }
    }
}

__device__ __forceinline__ void copy_norms(const Work& work, unsigned char* to, unsigned tile) {
    const unsigned first = tile * TILE;
    if (first + TILE <= work.n_rows) {
        if (threadIdx.x < TILE / 4) copy_async16(to + threadIdx.x * 16, work.norms + first + threadIdx.x * 4);
    } else {
        ((float*)to)[threadIdx.x] = work.norms[min(first + threadIdx.x, work.n_rows - 1)];
    }
}

__device__ void append(const Work& work, unsigned query, unsigned row, float acc) {
    if (row >= work.n_rows || (work.has_visible && !work.visible[row])) return;
    const key64 key = key_of(distance_of(work, query, acc), row);
    if (key > work.bounds[query]) return;
    const int place = atomicAdd(&work.counts[query], 1);
    if (place < work.capacity) work.lists[(size_t)query * (work.k + work.capacity) + work.k + place] = key;
}

// Whether any query of the block's has this chunk still to do; those that fill up the tile have not.
__device__ bool has_open(const Work& work) {
    __shared__ int n_open;
    if (threadIdx.x == 0) n_open = 0;
    __syncthreads();
    const unsigned query = blockIdx.x * TILE + threadIdx.x;
    if (work.is_open[query] && work.limits[query] < POSITIVE_INFINITY) n_open = 1;
    __syncthreads();
    return n_open != 0;
}

// sums[i][j] += the products of 16 queries with 8 rows over the slice's 64 components.
__device__ __forceinline__ void add_products(
    float (&sums)[4][8][4], const unsigned char* queries, const unsigned char* rows, unsigned lane) {
    const unsigned query = lane % 16, query_piece = lane / 16;
    const unsigned row = lane % 8 + lane / 16 * 8, row_piece = lane / 8 % 2;
#pragma unroll
    for (int step = 0; step < SLICE / 16; step++) {
        unsigned b[8][2];
#pragma unroll
        for (int j = 0; j < 8; j += 2) {
            unsigned both[4];
            load_matrix(both, rows + piece_at(j * 8 + row, step * 2 + row_piece));
            b[j][0] = both[0];
            b[j][1] = both[1];
            b[j + 1][0] = both[2];
            b[j + 1][1] = both[3];
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
            unsigned a[4];
            load_matrix(a, queries + piece_at(i * 16 + query, step * 2 + query_piece));
#pragma unroll
            for (int j = 0; j < 8; j++) mma_f16(sums[i][j], a, b[j]);
        }
    }
}

// Sums start at minus half the rows' squared norms, or at 0.
__device__ __forceinline__ void start_sums(float (&sums)[4][8][4], const float* norms, bool has_norms) {
#pragma unroll
    for (int j = 0; j < 8; j++) {
        const float even = has_norms ? -0.5f * norms[j * 8] : 0.0f, odd = has_norms ? -0.5f * norms[j * 8 + 1] : 0.0f;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            sums[i][j][0] = even;
            sums[i][j][1] = odd;
            sums[i][j][2] = even;
            sums[i][j][3] = odd;
        }
    }
}

// A lane has of each 16 x 8 products those of queries lane / 4 and lane / 4 + 8, rows lane % 4 * 2 and the next.
__device__ __forceinline__ void filter(
    const Work& work, const float (&sums)[4][8][4], const float (&limits)[4][2], unsigned query, unsigned row) {
    float best[4][2];
    bool is_any = false;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const float(&mine)[8][4] = sums[i / 2];
        const int at = i % 2 * 2;
        best[i / 2][i % 2] = fmaxf(mine[0][at], mine[0][at + 1]);
#pragma unroll
        for (int j = 1; j < 8; j++) {
            best[i / 2][i % 2] = fmaxf(best[i / 2][i % 2], fmaxf(mine[j][at], mine[j][at + 1]));
        }
        is_any = is_any || best[i / 2][i % 2] >= limits[i / 2][i % 2];
    }
    if (!is_any) return;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        if (best[i / 2][i % 2] < limits[i / 2][i % 2]) continue;
        float found[16];
#pragma unroll
        for (int j = 0; j < 16; j++) found[j] = sums[i / 2][j / 2][i % 2 * 2 + j % 2];
#pragma unroll 1
        for (int j = 0; j < 16; j++) {
            if (found[j] >= limits[i / 2][i % 2]) append(work, query + i * 8, row + j / 2 * 8 + j % 2, found[j]);
        }
    }
}

// HOLDS_QUERIES: the block's queries stay in shared memory; else their slices come through the ring with the rows'.
template <bool HOLDS_QUERIES, bool IS_ALIGNED>
__device__ __forceinline__ void find_nearest(const Work& work) {
    DYNAMIC_SHARED(shared);
    constexpr unsigned STAGE_BYTES = SLICE_BYTES + NORM_BYTES + (HOLDS_QUERIES ? 0 : SLICE_BYTES);
    if (work.first_tile + blockIdx.y >= work.stop_tile || !has_open(work)) return;
    const unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const unsigned own_query = warp % 2 * 64, own_row = warp / 2 * 64;
    const unsigned query = blockIdx.x * TILE + own_query + lane / 4;
    float limits[4][2];
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const unsigned at = query + i * 8;
        limits[i / 2][i % 2] = work.is_open[at] ? work.limits[at] : POSITIVE_INFINITY;
    }
    unsigned char* ring = shared + (HOLDS_QUERIES ? work.n_slices * SLICE_BYTES : 0u);
    if (HOLDS_QUERIES) {
        for (int slice = 0; slice < work.n_slices; slice++) copy_queries(work, shared + slice * SLICE_BYTES, slice);
    }
    const bool has_norms = work.metric == METRIC_L2;
    const unsigned n_own = (work.stop_tile - work.first_tile - blockIdx.y + gridDim.y - 1) / gridDim.y;
    const unsigned n_loads = n_own * work.n_slices;
    const unsigned stride = (unsigned)((unsigned long long)work.step * gridDim.y % work.n_tiles);
    unsigned tile = (unsigned)((unsigned long long)work.step * (work.first_tile + blockIdx.y) % work.n_tiles);
    unsigned next_tile = tile, load = 0, load_stage = 0, stage = 0;
    int load_slice = 0, slice = 0;
    float sums[4][8][4];

    auto copy_next = [&]() {
        if (load < n_loads) {
            unsigned char* to = ring + load_stage * STAGE_BYTES;
            copy_rows<IS_ALIGNED>(work, to, next_tile, load_slice);
            if (has_norms && load_slice == 0) copy_norms(work, to + SLICE_BYTES, next_tile);
            if (!HOLDS_QUERIES) copy_queries(work, to + SLICE_BYTES + NORM_BYTES, load_slice);
            load++;
            load_stage = load_stage + 1 == STAGES ? 0 : load_stage + 1;
            if (++load_slice == work.n_slices) {
                load_slice = 0;
                next_tile = next_tile >= work.n_tiles - stride ? next_tile - (work.n_tiles - stride) : next_tile + stride;
            }
        }
        commit_copies();
    };

    for (int i = 0; i < STAGES - 1; i++) copy_next();
    for (unsigned i = 0; i < n_loads; i++) {
        wait_copies<STAGES - 2>();
        __syncthreads();
        copy_next();  // over the stage that all have read before the barrier
        const unsigned char* rows = ring + stage * STAGE_BYTES;
        if (slice == 0) start_sums(sums, (const float*)(rows + SLICE_BYTES) + own_row + lane % 4 * 2, has_norms);
        const unsigned char* queries = HOLDS_QUERIES ? shared + slice * SLICE_BYTES : rows + SLICE_BYTES + NORM_BYTES;
        add_products(sums, queries + own_query * (SLICE * 2), rows + own_row * (SLICE * 2), lane);
        stage = stage + 1 == STAGES ? 0 : stage + 1;
        if (++slice == work.n_slices) {
            slice = 0;
            filter(work, sums, limits, query, tile * TILE + own_row + lane % 4 * 2);
            tile = tile >= work.n_tiles - stride ? tile - (work.n_tiles - stride) : tile + stride;
        }
    }
}

}  // namespace nearest_tiles

#define NEAREST_KERNEL(name, holds_queries, is_aligned)                                                                \
    extern "C" __global__ void __launch_bounds__(nearest_tiles::N_THREADS, 2) name(                                    \
        const half_bits* queries, const half_bits* rows, const float* norms, const unsigned char* visible,             \
        const float* squares, const float* limits, const key64* bounds, const int* is_open, int* counts,               \
        key64* lists, unsigned n_rows, int dimension, int n_slices, int metric, int has_visible, int k, int capacity,  \
        unsigned n_tiles, unsigned first_tile, unsigned stop_tile, unsigned step) {                                    \
        nearest_tiles::find_nearest<holds_queries, is_aligned>(                                                        \
            {queries, rows, norms, visible, squares, limits, bounds, is_open, counts, lists, n_rows, dimension, n_slices,\
             metric, has_visible, k, capacity, n_tiles, first_tile, stop_tile, step});                                 \
    }

NEAREST_KERNEL(nearest_held, true, true)
NEAREST_KERNEL(nearest_held_unaligned, true, false)
NEAREST_KERNEL(nearest_streamed, false, true)
NEAREST_KERNEL(nearest_streamed_unaligned, false, false)

// After a chunk, a block per query: the k smallest keys of those so far and those appended. Where the list held all of
// the chunk's they are kept, in order, and the query is closed; else they only make the bound, with which the chunk is
// done again: any k keys' greatest is a bound. `limits` and `bounds` are made anew, `n_overflows` counts the latter.
extern "C" __global__ void __launch_bounds__(nearest_tiles::N_THREADS) keep_nearest(
    const float* squares, float* limits, key64* bounds, int* is_open, int* counts, key64* lists, int* n_overflows,
    int metric, int k, int capacity) {
    __shared__ key64 chosen[1024];
    __shared__ SelectScratch scratch;
    const unsigned query = blockIdx.x;
    if (!is_open[query]) return;
    key64* list = lists + (size_t)query * (k + capacity);
    const int count = counts[query];
    select_smallest<nearest_tiles::N_THREADS>(list, k + min(count, capacity), k, chosen, scratch);
    if (count <= capacity) {
        for (int i = threadIdx.x; i < k; i += nearest_tiles::N_THREADS) list[i] = chosen[i];
    }
    if (threadIdx.x == 0) {
        const key64 bound = chosen[k - 1];
        bounds[query] = bound;
        limits[query] = bound == NO_KEY ? -POSITIVE_INFINITY
                                        : nearest_tiles::limit_of(metric, squares[query], score_of_key(bound));
        counts[query] = 0;
        if (count <= capacity) {
            is_open[query] = 0;
        } else {
            atomicAdd(n_overflows, 1);
        }
    }
}

// keys (q, k): the first k of each list of `width`.
extern "C" __global__ void __launch_bounds__(nearest_tiles::N_THREADS) first_keys(
    const key64* lists, key64* keys, int k, int width) {
    for (int i = threadIdx.x; i < k; i += nearest_tiles::N_THREADS) {
        keys[(size_t)blockIdx.x * k + i] = lists[(size_t)blockIdx.x * width + i];
    }
}
