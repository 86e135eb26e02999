// The smallest of many keys, by a block together.

struct SelectScratch {
    unsigned histogram[256];
    key64 bound;        // keys of the same leading bytes as this are still undecided
    unsigned n_left;    // to be found among those
    unsigned is_done;
    unsigned n_chosen;
    unsigned n_others;
};

struct Bin {
    unsigned bin;     // 256 where all together hold too few
    unsigned before;  // what the bins before it hold
};

// The first bin up to which all together hold `wanted`, which is 1 or more. A whole warp calls it; all lanes are told.
__device__ __forceinline__ Bin find_bin(const unsigned* histogram, unsigned wanted) {
    const unsigned lane = threadIdx.x % 32;
    unsigned held = 0;
    for (unsigned i = 0; i < 8; i++) held += histogram[8 * lane + i];
    unsigned up_to = held;
    for (unsigned apart = 1; apart < 32; apart *= 2) {
        const unsigned lower = __shfl_up_sync(ALL_LANES, up_to, apart);
        if (lane >= apart) up_to += lower;
    }
    const unsigned reaching = __ballot_sync(ALL_LANES, up_to >= wanted);
    if (reaching == 0) return {256, 0};
    Bin found = {8 * lane, up_to - held};
    while (found.bin < 8 * lane + 7 && found.before + histogram[found.bin] < wanted) {
        found.before += histogram[found.bin++];
    }
    const int from = __ffs(reaching) - 1;
    return {__shfl_sync(ALL_LANES, found.bin, from), __shfl_sync(ALL_LANES, found.before, from)};
}

// A place of its own, in any order, for each thread that wants one. A whole warp calls it.
__device__ __forceinline__ unsigned take_place(bool is_wanted, unsigned* count) {
    const unsigned lane = threadIdx.x % 32, wanting = __ballot_sync(ALL_LANES, is_wanted);
    unsigned first = 0;
    if (lane == 0 && wanting != 0) first = atomicAdd(count, (unsigned)__popc(wanting));
    first = __shfl_sync(ALL_LANES, first, 0);
    return first + __popc(wanting & ((1u << lane) - 1));
}

// Sorts any number of keys in shared memory, ascending, and with HAS_ROWS the `rows` that go with them. Pairs that are
// 32 or fewer apart are a warp's own: it waits for nobody else.
template <int THREADS, bool HAS_ROWS>
__device__ void sort_keys(key64* keys, unsigned* rows, unsigned n) {
    for (unsigned run = 2; run / 2 < n; run *= 2) {
        for (unsigned apart = run / 2; apart > 0; apart /= 2) {
            for (unsigned pair = threadIdx.x; 2 * pair - (pair & (apart - 1)) < n; pair += THREADS) {
                const unsigned within = pair & (apart - 1), low = 2 * pair - within;
                // Of a run the first pairs mirror its halves, so that all are put in the same order.
                const unsigned high = apart == run / 2 ? low - within + run - 1 - within : low + apart;
                if (high < n && keys[low] > keys[high]) {
                    const key64 key = keys[low];
                    keys[low] = keys[high];
                    keys[high] = key;
                    if (HAS_ROWS) {
                        const unsigned row = rows[low];
                        rows[low] = rows[high];
                        rows[high] = row;
                    }
                }
            }
            const unsigned next = apart > 1 ? apart / 2 : run;
            if (apart > 32 || next > 32) {
                __syncthreads();
            } else {
                __syncwarp();
            }
        }
    }
    __syncthreads();
}

// The m-th smallest of n keys, 1 ≤ m ≤ n, or a greater one below the next: keys up to it are the m smallest, where all
// differ. Byte by byte from the top, the bin of the m-th is found: up to 8 passes over the keys, mostly 3 or 4.
template <int THREADS>
__device__ key64 bound_of_smallest(const key64* keys, unsigned n, unsigned m, SelectScratch& scratch) {
    if (threadIdx.x == 0) {
        scratch.bound = NO_KEY;
        scratch.n_left = m;
        scratch.is_done = 0;
    }
    __syncthreads();
    for (int shift = 56; shift >= 0 && !scratch.is_done; shift -= 8) {
        for (unsigned i = threadIdx.x; i < 256; i += THREADS) scratch.histogram[i] = 0;
        __syncthreads();
        const key64 leading = shift == 56 ? 0 : NO_KEY << (shift + 8), bound = scratch.bound;
        for (unsigned i = threadIdx.x; i < n; i += THREADS) {
            const key64 key = keys[i];
            if (((key ^ bound) & leading) == 0) atomicAdd(&scratch.histogram[(unsigned)(key >> shift) & 255u], 1u);
        }
        __syncthreads();
        if (threadIdx.x < 32) {
            const Bin found = find_bin(scratch.histogram, scratch.n_left);
            if (threadIdx.x == 0) {
                const unsigned n_left = scratch.n_left - found.before;
                // Where the whole bin is wanted, the bound is its greatest key: the lower bytes stay all ones.
                scratch.bound = (bound & ~(255ull << shift)) | (key64)found.bin << shift;
                scratch.is_done = scratch.histogram[found.bin] == n_left;
                scratch.n_left = n_left;
            }
        }
        __syncthreads();
    }
    const key64 bound = scratch.bound;
    __syncthreads();
    return bound;
}

// The m smallest of n keys, which differ unless NO_KEY, ascending in shared `chosen`, padded with NO_KEY to the next
// power of two that m reaches. The block calls it together; the keys may be overwritten after it.
template <int THREADS>
__device__ void select_smallest(
    const key64* keys, unsigned n, unsigned m, key64* chosen, SelectScratch& scratch) {
    unsigned n_slots = 1;
    while (n_slots < m) n_slots *= 2;
    for (unsigned i = threadIdx.x; i < n_slots; i += THREADS) chosen[i] = NO_KEY;
    if (threadIdx.x == 0) scratch.n_chosen = 0;
    __syncthreads();
    const key64 bound = n <= m ? NO_KEY : bound_of_smallest<THREADS>(keys, n, m, scratch);
    for (unsigned first = 0; first < n; first += THREADS) {
        const unsigned i = first + threadIdx.x;
        const key64 key = i < n ? keys[i] : NO_KEY;
        const unsigned place = take_place(key <= bound && key != NO_KEY, &scratch.n_chosen);
        if (key <= bound && key != NO_KEY && place < m) chosen[place] = key;
    }
    __syncthreads();
    sort_keys<THREADS, false>(chosen, nullptr, n_slots);
}

// The keys up to `bound` go before the others, in any order; returns how many they are. n ≤ THREADS · PER_THREAD.
template <int THREADS, int PER_THREAD, bool HAS_ROWS>
__device__ unsigned divide_keys(key64* keys, unsigned* rows, unsigned n, key64 bound, SelectScratch& scratch) {
    key64 own[PER_THREAD];
    unsigned own_rows[PER_THREAD];
    if (threadIdx.x == 0) scratch.n_chosen = scratch.n_others = 0;
#pragma unroll
    for (int j = 0; j < PER_THREAD; j++) {
        const unsigned i = threadIdx.x + j * THREADS;
        own[j] = i < n ? keys[i] : NO_KEY;
        own_rows[j] = HAS_ROWS && i < n ? rows[i] : 0;
    }
    __syncthreads();
#pragma unroll
    for (int j = 0; j < PER_THREAD; j++) {
        const bool is_there = threadIdx.x + j * THREADS < n, is_chosen = is_there && own[j] <= bound;
        const unsigned place = take_place(is_chosen, &scratch.n_chosen);
        const unsigned behind = take_place(is_there && !is_chosen, &scratch.n_others);
        if (!is_there) continue;
        const unsigned at = is_chosen ? place : n - 1 - behind;
        keys[at] = own[j];
        if (HAS_ROWS) rows[at] = own_rows[j];
    }
    __syncthreads();
    const unsigned n_chosen = scratch.n_chosen;
    __syncthreads();
    return n_chosen;
}

// Of sorted keys each once, in front; the rest is NO_KEY. Returns how many differ. n ≤ THREADS · PER_THREAD.
template <int THREADS, int PER_THREAD, bool HAS_ROWS>
__device__ unsigned drop_repeated(key64* keys, unsigned* rows, unsigned n, SelectScratch& scratch) {
    unsigned repeated = 0, n_first = 0;
    if (threadIdx.x == 0) scratch.n_chosen = 0;
#pragma unroll
    for (int j = 0; j < PER_THREAD; j++) {
        const unsigned i = threadIdx.x + j * THREADS;
        if (i >= n || keys[i] == NO_KEY) continue;
        const bool is_first = i == 0 || keys[i - 1] != keys[i];
        repeated |= (unsigned)!is_first << j;
        n_first += is_first;
    }
    if (__syncthreads_or(repeated != 0)) {
        for (int j = 0; j < PER_THREAD; j++) {
            if (repeated >> j & 1) keys[threadIdx.x + j * THREADS] = NO_KEY;
        }
        __syncthreads();
        sort_keys<THREADS, HAS_ROWS>(keys, rows, n);
    }
    atomicAdd(&scratch.n_chosen, n_first);
    __syncthreads();
    const unsigned n_different = scratch.n_chosen;
    __syncthreads();
    return n_different;
}

// The m smallest different of n keys in shared memory, to the front; returns how many there are, and in `limit` the m-th,
// NO_KEY where there are fewer. Sorted where keys may repeat, else in any order. n ≤ THREADS · PER_THREAD.
template <int THREADS, int PER_THREAD, bool HAS_ROWS>
__device__ unsigned keep_smallest(
    key64* keys, unsigned* rows, unsigned n, unsigned m, bool may_repeat, key64& limit, SelectScratch& scratch) {
    unsigned n_kept = 0;
    limit = NO_KEY;
    while (true) {
        const unsigned n_left = n - n_kept, n_wanted = m - n_kept;
        key64* left = keys + n_kept;
        unsigned* left_rows = HAS_ROWS ? rows + n_kept : nullptr;
        unsigned n_chosen = n_left;
        key64 bound = NO_KEY;
        if (n_left > n_wanted) {
            bound = bound_of_smallest<THREADS>(left, n_left, n_wanted, scratch);
            n_chosen = divide_keys<THREADS, PER_THREAD, HAS_ROWS>(left, left_rows, n_left, bound, scratch);
        }
        if (!may_repeat) {
            limit = bound;
            return n_chosen;
        }
        sort_keys<THREADS, HAS_ROWS>(left, left_rows, n_chosen);
        n_kept += drop_repeated<THREADS, PER_THREAD, HAS_ROWS>(left, left_rows, n_chosen, scratch);
        // With repeated keys gone there is room for some of those beyond the bound.
        if (n_kept == m) limit = keys[m - 1];
        if (n_kept == m || bound == NO_KEY) return n_kept;
    }
}
