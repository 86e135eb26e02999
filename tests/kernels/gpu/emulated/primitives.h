// The functions of vdb/kernels/gpu/cuda/primitives.cuh, by what NVIDIA's documentation of PTX says of each instruction.

typedef unsigned short half_bits;
typedef unsigned long long key64;

#define DYNAMIC_SHARED(name) unsigned char *const name = emulated::dynamic_shared

#define ALL_LANES 0xffffffffu
#define POSITIVE_INFINITY __int_as_float(0x7f800000)

namespace emulated {

static float value_of_half(unsigned int bits) {
    const int sign = bits & 0x8000 ? -1 : 1, exponent = bits >> 10 & 31, fraction = bits & 1023;
    if (exponent == 31) return bits_as<float>((bits & 0x8000u) << 16 | 0x7f800000u | (unsigned int)fraction << 13);
    const float value = exponent ? ldexpf(1024.0f + fraction, exponent - 25) : ldexpf(fraction, -24);
    return sign < 0 ? -value : value;
}

struct Halves {
    float values[65536];

    Halves() {
        for (unsigned int bits = 0; bits < 65536; bits++) values[bits] = value_of_half(bits);
    }
};

OWN static const Halves &halves = *new Halves;

struct Product {
    float *sum;
    const unsigned int *a, *b;
};

// D = A · B + D, m16n8k16: which element each register of each lane holds is drawn in the part on mma.m16n8k16.
static void multiply_all(void **of_lanes, unsigned int mask) {
    float a[16][16], b[16][8], sum[16][8];
    if (mask != ALL_LANES) fault("mma without all lanes");
    for (int lane = 0; lane < 32; lane++) {
        const Product &of = *(Product *)of_lanes[lane];
        const int group = lane >> 2, in_group = lane & 3;
        for (int i = 0; i < 8; i++) {
            const int row = i < 2 || (i >= 4 && i < 6) ? group : group + 8;
            const int column = in_group * 2 + (i & 1) + (i < 4 ? 0 : 8);
            a[row][column] = halves.values[of.a[i / 2] >> 16 * (i & 1) & 0xffff];
        }
        for (int i = 0; i < 4; i++)
            b[in_group * 2 + (i & 1) + (i < 2 ? 0 : 8)][group] = halves.values[of.b[i / 2] >> 16 * (i & 1) & 0xffff];
        for (int i = 0; i < 4; i++) sum[i < 2 ? group : group + 8][in_group * 2 + (i & 1)] = of.sum[i];
    }
    for (int row = 0; row < 16; row++)
        for (int k = 0; k < 16; k++)
            for (int column = 0; column < 8; column++) sum[row][column] += a[row][k] * b[k][column];
    for (int lane = 0; lane < 32; lane++)
        for (int i = 0; i < 4; i++)
            ((Product *)of_lanes[lane])->sum[i] = sum[i < 2 ? lane >> 2 : (lane >> 2) + 8][(lane & 3) * 2 + (i & 1)];
}

struct Loaded {
    unsigned int *words;
    const unsigned char *row;
};

template <int n, bool is_transposed>
static void load_all(void **of_lanes, unsigned int mask) {
    if (mask != ALL_LANES) fault("ldmatrix without all lanes");
    for (int matrix = 0; matrix < n; matrix++) {
        half_bits values[8][8];
        for (int row = 0; row < 8; row++) {
            const unsigned char *at = ((Loaded *)of_lanes[matrix * 8 + row])->row;
            if ((uintptr_t)at % 16) fault("a row of ldmatrix that is not at a multiple of 16");
            const bool is_static = at >= __bss_start && at + 16 <= _end;
            if (!is_static && (at < dynamic_shared || at + 16 > shared_end))
                fault("a row of ldmatrix that is not in shared memory");
            memcpy(values[row], at, 16);
        }
        for (int lane = 0; lane < 32; lane++) {
            const int row = lane / 4, column = lane % 4 * 2;
            const half_bits low = is_transposed ? values[column][row] : values[row][column];
            const half_bits high = is_transposed ? values[column + 1][row] : values[row][column + 1];
            ((Loaded *)of_lanes[lane])->words[matrix] = (unsigned int)high << 16 | low;
        }
    }
}

}  // namespace emulated

static inline float half_to_float(half_bits bits) { return emulated::halves.values[bits]; }

static inline half_bits float_to_half(float value) {
    const unsigned int bits = __float_as_uint(value), sign = bits >> 16 & 0x8000;
    const float size = fabsf(value);
    if (isnan(value)) return 0x7fff;
    if (size >= 65520.0f) return sign | 0x7c00;
    if (size < 0x1p-14f) return sign | (unsigned int)lrintf(size * 0x1p24f);
    const unsigned int kept = bits & 0x7fffffff;
    return sign | ((kept - 0x38000000u + 0xfffu + (kept >> 13 & 1)) >> 13);
}

static inline int dot4(unsigned int unsigned_bytes, unsigned int signed_bytes, int sum) {
    unsigned int result = (unsigned int)sum;
    for (int shift = 0; shift < 32; shift += 8)
        result += (unsigned int)((int)(unsigned_bytes >> shift & 255) * (int)(signed char)(signed_bytes >> shift & 255));
    return (int)result;
}

static inline void mma_f16(float (&sum)[4], const unsigned int (&a)[4], const unsigned int (&b)[2]) {
    emulated::Product own = {sum, a, b};
    emulated::operate(ALL_LANES, &own, emulated::multiply_all);
}

template <int n>
static inline void load_matrix(unsigned int (&words)[n], const void *row) {
    static_assert(n == 2 || n == 4);
    emulated::Loaded own = {words, (const unsigned char *)row};
    emulated::operate(ALL_LANES, &own, emulated::load_all<n, false>);
}

template <int n>
static inline void load_matrix_transposed(unsigned int (&words)[n], const void *row) {
    static_assert(n == 2 || n == 4);
    emulated::Loaded own = {words, (const unsigned char *)row};
    emulated::operate(ALL_LANES, &own, emulated::load_all<n, true>);
}

static inline void copy_async16(void *shared, const void *global, bool is_there = true) {
    emulated::begin_copy(shared, global, is_there);
}

static inline void commit_copies() { emulated::fibers[emulated::at_thread].group++; }

template <int N>
static inline void wait_copies() {
    emulated::end_copies(N);
}
