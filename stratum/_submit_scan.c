/* The plain form of a mining.submit line, read in one pass; whatever is not plain is left to jsonrpc.py and submission.py.
 *
 * Plain is what miners send all day: one object of exactly the members id, method and params, in any order, blanks between
 * tokens; the id null or a whole number; five or six strings of printable ASCII without escapes, their lengths and hex
 * digits as they should be. There is one reference, the Python code: for a plain line it gives the same answer, and the
 * tests hold the two together. Nothing here decides what a wrong line is worth.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include "_submit_scan.h"

/* scan(line, extranonce2_digits, submit_class): the Submit, or None for a line that is not plain. */
static PyObject *scan(PyObject *module, PyObject *const *args, Py_ssize_t arguments) {
    (void)module;
    char *line;
    Py_ssize_t size, digits;
    PlainSubmit plain;
    if (arguments != 3) {
        PyErr_SetString(PyExc_TypeError, "expected a line, a number of digits and a class");
        return NULL;
    }
    if (PyBytes_AsStringAndSize(args[0], &line, &size) < 0) return NULL;
    digits = PyLong_AsSsize_t(args[1]);
    if (digits == -1 && PyErr_Occurred()) return NULL;
    if (read_submit(line, size, digits, &plain) != PLAIN) Py_RETURN_NONE;

    PyObject *values[7] = {
        PyBytes_FromStringAndSize(plain.id.start, plain.id.size),
        PyUnicode_DecodeASCII(plain.worker.start, plain.worker.size, NULL),
        job_id_of(&plain.job_id),
        PyBytes_FromStringAndSize((char *)plain.extranonce2, plain.extranonce2_size),
        PyLong_FromUnsignedLong(plain.time),
        PyLong_FromUnsignedLong(plain.nonce),
        plain.has_version_bits ? PyLong_FromUnsignedLong(plain.version_bits) : Py_NewRef(Py_None),
    };
    PyObject *submit = NULL;
    for (int i = 0; i < 7; i++)
        if (values[i] == NULL) goto done;
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
