/* The plain form of a mining.submit line, read in one pass; whatever is not plain is left to jsonrpc.py and submission.py.
 *
 * Plain is what miners send all day: one object of exactly the members id, method and params, in any order, blanks between
 * tokens; the id null or a whole number; five or six strings of printable ASCII without escapes, their lengths and hex
 * digits as they should be. There is one reference, the Python code: for a plain line it gives the same answer, and the
 * tests hold the two together. Nothing here decides what a wrong line is worth.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define ID_DIGITS 18
#define STRINGS 6
#define EXTRANONCE2_LIMIT 16

typedef struct {
    const char *at, *end;
} Cursor;

typedef struct {
    const char *start;
    Py_ssize_t size;
} Piece;

static void skip_blanks(Cursor *c) {
    while (c->at < c->end && *c->at == ' ') c->at++;
}

/* One byte after blanks. */
static int take(Cursor *c, char wanted) {
    skip_blanks(c);
    if (c->at == c->end || *c->at != wanted) return 0;
    c->at++;
    return 1;
}

static int take_string(Cursor *c, Piece *piece) {
    if (!take(c, '"')) return 0;
    piece->start = c->at;
    for (; c->at < c->end; c->at++) {
        unsigned char letter = (unsigned char)*c->at;
        if (letter == '"') {
            piece->size = c->at++ - piece->start;
            return 1;
        }
        if (letter < 0x20 || letter > 0x7E || letter == '\\') return 0;
    }
    return 0;
}

static int take_id(Cursor *c, Piece *piece) {
    skip_blanks(c);
    piece->start = c->at;
    if (c->end - c->at >= 4 && !memcmp(c->at, "null", 4)) {
        c->at += 4;
    } else {
        while (c->at < c->end && *c->at >= '0' && *c->at <= '9') c->at++;
        Py_ssize_t digits = c->at - piece->start;
        if (digits < 1 || digits > ID_DIGITS || (digits > 1 && *piece->start == '0')) return 0;
    }
    piece->size = c->at - piece->start;
    return 1;
}

static int is(const Piece *piece, const char *text) {
    return (size_t)piece->size == strlen(text) && !memcmp(piece->start, text, (size_t)piece->size);
}

static int digit_of(char letter) {
    if (letter >= '0' && letter <= '9') return letter - '0';
    letter |= 0x20;
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

static int hex_bytes(const Piece *piece, uint8_t *out) {
    for (Py_ssize_t i = 0; i < piece->size / 2; i++) {
        int high = digit_of(piece->start[2 * i]), low = digit_of(piece->start[2 * i + 1]);
        if (high < 0 || low < 0) return 0;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return 1;
}

static int hex_word(const Piece *piece, unsigned long *word) {
    uint8_t bytes[4];
    if (piece->size != 8 || !hex_bytes(piece, bytes)) return 0;
    *word = (unsigned long)bytes[0] << 24 | (unsigned long)bytes[1] << 16 | (unsigned long)bytes[2] << 8 | bytes[3];
    return 1;
}

/* The object's three members; the number of parameters, or 0 for a line that is not plain. */
static int read_line(Cursor *c, Piece *id, Piece params[STRINGS]) {
    int seen = 0, count = 0;
    if (!take(c, '{')) return 0;
    for (int member = 0; member < 3; member++) {
        Piece key, method;
        int which;
        if ((member && !take(c, ',')) || !take_string(c, &key) || !take(c, ':')) return 0;
        if (is(&key, "id")) {
            which = 1;
            if (!take_id(c, id)) return 0;
        } else if (is(&key, "method")) {
            which = 2;
            if (!take_string(c, &method) || !is(&method, "mining.submit")) return 0;
        } else if (is(&key, "params")) {
            which = 4;
            if (!take(c, '[')) return 0;
            for (count = 0; count < STRINGS; count++) {
                if (count && !take(c, ',')) break;
                if (!take_string(c, &params[count])) return 0;
            }
            if (!take(c, ']')) return 0;
        } else {
            return 0;
        }
        if (seen & which) return 0;
        seen |= which;
    }
    if (!take(c, '}')) return 0;
    skip_blanks(c);
    return c->at == c->end && count >= STRINGS - 1 ? count : 0;
}

/* scan(line, extranonce2_digits, submit_class): the Submit, or None for a line that is not plain. */
static PyObject *scan(PyObject *module, PyObject *const *args, Py_ssize_t arguments) {
    (void)module;
    char *line;
    Py_ssize_t size, digits;
    Piece id = {NULL, 0}, params[STRINGS];
    uint8_t extranonce2[EXTRANONCE2_LIMIT];
    unsigned long time, nonce, bits = 0;
    if (arguments != 3) {
        PyErr_SetString(PyExc_TypeError, "expected a line, a number of digits and a class");
        return NULL;
    }
    if (PyBytes_AsStringAndSize(args[0], &line, &size) < 0) return NULL;
    digits = PyLong_AsSsize_t(args[1]);
    if (digits == -1 && PyErr_Occurred()) return NULL;
    Cursor cursor = {line, line + size};
    int count = read_line(&cursor, &id, params);
    if (!count || digits < 0 || digits % 2 || digits > 2 * EXTRANONCE2_LIMIT || params[2].size != digits ||
        !hex_bytes(&params[2], extranonce2) || !hex_word(&params[3], &time) || !hex_word(&params[4], &nonce) ||
        (count == STRINGS && !hex_word(&params[5], &bits)))
        Py_RETURN_NONE;

    PyObject *values[7] = {
        PyBytes_FromStringAndSize(id.start, id.size),
        PyUnicode_DecodeASCII(params[0].start, params[0].size, NULL),
        PyUnicode_New(params[1].size, 127),
        PyBytes_FromStringAndSize((char *)extranonce2, digits / 2),
        PyLong_FromUnsignedLong(time),
        PyLong_FromUnsignedLong(nonce),
        count == STRINGS ? PyLong_FromUnsignedLong(bits) : Py_NewRef(Py_None),
    };
    PyObject *submit = NULL;
    for (int i = 0; i < 7; i++)
        if (values[i] == NULL) goto done;
    if (params[1].size) { /* the empty string is shared and has no room to write to */
        Py_UCS1 *job_id = PyUnicode_1BYTE_DATA(values[2]);
        for (Py_ssize_t i = 0; i < params[1].size; i++) {
            char letter = params[1].start[i];
            job_id[i] = (Py_UCS1)(letter >= 'A' && letter <= 'Z' ? letter | 0x20 : letter);
        }
    }
    submit = PyObject_Vectorcall(args[2], values, 7, NULL);
done:
    for (int i = 0; i < 7; i++) Py_XDECREF(values[i]);
    return submit;
}

static PyMethodDef methods[] = {
    {"scan", (PyCFunction)(void (*)(void))scan, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_submit_scan", .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC PyInit__submit_scan(void) { return PyModule_Create(&module); }
