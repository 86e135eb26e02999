// Which rows a search scans: entries of readings scored by their nodes' codes, the nearest taken until they hold enough.

namespace readings {

struct Entry {
    unsigned node, first, n_rows;  // rows [first, first + n_rows), or places
    bool is_list;
};

__device__ __forceinline__ unsigned n_entries_of(const long long* columns) {
    return (unsigned)(columns[OWN_ENTRIES] + columns[LIST_ENTRIES]);
}

// Entry i of a query: those of its tenant's reading come first, in each those of the run. `entries` (2, n_held).
__device__ __forceinline__ Entry entry_of(
    const Asked& asked, const unsigned* entries, long long n_held, unsigned i) {
    const unsigned n_mine = n_entries_of(asked.columns[0]);
    const long long* columns = asked.columns[i >= n_mine];
    const long long j = i >= n_mine ? i - n_mine : i, at = columns[ENTRIES_AT] + j;
    const bool is_list = j >= columns[OWN_ENTRIES];
    const long long start = entries[n_held + at];
    long long stop = 0;
    if (!is_list && j + 1 == columns[OWN_ENTRIES]) {
        stop = columns[OWN_STOP];
    } else if (j + 1 == columns[OWN_ENTRIES] + columns[LIST_ENTRIES]) {
        stop = columns[LIST_AT] + columns[LIST_N] - columns[LIST_BASE];
    } else {
        stop = entries[n_held + at + 1];
    }
    const long long first = is_list ? start + columns[LIST_BASE] : start;
    return {entries[at], (unsigned)first, (unsigned)(stop - start), is_list};
}

// How many of a place's rows are not revoked, of those that this lane reads.
__device__ __forceinline__ unsigned count_named(const unsigned* places, unsigned first, unsigned n, unsigned i, unsigned apart) {
    unsigned n_named = 0;
    for (; i < n; i += apart) n_named += places[first + i] < REVOKED;
    return n_named;
}

struct Choice {
    unsigned histogram[256];
    unsigned of_warps[2][N_THREADS / 32];
    unsigned bound, n_left;          // as in SelectScratch, of the entries' scores
    unsigned n_spans, n_rows;        // so far, rows revoked in their places included
    unsigned n_named, n_visited;
};

// A run or a list that is scanned whole. By one thread.
__device__ __forceinline__ void add_whole(
    Choice& choice, unsigned* span_first, unsigned* span_end, unsigned first, unsigned n, bool is_list) {
    if (n == 0) return;
    choice.n_rows += n;
    span_first[choice.n_spans] = is_list ? first | LISTED : first;
    span_end[choice.n_spans++] = choice.n_rows;
}

// What is scanned whole: tails, and what no entries cut. Returns how many parts there are, of which rows may repeat.
__device__ void add_wholes(
    Choice& choice, const Asked& asked, unsigned* span_first, unsigned* span_end, const unsigned* places, bool is_exact,
    bool has_entries) {
    for (unsigned i = 0; i < 2; i++) {
        const long long* columns = asked.columns[i];
        const bool has_run = is_exact || columns[OWN_ENTRIES] == 0, has_list = is_exact || columns[LIST_ENTRIES] == 0;
        const unsigned n_run = has_run ? (unsigned)(columns[OWN_STOP] - columns[OWN_FIRST]) : 0;
        const unsigned n_list = has_list ? (unsigned)columns[LIST_N] : 0, n_tail = (unsigned)columns[N_TAIL];
        if (threadIdx.x == 0) {
            add_whole(choice, span_first, span_end, (unsigned)columns[OWN_FIRST], n_run, false);
            add_whole(choice, span_first, span_end, (unsigned)columns[LIST_AT], n_list, true);
            add_whole(choice, span_first, span_end, (unsigned)columns[TAIL_AT], n_tail, true);
            atomicAdd(&choice.n_named, n_run);
        }
        __syncthreads();
        if (!has_entries) continue;  // nobody asks how many are revoked
        const unsigned n_named =
            count_named(places, (unsigned)columns[LIST_AT], n_list, threadIdx.x, N_THREADS) +
            count_named(places, (unsigned)columns[TAIL_AT], n_tail, threadIdx.x, N_THREADS);
        atomicAdd(&choice.n_named, n_named);
    }
    __syncthreads();
}

// Whether two parts of what a query reads may name the same row.
__device__ __forceinline__ bool may_repeat(const Asked& asked) {
    unsigned n_parts = 0;
    for (unsigned i = 0; i < 2; i++) {
        const long long* columns = asked.columns[i];
        n_parts += (columns[OWN_STOP] > columns[OWN_FIRST]) + (columns[LIST_N] > 0) + 2 * (columns[N_TAIL] > 0);
    }
    return n_parts > 1;
}

// The least score such that the entries up to it, beyond `above`, hold `wanted` rows; all ones where none does.
__device__ unsigned reach(
    Choice& choice, const unsigned* scores, const unsigned* n_rows, unsigned n, unsigned above, unsigned wanted) {
    if (threadIdx.x == 0) {
        choice.bound = 0;
        choice.n_left = wanted;
    }
    for (int shift = 24; shift >= 0; shift -= 8) {
        choice.histogram[threadIdx.x] = 0;
        __syncthreads();
        const unsigned leading = shift == 24 ? 0 : 0xffffffffu << (shift + 8), bound = choice.bound;
        for (unsigned i = threadIdx.x; i < n; i += N_THREADS) {
            const unsigned score = scores[i];
            if (score > above && ((score ^ bound) & leading) == 0) {
                atomicAdd(&choice.histogram[score >> shift & 255u], n_rows[i]);
            }
        }
        __syncthreads();
        if (threadIdx.x < 32) {
            const Bin found = find_bin(choice.histogram, choice.n_left);
            if (threadIdx.x == 0) {
                choice.bound = found.bin == 256 ? 0xffffffffu : bound | found.bin << shift;
                choice.n_left -= found.before;
            }
        }
        __syncthreads();
        if (choice.bound == 0xffffffffu) break;
    }
    const unsigned bound = choice.bound;
    __syncthreads();
    return bound;
}

// The sum of what the threads before this one have, and to all the sum of all.
__device__ __forceinline__ unsigned sum_before(unsigned own, unsigned* of_warps, unsigned& total) {
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    unsigned up_to = own;
    for (unsigned apart = 1; apart < 32; apart *= 2) {
        const unsigned lower = __shfl_up_sync(ALL_LANES, up_to, apart);
        if (lane >= apart) up_to += lower;
    }
    if (lane == 31) of_warps[warp] = up_to;
    __syncthreads();
    unsigned before = up_to - own;
    total = 0;
    for (unsigned i = 0; i < N_THREADS / 32; i++) {
        if (i < warp) before += of_warps[i];
        total += of_warps[i];
    }
    return before;
}

// Makes spans of the entries that score in (above, reached].
__device__ void add_entries(
    Choice& choice, const Asked& asked, const unsigned* entries, long long n_held, const unsigned* places,
    const unsigned* scores, unsigned n, unsigned above, unsigned reached, unsigned* span_first, unsigned* span_end) {
    const unsigned lane = threadIdx.x % 32;
    unsigned n_named = 0;
    for (unsigned begin = 0; begin < n; begin += N_THREADS) {
        const unsigned i = begin + threadIdx.x;
        const bool is_chosen = i < n && scores[i] > above && scores[i] <= reached;
        const Entry entry = is_chosen ? entry_of(asked, entries, n_held, i) : Entry{0, 0, 0, false};
        unsigned n_chosen = 0, n_rows = 0;
        const unsigned place = sum_before(is_chosen, choice.of_warps[0], n_chosen);
        const unsigned before = sum_before(entry.n_rows, choice.of_warps[1], n_rows);
        if (is_chosen) {
            span_first[choice.n_spans + place] = entry.is_list ? entry.first | LISTED : entry.first;
            span_end[choice.n_spans + place] = choice.n_rows + before + entry.n_rows;
            if (!entry.is_list) n_named += entry.n_rows;
        }
        for (unsigned left = __ballot_sync(ALL_LANES, is_chosen && entry.is_list); left; left &= left - 1) {
            const int from = __ffs(left) - 1;
            const unsigned first = __shfl_sync(ALL_LANES, entry.first, from);
            n_named += count_named(places, first, __shfl_sync(ALL_LANES, entry.n_rows, from), lane, 32);
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            choice.n_spans += n_chosen;
            choice.n_rows += n_rows;
            choice.n_visited += n_chosen;
        }
        __syncthreads();
    }
    atomicAdd(&choice.n_named, n_named);
    __syncthreads();
}

}  // namespace readings

// Scores (ordered bits, smaller is nearer) and rows of all entries of each query; a grid of (parts, queries).
extern "C" __global__ void __launch_bounds__(readings::N_THREADS, 4) score_entries(
    const unsigned char* asked, int asked_bytes, int nodes_at, const unsigned* entries, long long n_held,
    const unsigned char* node_codes, const uint4* node_heads, int node_bytes, int lanes, int metric,
    float radius_weight, unsigned* scores, unsigned* n_rows) {
    using namespace readings;
    __shared__ unsigned nodes[N_THREADS];
    __shared__ int sums[N_THREADS];
    DYNAMIC_SHARED(dynamic);
    const Asked& mine = asked_of(asked, asked_bytes, blockIdx.y);
    const unsigned n = n_entries_of(mine.columns[0]) + n_entries_of(mine.columns[1]);
    const unsigned begin = blockIdx.x * N_THREADS, i = begin + threadIdx.x;
    if (begin >= n) return;
    copy_words((uint4*)dynamic, (const unsigned char*)&mine + nodes_at, node_bytes);
    const Entry entry = i < n ? entry_of(mine, entries, n_held, i) : Entry{NO_ROW, 0, 0, false};
    nodes[threadIdx.x] = entry.node;
    __syncthreads();
    sum_rows<LVQ8, true>(
        node_codes, node_bytes, (const unsigned char*)&mine + nodes_at, nodes, min(N_THREADS, n - begin),
        (const uint4*)dynamic, lanes, sums);
    __syncthreads();
    if (i >= n) return;
    const uint4 head = node_heads[entry.node];
    const float product = product_of_levels(
        __uint_as_float(head.x), __uint_as_float(head.y), mine.step, mine.total, sums[threadIdx.x]);
    const float offset = __uint_as_float(head.z);
    const float score = metric == IP ? __fsub_rn(-product, __fmul_rn(__fmul_rn(radius_weight, mine.norm), offset))
                                     : __fsub_rn(offset, __fmul_rn(2.0f, product));
    scores[mine.first_entry + i] = ordered_bits(settled(score));
    n_rows[mine.first_entry + i] = entry.n_rows;
}

// A block per query: the spans of rows and places that it scans, their plan, and the first of its statistics, which lie
// behind the `n_answers` of each query. Entries are taken by score until they name `budget` rows that are not revoked,
// all that score the same together.
extern "C" __global__ void __launch_bounds__(readings::N_THREADS, 4) choose_entries(
    const unsigned char* asked, int asked_bytes, const unsigned* entries, long long n_held, const unsigned* places,
    int is_exact, const unsigned* scores, const unsigned* n_rows, unsigned* span_first, unsigned* span_end,
    uint4* plans, key64* answers, int n_answers) {
    using namespace readings;
    __shared__ Choice choice;
    const Asked& mine = asked_of(asked, asked_bytes, blockIdx.x);
    const unsigned n = is_exact ? 0 : n_entries_of(mine.columns[0]) + n_entries_of(mine.columns[1]);
    const size_t at = spans_at(mine, blockIdx.x);
    scores += mine.first_entry;
    n_rows += mine.first_entry;
    span_first += at;
    span_end += at;
    if (threadIdx.x == 0) choice.n_spans = choice.n_rows = choice.n_named = choice.n_visited = 0;
    __syncthreads();
    add_wholes(choice, mine, span_first, span_end, places, is_exact, n > 0);
    unsigned reached = 0;
    while ((long long)choice.n_named < mine.budget && choice.n_visited < n) {
        const long long wanted = min(mine.budget - choice.n_named, 0xffffffffll);
        __syncthreads();
        const unsigned above = reached;
        reached = reach(choice, scores, n_rows, n, above, (unsigned)wanted);
        add_entries(choice, mine, entries, n_held, places, scores, n, above, reached, span_first, span_end);
    }
    if (threadIdx.x == 0) {
        plans[blockIdx.x] = {choice.n_spans, choice.n_rows, may_repeat(mine), 0};
        key64* statistics = answers + (size_t)blockIdx.x * (n_answers + 4) + n_answers;
        statistics[0] = n;
        statistics[1] = choice.n_visited;
        statistics[2] = statistics[3] = 0;
    }
}
