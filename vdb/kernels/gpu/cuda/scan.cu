// The m best rows of each query by their codes: parts of what it scans, a block each, and what is best of all parts.

namespace readings {

const unsigned TILE = 512;        // rows that a block scores between two looks at how many keys it holds
const unsigned MOST_KEYS = 2048;  // that it holds: m, at most 1,024, and what tiles add
const unsigned PER_THREAD = MOST_KEYS / N_THREADS;
const unsigned ROWS_OF_THREAD = TILE / N_THREADS;

// The keys that a block holds. With HAS_ROWS their low halves are pids, and the rows lie beside them.
template <bool HAS_ROWS>
struct Held {
    key64 keys[MOST_KEYS];
    unsigned rows[HAS_ROWS ? MOST_KEYS : 1];
    unsigned n_keys;
    SelectScratch scratch;

    // A whole warp calls it.
    __device__ __forceinline__ void add(key64 key, unsigned row, key64 limit) {
        const bool is_near = key < limit;
        const unsigned place = take_place(is_near, &n_keys);
        if (!is_near) return;
        keys[place] = key;
        if (HAS_ROWS) rows[place] = row;
    }

    // The block calls it together before it scores a tile, and `at_last`: the m best stay and `limit` is the m-th, where
    // there would not be room for the tile.
    __device__ __forceinline__ void make_room(bool at_last, unsigned m, bool may_repeat, key64& limit) {
        const unsigned n = n_keys;
        if (!at_last && n + TILE <= MOST_KEYS) return;
        const unsigned n_kept =
            keep_smallest<N_THREADS, PER_THREAD, HAS_ROWS>(keys, rows, n, m, may_repeat, limit, scratch);
        if (threadIdx.x == 0) n_keys = n_kept;
        __syncthreads();
    }
};

struct Scan {
    const unsigned char* asked;
    int asked_bytes, query_at, query_bytes;
    const unsigned* span_first;
    const unsigned* span_end;
    const uint4* plans;
    const unsigned* places;
    const int* pages;
    unsigned n_pages;
    const uint4* heads;
    const uint2* times;
    int has_times;
    const unsigned* pids;
    const unsigned char* codes;
    int row_bytes, lanes, metric, m;
    unsigned rows_of_part;
    key64* part_keys;
    unsigned* part_rows;
    key64* answers;
    int n_answers;
};

// A row to be scored, and where it lies; NO_ROW where there is none or it is not to be seen. What it is scored with.
struct Row {
    unsigned row, place;
    float step, bias, offset;
};

// The spans that a query scans, and how many.
struct Spans {
    const unsigned* first;
    const unsigned* end;
    unsigned n;
};

// What stands at [first, first + TILE) among the rows that a query scans, up to `end`, for each thread those N_THREADS
// apart. Each load of one row waits for the one before it, but not for those of the other rows: what need not be read is
// read from where something is, so that there is no branch. `n_named` counts what is not revoked.
__device__ __forceinline__ void find_rows(
    const Scan& scan, const Asked& asked, const Spans& spans, unsigned first, unsigned end,
    Row (&rows)[ROWS_OF_THREAD], unsigned& n_named) {
    const long long sequence = asked.sequence, now_s = asked.now_s;
    unsigned at[ROWS_OF_THREAD], span[ROWS_OF_THREAD], row[ROWS_OF_THREAD], place[ROWS_OF_THREAD];
#pragma unroll
    for (unsigned j = 0; j < ROWS_OF_THREAD; j++) {
        at[j] = min(first + threadIdx.x + j * N_THREADS, end - 1);
        span[j] = 0;
    }
    for (unsigned n = spans.n; n > 1; n -= n / 2) {  // the first span that ends beyond it
#pragma unroll
        for (unsigned j = 0; j < ROWS_OF_THREAD; j++) {
            span[j] += __ldg(spans.end + span[j] + n / 2 - 1) <= at[j] ? n / 2 : 0;
        }
    }
#pragma unroll
    for (unsigned j = 0; j < ROWS_OF_THREAD; j++) {
        const unsigned before = __ldg(spans.end + (span[j] ? span[j] - 1 : 0)), from = __ldg(spans.first + span[j]);
        const unsigned in_span = (from & ~LISTED) + at[j] - (span[j] ? before : 0);
        const unsigned listed = __ldg(from & LISTED ? scan.places + in_span : spans.first);
        row[j] = from & LISTED ? listed : in_span;
    }
#pragma unroll
    for (unsigned j = 0; j < ROWS_OF_THREAD; j++) {
        const bool is_named = first + threadIdx.x + j * N_THREADS < end && row[j] < REVOKED;
        const unsigned page = row[j] >> PAGE_SHIFT;
        const bool is_paged = is_named && page < scan.n_pages;
        const int of_page = __ldg(is_paged ? scan.pages + page : (const int*)spans.first);
        n_named += is_named;
        place[j] = is_paged && of_page >= 0 ? ((unsigned)of_page << PAGE_SHIFT) + row[j] % (1u << PAGE_SHIFT) : NO_ROW;
    }
#pragma unroll
    for (unsigned j = 0; j < ROWS_OF_THREAD; j++) {
        const uint4 head = __ldg(place[j] != NO_ROW ? scan.heads + place[j] : scan.plans);
        const uint2 times = __ldg(scan.has_times && place[j] != NO_ROW ? scan.times + place[j] : (const uint2*)scan.plans);
        const bool is_timely = ((long long)times.x <= sequence) & ((times.y == 0) | ((long long)times.y > now_s));
        const bool is_visible = ((long long)head.w > sequence) & (!scan.has_times | is_timely);
        rows[j] = {row[j], is_visible ? place[j] : NO_ROW, __uint_as_float(head.x), __uint_as_float(head.y),
                   __uint_as_float(head.z)};
    }
}

template <int FORM>
__device__ __forceinline__ key64 key_of_row(
    const Scan& scan, const Asked& asked, const Row& row, typename Sums<FORM>::Sum sum) {
    if constexpr (FORM == PRODUCTS || FORM == DIFFERENCES) {
        float distance = FORM == DIFFERENCES ? sum : -sum;
        if (FORM == PRODUCTS && scan.metric == COSINE) {
            const float left = __fsub_rn(1.0f, sum);
            distance = left < 0.0f ? 0.0f : left;
        }
        return key_of(settled(distance), __ldg(scan.pids + row.place));
    } else {
        float product;
        if constexpr (FORM == LVQ8 || FORM == LVQ4) {
            product = product_of_levels(row.step, row.bias, asked.step, asked.total, sum);
        } else {
            product = sum;
        }
        const float score = scan.metric == L2 ? __fsub_rn(row.offset, __fmul_rn(2.0f, product)) : -product;
        return key_of(settled(score), row.row);
    }
}

// A part of what one query scans: its m best to `part_keys`, in any order, the rest NO_KEY. Threads find the rows of a
// tile and read their heads; groups of lanes sum their codes; threads score them.
template <int FORM, bool IS_ALIGNED>
__device__ __forceinline__ void scan_part(const Scan& scan) {
    const bool has_rows = FORM == PRODUCTS || FORM == DIFFERENCES;
    __shared__ Held<has_rows> held;
    __shared__ unsigned places[TILE];
    __shared__ typename Sums<FORM>::Sum sums[TILE];
    __shared__ unsigned n_named;
    DYNAMIC_SHARED(query);
    const uint4 plan = __ldg(scan.plans + blockIdx.y);
    const unsigned n_rows = plan.y, n = n_parts(n_rows, scan.rows_of_part, gridDim.x);
    if (blockIdx.x >= n) return;
    const Asked& asked = asked_of(scan.asked, scan.asked_bytes, blockIdx.y);
    const unsigned char* components = (const unsigned char*)&asked + scan.query_at;
    const size_t at = spans_at(asked, blockIdx.y);
    const Spans spans = {scan.span_first + at, scan.span_end + at, plan.x};
    const unsigned begin = (unsigned)((unsigned long long)n_rows * blockIdx.x / n);
    const unsigned end = (unsigned)((unsigned long long)n_rows * (blockIdx.x + 1) / n);
    copy_words((uint4*)query, components, scan.query_bytes);
    if (threadIdx.x == 0) held.n_keys = n_named = 0;
    key64 limit = NO_KEY;
    unsigned n_mine = 0;
    __syncthreads();
    for (unsigned first = begin;; first += TILE) {
        held.make_room(first >= end, scan.m, plan.z, limit);
        if (first >= end) break;
        Row rows[ROWS_OF_THREAD];
        find_rows(scan, asked, spans, first, end, rows, n_mine);
#pragma unroll
        for (unsigned j = 0; j < ROWS_OF_THREAD; j++) places[threadIdx.x + j * N_THREADS] = rows[j].place;
        __syncthreads();
        sum_rows<FORM, IS_ALIGNED>(
            scan.codes, scan.row_bytes, components, places, min(TILE, end - first), (const uint4*)query, scan.lanes,
            sums);
        __syncthreads();
#pragma unroll
        for (unsigned j = 0; j < ROWS_OF_THREAD; j++) {
            const unsigned i = threadIdx.x + j * N_THREADS;
            const key64 key = rows[j].place == NO_ROW ? NO_KEY : key_of_row<FORM>(scan, asked, rows[j], sums[i]);
            held.add(key, rows[j].row, limit);
        }
        __syncthreads();
    }
    const size_t part = ((size_t)blockIdx.y * gridDim.x + blockIdx.x) * scan.m;
    for (unsigned i = threadIdx.x; i < scan.m; i += N_THREADS) {
        const bool is_there = i < held.n_keys;
        scan.part_keys[part + i] = is_there ? held.keys[i] : NO_KEY;
        if (has_rows) scan.part_rows[part + i] = is_there ? held.rows[i] : NO_ROW;
    }
    atomicAdd(&n_named, n_mine);
    __syncthreads();
    if (threadIdx.x == 0) {
        atomicAdd(scan.answers + (size_t)blockIdx.y * (scan.n_answers + 4) + scan.n_answers + 2, (key64)n_named);
    }
}

// The m best of the parts of a query, in their order, to the first m of each query's `words`, of which there are `width`:
// the key, with HAS_ROWS the row in place of the pid. Then its statistics: all rows scored were compared.
template <bool HAS_ROWS>
__device__ __forceinline__ void merge_parts(
    const uint4* plans, const key64* part_keys, const unsigned* part_rows, unsigned most_parts, unsigned rows_of_part,
    int m, int n_words, int width, key64* words) {
    __shared__ Held<HAS_ROWS> held;
    const uint4 plan = __ldg(plans + blockIdx.x);
    const unsigned n = n_parts(plan.y, rows_of_part, most_parts) * m;
    part_keys += (size_t)blockIdx.x * most_parts * m;
    part_rows += (size_t)blockIdx.x * most_parts * m;
    words += (size_t)blockIdx.x * width;
    if (threadIdx.x == 0) held.n_keys = 0;
    key64 limit = NO_KEY;
    __syncthreads();
    for (unsigned first = 0;; first += TILE) {
        held.make_room(first >= n, m, plan.z, limit);
        if (first >= n) break;
        key64 keys[ROWS_OF_THREAD];
        unsigned rows[ROWS_OF_THREAD];
#pragma unroll
        for (unsigned j = 0; j < ROWS_OF_THREAD; j++) {
            const unsigned i = first + threadIdx.x + j * N_THREADS;
            keys[j] = i < n ? part_keys[i] : NO_KEY;
            rows[j] = HAS_ROWS && i < n ? part_rows[i] : 0;
        }
        __syncthreads();  // all have seen how many keys there are
#pragma unroll
        for (unsigned j = 0; j < ROWS_OF_THREAD; j++) held.add(keys[j], rows[j], limit);
        __syncthreads();
    }
    if (!plan.z) sort_keys<N_THREADS, HAS_ROWS>(held.keys, held.rows, held.n_keys);
    for (unsigned i = threadIdx.x; i < n_words; i += N_THREADS) {
        const bool is_there = i < held.n_keys;
        const key64 key = is_there ? held.keys[i] : NO_KEY;
        words[i] = HAS_ROWS && is_there ? (key & 0xffffffff00000000ull) | held.rows[i] : key;
    }
    if (HAS_ROWS && threadIdx.x == 0) words[n_words + 3] = words[n_words + 2];
}

}  // namespace readings

#define SCAN_KERNEL(name, form, is_aligned)                                                                            \
    extern "C" __global__ void __launch_bounds__(readings::N_THREADS, 4) name(                                         \
        const unsigned char* asked, int asked_bytes, int query_at, int query_bytes, const unsigned* span_first,        \
        const unsigned* span_end, const uint4* plans, const unsigned* places, const int* pages, unsigned n_pages,      \
        const uint4* heads, const uint2* times, int has_times, const unsigned* pids, const void* codes,                \
        int row_bytes, int lanes, int metric, int m, unsigned rows_of_part, key64* part_keys, unsigned* part_rows,     \
        key64* answers, int n_answers) {                                                                               \
        readings::scan_part<form, is_aligned>(                                                                         \
            {asked, asked_bytes, query_at, query_bytes, span_first, span_end, plans, places, pages, n_pages, heads,    \
             times, has_times, pids, (const unsigned char*)codes, row_bytes, lanes, metric, m, rows_of_part, part_keys,  \
             part_rows, answers, n_answers});                                                                          \
    }

SCAN_KERNEL(scan_lvq8, readings::LVQ8, true)
SCAN_KERNEL(scan_lvq4, readings::LVQ4, true)
SCAN_KERNEL(scan_float32, readings::FLOAT32, true)
SCAN_KERNEL(scan_float16, readings::FLOAT16, true)
SCAN_KERNEL(scan_products, readings::PRODUCTS, true)
SCAN_KERNEL(scan_products_unaligned, readings::PRODUCTS, false)
SCAN_KERNEL(scan_differences, readings::DIFFERENCES, true)
SCAN_KERNEL(scan_differences_unaligned, readings::DIFFERENCES, false)

#define MERGE_KERNEL(name, has_rows)                                                                                   \
    extern "C" __global__ void __launch_bounds__(readings::N_THREADS, 4) name(                                         \
        const uint4* plans, const key64* part_keys, const unsigned* part_rows, unsigned most_parts,                    \
        unsigned rows_of_part, int m, int n_words, int width, key64* words) {                                          \
        readings::merge_parts<has_rows>(                                                                               \
            plans, part_keys, part_rows, most_parts, rows_of_part, m, n_words, width, words);                          \
    }

MERGE_KERNEL(merge_estimates, false)
MERGE_KERNEL(merge_distances, true)
