/* A share's line in the share log, as pool/shares/record.py and log_segment.py have it. */
#ifndef PARAPOOL_LOG_FRAME_H
#define PARAPOOL_LOG_FRAME_H

#include <Python.h>
#include <stdint.h>
#include <string.h>

#include "../../chains/primitives/_share_kernel.h"

#define FRAME_LIMIT 512
#define TEXT_LIMIT 200 /* of a worker's name */

static uint32_t crc_table[256];

static void fill_crc_table(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; bit++) value = value & 1 ? value >> 1 ^ 0xEDB88320u : value >> 1;
        crc_table[i] = value;
    }
}

static uint32_t crc_of(const uint8_t *bytes, size_t size) {
    uint32_t value = 0xFFFFFFFFu;
    while (size--) value = value >> 8 ^ crc_table[(value ^ *bytes++) & 0xFF];
    return ~value;
}

static uint8_t *put_big(uint8_t *at, uint64_t value, int bytes) {
    for (int i = bytes - 1; i >= 0; i--) *at++ = (uint8_t)(value >> 8 * i);
    return at;
}

static uint8_t *put_number(uint8_t *at, uint64_t value) {
    if (value < 0x80) return put_big(at, value, 1);
    int bytes = value <= 0xFF ? 1 : value <= 0xFFFF ? 2 : value <= 0xFFFFFFFFu ? 4 : 8;
    *at++ = (uint8_t)(bytes == 1 ? 0xCC : bytes == 2 ? 0xCD : bytes == 4 ? 0xCE : 0xCF);
    return put_big(at, value, bytes);
}

static void put_little(uint8_t *at, uint32_t value) {
    for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> 8 * i);
}

/* pool.shares.record.ShareLine as msgpack, framed; NULL with an exception. A worker's name has at most TEXT_LIMIT bytes. */
static PyObject *make_frame(uint64_t sequence, uint64_t time_ms, PyObject *digest, const char *worker, size_t worker_size,
                            uint64_t weight, uint64_t chain_set, const uint8_t hash[SHARE_DIGEST]) {
    uint8_t frame[FRAME_LIMIT], *at = frame + 8;
    size_t digest_size = (size_t)PyBytes_GET_SIZE(digest);
    *at++ = 0x9A; /* ten elements, the first the record's type */
    *at++ = 3;
    at = put_number(at, sequence);
    at = put_number(at, time_ms);
    *at++ = 0xC4;
    *at++ = (uint8_t)digest_size;
    memcpy(at, PyBytes_AS_STRING(digest), digest_size);
    at += digest_size;
    if (worker_size < 32) {
        *at++ = (uint8_t)(0xA0 | worker_size);
    } else {
        *at++ = 0xD9;
        *at++ = (uint8_t)worker_size;
    }
    memcpy(at, worker, worker_size);
    at = put_number(at + worker_size, weight);
    at = put_number(at, chain_set);
    *at++ = 0xC4;
    *at++ = SHARE_DIGEST;
    memcpy(at, hash, SHARE_DIGEST);
    at += SHARE_DIGEST;
    *at++ = 0xC2; /* not stale */
    *at++ = 0x90; /* nothing solved */
    size_t size = (size_t)(at - frame) - 8;
    put_little(frame, (uint32_t)size);
    put_little(frame + 4, crc_of(frame + 8, size));
    return PyBytes_FromStringAndSize((char *)frame, at - frame);
}

#endif
