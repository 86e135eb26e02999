/* A preloaded recorder (Linux): every change of the files below one folder, and every sync, in one totally ordered log.
 *
 * Environment: VDB_RECORD_ROOT the folder, VDB_RECORD_LOG the log, VDB_RECORD_MARKS a file whose writes become marks.
 * A call and its record are one step under a lock, so a record stands in the log when its call has returned.
 * Record, little-endian: u8 operation, u8 flag (1: the write is synchronous), u16 0, i32 descriptor, i64 offset,
 * u32 length of the path, u32 length of the data; then path and data. A rename's data is its new path.
 * msync and sync_file_range are left out: LMDB maps its data read-only, and neither makes anything durable here.
 * The build defines no _FILE_OFFSET_BITS, so that a name and its 64-bit twin are both ours to define.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, CLOSE, WRITE, TRUNCATE, SYNC, RENAME, UNLINK, MKDIR, RMDIR, MARK };
enum { MAX_FD = 65536, PATH_BYTES = 4096 };
enum { UNTRACKED = 0, TRACKED = 1, SYNCHRONOUS = 2, MARKS = 4 };

struct head {
    uint8_t operation, flag;
    uint16_t zero;
    int32_t fd;
    int64_t offset;
    uint32_t path_bytes, data_bytes;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned char kinds[MAX_FD];
static int log_fd = -1;
static const char *root = "", *marks = "";

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("VDB_RECORD_LOG");
    if (!path || !getenv("VDB_RECORD_ROOT") || !getenv("VDB_RECORD_MARKS")) return;
    root = getenv("VDB_RECORD_ROOT");
    marks = getenv("VDB_RECORD_MARKS");
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void put(const void *data, size_t length)
{
    const char *at = data;
    while (length) {
        long n = syscall(SYS_write, log_fd, at, length);
        if (n <= 0) _exit(99); /* a log with a gap proves nothing */
        at += n;
        length -= (size_t)n;
    }
}

static void record(int operation, int flag, int fd, int64_t offset, const char *path, const void *data, size_t length)
{
    struct head head = { (uint8_t)operation, (uint8_t)flag, 0, fd, offset, (uint32_t)strlen(path), (uint32_t)length };
    int saved = errno;
    put(&head, sizeof head);
    put(path, head.path_bytes);
    put(data, length);
    errno = saved;
}

static int kind_of(int fd)
{
    return log_fd >= 0 && fd >= 0 && fd < MAX_FD ? kinds[fd] : UNTRACKED;
}

/* The absolute path of `path` seen from `folder`; 0 when it is not below the root. */
static int resolve(int folder, const char *path, char *out)
{
    char place[64];
    size_t used = 0;
    if (log_fd < 0) return 0;
    if (path[0] != '/') {
        if (folder == AT_FDCWD) {
            if (!getcwd(out, PATH_BYTES)) return 0;
            used = strlen(out);
        } else {
            snprintf(place, sizeof place, "/proc/self/fd/%d", folder);
            ssize_t n = readlink(place, out, PATH_BYTES - 1);
            if (n < 0) return 0;
            used = (size_t)n;
        }
        out[used++] = '/';
    }
    if (used + strlen(path) + 1 > PATH_BYTES) return 0;
    strcpy(out + used, path);
    return !strncmp(out, root, strlen(root)) && (out[strlen(root)] == '/' || !out[strlen(root)]);
}

static int open_any(int folder, const char *path, int flags, mode_t mode)
{
    REAL(int, "openat64", int, const char *, int, ...);
    char full[PATH_BYTES];
    int is_ours = resolve(folder, path, full), is_marks = log_fd >= 0 && !strcmp(path, marks);
    if (!is_ours && !is_marks) return real(folder, path, flags, mode);
    pthread_mutex_lock(&lock);
    int fd = real(folder, path, flags, mode);
    if (fd >= 0 && fd < MAX_FD) {
        kinds[fd] = is_marks ? MARKS : (flags & O_DSYNC) ? TRACKED | SYNCHRONOUS : TRACKED;
        if (is_ours) record(OPEN, 0, fd, flags, full, "", 0);
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE(flags, mode) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { va_list list; va_start(list, flags); mode = va_arg(list, mode_t); va_end(list); }

int open(const char *path, int flags, ...) { MODE(flags, mode) return open_any(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags, mode) return open_any(AT_FDCWD, path, flags, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags, mode) return open_any(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE(flags, mode) return open_any(folder, path, flags, mode); }

int close(int fd)
{
    REAL(int, "close", int);
    int kind = kind_of(fd);
    if (!kind) return real(fd);
    pthread_mutex_lock(&lock);
    if (kind & TRACKED) record(CLOSE, 0, fd, 0, "", "", 0);
    kinds[fd] = UNTRACKED;
    int result = real(fd);
    pthread_mutex_unlock(&lock);
    return result;
}

/* `offset` -1: at the descriptor's own position. */
static ssize_t write_any(int fd, const struct iovec *parts, int n_parts, int64_t offset)
{
    REAL(ssize_t, "pwritev64", int, const struct iovec *, int, off64_t);
    static ssize_t (*real_writev)(int, const struct iovec *, int);
    if (!real_writev) real_writev = (ssize_t (*)(int, const struct iovec *, int))dlsym(RTLD_NEXT, "writev");
    int kind = kind_of(fd);
    if (!kind) return offset < 0 ? real_writev(fd, parts, n_parts) : real(fd, parts, n_parts, offset);
    pthread_mutex_lock(&lock);
    ssize_t written = offset < 0 ? real_writev(fd, parts, n_parts) : real(fd, parts, n_parts, offset);
    if (written >= 0) {
        int64_t at = offset >= 0 ? offset : kind == MARKS ? 0 : lseek(fd, 0, SEEK_CUR) - written;
        ssize_t left = written;
        for (int i = 0; i < n_parts && left > 0; i++) {
            size_t n = parts[i].iov_len < (size_t)left ? parts[i].iov_len : (size_t)left;
            record(kind == MARKS ? MARK : WRITE, !!(kind & SYNCHRONOUS), fd, at, "", parts[i].iov_base, n);
            at += (int64_t)n;
            left -= (ssize_t)n;
        }
    }
    pthread_mutex_unlock(&lock);
    return written;
}

static ssize_t write_one(int fd, const void *data, size_t length, int64_t offset)
{
    struct iovec part = { (void *)data, length };
    return write_any(fd, &part, 1, offset);
}

ssize_t write(int fd, const void *data, size_t length) { return write_one(fd, data, length, -1); }
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return write_one(fd, data, length, offset); }
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) { return write_one(fd, data, length, offset); }
ssize_t writev(int fd, const struct iovec *parts, int n) { return write_any(fd, parts, n, -1); }
ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t offset) { return write_any(fd, parts, n, offset); }
ssize_t pwritev64(int fd, const struct iovec *parts, int n, off64_t offset) { return write_any(fd, parts, n, offset); }

int ftruncate64(int fd, off64_t length)
{
    REAL(int, "ftruncate64", int, off64_t);
    if (!(kind_of(fd) & TRACKED)) return real(fd, length);
    pthread_mutex_lock(&lock);
    int result = real(fd, length);
    if (!result) record(TRUNCATE, 0, fd, length, "", "", 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

static int sync_any(int (*real)(int), int fd)
{
    if (!(kind_of(fd) & TRACKED)) return real(fd);
    pthread_mutex_lock(&lock);
    int result = real(fd);
    if (!result) record(SYNC, 0, fd, 0, "", "", 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int fd)
{
    REAL(int, "fsync", int);
    return sync_any(real, fd);
}

int fdatasync(int fd)
{
    REAL(int, "fdatasync", int);
    return sync_any(real, fd);
}

int renameat(int old_folder, const char *old, int new_folder, const char *new)
{
    REAL(int, "renameat", int, const char *, int, const char *);
    char from[PATH_BYTES], to[PATH_BYTES];
    if (!resolve(old_folder, old, from) || !resolve(new_folder, new, to)) return real(old_folder, old, new_folder, new);
    pthread_mutex_lock(&lock);
    int result = real(old_folder, old, new_folder, new);
    if (!result) record(RENAME, 0, -1, 0, from, to, strlen(to));
    pthread_mutex_unlock(&lock);
    return result;
}

int rename(const char *old, const char *new) { return renameat(AT_FDCWD, old, AT_FDCWD, new); }

int unlinkat(int folder, const char *path, int flags)
{
    REAL(int, "unlinkat", int, const char *, int);
    char full[PATH_BYTES];
    if (!resolve(folder, path, full)) return real(folder, path, flags);
    pthread_mutex_lock(&lock);
    int result = real(folder, path, flags);
    if (!result) record(flags & AT_REMOVEDIR ? RMDIR : UNLINK, 0, -1, 0, full, "", 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int folder, const char *path, mode_t mode)
{
    REAL(int, "mkdirat", int, const char *, mode_t);
    char full[PATH_BYTES];
    if (!resolve(folder, path, full)) return real(folder, path, mode);
    pthread_mutex_lock(&lock);
    int result = real(folder, path, mode);
    if (!result) record(MKDIR, 0, -1, 0, full, "", 0);
    pthread_mutex_unlock(&lock);
    return result;
}

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
