/* What waits for the share log's thread: bytes of one segment, copied from what the loop put, so that no object of
 * Python's is touched without its lock; and how they are written together.
 */
#ifndef PARAPOOL_LOG_PIECES_H
#define PARAPOOL_LOG_PIECES_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdlib.h>
#include <string.h>

#include "_segment_file.h"

#define TOGETHER (1 << 20) /* joined for one write; what is larger goes in several */

typedef struct piece {
    struct piece *next;
    unsigned long long segment, sequence, shares;
    size_t size;
    int tell; /* the loop at once when it is durable */
    char bytes[];
} Piece;

static void free_pieces(Piece *piece) {
    for (Piece *next; piece; piece = next) {
        next = piece->next;
        free(piece);
    }
}

typedef struct {
    unsigned long long segment, sequence, shares;
    const char *bytes;
    size_t size;
} Entry;

/* One (segment, data, sequence, shares) of a list; the bytes stay the tuple's. */
static int take_entry(PyObject *list, Py_ssize_t at, Entry *entry) {
    PyObject *item = PyList_GET_ITEM(list, at);
    char *bytes;
    Py_ssize_t size;
    if (!PyTuple_CheckExact(item) || PyTuple_GET_SIZE(item) != 4) {
        PyErr_SetString(PyExc_TypeError, "expected a segment, bytes, a sequence and a number of shares");
        return -1;
    }
    entry->segment = PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(item, 0));
    entry->sequence = PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(item, 2));
    entry->shares = PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(item, 3));
    if (PyErr_Occurred() || PyBytes_AsStringAndSize(PyTuple_GET_ITEM(item, 1), &bytes, &size) < 0) return -1;
    entry->bytes = bytes;
    entry->size = (size_t)size;
    return 0;
}

/* The entries from `at` on that are of one segment as one piece; `*at` is then the next one. NULL with an exception. */
static Piece *make_piece(PyObject *list, Py_ssize_t *at) {
    Entry entry;
    size_t size = 0;
    unsigned long long segment = 0;
    Py_ssize_t end = *at;
    for (; end < PyList_GET_SIZE(list); end++) {
        if (take_entry(list, end, &entry) < 0) return NULL;
        if (end == *at) segment = entry.segment;
        else if (entry.segment != segment) break;
        size += entry.size;
    }
    Piece *piece = malloc(sizeof *piece + size);
    if (piece == NULL) return (Piece *)PyErr_NoMemory();
    *piece = (Piece){.segment = segment, .size = 0};
    for (; *at < end; ++*at) {
        if (take_entry(list, *at, &entry) < 0) {
            free(piece);
            return NULL;
        }
        memcpy(piece->bytes + piece->size, entry.bytes, entry.size);
        piece->size += entry.size;
        piece->shares += entry.shares;
        piece->sequence = entry.sequence;
    }
    return piece;
}

typedef struct {
    size_t size;
    unsigned long long shares, sequence; /* how many, and the last one's */
    int tell;
} Written;

/* Makes pieces of the file's segment durable, by way of `joined` of TOGETHER bytes. An errno, or 0; after an error `written`
 * says nothing. */
static int write_pieces(SegmentFile *file, const Piece *piece, char *joined, Written *written) {
    size_t held = 0;
    int error = 0, unsynced = 0;
    for (; piece && !error; piece = piece->next) {
        if (held + piece->size > TOGETHER) {
            error = segment_write(file, joined, held);
            held = 0;
            unsynced = 1;
        }
        if (piece->size <= TOGETHER) {
            memcpy(joined + held, piece->bytes, piece->size);
            held += piece->size;
        } else if (!error) {
            error = segment_write(file, piece->bytes, piece->size);
        }
        written->size += piece->size;
        written->shares += piece->shares;
        written->sequence = piece->sequence;
        written->tell |= piece->tell;
    }
    if (error) return error;
    if (!unsynced) return segment_write_durable(file, joined, held);
    error = segment_write(file, joined, held);
    return error ? error : segment_sync(file);
}

#endif
