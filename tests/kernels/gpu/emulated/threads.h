// CUDA's threads on the CPU: the blocks of a grid one after the other, the threads of a block as fibers of one thread.
//
// A fiber runs until its thread waits for others: at a barrier of the block or at an operation of its warp. What a GPU
// would leave undefined is a fault here: a barrier that not all threads reach, a warp's operation without all the lanes
// that its mask names, an access outside of blocks and of shared memory. Memory is filled with 0xCD before it is used.

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <type_traits>
#include <utility>

struct uint3 { unsigned int x, y, z; };
struct dim3 { unsigned int x, y, z; };

// Zeroed memory of the library is the __shared__ memory that is not dynamic, and nothing else: variables of the emulation
// are OWN. (A section for the former would not do: g++ ignores it inside of templates.)
extern "C" unsigned char __bss_start[] __attribute__((visibility("hidden")));
extern "C" unsigned char _end[] __attribute__((visibility("hidden")));
#define OWN __attribute__((section("emulated_own")))

OWN static uint3 threadIdx, blockIdx;
OWN static dim3 blockDim, gridDim;
static const int warpSize = 32;

#if defined(__x86_64__)
asm(R"(
.text
.globl emulated_switch
.hidden emulated_switch
.type emulated_switch, @function
emulated_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emulated_switch, . - emulated_switch
)");
#elif defined(__aarch64__)
asm(R"(
.text
.globl emulated_switch
.hidden emulated_switch
.type emulated_switch, %function
emulated_switch:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    ret
.size emulated_switch, . - emulated_switch
)");
#else
#error "fibers are written for x86-64 and aarch64"
#endif
// Keep this stack's registers, its pointer in `kept`, and go on with the stack `next`.
extern "C" __attribute__((visibility("hidden"))) void emulated_switch(void **kept, void *next);

namespace emulated {

const unsigned int most_threads = 1024, most_copies = 256;
const size_t stack_bytes = 96 * 1024 + 320;  // no power of two: the tops of stacks share no lines of a cache
const size_t most_shared_bytes = 256 * 1024;
const unsigned char poison = 0xCD, guard = 0xA5;

enum State : unsigned char { can_run, at_barrier, at_operation, is_done };
typedef void (*Complete)(void **of_lanes, unsigned int mask);

struct Copy {
    void *shared;
    const void *global;
    int group;
    bool is_there;
};

struct Fiber {
    void *stack;
    State state;
    int line;           // of the barrier that it waits at
    unsigned int mask;  // and of the operation
    Complete complete;
    int group, n_copies;
    Copy copies[most_copies];
};

OWN static Fiber *fibers;
OWN static void *of_lanes[most_threads];             // what each thread hands to an operation of its warp
OWN static unsigned int runnable[32], waiting[32];   // lanes of each warp
OWN static unsigned int n_threads, n_at_barrier, n_done, at_thread;
OWN static int barrier_line, n_true, of_barrier;
OWN static bool is_backwards, is_running = false;
OWN static unsigned char *stacks, *shared_end, *dynamic_shared;
OWN static void *scheduler;
OWN static void (*kernel_call)(void **);
OWN static void **kernel_arguments;
OWN static const char *kernel_name;
OWN static char message[640];
OWN static uintptr_t fault_address;
OWN static sigjmp_buf escape;

[[noreturn]] static __attribute__((format(printf, 1, 2))) void fault(const char *format, ...) {
    int n = snprintf(message, sizeof message, "%s, block (%u, %u), thread %u: ", kernel_name, blockIdx.x, blockIdx.y,
                     at_thread);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message + n, sizeof message - n, format, arguments);
    va_end(arguments);
    siglongjmp(escape, 1);
}

static void wait_for_others() {
    emulated_switch(&fibers[at_thread].stack, scheduler);
}

// All threads of a block, at one place of the source. Returns for how many the condition holds.
static int barrier(int line, int condition) {
    if (n_done) fault("line %d: __syncthreads() when %u threads are done", line, n_done);
    if (n_at_barrier && barrier_line != line)
        fault("__syncthreads() in line %d while other threads are at the one in line %d", line, barrier_line);
    barrier_line = line;
    n_true += condition != 0;
    if (++n_at_barrier < n_threads) {
        fibers[at_thread].state = at_barrier;
        wait_for_others();
        return of_barrier;
    }
    of_barrier = n_true;
    n_true = n_at_barrier = 0;
    for (unsigned int i = 0; i < n_threads; i++)
        if (i != at_thread) {
            fibers[i].state = can_run;
            runnable[i / 32] |= 1u << i % 32;
        }
    return of_barrier;
}

// The lanes of `mask` together: the last to come does what all came for.
static void operate(unsigned int mask, void *of_lane, Complete complete) {
    const unsigned int warp = at_thread / 32, own = 1u << at_thread % 32;
    Fiber &fiber = fibers[at_thread];
    if (!(mask & own)) fault("an operation of the warp with mask 0x%08x, which lacks the lane itself", mask);
    fiber.mask = mask;
    fiber.complete = complete;
    fiber.state = at_operation;
    of_lanes[at_thread] = of_lane;
    waiting[warp] |= own;
    bool is_last = (waiting[warp] & mask) == mask;
    for (unsigned int left = mask; is_last && left; left &= left - 1) {
        const Fiber &other = fibers[warp * 32 + __builtin_ctz(left)];
        is_last = other.mask == mask && other.complete == complete;
    }
    if (!is_last) return wait_for_others();
    complete(of_lanes + warp * 32, mask);
    waiting[warp] &= ~mask;
    runnable[warp] |= mask & ~own;
    for (unsigned int left = mask; left; left &= left - 1) fibers[warp * 32 + __builtin_ctz(left)].state = can_run;
}

static void run_thread() {
    kernel_call(kernel_arguments);
    fibers[at_thread].state = is_done;
    n_done++;
    if (n_at_barrier) fault("is done while %u threads wait at the __syncthreads() in line %d", n_at_barrier, barrier_line);
    wait_for_others();
    __builtin_unreachable();
}

static void begin_thread(unsigned int i) {
    uintptr_t top = (uintptr_t)(stacks + (i + 1) * stack_bytes) & ~(uintptr_t)15;
    void **at = (void **)top;
#if defined(__x86_64__)
    *--at = nullptr;
    *--at = (void *)run_thread;
    at -= 6;
#else
    at -= 20;
    at[10] = nullptr;
    at[11] = (void *)run_thread;
#endif
    Fiber &fiber = fibers[i];
    fiber.stack = at;
    fiber.state = can_run;
    fiber.group = fiber.n_copies = 0;
}

static void run_warp(unsigned int warp) {
    while (runnable[warp]) {
        unsigned int lane = is_backwards ? 31 - __builtin_clz(runnable[warp]) : __builtin_ctz(runnable[warp]);
        runnable[warp] &= ~(1u << lane);
        at_thread = warp * 32 + lane;
        threadIdx.x = at_thread;
        emulated_switch(&scheduler, fibers[at_thread].stack);
    }
}

static void check_stacks() {
    for (unsigned int i = 0; i < n_threads; i++)
        for (size_t byte = 0; byte < 64; byte++)
            if (stacks[i * stack_bytes + byte] != guard) fault("the stack of thread %u is too small", i);
}

static void check_dynamic(unsigned int shared_bytes) {
    for (unsigned char *at = dynamic_shared + shared_bytes; at < shared_end; at++)
        if (*at != guard) fault("a write %d bytes behind dynamic shared memory", int(at - dynamic_shared - shared_bytes));
    for (int i = 1; i <= 256; i++)
        if (dynamic_shared[-i] != guard) fault("a write %d bytes before dynamic shared memory", i);
}

static void run_block(unsigned int shared_bytes) {
    memset(__bss_start, poison, _end - __bss_start);
    memset(dynamic_shared, poison, shared_bytes);
    n_at_barrier = n_done = 0;
    n_true = 0;
    const unsigned int n_warps = (n_threads + 31) / 32;
    for (unsigned int warp = 0; warp < n_warps; warp++) {
        const unsigned int n_lanes = n_threads - warp * 32 < 32 ? n_threads - warp * 32 : 32;
        runnable[warp] = n_lanes == 32 ? 0xffffffffu : (1u << n_lanes) - 1;
        waiting[warp] = 0;
    }
    for (unsigned int i = 0; i < n_threads; i++) begin_thread(i);
    for (bool has_run = true; has_run;) {
        has_run = false;
        for (unsigned int i = 0; i < n_warps; i++) {
            const unsigned int warp = is_backwards ? n_warps - 1 - i : i;
            has_run |= runnable[warp] != 0;
            run_warp(warp);
        }
    }
    for (at_thread = 0; at_thread < n_threads; at_thread++)
        if (fibers[at_thread].state == at_operation)
            fault("an operation of the warp with mask 0x%08x waits for lanes that do not come; 0x%08x are there",
                  fibers[at_thread].mask, waiting[at_thread / 32]);
    at_thread = 0;
    if (n_done < n_threads) fault("%u threads wait at the __syncthreads() in line %d for others", n_at_barrier, barrier_line);
    check_stacks();
    check_dynamic(shared_bytes);
}

static void begin_copy(void *shared, const void *global, bool is_there) {
    Fiber &fiber = fibers[at_thread];
    if ((uintptr_t)shared % 16 || (uintptr_t)global % 16) fault("an asynchronous copy that is not at a multiple of 16");
    if (fiber.n_copies == (int)most_copies) fault("more than %u asynchronous copies on their way", most_copies);
    fiber.copies[fiber.n_copies++] = {shared, global, fiber.group, is_there};
}

static void end_copies(int n_left) {  // not before they are waited for: who reads too early finds what was there
    Fiber &fiber = fibers[at_thread];
    int n_kept = 0;
    for (int i = 0; i < fiber.n_copies; i++) {
        const Copy copy = fiber.copies[i];
        if (copy.group >= fiber.group - n_left)
            fiber.copies[n_kept++] = copy;
        else if (copy.is_there)
            memcpy(copy.shared, copy.global, 16);
        else
            memset(copy.shared, 0, 16);
    }
    fiber.n_copies = n_kept;
}

}  // namespace emulated
