/* The transactions of a getblocktemplate answer, read in one pass: a new block's are megabytes of hex digits, and miners
 * wait for them.
 *
 * What is read is the regular case: objects with data, txid, hash and fee in any order, among fields that are passed over.
 * The rest of the answer is for JSON's decoder. There is one reference, template.py with msgspec: for whatever is not
 * regular (escapes, fractions, a key twice, a field that is missing or wrong) it does all, and says what is wrong. The tests
 * hold the two together. Everything in here that reads on asks for `end` first: a node may send anything.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define DIGEST 32
#define MIN_SIZE 60      /* template.py: MIN_TRANSACTION_SIZE */
#define INTEGER_DIGITS 18 /* all of them fit into 64 bits */
#define DEPTH 16         /* of what is passed over */
#define STRIDE 64        /* digits that are decoded at once; no string of a transaction has fewer */

typedef struct {
    const uint8_t *at, *end;
} Cursor;

typedef struct {
    const uint8_t *start;
    Py_ssize_t size;
} Piece;

typedef enum { FAILED = -1, IRREGULAR = 0, READ = 1 } Outcome; /* failed: an exception is set */

/* -- JSON -------------------------------------------------------------------------------------------------------------- */

static inline void skip_blanks(Cursor *c) {
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n' || *c->at == '\r' || *c->at == '\t')) c->at++;
}

/* One byte after blanks. */
static inline int take(Cursor *c, uint8_t wanted) {
    skip_blanks(c);
    if (c->at == c->end || *c->at != wanted) return 0;
    c->at++;
    return 1;
}

/* All up to the next quotation mark; the caller looks at what it holds, and takes no backslash. */
static int take_quoted(Cursor *c, Piece *piece) {
    if (!take(c, '"')) return 0;
    const uint8_t *close = memchr(c->at, '"', (size_t)(c->end - c->at));
    if (close == NULL) return 0;
    *piece = (Piece){c->at, close - c->at};
    c->at = close + 1;
    return 1;
}

/* Printable ASCII without escapes. */
static int take_text(Cursor *c, Piece *piece) {
    if (!take(c, '"')) return 0;
    piece->start = c->at;
    for (; c->at < c->end; c->at++) {
        uint8_t letter = *c->at;
        if (letter == '"') {
            piece->size = c->at++ - piece->start;
            return 1;
        }
        if (letter < 0x20 || letter > 0x7E || letter == '\\') return 0;
    }
    return 0;
}

static int take_integer(Cursor *c, int64_t *value) {
    skip_blanks(c);
    int negative = c->at < c->end && *c->at == '-';
    if (negative) c->at++;
    const uint8_t *start = c->at;
    int64_t found = 0;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
        if (c->at - start == INTEGER_DIGITS) return 0;
        found = 10 * found + (*c->at - '0');
    }
    Py_ssize_t digits = c->at - start;
    if (digits < 1 || (digits > 1 && *start == '0') || (negative && !found)) return 0;
    *value = negative ? -found : found;
    return 1; /* a fraction or an exponent is no comma and no bracket, which comes next */
}

static int take_word(Cursor *c, const char *word) {
    size_t size = strlen(word);
    if ((size_t)(c->end - c->at) < size || memcmp(c->at, word, size)) return 0;
    c->at += size;
    return 1;
}

static inline int is(const Piece *piece, const char *text) {
    return (size_t)piece->size == strlen(text) && !memcmp(piece->start, text, (size_t)piece->size);
}

/* The next member's key and its colon; at the object's end READ with `closed` set. `members` counts them. */
static int next_key(Cursor *c, Py_ssize_t *members, Piece *key, int *closed) {
    *closed = take(c, '}');
    if (*closed) return 1;
    if ((*members)++ && !take(c, ',')) return 0;
    return take_text(c, key) && take(c, ':');
}

/* Any value of plain texts and integers. */
static int skip_value(Cursor *c, int depth) {
    Piece piece;
    int64_t number;
    int closed;
    if (depth > DEPTH) return 0;
    skip_blanks(c);
    if (c->at == c->end) return 0;
    switch (*c->at) {
    case '"': return take_text(c, &piece);
    case 't': return take_word(c, "true");
    case 'f': return take_word(c, "false");
    case 'n': return take_word(c, "null");
    case '{':
        c->at++;
        for (Py_ssize_t members = 0;;) {
            if (!next_key(c, &members, &piece, &closed)) return 0;
            if (closed) return 1;
            if (!skip_value(c, depth + 1)) return 0;
        }
    case '[':
        c->at++;
        if (take(c, ']')) return 1;
        do {
            if (!skip_value(c, depth + 1)) return 0;
        } while (take(c, ','));
        return take(c, ']');
    default: return take_integer(c, &number);
    }
}

/* -- hex digits -------------------------------------------------------------------------------------------------------- */

/* STRIDE digits: 0 when all of them are. Loops of fixed length without a branch, which compilers turn into vectors. */
static inline unsigned decode_stride(const uint8_t *restrict digits, uint8_t *restrict out) {
    uint8_t values[STRIDE], odd[STRIDE], any = 0;
    for (int i = 0; i < STRIDE; i++) {
        uint8_t digit = (uint8_t)(digits[i] - '0'), letter = (uint8_t)((digits[i] | 0x20) - 'a');
        uint8_t is_digit = digit < 10 ? 0xFF : 0, is_letter = letter < 6 ? 0xFF : 0;
        values[i] = (uint8_t)((digit & is_digit) | ((uint8_t)(letter + 10) & is_letter));
        odd[i] = (uint8_t)~(is_digit | is_letter);
    }
    for (int i = 0; i < STRIDE; i++) any |= odd[i];
    for (int i = 0; i < STRIDE / 2; i++) out[i] = (uint8_t)(values[2 * i] << 4 | values[2 * i + 1]);
    return any;
}

/* All of an even number, STRIDE or more; the last stride overlaps the one before. Compiled twice where the loader can choose
 * by what the processor has. */
#if defined(__x86_64__) && defined(__GLIBC__)
__attribute__((target_clones("avx2", "default")))
#endif
static int decode(const Piece *digits, uint8_t *out) {
    unsigned odd = 0;
    Py_ssize_t at = 0;
    for (; at + STRIDE <= digits->size; at += STRIDE) odd |= decode_stride(digits->start + at, out + at / 2);
    at = digits->size - STRIDE;
    odd |= decode_stride(digits->start + at, out + at / 2);
    return !odd;
}

/* Bytes of displayed hex in natural order. */
static PyObject *natural_hash(const Piece *digits, Outcome *outcome) {
    uint8_t shown[DIGEST];
    *outcome = IRREGULAR;
    if (digits->size != 2 * DIGEST || decode_stride(digits->start, shown)) return NULL;
    PyObject *made = PyBytes_FromStringAndSize(NULL, DIGEST);
    *outcome = made == NULL ? FAILED : READ;
    for (int i = 0; made != NULL && i < DIGEST; i++) PyBytes_AS_STRING(made)[i] = (char)shown[DIGEST - 1 - i];
    return made;
}

/* -- a template's transactions ----------------------------------------------------------------------------------------- */

enum { DATA, TXID, HASH, FEE, FIELDS };

static int field_of(const Piece *key) {
    return is(key, "data") ? DATA : is(key, "txid") ? TXID : is(key, "hash") ? HASH : is(key, "fee") ? FEE : FIELDS;
}

/* One of the list: READ sets `made` to class(data, txid, wtxid, fee). */
static Outcome read_transaction(Cursor *c, PyObject *class, PyObject **made) {
    Piece pieces[FIELDS], key;
    int64_t fee = 0;
    unsigned seen = 0;
    int closed;
    if (!take(c, '{')) return IRREGULAR;
    for (Py_ssize_t members = 0;;) {
        if (!next_key(c, &members, &key, &closed)) return IRREGULAR;
        if (closed) break;
        int field = field_of(&key);
        if (field == FIELDS) {
            if (!skip_value(c, 0)) return IRREGULAR;
            continue;
        }
        if (seen & 1u << field) return IRREGULAR;
        seen |= 1u << field;
        if (!(field == FEE ? take_integer(c, &fee) : take_quoted(c, &pieces[field]))) return IRREGULAR;
    }
    if (!(seen & 1u << DATA) || !(seen & 1u << TXID)) return IRREGULAR;
    if (!(seen & 1u << HASH)) pieces[HASH] = pieces[TXID];
    if (pieces[DATA].size < 2 * MIN_SIZE || pieces[DATA].size % 2) return IRREGULAR;

    Outcome outcome = FAILED;
    PyObject *values[FIELDS] = {NULL};
    values[DATA] = PyBytes_FromStringAndSize(NULL, pieces[DATA].size / 2);
    if (values[DATA] == NULL) goto done;
    outcome = IRREGULAR;
    if (!decode(&pieces[DATA], (uint8_t *)PyBytes_AS_STRING(values[DATA]))) goto done;
    for (int field = TXID; field <= HASH; field++) {
        values[field] = natural_hash(&pieces[field], &outcome);
        if (values[field] == NULL) goto done;
    }
    outcome = FAILED;
    values[FEE] = PyLong_FromLongLong(fee);
    if (values[FEE] == NULL) goto done;
    *made = PyObject_Vectorcall(class, values, FIELDS, NULL);
    if (*made != NULL) outcome = READ;
done:
    for (int field = 0; field < FIELDS; field++) Py_XDECREF(values[field]);
    return outcome;
}

static Outcome read_list(Cursor *c, PyObject *class, PyObject *found) {
    if (!take(c, '[')) return IRREGULAR;
    if (take(c, ']')) return READ;
    do {
        PyObject *made = NULL;
        Outcome outcome = read_transaction(c, class, &made);
        if (outcome != READ) return outcome;
        int failed = PyList_Append(found, made);
        Py_DECREF(made);
        if (failed) return FAILED;
    } while (take(c, ','));
    return take(c, ']') ? READ : IRREGULAR;
}

/* The members of an object, one of which has to be `names[level]`; of the innermost it is the list, which goes into `found`
 * and whose place into `list`. */
static Outcome read_within(Cursor *c, int level, PyObject *class, PyObject *found, Piece *list) {
    static const char *const names[] = {"result", "transactions"};
    Piece key;
    int closed, seen = 0;
    if (!take(c, '{')) return IRREGULAR;
    for (Py_ssize_t members = 0;;) {
        if (!next_key(c, &members, &key, &closed)) return IRREGULAR;
        if (closed) return seen ? READ : IRREGULAR;
        if (!is(&key, names[level])) {
            if (!skip_value(c, 0)) return IRREGULAR;
            continue;
        }
        if (seen++) return IRREGULAR;
        list->start = c->at;
        Outcome outcome = level ? read_list(c, class, found) : read_within(c, level + 1, class, found, list);
        if (outcome != READ) return outcome;
        if (level) list->size = c->at - list->start;
    }
}

/* scan(body, class): the transactions as a tuple of class(data, txid, wtxid, fee), and the answer with an empty list in their
 * place; None for an answer that is not regular. */
static PyObject *scan(PyObject *module, PyObject *const *args, Py_ssize_t arguments) {
    (void)module;
    Py_buffer view;
    if (arguments != 2) {
        PyErr_SetString(PyExc_TypeError, "expected an answer's bytes and a class");
        return NULL;
    }
    if (PyObject_GetBuffer(args[0], &view, PyBUF_SIMPLE) < 0) return NULL;
    const uint8_t *body = view.buf;
    Cursor cursor = {body, body + view.len};
    Piece list = {body, 0};
    PyObject *found = PyList_New(0), *transactions = NULL, *rest = NULL, *both = NULL;
    Outcome outcome = found == NULL ? FAILED : read_within(&cursor, 0, args[1], found, &list);
    if (outcome == READ) {
        skip_blanks(&cursor);
        if (cursor.at != cursor.end) outcome = IRREGULAR;
    }
    if (outcome == READ) {
        Py_ssize_t before = list.start - body, after = view.len - before - list.size;
        transactions = PyList_AsTuple(found);
        rest = PyBytes_FromStringAndSize(NULL, before + 2 + after);
        if (transactions != NULL && rest != NULL) {
            char *out = PyBytes_AS_STRING(rest);
            memcpy(out, body, (size_t)before);
            memcpy(out + before, "[]", 2);
            memcpy(out + before + 2, list.start + list.size, (size_t)after);
            both = PyTuple_Pack(2, transactions, rest);
        }
    }
    PyBuffer_Release(&view);
    Py_XDECREF(found);
    Py_XDECREF(transactions);
    Py_XDECREF(rest);
    return outcome == IRREGULAR ? Py_NewRef(Py_None) : both;
}

static PyMethodDef methods[] = {
    {"scan", (PyCFunction)(void (*)(void))scan, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_template_scan", .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC PyInit__template_scan(void) { return PyModule_Create(&module); }
