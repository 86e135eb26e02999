// What the kernels that search readings share: what is asked, where rows lie, sums of products of coded rows.

namespace readings {

const unsigned N_THREADS = 256;
const unsigned PAGE_SHIFT = 12;            // PAGE_ROWS of vdb.kernels.device
const unsigned REVOKED = 1u << 31;         // set in a place
const unsigned LISTED = 1u << 31;          // set in the first of a span that is of places, not of rows
const unsigned NO_ROW = 0xffffffffu;
const unsigned MOST_WHOLE = 6;             // spans that are scanned whole: tail, run and list of two readings
const float LARGEST = 3.402823466e+38f;
const int L2 = 1, IP = 2, COSINE = 0;
const unsigned ROWS_AT_ONCE = 4;           // of one group of lanes: as many loads are under way
enum Column { OWN_FIRST, OWN_STOP, OWN_ENTRIES, LIST_AT, LIST_N, LIST_ENTRIES, LIST_BASE, ENTRIES_AT, TAIL_AT, N_TAIL, COLUMNS };

// Of one query. Behind it lie its components: as nodes are compared, as rows are, as vectors are.
struct Asked {
    long long columns[2][COLUMNS];
    long long sequence, now_s, budget;
    long long first_entry;  // its first among the entries of all queries
    float step, total, norm;
    int unused;
};
static_assert(sizeof(Asked) == 208 && sizeof(Asked) % 16 == 0, "components begin at multiples of 16 bytes");

__device__ __forceinline__ const Asked& asked_of(const unsigned char* asked, int asked_bytes, unsigned query) {
    return *(const Asked*)(asked + (size_t)query * asked_bytes);
}

// A plan, uint4, is how many spans a query scans, how many rows they have, whether rows may be among them twice.

// Where the spans of a query begin, among those of all.
__device__ __forceinline__ size_t spans_at(const Asked& asked, unsigned query) {
    return (size_t)asked.first_entry + (size_t)query * MOST_WHOLE;
}

// What overflowed stays comparable, nan comes last.
__device__ __forceinline__ float settled(float score) {
    return score <= LARGEST ? (score >= -LARGEST ? score : -LARGEST) : LARGEST;
}

// Where a row of the index lies in the blocks; NO_ROW where its page is not there.
__device__ __forceinline__ unsigned place_of_row(const int* pages, unsigned n_pages, unsigned row) {
    const unsigned page = row >> PAGE_SHIFT;
    if (page >= n_pages || pages[page] < 0) return NO_ROW;
    return ((unsigned)pages[page] << PAGE_SHIFT) + (row & ((1u << PAGE_SHIFT) - 1));
}

// How many parts the rows of a query are scanned in.
__device__ __forceinline__ unsigned n_parts(unsigned n_rows, unsigned rows_of_part, unsigned most) {
    return max(1u, min(most, (n_rows + rows_of_part - 1) / rows_of_part));
}

// How rows are written; the first four as `reference_cells` numbers them. PRODUCTS and DIFFERENCES are float32 vectors
// that are compared for their own sake.
enum Form { LVQ8, LVQ4, FLOAT32, FLOAT16, PRODUCTS, DIFFERENCES };

template <int FORM>
struct Sums {
    typedef float Sum;
};
template <>
struct Sums<LVQ8> {
    typedef int Sum;
};
template <>
struct Sums<LVQ4> {
    typedef int Sum;
};

__device__ __forceinline__ int dot16(uint4 codes, uint4 query, int sum) {
    sum = dot4(codes.x, query.x, sum);
    sum = dot4(codes.y, query.y, sum);
    sum = dot4(codes.z, query.z, sum);
    return dot4(codes.w, query.w, sum);
}

__device__ __forceinline__ float dot_floats(uint4 row, uint4 query, float sum) {
    sum = fmaf(__uint_as_float(row.x), __uint_as_float(query.x), sum);
    sum = fmaf(__uint_as_float(row.y), __uint_as_float(query.y), sum);
    sum = fmaf(__uint_as_float(row.z), __uint_as_float(query.z), sum);
    return fmaf(__uint_as_float(row.w), __uint_as_float(query.w), sum);
}

__device__ __forceinline__ float add_square(unsigned row, unsigned query, float sum) {
    const float difference = __uint_as_float(row) - __uint_as_float(query);
    return fmaf(difference, difference, sum);
}

__device__ __forceinline__ uint4 halves_to_floats(unsigned first, unsigned second) {
    return {__float_as_uint(half_to_float((half_bits)first)), __float_as_uint(half_to_float((half_bits)(first >> 16))),
            __float_as_uint(half_to_float((half_bits)second)), __float_as_uint(half_to_float((half_bits)(second >> 16)))};
}

// Pieces of the query, of 16 bytes, that one piece of a row is multiplied with.
template <int FORM>
__device__ __forceinline__ constexpr unsigned query_pieces() {
    return FORM == LVQ4 || FORM == FLOAT16 ? 2 : 1;
}

// sum + what one piece of a row has in common with that of the query.
template <int FORM>
__device__ __forceinline__ typename Sums<FORM>::Sum add_piece(uint4 row, const uint4 (&query)[2], typename Sums<FORM>::Sum sum) {
    if constexpr (FORM == LVQ8) {
        return dot16(row, query[0], sum);
    } else if constexpr (FORM == LVQ4) {
        const unsigned low = 0x0f0f0f0fu;
        sum = dot16({row.x & low, row.y & low, row.z & low, row.w & low}, query[0], sum);
        return dot16({row.x >> 4 & low, row.y >> 4 & low, row.z >> 4 & low, row.w >> 4 & low}, query[1], sum);
    } else if constexpr (FORM == FLOAT16) {
        sum = dot_floats(halves_to_floats(row.x, row.y), query[0], sum);
        return dot_floats(halves_to_floats(row.z, row.w), query[1], sum);
    } else if constexpr (FORM == DIFFERENCES) {
        sum = add_square(row.x, query[0].x, sum);
        sum = add_square(row.y, query[0].y, sum);
        sum = add_square(row.z, query[0].z, sum);
        return add_square(row.w, query[0].w, sum);
    } else {
        return dot_floats(row, query[0], sum);
    }
}

// A piece of 16 bytes of a row; where rows are not multiples of 16 bytes, word by word, zeros behind the last.
template <bool IS_ALIGNED>
__device__ __forceinline__ uint4 load_piece(const unsigned char* row, unsigned piece, unsigned row_bytes) {
    if (IS_ALIGNED) return __ldg((const uint4*)row + piece);
    const unsigned* words = (const unsigned*)row + 4 * piece;
    const unsigned n = row_bytes / 4 - 4 * piece;
    return {__ldg(words), n > 1 ? __ldg(words + 1) : 0, n > 2 ? __ldg(words + 2) : 0, n > 3 ? __ldg(words + 3) : 0};
}

// For each of n rows at `places` (shared) its sum with the query, to `sums`; where the place is NO_ROW, whatever comes of
// `absent`, as many bytes as a row has. Groups of `lanes`, a power of two up to 32, read a row each, whole sectors of it
// together: ROWS_AT_ONCE loads of a thread are under way, none of them behind a branch, before the first is used.
template <int FORM, bool IS_ALIGNED>
__device__ __forceinline__ void sum_rows(
    const unsigned char* codes, unsigned row_bytes, const unsigned char* absent, const unsigned* places, unsigned n,
    const uint4* query, unsigned lanes, typename Sums<FORM>::Sum* sums) {
    const unsigned n_pieces = (row_bytes + 15) / 16, lane = threadIdx.x % lanes, n_groups = N_THREADS / lanes;
    for (unsigned first = threadIdx.x / lanes; first - threadIdx.x / lanes < n; first += ROWS_AT_ONCE * n_groups) {
        const unsigned char* rows[ROWS_AT_ONCE];
        typename Sums<FORM>::Sum sum[ROWS_AT_ONCE];
#pragma unroll
        for (unsigned j = 0; j < ROWS_AT_ONCE; j++) {
            const unsigned i = first + j * n_groups, place = places[min(i, n - 1)];
            rows[j] = place == NO_ROW ? absent : codes + (size_t)place * row_bytes;
            sum[j] = 0;
        }
#pragma unroll 1
        for (unsigned piece = lane; piece < n_pieces; piece += lanes) {
            uint4 words[ROWS_AT_ONCE], asked[2];
#pragma unroll
            for (unsigned j = 0; j < ROWS_AT_ONCE; j++) words[j] = load_piece<IS_ALIGNED>(rows[j], piece, row_bytes);
#pragma unroll
            for (unsigned j = 0; j < query_pieces<FORM>(); j++) asked[j] = query[query_pieces<FORM>() * piece + j];
#pragma unroll
            for (unsigned j = 0; j < ROWS_AT_ONCE; j++) sum[j] = add_piece<FORM>(words[j], asked, sum[j]);
        }
        for (unsigned apart = lanes / 2; apart > 0; apart /= 2) {
#pragma unroll
            for (unsigned j = 0; j < ROWS_AT_ONCE; j++) sum[j] += __shfl_xor_sync(ALL_LANES, sum[j], apart);
        }
#pragma unroll
        for (unsigned j = 0; j < ROWS_AT_ONCE; j++) {
            const unsigned i = first + j * n_groups;
            if (lane == 0 && i < n) sums[i] = sum[j];
        }
    }
}

// Words of 16 bytes from global to shared memory, by a block together.
__device__ __forceinline__ void copy_words(uint4* to, const unsigned char* from, unsigned n_bytes) {
    for (unsigned i = threadIdx.x; i < n_bytes / 16; i += N_THREADS) to[i] = ((const uint4*)from)[i];
}

// <q, x> of coded rows: rounded as written, so that it is the same on every machine.
__device__ __forceinline__ float product_of_levels(float row_step, float bias, float step, float total, int levels) {
    return __fadd_rn(__fmul_rn(__fmul_rn(row_step, step), __int2float_rn(levels)), __fmul_rn(bias, total));
}

}  // namespace readings
