/* fault_layer: a library that is loaded before a process's own (LD_PRELOAD) and makes its clock and its disk fail on demand.
 *
 * FAULT_FILE names a file of 32 bytes that the test writes and this library maps, little-endian: i64 nanoseconds that the
 * wall clock is off; i32 error number of fsync, fdatasync and the sync of a write that asks for one (RWF_DSYNC); i32 error
 * number of writes to regular files; i32 milliseconds that each such sync takes longer; i32 error number of pwritev2, as where
 * it is not known; i32 error number of fsync and fdatasync alone; one i32 unused. Descriptors 0 to 2, the log, are left alone, and so are
 * writes below a folder solutions: on a full disk these have the room that the pool sets aside for them. The monotonic clock
 * is never changed: a step of the wall clock is what is tried.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct faults { int64_t clock_ns; int32_t sync_error, write_error, sync_ms, unknown_error, plain_sync_error, unused; };

static const struct faults none;
static const volatile struct faults *faults = &none;

__attribute__((constructor)) static void map_faults(void) {
    const char *path = getenv("FAULT_FILE");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *found = mmap(NULL, sizeof *faults, PROT_READ, MAP_SHARED, fd, 0);
    if (found != MAP_FAILED) faults = found;
    close(fd);
}

#define REAL(name, ...) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name); \
    return real(__VA_ARGS__)

static void shift(struct timespec *t) {
    int64_t ns = t->tv_nsec + faults->clock_ns % 1000000000;
    t->tv_sec += faults->clock_ns / 1000000000 + (ns >= 1000000000) - (ns < 0);
    t->tv_nsec = ns >= 1000000000 ? ns - 1000000000 : ns < 0 ? ns + 1000000000 : ns;
}

static int true_clock(clockid_t clock, struct timespec *t) { REAL(clock_gettime, clock, t); }

int clock_gettime(clockid_t clock, struct timespec *t) {
    int code = true_clock(clock, t);
    if (!code && faults->clock_ns && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) shift(t);
    return code;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *t) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    if (t) *t = now.tv_sec;
    return now.tv_sec;
}

static int broken_sync(void) {
    int32_t ms = faults->sync_ms, error = faults->sync_error;
    if (ms > 0) {
        struct timespec wait = {ms / 1000, ms % 1000 * 1000000L};
        nanosleep(&wait, NULL);
    }
    if (error) errno = error;
    return error;
}

static int broken_plain_sync(void) {
    if (broken_sync()) return -1;
    int error = faults->plain_sync_error;
    if (error) errno = error;
    return error;
}

int fsync(int fd) {
    if (broken_plain_sync()) return -1;
    REAL(fsync, fd);
}

int fdatasync(int fd) {
    if (broken_plain_sync()) return -1;
    REAL(fdatasync, fd);
}

static int broken_write(int fd) {
    struct stat about;
    int error = faults->write_error;
    if (!error || fd <= 2) return 0;
    if (fstat(fd, &about) || !S_ISREG(about.st_mode)) return 0;
    char name[64], path[4096];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(name, path, sizeof path - 1);
    path[size > 0 ? size : 0] = 0;
    if (strstr(path, "/solutions/")) return 0;
    errno = error;
    return 1;
}

ssize_t write(int fd, const void *data, size_t size) {
    if (broken_write(fd)) return -1;
    REAL(write, fd, data, size);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    if (broken_write(fd)) return -1;
    REAL(pwrite, fd, data, size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    if (broken_write(fd)) return -1;
    REAL(pwrite64, fd, data, size, at);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (broken_write(fd)) return -1;
    REAL(writev, fd, parts, count);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) {
    if (broken_write(fd)) return -1;
    REAL(pwritev, fd, parts, count, at);
}

static ssize_t true_pwritev2(int fd, const struct iovec *parts, int count, off_t at, int flags) {
    REAL(pwritev2, fd, parts, count, at, flags);
}

/* A sync that fails comes after the write, as the kernel's does: the bytes may be there all the same. */
ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t at, int flags) {
    int synced = flags & (RWF_DSYNC | RWF_SYNC);
    if (faults->unknown_error) {
        errno = faults->unknown_error;
        return -1;
    }
    if (broken_write(fd)) return -1;
    if (!synced || !faults->sync_error) {
        if (synced) broken_sync();
        return true_pwritev2(fd, parts, count, at, flags);
    }
    ssize_t done = true_pwritev2(fd, parts, count, at, flags & ~synced);
    return done >= 0 && broken_sync() ? -1 : done;
}

ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t at, int flags) {
    return pwritev2(fd, parts, count, at, flags);
}
