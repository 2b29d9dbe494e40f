/* One segment of the share log as _disk_thread.c writes it: over zeros that were written before, cut to its records when
 * it is finished.
 *
 * A durable write that makes a file longer has to put the file's new length on disk too, which on a file system with a
 * journal is a second round of writes. Over zeros that are on disk already it is the data alone. A crash leaves zeros
 * behind the last record; log_segment.py cuts them.
 *
 * The zeros are written in pages, not in one piece: the kernel keeps what comes in one piece as one large folio, and then each
 * small write into it costs more than all that is saved.
 */
#ifndef PARAPOOL_SEGMENT_FILE_H
#define PARAPOOL_SEGMENT_FILE_H

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define SEGMENT_PATH_LIMIT 4096
#define ZEROS_AHEAD (128 << 10) /* written at once when less than this is left: half a millisecond, once in 1,500 shares */
#define ZEROS_PAGE 4096

typedef struct {
    int file;    /* -1: none */
    off_t at;    /* where its records end */
    off_t ahead; /* where its zeros end, not before `at` */
    int full;    /* no zeros could be written: the records of this segment are appended */
    enum { UNTRIED, ONE_CALL, TWO_CALLS } durable; /* whether a write can be durable when it returns (RWF_DSYNC) */
} SegmentFile;

/* Goes on with a file that has records up to `offset`, and is ours from now on. An errno, or 0. */
static int segment_take(SegmentFile *self, int file, off_t offset) {
    int flags = fcntl(file, F_GETFL);
    *self = (SegmentFile){.file = file, .at = offset, .ahead = offset};
    /* With O_APPEND each write would go behind the zeros, whatever place it names. */
    return flags < 0 || fcntl(file, F_SETFL, flags & ~O_APPEND) < 0 ? errno : 0;
}

/* A new file, its name durable. An errno, or 0. */
static int segment_create(SegmentFile *self, const char *directory, unsigned long long number) {
    char path[SEGMENT_PATH_LIMIT + 32];
    int error = 0, folder;
    snprintf(path, sizeof path, "%s/%08llu.log", directory, number);
    self->file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (self->file < 0) return errno;
    self->at = self->ahead = 0;
    self->full = 0;
    folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return errno;
    if (fsync(folder) < 0) error = errno;
    close(folder);
    return error;
}

/* One write at `at`, of all or of a part, with `flags` of pwritev2. Bytes written, or -1 with errno. */
static ssize_t segment_write_some(SegmentFile *self, const char *bytes, size_t size, int flags) {
#ifdef RWF_DSYNC
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    ssize_t done = flags ? pwritev2(self->file, &part, 1, self->at, flags) : pwrite(self->file, bytes, size, self->at);
#else
    (void)flags;
    ssize_t done = pwrite(self->file, bytes, size, self->at);
#endif
    if (done == 0) {
        errno = EIO;
        return -1;
    }
    if (done > 0) self->at += done;
    if (self->ahead < self->at) self->ahead = self->at;
    return done;
}

/* Not durable before segment_sync(). An errno, or 0. */
static int segment_write(SegmentFile *self, const char *bytes, size_t size) {
    while (size) {
        ssize_t done = segment_write_some(self, bytes, size, 0);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return errno;
        bytes += done;
        size -= (size_t)done;
    }
    return 0;
}

/* All that was written. An errno, or 0; after an error never again: a second one would lie. */
static int segment_sync(const SegmentFile *self) {
    return fdatasync(self->file) < 0 ? errno : 0;
}

/* Durable when it returns 0; an errno otherwise, and then never again. Whatever segment_write() wrote before needs
 * segment_sync(): the flag covers the bytes of its own write only. */
static int segment_write_durable(SegmentFile *self, const char *bytes, size_t size) {
#ifdef RWF_DSYNC
    while (size && self->durable != TWO_CALLS) {
        ssize_t done = segment_write_some(self, bytes, size, RWF_DSYNC);
        if (done > 0) {
            self->durable = ONE_CALL;
            bytes += done;
            size -= (size_t)done;
        } else if (self->durable == UNTRIED && (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL || errno == EPERM)) {
            self->durable = TWO_CALLS; /* not known to the kernel, the file system or a sandbox: nothing was written */
        } else {
            return errno;
        }
    }
    if (!size) return 0;
#endif
    int error = segment_write(self, bytes, size);
    return error ? error : segment_sync(self);
}

/* The next zeros, when few are left; for when nobody waits. A disk that has no room for them is no error: records are
 * appended then. An errno, or 0. */
static int segment_write_ahead(SegmentFile *self) {
    static const char zeros[ZEROS_PAGE];
    off_t end = self->ahead + ZEROS_AHEAD;
    int error = 0;
    if (self->full || self->ahead - self->at >= ZEROS_AHEAD) return 0;
    while (!error && self->ahead < end) {
        size_t size = ZEROS_PAGE - (size_t)(self->ahead % ZEROS_PAGE);
        ssize_t done = pwrite(self->file, zeros, size, self->ahead);
        if (done > 0) self->ahead += done;
        else if (done == 0) error = ENOSPC;
        else if (errno != EINTR) error = errno;
    }
    if (!error) error = segment_sync(self);
    if (error != ENOSPC && error != EDQUOT && error != EFBIG) return error;
    self->full = 1;
    return 0;
}

/* No more than its records are left of it, durable. An errno, or 0. */
static int segment_finish(SegmentFile *self) {
    int error = ftruncate(self->file, self->at) < 0 || fsync(self->file) < 0 ? errno : 0;
    if (close(self->file) < 0 && errno != EINTR && !error) error = errno;
    self->file = -1;
    return error;
}

#endif
