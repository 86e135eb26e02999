// What the tests call: memory between pages that cannot be touched, and launches of kernels by their number.

namespace emulated {

// What a parameter of a kernel is, for whoever passes it: p a pointer, i signed, u unsigned, f float; and its bytes, of
// a pointer those of what it points to, 0 for a structure.
template <class T>
void describe(char *&at) {
    using Value = std::remove_cv_t<std::remove_pointer_t<T>>;
    const char kind = std::is_pointer_v<T> ? 'p' : std::is_floating_point_v<T> ? 'f' : std::is_signed_v<T> ? 'i' : 'u';
    at += sprintf(at, "%c%d ", kind, std::is_arithmetic_v<Value> ? (int)sizeof(Value) : 0);
}

template <auto kernel>
struct Kernel;

template <class... Arguments, void (*kernel)(Arguments...)>
struct Kernel<kernel> {
    static void call(void **arguments) { call(arguments, std::index_sequence_for<Arguments...>{}); }

    template <size_t... i>
    static void call(void **arguments, std::index_sequence<i...>) {
        kernel(*(std::remove_cv_t<Arguments> *)arguments[i]...);
    }

    static void signature(char *at) {
        (describe<Arguments>(at), ...);
        *at = 0;
    }
};

struct Entry {
    const char *name;
    void (*call)(void **);
    void (*signature)(char *);
};

static size_t page_bytes() { return sysconf(_SC_PAGESIZE); }

const size_t moat_bytes = 1 << 20;  // before and behind each block: addresses that cannot be touched

static size_t pages_bytes(size_t n_bytes) {  // whole pages for a block that begins at a multiple of 256
    return (n_bytes + 256 + page_bytes() - 1) / page_bytes() * page_bytes();
}

static unsigned char *map(size_t n_bytes) {
    unsigned char *at = (unsigned char *)mmap(nullptr, n_bytes + 2 * moat_bytes, PROT_NONE,
                                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return nullptr;
    if (mprotect(at + moat_bytes, n_bytes, PROT_READ | PROT_WRITE)) return nullptr;
    return at + moat_bytes;
}

const size_t alternate_bytes = 64 * 1024;
OWN static unsigned char *alternate;

static bool prepare() {
    if (stacks) return true;
    alternate = map(alternate_bytes);
    fibers = (Fiber *)map((most_threads * sizeof(Fiber) + page_bytes()) / page_bytes() * page_bytes());
    unsigned char *shared = map(most_shared_bytes + 4096);
    stacks = map((most_threads * stack_bytes + page_bytes()) / page_bytes() * page_bytes());
    if (!alternate || !fibers || !shared || !stacks) return false;
    shared_end = shared + most_shared_bytes + 4096;
    for (unsigned int i = 0; i < most_threads; i++) memset(stacks + i * stack_bytes, guard, 64);
    return true;
}

static void place_shared(unsigned int shared_bytes) {
    dynamic_shared = (unsigned char *)((uintptr_t)(shared_end - shared_bytes) & ~(uintptr_t)127);
    memset(dynamic_shared - 256, guard, 256);
    memset(dynamic_shared + shared_bytes, guard, shared_end - dynamic_shared - shared_bytes);
}

OWN static struct sigaction before[4];
OWN static stack_t stack_before;
static const int signals[4] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};

static void on_signal(int number, siginfo_t *information, void *) {
    if (!is_running) {
        signal(number, SIG_DFL);
        return;
    }
    fault_address = number == SIGSEGV || number == SIGBUS ? (uintptr_t)information->si_addr : 0;
    if (number == SIGILL) fault("an index outside of its array, or a trap");
    if (number == SIGFPE) fault("a division by zero");
    if (!fault_address) fault("an access that is not at a multiple of its size, or to where no memory can be");
    if (fault_address - (uintptr_t)shared_end < moat_bytes) fault("an access behind dynamic shared memory");
    fault("an access to %p, outside of all memory", information->si_addr);
}

static void catch_signals(bool is_on) {
    stack_t stack = {};
    stack.ss_sp = alternate;
    stack.ss_size = alternate_bytes;
    struct sigaction action = {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    if (is_on) sigaltstack(&stack, &stack_before);
    for (int i = 0; i < 4; i++)
        if (is_on)
            sigaction(signals[i], &action, &before[i]);
        else
            sigaction(signals[i], &before[i], nullptr);
    if (!is_on) sigaltstack(&stack_before, nullptr);
}

static bool run(const Entry &entry, const unsigned int *grid, unsigned int shared_bytes, void **arguments) {
    kernel_name = entry.name;
    kernel_call = entry.call;
    kernel_arguments = arguments;
    fault_address = 0;
    gridDim = {grid[0], grid[1], 1};
    blockDim = {n_threads, 1, 1};
    if (!prepare()) {
        snprintf(message, sizeof message, "no memory for stacks");
        return false;
    }
    place_shared(shared_bytes);
    catch_signals(true);
    is_running = true;
    const bool has_failed = sigsetjmp(escape, 0);
    if (!has_failed) {
        const uint64_t n_blocks = (uint64_t)grid[0] * grid[1];
        for (uint64_t i = 0; i < n_blocks; i++) {
            const uint64_t at = is_backwards ? n_blocks - 1 - i : i;
            blockIdx = {(unsigned int)(at % grid[0]), (unsigned int)(at / grid[0]), 0};
            run_block(shared_bytes);
        }
    }
    is_running = false;
    catch_signals(false);
    return !has_failed;
}

}  // namespace emulated

#pragma GCC visibility push(default)
extern "C" {

// A block of memory between pages that cannot be touched, filled with poison; null where there is none.
void *emulated_allocate(size_t n_bytes) {
    using namespace emulated;
    unsigned char *first = map(pages_bytes(n_bytes));
    if (!first) return nullptr;
    unsigned char *end = first + pages_bytes(n_bytes);
    unsigned char *block = (unsigned char *)((uintptr_t)(end - n_bytes) & ~(uintptr_t)255);
    memset(first, guard, block - first);
    memset(block, poison, n_bytes);
    memset(block + n_bytes, guard, end - block - n_bytes);
    return block;
}

void emulated_free(void *block, size_t n_bytes) {
    using namespace emulated;
    const size_t bytes = pages_bytes(n_bytes);
    const uintptr_t end = ((uintptr_t)block + n_bytes + page_bytes() - 1) / page_bytes() * page_bytes();
    munmap((void *)(end - bytes - moat_bytes), bytes + 2 * moat_bytes);
}

// Whether nothing was written around a block.
int emulated_is_intact(const unsigned char *block, size_t n_bytes) {
    using namespace emulated;
    const uintptr_t end = ((uintptr_t)block + n_bytes + page_bytes() - 1) / page_bytes() * page_bytes();
    for (const unsigned char *at = (unsigned char *)(end - pages_bytes(n_bytes)); at < block; at++)
        if (*at != guard) return 0;
    for (const unsigned char *at = block + n_bytes; at < (unsigned char *)end; at++)
        if (*at != guard) return 0;
    return 1;
}

const char *emulated_message() { return emulated::message; }

unsigned long long emulated_fault_address() { return emulated::fault_address; }

}  // extern "C"
#pragma GCC visibility pop

// `ENTRIES` are the kernels, each as ENTRY(name).
#define ENTRY(name) {#name, emulated::Kernel<&name>::call, emulated::Kernel<&name>::signature},
#define EXPORTED __attribute__((visibility("default")))
#define KERNELS_ARE(ENTRIES)                                                                                       \
    static const emulated::Entry entries[] = {ENTRIES};                                                            \
    extern "C" EXPORTED void emulated_signature(int kernel, char *text) { entries[kernel].signature(text); }                \
    extern "C" EXPORTED int emulated_launch(int kernel, const unsigned int *grid, unsigned int n_threads,                   \
                                   unsigned int shared_bytes, int is_backwards, void **arguments) {                \
        emulated::n_threads = n_threads;                                                                           \
        emulated::is_backwards = is_backwards;                                                                     \
        return emulated::run(entries[kernel], grid, shared_bytes, arguments);                                      \
    }
