// Kernels that do what a GPU does not define: one fault each.

extern "C" __global__ void part_at_barrier(int *out) {
    if (threadIdx.x < 7) __syncthreads();
    out[threadIdx.x] = 1;
}

extern "C" __global__ void two_barriers(int *out) {
    if (threadIdx.x < 7) {
        __syncthreads();
    } else {
        __syncthreads();
    }
    out[threadIdx.x] = 1;
}

extern "C" __global__ void lane_is_missing(int *out) {
    if (threadIdx.x != 3) out[threadIdx.x] = __shfl_sync(ALL_LANES, (int)threadIdx.x, 0);
}

extern "C" __global__ void lane_is_not_in_mask(int *out) {
    out[threadIdx.x] = __shfl_sync(0x7fffffffu, (int)threadIdx.x, 0);
}

extern "C" __global__ void from_lane_outside(int *out) {
    if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(0xffffu, (int)threadIdx.x, 20);
}

extern "C" __global__ void write_behind(int *out) { out[blockDim.x] = 1; }

extern "C" __global__ void write_before(int *out) { out[-1 - (int)threadIdx.x] = 1; }

extern "C" __global__ void read_far(int *out) { out[threadIdx.x] = out[threadIdx.x + 100000]; }

extern "C" __global__ void not_aligned(int *out) { *(int4 *)(out + 1) = *(int4 *)(out + 2); }

extern "C" __global__ void behind_array(int *out) {
    __shared__ int held[32];
    held[threadIdx.x + 1] = 1;
    __syncthreads();
    out[threadIdx.x] = held[threadIdx.x];
}

extern "C" __global__ void behind_dynamic(int *out) {
    DYNAMIC_SHARED(bytes);
    ((int *)bytes)[threadIdx.x + 1] = 1;
    out[threadIdx.x] = 0;
}

extern "C" __global__ void no_wait(int *out) {
    __shared__ int4 held[32];
    copy_async16(&held[threadIdx.x], out);
    commit_copies();
    out[threadIdx.x] = held[threadIdx.x].x;
}

extern "C" __global__ void by_order(int *out) {
    __shared__ int held[32];
    held[threadIdx.x] = (int)threadIdx.x;
    out[threadIdx.x] = held[31 - threadIdx.x];
}
