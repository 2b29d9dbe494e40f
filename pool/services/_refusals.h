/* The common refusals of a submission: their words, and what they count. Session.reject() and ShareIntake._reject() have
 * the same; a refusal from which more follows than its answer (a ban, a step of the ladder) is theirs.
 */
#ifndef PARAPOOL_REFUSALS_H
#define PARAPOOL_REFUSALS_H

#include <Python.h>
#include <stdio.h>
#include <string.h>

#include "../../stratum/_submit_scan.h"
#include "_desk_slots.h"

#define REFUSAL_BYTES 192 /* of an answer */
#define WIRE_LIMIT 128

enum {
    REFUSE_STALE, REFUSE_UNKNOWN_JOB, REFUSE_DUPLICATE, REFUSE_LOW_DIFFICULTY, REFUSE_UNAUTHORIZED, REFUSE_TIME, REFUSE_VERSION_BITS,
    REFUSE_WORDS, REFUSE_HEX, REFUSE_VERSION_TEXT, REFUSE_LENGTH, /* and one more for each byte of extranonce2 */
    REFUSALS = REFUSE_LENGTH + EXTRANONCE2_LIMIT + 1
};
static const struct { const char *module, *name; } refusal_names[REFUSE_LENGTH] = {
    {"stratum.errors", "STALE"}, {"stratum.errors", "UNKNOWN_JOB"}, {"stratum.errors", "DUPLICATE"},
    {"stratum.errors", "LOW_DIFFICULTY"}, {"stratum.errors", "UNAUTHORIZED"},
    {"pool.shares.validation", "TIME_OUT_OF_RANGE"}, {"pool.shares.validation", "VERSION_BITS"},
    {"stratum.submission", "_WORDS"}, {"stratum.submission", "_HEX"}, {"stratum.submission", "_VERSION"},
};
static struct {
    PyObject *reason;
    double penalty;
    size_t size; /* 0: there is none */
    char wire[WIRE_LIMIT];
} refusals[REFUSALS];

/* Answers to one read that go out together. */
typedef struct {
    size_t used;
    char text[16384];
} Answers;

/* Reads a stratum.errors.StratumError; -1 with an exception. */
static int find_refusal(int which, PyObject *error) {
    PyObject *wire = NULL;
    char *text;
    Py_ssize_t size;
    if (error == NULL) return -1;
    refusals[which].reason = PyObject_GetAttr(error, str_reason);
    wire = PyObject_GetAttr(error, str_wire);
    if (refusals[which].reason == NULL || wire == NULL || attribute_s(error, str_penalty, &refusals[which].penalty) < 0 ||
        PyBytes_AsStringAndSize(wire, &text, &size) < 0) {
        Py_XDECREF(wire);
        return -1;
    }
    if (size > WIRE_LIMIT || !(refusals[which].penalty > 0.0)) {
        PyErr_SetString(PyExc_ImportError, "a refusal is of another make");
        Py_DECREF(wire);
        return -1;
    }
    memcpy(refusals[which].wire, text, (size_t)size);
    refusals[which].size = (size_t)size;
    Py_DECREF(wire);
    return 0;
}

static int find_refusals(void) {
    for (int which = 0; which < REFUSE_LENGTH; which++) {
        PyObject *module = PyImport_ImportModule(refusal_names[which].module);
        PyObject *error = module == NULL ? NULL : PyObject_GetAttrString(module, refusal_names[which].name);
        int done = find_refusal(which, error);
        Py_XDECREF(error);
        Py_XDECREF(module);
        if (done < 0) return -1;
    }
    PyObject *module = PyImport_ImportModule("stratum.submission");
    PyObject *lengths = module == NULL ? NULL : PyObject_GetAttrString(module, "_LENGTHS"), *digits, *error;
    Py_ssize_t at = 0;
    int done = lengths != NULL && PyDict_Check(lengths) ? 0 : -1;
    while (!done && PyDict_Next(lengths, &at, &digits, &error)) {
        long size = PyLong_AsLong(digits) / 2;
        if (size >= 1 && size <= EXTRANONCE2_LIMIT) done = find_refusal(REFUSE_LENGTH + (int)size, error);
    }
    Py_XDECREF(lengths);
    Py_XDECREF(module);
    return done;
}

/* counts[key] += 1 of a dict. */
static int count_of(PyObject *owner, PyObject *name, PyObject *key) {
    PyObject *counts = PyObject_GetAttr(owner, name), *before, *after;
    int done = -1;
    if (counts == NULL) return -1;
    if (PyDict_Check(counts) && ((before = PyDict_GetItemWithError(counts, key)) != NULL || !PyErr_Occurred())) {
        after = PyLong_FromLongLong(before == NULL ? 1 : PyLong_AsLongLong(before) + 1);
        done = after == NULL ? -1 : PyDict_SetItem(counts, key, after);
        Py_XDECREF(after);
    }
    Py_DECREF(counts);
    if (done < 0 && !PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "expected a dict of numbers");
    return done;
}

/* The session's counter of shares by the class of its round trip, one more. */
static int count_by_rtt(PyObject *connection, PyObject *counters, int place) {
    PyObject *rtt = PyObject_GetAttr(connection, str_rtt_class), *counts = get(counters, place), *before, *after = NULL;
    int done = -1;
    if (rtt == NULL) return -1;
    Py_ssize_t class = PyLong_AsSsize_t(rtt);
    Py_DECREF(rtt);
    if ((before = PyList_GetItem(counts, class)) != NULL) after = PyLong_FromLongLong(PyLong_AsLongLong(before) + 1);
    if (after != NULL) done = PyList_SetItem(counts, class, after);
    return done;
}

/* Refuses a submission of an open session: 1. 0 when more would follow than the answer, and nothing was changed; -1 with
 * an exception. `intake` is NULL for what the session refuses by itself. */
static int refuse(PyObject *intake, PyObject *connection, PyObject *session, const Piece *id, int which, double now,
                  Answers *answers) {
    PyObject *run = get(session, SESSION_INVALID_RUN), *limits = get(run, RUN_LIMITS), *since = get(run, RUN_SINCE);
    PyObject *address = get(get(session, SESSION_STANDING), STANDING_ADDRESS), *counters = get(session, SESSION_COUNTERS);
    double penalty = refusals[which].penalty, weight = seconds_of(run, RUN_WEIGHT) + penalty, most, step_s;
    long long shares = PyLong_AsLongLong(get(address, ADDRESS_SHARES)) + 1, ban_shares;
    if (!refusals[which].size || answers->used + REFUSAL_BYTES > sizeof answers->text) return 0;
    if (get(address, ADDRESS_EXEMPT) != Py_True) {
        if (number_of(get(address, ADDRESS_LIMITS), str_ban_shares, &ban_shares) < 0) return -1;
        if (shares >= ban_shares) return 0;
    }
    if (attribute_s(limits, str_invalid_run_shares, &most) < 0) return -1;
    if (weight >= most) {
        double lasted_s = since == Py_None ? 0.0 : now - PyFloat_AsDouble(since);
        PyObject *steps[3] = {str_invalid_fresh_job_s, str_invalid_reconnect_s, str_invalid_drop_s};
        for (int i = 0; i < 3; i++) {
            if (attribute_s(limits, steps[i], &step_s) < 0) return -1;
            if (lasted_s >= step_s) return 0;
        }
    }
    if (PyErr_Occurred()) return -1;
    if ((intake != NULL && count_of(intake, str_rejected, refusals[which].reason) < 0) ||
        count_of(counters, str_rejected, refusals[which].reason) < 0 ||
        set(address, ADDRESS_SHARES, PyLong_FromLongLong(shares)) < 0 ||
        set_seconds(address, ADDRESS_INVALID_WEIGHT, seconds_of(address, ADDRESS_INVALID_WEIGHT) + penalty) < 0 ||
        (since == Py_None && set_seconds(run, RUN_SINCE, now) < 0) || set_seconds(run, RUN_WEIGHT, weight) < 0 ||
        (intake != NULL && which == REFUSE_STALE && count_by_rtt(connection, counters, COUNTERS_STALE_BY_RTT) < 0))
        return -1;
    answers->used += (size_t)snprintf(answers->text + answers->used, REFUSAL_BYTES, "{\"id\":%.*s,\"result\":null,\"error\":%.*s}\n",
                                      (int)id->size, id->start, (int)refusals[which].size, refusals[which].wire);
    return 1;
}

#endif
