/* The share log's queue, as pool/shares/share_log.py fills it in append(). */
#ifndef PARAPOOL_LOG_QUEUE_H
#define PARAPOOL_LOG_QUEUE_H

#include <Python.h>

#include "_desk_slots.h"

/* Whether the log takes a share of this route and these chains as the next in its segment, defined there before, and has
 * room for what waits. Its sequence, and the number of the set of chains. */
static int log_takes(PyObject *log, PyObject *digest, PyObject *chains, long long *sequence, long long *chain_set) {
    PyObject *routes = get(log, LOG_ROUTES), *sets = get(log, LOG_CHAIN_SETS), *number;
    if (get(log, LOG_FAILURE) != Py_None || get(log, LOG_CLOSING) != Py_False ||
        number_at(log, LOG_SEGMENT_SIZE) >= number_at(log, LOG_SEGMENT_BYTES) ||
        number_at(log, LOG_QUEUED_BYTES) + number_at(log, LOG_GATHERED_BYTES) > number_at(log, LOG_PENDING_LIMIT) ||
        !PyAnySet_Check(routes) || !PyDict_CheckExact(sets))
        return PyErr_Occurred() ? -1 : 0;
    int takes = PySet_Contains(routes, digest);
    if (takes != 1) return takes;
    number = PyDict_GetItemWithError(sets, chains);
    if (number == NULL) return PyErr_Occurred() ? -1 : 0;
    *chain_set = PyLong_AsLongLong(number);
    *sequence = number_at(log, LOG_SEQUENCE) + 1;
    return PyErr_Occurred() ? -1 : 1;
}

/* log.append()'s end: the frame is queued. Steals the frame. */
static int queue_frame(PyObject *log, PyObject *frame, long long sequence) {
    PyObject *gathered = get(log, LOG_GATHERED), *number = PyLong_FromLongLong(sequence), *entry = NULL;
    long size = (long)PyBytes_GET_SIZE(frame);
    int done = -1;
    if (number == NULL || !PyList_CheckExact(gathered)) goto end;
    if (!PyList_GET_SIZE(gathered)) {
        PyObject *hand_over = PyObject_GetAttr(log, str__hand_over), *soon;
        soon = hand_over == NULL ? NULL : PyObject_CallMethodOneArg(get(log, LOG_LOOP), str_call_soon, hand_over);
        Py_XDECREF(hand_over);
        if (soon == NULL) goto end;
        Py_DECREF(soon);
    }
    if (set(log, LOG_SEQUENCE, Py_NewRef(number)) < 0 || count_up(log, LOG_SEGMENT_SIZE, size) < 0 ||
        count_up(log, LOG_GATHERED_BYTES, size) < 0)
        goto end;
    entry = PyTuple_Pack(4, get(log, LOG_SEGMENT), frame, number, one_share);
    done = entry == NULL ? -1 : PyList_Append(gathered, entry);
end:
    if (done < 0 && !PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "expected a list of entries");
    Py_DECREF(frame);
    Py_XDECREF(number);
    Py_XDECREF(entry);
    return done;
}

#endif
