// What CUDA C++ has beyond C++, as far as the kernels use it.

#define __global__
#define __device__
#define __host__
#define __constant__ OWN static
#define __shared__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __syncthreads() ((void)emulated::barrier(__LINE__, 0))
#define __syncthreads_or(condition) (emulated::barrier(__LINE__, condition) != 0)
#define __syncthreads_and(condition) (emulated::barrier(__LINE__, condition) == (int)emulated::n_threads)
#define __syncthreads_count(condition) (emulated::barrier(__LINE__, condition))
#define __trap() emulated::fault("__trap()")

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long long ull;

#define VECTORS_OF(T, name, n_bytes)                                                                      \
    struct __align__(2 * n_bytes) name##2 { T x, y; };                                                    \
    struct __align__(4 * n_bytes < 16 ? 4 * n_bytes : 16) name##4 { T x, y, z, w; };                      \
    static inline name##2 make_##name##2(T x, T y) { return {x, y}; }                                     \
    static inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
VECTORS_OF(signed char, char, 1)
VECTORS_OF(unsigned char, uchar, 1)
VECTORS_OF(short, short, 2)
VECTORS_OF(unsigned short, ushort, 2)
VECTORS_OF(int, int, 4)
VECTORS_OF(unsigned int, uint, 4)
VECTORS_OF(float, float, 4)
VECTORS_OF(long long, longlong, 8)
VECTORS_OF(unsigned long long, ulonglong, 8)
VECTORS_OF(double, double, 8)

// Numbers

template <class To, class From>
static inline To bits_as(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
static inline unsigned int __float_as_uint(float x) { return bits_as<unsigned int>(x); }
static inline int __float_as_int(float x) { return bits_as<int>(x); }
static inline float __uint_as_float(unsigned int x) { return bits_as<float>(x); }
static inline float __int_as_float(int x) { return bits_as<float>(x); }
static inline long long __double_as_longlong(double x) { return bits_as<long long>(x); }
static inline double __longlong_as_double(long long x) { return bits_as<double>(x); }

static inline int __popc(unsigned int x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
static inline unsigned int __umulhi(unsigned int a, unsigned int b) { return (unsigned long long)a * b >> 32; }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned __int128)a * b >> 64;
}
static inline unsigned int __byte_perm(unsigned int low, unsigned int high, unsigned int places) {
    const unsigned long long bytes = (unsigned long long)high << 32 | low;
    unsigned int result = 0;
    for (int i = 0; i < 4; i++) {
        const unsigned int place = places >> 4 * i & 15;
        unsigned int byte = bytes >> 8 * (place & 7) & 255;
        if (place & 8) byte = byte & 128 ? 255 : 0;
        result |= byte << 8 * i;
    }
    return result;
}

static inline float __fadd_rn(float a, float b) { volatile float sum = a + b; return sum; }
static inline float __fsub_rn(float a, float b) { volatile float difference = a - b; return difference; }
static inline float __fmul_rn(float a, float b) { volatile float product = a * b; return product; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __fdividef(float a, float b) { return a / b; }
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline int __float2int_rn(float x) { return (int)lrintf(x); }
static inline long long __float2ll_rn(float x) { return llrintf(x); }
static inline long long __double2ll_rn(double x) { return llrint(x); }
static inline float __int2float_rn(int x) { return (float)x; }
static inline float __uint2float_rn(unsigned int x) { return (float)x; }
static inline float __ll2float_rn(long long x) { return (float)x; }

#define LEAST_AND_MOST(T, A, B)                                          \
    static inline T min(A a, B b) { return (T)a < (T)b ? (T)a : (T)b; }  \
    static inline T max(A a, B b) { return (T)a > (T)b ? (T)a : (T)b; }
LEAST_AND_MOST(int, int, int)
LEAST_AND_MOST(unsigned int, unsigned int, unsigned int)
LEAST_AND_MOST(unsigned int, int, unsigned int)
LEAST_AND_MOST(unsigned int, unsigned int, int)
LEAST_AND_MOST(long long, long long, long long)
LEAST_AND_MOST(unsigned long long, unsigned long long, unsigned long long)
LEAST_AND_MOST(unsigned long long, long long, unsigned long long)
LEAST_AND_MOST(unsigned long long, unsigned long long, long long)
static inline float min(float a, float b) { return fminf(a, b); }
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }

// Memory

template <class T> static inline T __ldg(const T *at) { return *at; }
template <class T> static inline T __ldcg(const T *at) { return *at; }
template <class T> static inline T __ldcs(const T *at) { return *at; }
template <class T> static inline T __ldlu(const T *at) { return *at; }
template <class T> static inline void __stcs(T *at, T value) { *at = value; }
template <class T> static inline void __stcg(T *at, T value) { *at = value; }
static inline void __threadfence() {}
static inline void __threadfence_block() {}

// One thread runs at a time and is never stopped in between: what is atomic on a GPU is so by itself.
#define ATOMIC(name, T, value_after)                      \
    static inline T name(T *at, T value) {                \
        const T old = *at;                                \
        *at = value_after;                                \
        return old;                                       \
    }
#define ATOMICS(T)                                        \
    ATOMIC(atomicMin, T, value < old ? value : old)       \
    ATOMIC(atomicMax, T, value > old ? value : old)       \
    ATOMIC(atomicExch, T, value)                          \
    ATOMIC(atomicAnd, T, old & value)                     \
    ATOMIC(atomicOr, T, old | value)                      \
    ATOMIC(atomicXor, T, old ^ value)                     \
    static inline T atomicCAS(T *at, T compare, T value) { \
        const T old = *at;                                \
        if (old == compare) *at = value;                  \
        return old;                                       \
    }
ATOMICS(int)
ATOMICS(unsigned int)
ATOMICS(unsigned long long)
ATOMIC(atomicAdd, int, (int)((unsigned int)old + (unsigned int)value))
ATOMIC(atomicAdd, unsigned int, old + value)
ATOMIC(atomicAdd, unsigned long long, old + value)
ATOMIC(atomicAdd, float, old + value)
ATOMIC(atomicAdd, double, old + value)
ATOMIC(atomicSub, int, (int)((unsigned int)old - (unsigned int)value))
ATOMIC(atomicSub, unsigned int, old - value)
ATOMIC(atomicExch, float, value)

// Warps

namespace emulated {

template <class T>
struct Shuffle {
    T value, result;
    int from;
};

template <class T>
static void shuffle_all(void **of_lanes, unsigned int mask) {
    for (unsigned int left = mask; left; left &= left - 1) {
        Shuffle<T> &lane = *(Shuffle<T> *)of_lanes[__builtin_ctz(left)];
        if (!(mask >> lane.from & 1)) fault("a value of lane %d is asked for, which mask 0x%08x lacks", lane.from, mask);
        lane.result = ((Shuffle<T> *)of_lanes[lane.from])->value;
    }
}

template <class T>
static inline T shuffle(unsigned int mask, T value, int from) {
    Shuffle<T> own = {value, value, from};
    operate(mask, &own, shuffle_all<T>);
    return own.result;
}

struct Vote {
    bool condition;
    unsigned int holds;
};

static void vote_all(void **of_lanes, unsigned int mask) {
    unsigned int holds = 0;
    for (unsigned int left = mask; left; left &= left - 1)
        holds |= (unsigned int)((Vote *)of_lanes[__builtin_ctz(left)])->condition << __builtin_ctz(left);
    for (unsigned int left = mask; left; left &= left - 1) ((Vote *)of_lanes[__builtin_ctz(left)])->holds = holds;
}

template <class T>
struct Reduction {
    T value, result;
    T (*fold)(T, T);
};

template <class T>
static void reduce_all(void **of_lanes, unsigned int mask) {
    typedef Reduction<T> Of;
    T result = ((Of *)of_lanes[__builtin_ctz(mask)])->value;
    for (unsigned int left = mask & (mask - 1); left; left &= left - 1) {
        Of &lane = *(Of *)of_lanes[__builtin_ctz(left)];
        result = lane.fold(result, lane.value);
    }
    for (unsigned int left = mask; left; left &= left - 1) ((Of *)of_lanes[__builtin_ctz(left)])->result = result;
}

template <class T>
static inline T reduce(unsigned int mask, T value, T (*fold)(T, T)) {
    Reduction<T> own = {value, value, fold};
    operate(mask, &own, reduce_all<T>);
    return own.result;
}

template <class T>
static void match_all(void **of_lanes, unsigned int mask) {
    typedef Shuffle<T> Of;
    for (unsigned int left = mask; left; left &= left - 1) {
        unsigned int same = 0;
        Of &lane = *(Of *)of_lanes[__builtin_ctz(left)];
        for (unsigned int other = mask; other; other &= other - 1)
            if (((Of *)of_lanes[__builtin_ctz(other)])->value == lane.value) same |= other & -other;
        lane.from = (int)same;
    }
}

static void meet_all(void **, unsigned int) {}

static inline int own_lane() { return (int)(at_thread % 32); }

}  // namespace emulated

template <class T>
static inline T __shfl_sync(unsigned int mask, T value, int from, int width = 32) {
    const int first = emulated::own_lane() & ~(width - 1);
    return emulated::shuffle(mask, value, first + (from & (width - 1)));
}
template <class T>
static inline T __shfl_xor_sync(unsigned int mask, T value, int other, int width = 32) {
    const int from = emulated::own_lane() ^ other, last = emulated::own_lane() | (width - 1);
    return emulated::shuffle(mask, value, from <= last ? from : emulated::own_lane());
}
template <class T>
static inline T __shfl_up_sync(unsigned int mask, T value, unsigned int by, int width = 32) {
    const int from = emulated::own_lane() - (int)by, first = emulated::own_lane() & ~(width - 1);
    return emulated::shuffle(mask, value, from >= first ? from : emulated::own_lane());
}
template <class T>
static inline T __shfl_down_sync(unsigned int mask, T value, unsigned int by, int width = 32) {
    const int from = emulated::own_lane() + (int)by, last = emulated::own_lane() | (width - 1);
    return emulated::shuffle(mask, value, from <= last ? from : emulated::own_lane());
}
static inline unsigned int __ballot_sync(unsigned int mask, int condition) {
    emulated::Vote own = {condition != 0, 0};
    emulated::operate(mask, &own, emulated::vote_all);
    return own.holds;
}
static inline int __any_sync(unsigned int mask, int condition) { return __ballot_sync(mask, condition) != 0; }
static inline int __all_sync(unsigned int mask, int condition) { return __ballot_sync(mask, condition) == mask; }
static inline void __syncwarp(unsigned int mask = 0xffffffffu) { emulated::operate(mask, nullptr, emulated::meet_all); }
template <class T>
static inline unsigned int __match_any_sync(unsigned int mask, T value) {
    emulated::Shuffle<T> own = {value, value, 0};
    emulated::operate(mask, &own, emulated::match_all<T>);
    return (unsigned int)own.from;
}
#define REDUCTION(name, T, expression)                                                       \
    static inline T name(unsigned int mask, T value) {                                       \
        return emulated::reduce<T>(mask, value, [](T a, T b) -> T { return expression; });   \
    }
REDUCTION(__reduce_add_sync, int, (int)((unsigned int)a + (unsigned int)b))
REDUCTION(__reduce_add_sync, unsigned int, a + b)
REDUCTION(__reduce_min_sync, int, a < b ? a : b)
REDUCTION(__reduce_min_sync, unsigned int, a < b ? a : b)
REDUCTION(__reduce_max_sync, int, a > b ? a : b)
REDUCTION(__reduce_max_sync, unsigned int, a > b ? a : b)
REDUCTION(__reduce_or_sync, unsigned int, a | b)
REDUCTION(__reduce_and_sync, unsigned int, a & b)
