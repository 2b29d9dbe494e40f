/* One turn of transport.py's ReadGate: who has something to read is called. That file has the same in Python; with the
 * caches cold, as they are after each pause, the list and the loop cost as much as one share.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <sys/epoll.h>

#define MOST 1024

/* read_ready(epoll, readers, most, failed): calls readers[descriptor]() of each that can be read now, `most` at most, and
 * failed(error) for one that raises. How many there were. */
static PyObject *read_ready(PyObject *module, PyObject *const *args, Py_ssize_t arguments) {
    (void)module;
    struct epoll_event events[MOST];
    if (arguments != 4 || !PyDict_CheckExact(args[1])) {
        PyErr_SetString(PyExc_TypeError, "expected an epoll's descriptor, a dict, a number and a callable");
        return NULL;
    }
    int epoll = PyObject_AsFileDescriptor(args[0]);
    long most = PyLong_AsLong(args[2]);
    if (epoll < 0 || (most == -1 && PyErr_Occurred())) return NULL;
    int ready = epoll_wait(epoll, events, most < 1 ? 1 : most > MOST ? MOST : (int)most, 0);
    if (ready < 0 && errno != EINTR) return PyErr_SetFromErrno(PyExc_OSError);
    for (int i = 0; i < ready; i++) {
        PyObject *descriptor = PyLong_FromLong(events[i].data.fd), *reader, *done;
        if (descriptor == NULL) return NULL;
        reader = Py_XNewRef(PyDict_GetItemWithError(args[1], descriptor)); /* none: an earlier one of this turn ended it */
        Py_DECREF(descriptor);
        if (reader == NULL) {
            if (PyErr_Occurred()) return NULL;
            continue;
        }
        done = PyObject_CallNoArgs(reader);
        Py_DECREF(reader);
        if (done == NULL && PyErr_ExceptionMatches(PyExc_Exception)) { /* the others are read on */
            PyObject *type, *value, *traceback;
            PyErr_Fetch(&type, &value, &traceback);
            PyErr_NormalizeException(&type, &value, &traceback);
            if (traceback) PyException_SetTraceback(value, traceback);
            done = PyObject_CallOneArg(args[3], value);
            Py_XDECREF(type);
            Py_XDECREF(value);
            Py_XDECREF(traceback);
        }
        if (done == NULL) return NULL;
        Py_DECREF(done);
    }
    return PyLong_FromLong(ready < 0 ? 0 : ready);
}

static PyMethodDef methods[] = {
    {"read_ready", (PyCFunction)(void (*)(void))read_ready, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_read_ready", .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC PyInit__read_ready(void) { return PyModule_Create(&module); }
