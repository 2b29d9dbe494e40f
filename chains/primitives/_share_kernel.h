/* What other C of this program calls of _share_kernel.c, by the capsule `calls` of its module. */
#ifndef PARAPOOL_SHARE_KERNEL_H
#define PARAPOOL_SHARE_KERNEL_H

#include <Python.h>
#include <stddef.h>
#include <stdint.h>

#define SHARE_DIGEST 32
#define SHARE_KERNEL_CALLS "chains.primitives._share_kernel.calls"

/* What a miner says of a share: extranonce1 and extranonce2, and the header's words. */
typedef struct {
    const uint8_t *first, *second;
    size_t first_size, second_size;
    uint32_t version, time, nonce;
} ShareWords;

typedef struct {
    PyTypeObject *kernel, *seen;
    /* The share's hash (natural order); -1 with an exception for extranonces of another size. */
    int (*hash)(PyObject *kernel, const ShareWords *words, uint8_t hash[SHARE_DIGEST]);
    /* Whether a hash, as a little-endian number, is at most a target written the same way. */
    int (*meets)(const uint8_t hash[SHARE_DIGEST], const uint8_t target[SHARE_DIGEST]);
    /* 1 when the hash was added, 0 when it was there, -1 with an exception. */
    int (*add)(PyObject *seen, const uint8_t hash[SHARE_DIGEST]);
} ShareKernelCalls;

#endif
