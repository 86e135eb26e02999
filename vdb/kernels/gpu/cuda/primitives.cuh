// What kernels use of the instruction set beyond plain CUDA C++: one function for each instruction.
//
// The tests run all other files on the CPU with functions of these names in plain C++: no file but this one has inline
// assembly. No headers are included, so that the compiler of the driver needs none.

typedef unsigned short half_bits;     // a float16, as its bits
typedef unsigned long long key64;     // what is sorted: 32 bits to order by, and the row

#define DYNAMIC_SHARED(name) extern __shared__ __align__(128) unsigned char name[]

#define ALL_LANES 0xffffffffu
#define POSITIVE_INFINITY __int_as_float(0x7f800000)

__device__ __forceinline__ float half_to_float(half_bits bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}

__device__ __forceinline__ half_bits float_to_half(float value) {  // to nearest, ties to even
    half_bits bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

// sum + the products of four unsigned bytes with four signed ones.
__device__ __forceinline__ int dot4(unsigned int unsigned_bytes, unsigned int signed_bytes, int sum) {
    int result;
    asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(result) : "r"(unsigned_bytes), "r"(signed_bytes), "r"(sum));
    return result;
}

// sum (16, 8) += a (16, 16) · b (16, 8), by the 32 lanes of a warp together; with g = lane / 4 and t = lane % 4 a lane has
//   a[0]: row g, columns 2t and 2t + 1; a[1]: row g + 8, the same; a[2]: row g, columns 2t + 8 and 2t + 9; a[3]: row g + 8
//   b[0]: rows 2t and 2t + 1, column g; b[1]: rows 2t + 8 and 2t + 9
//   sum[0], sum[1]: row g, columns 2t and 2t + 1; sum[2], sum[3]: row g + 8
// Halves lie two to a word, the lower one first.
__device__ __forceinline__ void mma_f16(float (&sum)[4], const unsigned int (&a)[4], const unsigned int (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ unsigned int shared_address(const void *pointer) {
    return (unsigned int)__cvta_generic_to_shared(pointer);
}

// Matrices of 8 rows of 8 halves from shared memory, by the 32 lanes of a warp together. `row` of lane 8j + i is row i of
// matrix j: 16 bytes at a multiple of 16. words[j] of a lane: row lane / 4 of matrix j, columns 2 (lane % 4) and the next.
__device__ __forceinline__ void load_matrix(unsigned int (&words)[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// Two matrices: `row` of lanes 0 to 15 counts.
__device__ __forceinline__ void load_matrix(unsigned int (&words)[2], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(words[0]), "=r"(words[1])
                 : "r"(shared_address(row))
                 : "memory");
}

// Each matrix transposed: words[j] of a lane: rows 2 (lane % 4) and the next of matrix j, column lane / 4.
__device__ __forceinline__ void load_matrix_transposed(unsigned int (&words)[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(shared_address(row))
                 : "memory");
}

__device__ __forceinline__ void load_matrix_transposed(unsigned int (&words)[2], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(words[0]), "=r"(words[1])
                 : "r"(shared_address(row))
                 : "memory");
}

// Begin to copy 16 bytes from global to shared memory, both at multiples of 16; zeros where they are not there.
__device__ __forceinline__ void copy_async16(void *shared, const void *global, bool is_there = true) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
                 "r"(is_there ? 16 : 0)
                 : "memory");
}

// The copies that this thread began since the last call are one group.
__device__ __forceinline__ void commit_copies() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

// Wait until all groups of this thread but the N latest have arrived; other threads see them after the next barrier.
template <int N>
__device__ __forceinline__ void wait_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}
