/* The hashing of a share in C: coinbase from its midstate, merkle fold, header, double SHA-256, two comparisons.
 *
 * share_kernel.py has the same class in Python and says what everything means; it is used where this cannot be built,
 * and the tests hold the two together. Nothing here keeps a pointer into an argument, and every length is checked.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#include "_seen_hashes.h"
#include "_sha256.h"
#include "_share_kernel.h"

#define HEADER 80
#define BRANCH_LIMIT 32         /* a tree of four billion transactions */
#define COINBASE_LIMIT (1 << 20) /* a quarter of the largest block */

/* -- the class ---------------------------------------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    uint32_t midstate[8];   /* after the whole blocks of the first half of the coinbase */
    uint8_t *tail;          /* what follows, with room for the nonce, padded to whole blocks */
    size_t tail_blocks, nonce_at, nonce_size, levels;
    uint8_t branch[BRANCH_LIMIT * DIGEST];
    uint8_t previous_hash[DIGEST];
    uint32_t bits;
} Kernel;

static int as_word(PyObject *value, uint32_t *word) {
    unsigned long number = PyLong_AsUnsignedLong(value);
    if (number == (unsigned long)-1 && PyErr_Occurred()) return -1;
    if (number > 0xFFFFFFFFUL) {
        PyErr_SetString(PyExc_OverflowError, "a word has 32 bits");
        return -1;
    }
    *word = (uint32_t)number;
    return 0;
}

static int kernel_init(PyObject *object, PyObject *args, PyObject *keywords) {
    static char *names[] = {"coinbase1", "coinbase2", "nonce_size", "branch", "previous_hash", "bits", NULL};
    Kernel *self = (Kernel *)object;
    Py_buffer first, second, branch, previous;
    Py_ssize_t nonce_size;
    PyObject *bits;
    uint32_t word;
    int result = -1;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "y*y*ny*y*O", names, &first, &second, &nonce_size, &branch,
                                     &previous, &bits))
        return -1;
    if (as_word(bits, &word) < 0) goto done;
    if (previous.len != DIGEST || branch.len % DIGEST || branch.len > BRANCH_LIMIT * DIGEST || nonce_size < 0 ||
        nonce_size > BLOCK || first.len > COINBASE_LIMIT || second.len > COINBASE_LIMIT) {
        PyErr_SetString(PyExc_ValueError, "a length is wrong");
        goto done;
    }
    {
        size_t whole = (size_t)first.len / BLOCK, left = (size_t)first.len % BLOCK;
        size_t used = left + (size_t)nonce_size + (size_t)second.len;
        size_t blocks = (used + 9 + BLOCK - 1) / BLOCK;
        uint64_t coinbase_bits = 8 * ((uint64_t)first.len + (uint64_t)nonce_size + (uint64_t)second.len);
        uint8_t *tail = PyMem_Calloc(blocks, BLOCK);
        if (tail == NULL) {
            PyErr_NoMemory();
            goto done;
        }
        memcpy(self->midstate, INITIAL, sizeof self->midstate);
        compress(self->midstate, first.buf, whole);
        memcpy(tail, (const uint8_t *)first.buf + whole * BLOCK, left);
        memcpy(tail + left + nonce_size, second.buf, (size_t)second.len);
        tail[used] = 0x80;
        write_big(tail + blocks * BLOCK - 8, (uint32_t)(coinbase_bits >> 32));
        write_big(tail + blocks * BLOCK - 4, (uint32_t)coinbase_bits);
        PyMem_Free(self->tail);
        self->tail = tail;
        self->tail_blocks = blocks;
        self->nonce_at = left;
        self->nonce_size = (size_t)nonce_size;
        self->levels = (size_t)branch.len / DIGEST;
        memcpy(self->branch, branch.buf, (size_t)branch.len);
        memcpy(self->previous_hash, previous.buf, DIGEST);
        self->bits = word;
        result = 0;
    }
done:
    PyBuffer_Release(&first);
    PyBuffer_Release(&second);
    PyBuffer_Release(&branch);
    PyBuffer_Release(&previous);
    return result;
}

static void kernel_dealloc(PyObject *object) {
    PyMem_Free(((Kernel *)object)->tail);
    Py_TYPE(object)->tp_free(object);
}

/* The padded header (two blocks). -1 with an exception where that cannot be. */
static int make_header(Kernel *self, const ShareWords *words, uint8_t out[2 * BLOCK]) {
    uint32_t state[8];
    uint8_t pair[2 * BLOCK]; /* two nodes, then the padding of 64 bytes */
    if (self->tail == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the kernel was not made");
        return -1;
    }
    if (words->first_size > self->nonce_size || words->second_size != self->nonce_size - words->first_size) {
        PyErr_SetString(PyExc_ValueError, "the extranonces have another size");
        return -1;
    }
    memcpy(self->tail + self->nonce_at, words->first, words->first_size);
    memcpy(self->tail + self->nonce_at + words->first_size, words->second, words->second_size);
    memcpy(state, self->midstate, sizeof state);
    finish_twice(state, self->tail, self->tail_blocks, pair);
    memset(pair + BLOCK, 0, BLOCK);
    pair[BLOCK] = 0x80;
    pair[2 * BLOCK - 2] = 2; /* 512 bits */
    for (size_t level = 0; level < self->levels; level++) {
        memcpy(pair + DIGEST, self->branch + level * DIGEST, DIGEST);
        memcpy(state, INITIAL, sizeof state);
        finish_twice(state, pair, 2, pair);
    }
    memset(out + HEADER, 0, 2 * BLOCK - HEADER);
    write_little(out, words->version);
    memcpy(out + 4, self->previous_hash, DIGEST);
    memcpy(out + 36, pair, DIGEST);
    write_little(out + 68, words->time);
    write_little(out + 72, self->bits);
    write_little(out + 76, words->nonce);
    out[HEADER] = 0x80;
    out[2 * BLOCK - 2] = 0x02; /* 640 bits */
    out[2 * BLOCK - 1] = 0x80;
    return 0;
}

/* Arguments extranonce1, extranonce2, version, time, nonce; the bytes stay theirs. */
static int take_words(PyObject *const *args, ShareWords *words) {
    char *first, *second;
    Py_ssize_t first_size, second_size;
    if (PyBytes_AsStringAndSize(args[0], &first, &first_size) < 0 ||
        PyBytes_AsStringAndSize(args[1], &second, &second_size) < 0 || as_word(args[2], &words->version) < 0 ||
        as_word(args[3], &words->time) < 0 || as_word(args[4], &words->nonce) < 0)
        return -1;
    words->first = (const uint8_t *)first;
    words->first_size = (size_t)first_size;
    words->second = (const uint8_t *)second;
    words->second_size = (size_t)second_size;
    return 0;
}

static int hash_share(PyObject *kernel, const ShareWords *words, uint8_t hash[DIGEST]) {
    uint8_t header[2 * BLOCK];
    uint32_t state[8];
    if (make_header((Kernel *)kernel, words, header) < 0) return -1;
    memcpy(state, INITIAL, sizeof state);
    finish_twice(state, header, 2, hash);
    return 0;
}

/* Whether a hash, as a little-endian number, is at most a target written the same way. */
static int meets(const uint8_t hash[DIGEST], const uint8_t target[DIGEST]) {
    for (int i = DIGEST - 1; i >= 0; i--)
        if (hash[i] != target[i]) return hash[i] < target[i];
    return 1;
}

static int as_target(PyObject *value, const uint8_t **target) {
    char *bytes;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(value, &bytes, &size) < 0) return -1;
    if (size != DIGEST) {
        PyErr_SetString(PyExc_ValueError, "a target has 32 bytes");
        return -1;
    }
    *target = (const uint8_t *)bytes;
    return 0;
}

static int wants(Py_ssize_t count, Py_ssize_t expected) {
    if (count == expected) return 1;
    PyErr_Format(PyExc_TypeError, "expected %zd arguments, got %zd", expected, count);
    return 0;
}

static PyObject *kernel_header(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    uint8_t header[2 * BLOCK];
    ShareWords words;
    if (!wants(count, 5) || take_words(args, &words) < 0 || make_header((Kernel *)self, &words, header) < 0) return NULL;
    return PyBytes_FromStringAndSize((char *)header, HEADER);
}

static PyObject *kernel_judge(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    uint8_t hash[DIGEST];
    ShareWords words;
    const uint8_t *share, *notable;
    if (!wants(count, 7) || as_target(args[5], &share) < 0 || as_target(args[6], &notable) < 0 ||
        take_words(args, &words) < 0 || hash_share(self, &words, hash) < 0)
        return NULL;
    return Py_BuildValue("y#i", (char *)hash, (Py_ssize_t)DIGEST, meets(hash, share) | meets(hash, notable) << 1);
}

static PyMethodDef kernel_methods[] = {
    {"header", (PyCFunction)(void (*)(void))kernel_header, METH_FASTCALL, NULL},
    {"judge", (PyCFunction)(void (*)(void))kernel_judge, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject kernel_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "chains.primitives._share_kernel.ShareKernel",
    .tp_basicsize = sizeof(Kernel),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_init = kernel_init,
    .tp_dealloc = kernel_dealloc,
    .tp_methods = kernel_methods,
};

/* -- the module ---------------------------------------------------------------------------------------------------- */

/* hash_pairs(row): SHA-256d of each 64 bytes of a row of a merkle tree: the next row. */
static PyObject *hash_pairs(PyObject *module, PyObject *row) {
    (void)module;
    Py_buffer view;
    if (PyObject_GetBuffer(row, &view, PyBUF_SIMPLE) < 0) return NULL;
    PyObject *made = NULL;
    if (view.len % BLOCK) PyErr_SetString(PyExc_ValueError, "a length is wrong");
    else made = PyBytes_FromStringAndSize(NULL, view.len / 2);
    if (made != NULL) {
        uint8_t *out = (uint8_t *)PyBytes_AS_STRING(made), blocks[2 * BLOCK] = {0};
        blocks[BLOCK] = 0x80;
        blocks[2 * BLOCK - 2] = 2; /* 512 bits */
        for (const uint8_t *at = view.buf, *end = at + view.len; at < end; at += BLOCK, out += DIGEST) {
            uint32_t state[8];
            memcpy(state, INITIAL, sizeof state);
            memcpy(blocks, at, BLOCK);
            finish_twice(state, blocks, 2, out);
        }
    }
    PyBuffer_Release(&view);
    return made;
}

/* use(name): "portable", "sha-ni", or "best" for what the processor has. Returns what is used now. */
static PyObject *use(PyObject *module, PyObject *name) {
    (void)module;
    const char *wanted = PyUnicode_AsUTF8(name);
    if (wanted == NULL) return NULL;
    int best = !strcmp(wanted, "best");
#ifdef HAVE_SHA_NI
    if ((best || !strcmp(wanted, "sha-ni")) && has_sha_ni()) {
        compress = compress_sha_ni;
        return PyUnicode_FromString("sha-ni");
    }
#endif
    if (best || !strcmp(wanted, "portable")) {
        compress = compress_portable;
        return PyUnicode_FromString("portable");
    }
    PyErr_Format(PyExc_ValueError, "this processor has no %s", wanted);
    return NULL;
}

static const ShareKernelCalls calls = {&kernel_type, &seen_type, hash_share, meets, add_hash};

static PyMethodDef module_methods[] = {
    {"hash_pairs", hash_pairs, METH_O, NULL},
    {"use", use, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_share_kernel", .m_size = -1, .m_methods = module_methods,
};

PyMODINIT_FUNC PyInit__share_kernel(void) {
    PyObject *made = PyModule_Create(&module);
    if (made == NULL) return NULL;
#ifdef HAVE_SHA_NI
    if (has_sha_ni()) compress = compress_sha_ni;
#endif
    if (choose_secret() < 0 || PyType_Ready(&kernel_type) < 0 || PyModule_AddObjectRef(made, "ShareKernel", (PyObject *)&kernel_type) < 0 ||
        PyType_Ready(&seen_type) < 0 || PyModule_AddObjectRef(made, "SeenHashes", (PyObject *)&seen_type) < 0)
        goto failed;
    PyObject *capsule = PyCapsule_New((void *)&calls, SHARE_KERNEL_CALLS, NULL);
    if (capsule == NULL || PyModule_AddObjectRef(made, "calls", capsule) < 0) {
        Py_XDECREF(capsule);
        goto failed;
    }
    Py_DECREF(capsule);
    return made;
failed:
    Py_DECREF(made);
    return NULL;
}
