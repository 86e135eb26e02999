// The smallest of many keys, by a block together.

struct SelectScratch {
    unsigned histogram[256];
    key64 bound;  // keys of the same leading bytes as this are still undecided
    unsigned n_left;           // to be found among those
    unsigned is_done;
    unsigned n_chosen;
};

// Sorts a power of two of keys in shared memory, ascending. The block calls it together.
template <int THREADS>
__device__ void sort_keys(key64* keys, unsigned n) {
    for (unsigned run = 2; run <= n; run *= 2) {
        for (unsigned apart = run / 2; apart > 0; apart /= 2) {
            for (unsigned i = threadIdx.x; i < n / 2; i += THREADS) {
                const unsigned low = 2 * i - (i & (apart - 1)), high = low + apart;
                const key64 first = keys[low], second = keys[high];
                if ((first > second) == ((low & run) == 0)) {
                    keys[low] = second;
                    keys[high] = first;
                }
            }
            __syncthreads();
        }
    }
}

// The byte in which the undecided keys are told apart next: the bin that holds the last of those wanted.
template <int THREADS>
__device__ void narrow(const key64* keys, unsigned n, int shift, SelectScratch& scratch) {
    for (unsigned i = threadIdx.x; i < 256; i += THREADS) scratch.histogram[i] = 0;
    __syncthreads();
    const key64 leading = shift == 56 ? 0 : NO_KEY << (shift + 8), bound = scratch.bound;
    for (unsigned i = threadIdx.x; i < n; i += THREADS) {
        const key64 key = keys[i];
        if (((key ^ bound) & leading) == 0) atomicAdd(&scratch.histogram[(unsigned)(key >> shift) & 255u], 1u);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        unsigned bin = 0, n_left = scratch.n_left;
        for (; scratch.histogram[bin] < n_left; bin++) n_left -= scratch.histogram[bin];
        // Where the whole bin is wanted, the bound is its greatest key: the lower bytes stay all ones.
        scratch.bound = (bound & ~(255ull << shift)) | (key64)bin << shift;
        scratch.is_done = scratch.histogram[bin] == n_left;
        scratch.n_left = n_left;
    }
    __syncthreads();
}

// The m smallest of n keys, which differ unless NO_KEY, ascending in shared `chosen`, padded with NO_KEY to the next
// power of two that m reaches. The block calls it together; the keys may be overwritten after it. Byte by byte from the
// top, the bin of the m-th is found: up to 8 passes over the keys, mostly 3 or 4.
template <int THREADS>
__device__ void select_smallest(
    const key64* keys, unsigned n, unsigned m, key64* chosen, SelectScratch& scratch) {
    unsigned n_slots = 1;
    while (n_slots < m) n_slots *= 2;
    for (unsigned i = threadIdx.x; i < n_slots; i += THREADS) chosen[i] = NO_KEY;
    if (threadIdx.x == 0) {
        scratch.bound = NO_KEY;
        scratch.n_left = m;
        scratch.is_done = n <= m;
        scratch.n_chosen = 0;
    }
    __syncthreads();
    for (int shift = 56; shift >= 0 && !scratch.is_done; shift -= 8) {
        __syncthreads();  // all have read `is_done`
        narrow<THREADS>(keys, n, shift, scratch);
    }
    const key64 bound = scratch.bound;
    for (unsigned i = threadIdx.x; i < n; i += THREADS) {
        const key64 key = keys[i];
        if (key <= bound && key != NO_KEY) {
            const unsigned place = atomicAdd(&scratch.n_chosen, 1u);
            if (place < m) chosen[place] = key;
        }
    }
    __syncthreads();
    sort_keys<THREADS>(chosen, n_slots);
}
