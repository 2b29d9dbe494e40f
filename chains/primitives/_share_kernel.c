/* The hashing of a share in C: coinbase from its midstate, merkle fold, header, double SHA-256, two comparisons.
 *
 * share_kernel.py has the same class in Python and says what everything means; it is used where this cannot be built,
 * and the tests hold the two together. SHA-256 is FIPS 180-4, in portable C and with the SHA instructions of x86, chosen
 * by what the processor says it has. Nothing here keeps a pointer into an argument, and every length is checked.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "_share_kernel.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define HAVE_SHA_NI 1
#include <cpuid.h>
#include <immintrin.h>
#endif

#define BLOCK 64
#define DIGEST SHARE_DIGEST
#define HEADER 80
#define BRANCH_LIMIT 32         /* a tree of four billion transactions */
#define COINBASE_LIMIT (1 << 20) /* a quarter of the largest block */

/* -- SHA-256 ------------------------------------------------------------------------------------------------------ */

static const uint32_t K[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};
static const uint32_t INITIAL[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

typedef void (*compress_function)(uint32_t state[8], const uint8_t *data, size_t blocks);

static uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

static uint32_t read_big(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void write_big(uint8_t *p, uint32_t v) {
    p[0] = (uint8_t)(v >> 24); p[1] = (uint8_t)(v >> 16); p[2] = (uint8_t)(v >> 8); p[3] = (uint8_t)v;
}

static void write_little(uint8_t *p, uint32_t v) {
    p[0] = (uint8_t)v; p[1] = (uint8_t)(v >> 8); p[2] = (uint8_t)(v >> 16); p[3] = (uint8_t)(v >> 24);
}

static void compress_portable(uint32_t state[8], const uint8_t *data, size_t blocks) {
    for (; blocks; blocks--, data += BLOCK) {
        uint32_t w[64], v[8];
        for (int t = 0; t < 16; t++) w[t] = read_big(data + 4 * t);
        for (int t = 16; t < 64; t++) {
            uint32_t s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ w[t - 15] >> 3;
            uint32_t s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ w[t - 2] >> 10;
            w[t] = w[t - 16] + s0 + w[t - 7] + s1;
        }
        memcpy(v, state, sizeof v);
        for (int t = 0; t < 64; t++) {
            uint32_t s1 = rotate(v[4], 6) ^ rotate(v[4], 11) ^ rotate(v[4], 25);
            uint32_t t1 = v[7] + s1 + ((v[4] & v[5]) ^ (~v[4] & v[6])) + K[t] + w[t];
            uint32_t s0 = rotate(v[0], 2) ^ rotate(v[0], 13) ^ rotate(v[0], 22);
            uint32_t t2 = s0 + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
            v[7] = v[6]; v[6] = v[5]; v[5] = v[4]; v[4] = v[3] + t1;
            v[3] = v[2]; v[2] = v[1]; v[1] = v[0]; v[0] = t1 + t2;
        }
        for (int i = 0; i < 8; i++) state[i] += v[i];
    }
}

#ifdef HAVE_SHA_NI
/* Intel's SHA extensions keep the state as ABEF and CDGH; four rounds take one vector of four words. */
__attribute__((target("sha,sse4.1,ssse3"))) static void compress_sha_ni(
    uint32_t state[8], const uint8_t *data, size_t blocks) {
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i dcba = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xB1);
    __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1B);
    __m128i abef = _mm_alignr_epi8(dcba, hgfe, 8);
    __m128i cdgh = _mm_blend_epi16(hgfe, dcba, 0xF0);
    for (; blocks; blocks--, data += BLOCK) {
        __m128i abef_before = abef, cdgh_before = cdgh, w[4];
        for (int i = 0; i < 4; i++)
            w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16 * i)), big_endian);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            __m128i m = _mm_add_epi32(w[i & 3], _mm_load_si128((const __m128i *)(K + 4 * i)));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, m);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(m, 0x0E));
            if (i < 12) {
                __m128i next = _mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]);
                next = _mm_add_epi32(next, _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4));
                w[i & 3] = _mm_sha256msg2_epu32(next, w[(i + 3) & 3]);
            }
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    __m128i feba = _mm_shuffle_epi32(abef, 0x1B), dchg = _mm_shuffle_epi32(cdgh, 0xB1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xF0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

static int has_sha_ni(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & (1u << 9)) || !(c & (1u << 19))) return 0; /* SSSE3, SSE4.1 */
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1);
}
#endif

static compress_function compress = compress_portable;

static void digest_of(const uint32_t state[8], uint8_t out[DIGEST]) {
    for (int i = 0; i < 8; i++) write_big(out + 4 * i, state[i]);
}

/* SHA-256 of the 32 bytes at the start of `block`, written over them. */
static void hash_digest(uint8_t block[BLOCK]) {
    uint32_t state[8];
    memcpy(state, INITIAL, sizeof state);
    memset(block + DIGEST, 0, DIGEST);
    block[DIGEST] = 0x80;
    block[62] = 1; /* 256 bits */
    compress(state, block, 1);
    digest_of(state, block);
}

/* SHA-256d of `state` after `blocks` more whole blocks (padding included). */
static void finish_twice(uint32_t state[8], const uint8_t *data, size_t blocks, uint8_t out[DIGEST]) {
    uint8_t block[BLOCK];
    compress(state, data, blocks);
    digest_of(state, block);
    hash_digest(block);
    memcpy(out, block, DIGEST);
}

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

/* -- hashes that were seen ---------------------------------------------------------------------------------------- */

/* The first eight bytes of a hash are scattered by secret numbers, so that nobody can choose hashes that crowd each other.
 * Of what comes out the upper half says where it belongs and the lower six bytes are kept. The sixteen bits that both
 * have leave in doubt only hashes that belong 1/65536 of the table apart: nearly all of the eight bytes are compared. */
#define ENTRY 6
#define ENTRY_MASK 0xFFFFFFFFFFFFu
#define FREE 0u
#define GONE 1u /* taken out; searches go on behind it */
#define FIRST_ENTRY 2u

/* Hashes that the largest table has room for unless somebody says otherwise: 18.75 MB. The first is small, for each page
 * that is touched for the first time costs as much as a share, and scattered hashes touch one each until they have them
 * all; each next one is larger, so that few have to be searched. */
#define SEEN_ROOM 2500000
#define SEEN_ROOM_LIMIT (1 << 30)
#define FIRST_ROOM 20000
#define GROWTH 12

static uint64_t secret[2];

/* One table of a set, full at four fifths. Never copied into a larger one: that would take twice the memory for a while,
 * and time while miners wait. What does not fit goes into another one. */
typedef struct table {
    struct table *older;
    size_t bytes, room, slots, used; /* used: slots that are not free */
    uint8_t entries[];
} Table;

typedef struct {
    PyObject_HEAD
    Table *newest;
    size_t room, count;
} Seen;

typedef struct {
    uint64_t scattered, entry;
} Key;

static Key key_of(const uint8_t hash[DIGEST]) {
    Key key;
    memcpy(&key.scattered, hash, sizeof key.scattered);
    key.scattered = (key.scattered ^ secret[0]) * secret[1];
    key.scattered ^= key.scattered >> 32;
    key.scattered *= secret[1];
    key.entry = key.scattered & ENTRY_MASK;
    if (key.entry < FIRST_ENTRY) key.entry += FIRST_ENTRY;
    return key;
}

static int seen_key(PyObject *value, Key *key) {
    char *bytes;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(value, &bytes, &size) < 0) return -1;
    if (size != DIGEST) {
        PyErr_SetString(PyExc_ValueError, "a hash has 32 bytes");
        return -1;
    }
    *key = key_of((const uint8_t *)bytes);
    return 0;
}

static uint64_t entry_at(const Table *table, size_t at) {
    const uint8_t *bytes = table->entries + ENTRY * at;
    uint32_t low;
    uint16_t high;
    memcpy(&low, bytes, sizeof low);
    memcpy(&high, bytes + sizeof low, sizeof high);
    return low | (uint64_t)high << 32;
}

static void set_entry(Table *table, size_t at, uint64_t entry) {
    uint8_t *bytes = table->entries + ENTRY * at;
    uint32_t low = (uint32_t)entry;
    uint16_t high = (uint16_t)(entry >> 32);
    memcpy(bytes, &low, sizeof low);
    memcpy(bytes + sizeof low, &high, sizeof high);
}

/* Whether the table has the key: then `at` is its slot, else the first one that it may be put into. */
static int find(const Table *table, Key key, size_t *at) {
    size_t place = (size_t)((key.scattered >> 32) * table->slots >> 32), gone = table->slots;
    for (;;) {
        uint64_t entry = entry_at(table, place);
        if (entry == key.entry) {
            *at = place;
            return 1;
        }
        if (entry == FREE) {
            *at = gone < table->slots ? gone : place;
            return 0;
        }
        if (entry == GONE && gone == table->slots) gone = place;
        if (++place == table->slots) place = 0;
    }
}

/* Another empty table, by the system's pages: they go back to it when the table does, wherever others lie. */
static int more_room(Seen *self) {
    size_t room = self->newest == NULL ? FIRST_ROOM : self->newest->room * GROWTH;
    if (room > self->room) room = self->room;
    size_t slots = room + room / 4 + 1, bytes = sizeof(Table) + ENTRY * slots;
    Table *table = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (table == MAP_FAILED) {
        PyErr_NoMemory();
        return -1;
    }
    table->older = self->newest;
    table->bytes = bytes;
    table->room = room;
    table->slots = slots;
    self->newest = table;
    return 0;
}

/* Different in each process. */
static int choose_secret(void) {
    PyObject *os = PyImport_ImportModule("os");
    PyObject *chosen = os == NULL ? NULL : PyObject_CallMethod(os, "urandom", "n", (Py_ssize_t)sizeof secret);
    Py_XDECREF(os);
    if (chosen == NULL) return -1;
    memcpy(secret, PyBytes_AS_STRING(chosen), sizeof secret);
    secret[1] |= 1; /* an odd factor loses nothing */
    Py_DECREF(chosen);
    return 0;
}

/* 1 when it was added, 0 when it was there, -1 with an exception. */
static int add_key(Seen *self, Key key) {
    size_t at;
    if (self->newest == NULL && more_room(self) < 0) return -1;
    for (const Table *table = self->newest->older; table; table = table->older)
        if (find(table, key, &at)) return 0;
    if (find(self->newest, key, &at)) return 0;
    if (self->newest->used >= self->newest->room) {
        if (more_room(self) < 0) return -1;
        find(self->newest, key, &at);
    }
    if (entry_at(self->newest, at) == FREE) self->newest->used++;
    set_entry(self->newest, at, key.entry);
    self->count++;
    return 1;
}

static int add_hash(PyObject *seen, const uint8_t hash[DIGEST]) { return add_key((Seen *)seen, key_of(hash)); }

static PyObject *seen_add(PyObject *object, PyObject *value) {
    Key key;
    if (seen_key(value, &key) < 0) return NULL;
    int added = add_key((Seen *)object, key);
    return added < 0 ? NULL : PyBool_FromLong(added);
}

static PyObject *seen_discard(PyObject *object, PyObject *value) {
    Seen *self = (Seen *)object;
    Key key;
    size_t at;
    if (seen_key(value, &key) < 0) return NULL;
    for (Table *table = self->newest; table; table = table->older) {
        if (!find(table, key, &at)) continue;
        set_entry(table, at, GONE);
        self->count--;
        break;
    }
    Py_RETURN_NONE;
}

static int seen_contains(PyObject *object, PyObject *value) {
    Key key;
    size_t at;
    if (seen_key(value, &key) < 0) return -1;
    for (const Table *table = ((Seen *)object)->newest; table; table = table->older)
        if (find(table, key, &at)) return 1;
    return 0;
}

static Py_ssize_t seen_length(PyObject *object) { return (Py_ssize_t)((Seen *)object)->count; }

static int seen_init(PyObject *object, PyObject *args, PyObject *names) {
    Seen *self = (Seen *)object;
    Py_ssize_t room = SEEN_ROOM;
    static char *words[] = {"room", NULL};
    if (!PyArg_ParseTupleAndKeywords(args, names, "|n", words, &room)) return -1;
    if (room < 1 || room > SEEN_ROOM_LIMIT || self->newest != NULL) {
        PyErr_SetString(PyExc_ValueError, "there is no such room");
        return -1;
    }
    self->room = (size_t)room;
    return 0;
}

static void seen_dealloc(PyObject *object) {
    for (Table *table = ((Seen *)object)->newest, *older; table; table = older) {
        older = table->older;
        munmap(table, table->bytes);
    }
    Py_TYPE(object)->tp_free(object);
}

static PyMethodDef seen_methods[] = {
    {"add", seen_add, METH_O, NULL},
    {"discard", seen_discard, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PySequenceMethods seen_sequence = {.sq_length = seen_length, .sq_contains = seen_contains};

static PyTypeObject seen_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "chains.primitives._share_kernel.SeenHashes",
    .tp_basicsize = sizeof(Seen),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_init = seen_init,
    .tp_dealloc = seen_dealloc,
    .tp_methods = seen_methods,
    .tp_as_sequence = &seen_sequence,
};

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
