/* The hashes that were seen: a set that goes by eight bytes of each, in tables of the system's pages. share_kernel.py has the
 * same in Python and says what it means.
 */
#ifndef PARAPOOL_SEEN_HASHES_H
#define PARAPOOL_SEEN_HASHES_H

#include <Python.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include "_share_kernel.h"

#define DIGEST SHARE_DIGEST

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

#endif
