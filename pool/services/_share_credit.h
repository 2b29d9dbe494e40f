/* What a durable share does to its session: Session.accept() and Vardiff.share(), but for what rarely follows from them. */
#ifndef PARAPOOL_SHARE_CREDIT_H
#define PARAPOOL_SHARE_CREDIT_H

#include <Python.h>

#include "_desk_types.h"
#include "_refusals.h"

static PyObject *first_shares; /* stratum.vardiff.FIRST_SHARES */

/* Vardiff.share() of a share by which nothing is evaluated: 1. 0 when something is, and nothing was changed. */
static int count_share(PyObject *vardiff, PyObject *difficulty, double now) {
    double worth = PyFloat_AsDouble(difficulty), seen;
    long count = PyLong_AsLong(get(vardiff, VARDIFF_COUNT)) + 1;
    int is_searching = get(vardiff, VARDIFF_SEARCHING) == Py_True;
    int is_enough = count >= PyLong_AsLong(get(vardiff, VARDIFF_CHECK));
    if (now < seconds_of(vardiff, VARDIFF_START)) return 1;
    if (is_searching) {
        seen = seconds_of(vardiff, VARDIFF_SEEN) + worth / seconds_of(vardiff, VARDIFF_ASSIGNED);
        if (seen >= PyFloat_AsDouble(first_shares) && (is_enough || now >= seconds_of(vardiff, VARDIFF_UNTIL))) return 0;
        if (set_seconds(vardiff, VARDIFF_SEEN, seen) < 0) return -1;
    } else if (is_enough) {
        return 0;
    }
    return set(vardiff, VARDIFF_COUNT, PyLong_FromLong(count)) < 0 ||
           set_seconds(vardiff, VARDIFF_WORK, seconds_of(vardiff, VARDIFF_WORK) + worth) < 0 ? -1 : 1;
}

/* Session.accept() without the answer's line: 0, or -1 with an exception. */
static int credit(Lane *lane, const Waiting *share, double now) {
    PyObject *session = lane->session, *run = get(session, SESSION_INVALID_RUN);
    PyObject *assignment = get(session, SESSION_ASSIGNMENT), *vardiff;
    if (set_seconds(get(session, SESSION_DEADLINES), DEADLINES_LAST_SHARE, now) < 0 ||
        count_up(get(get(session, SESSION_STANDING), STANDING_ADDRESS), ADDRESS_SHARES, 1) < 0)
        return -1;
    if (get(run, RUN_SINCE) != Py_None &&
        (set(run, RUN_SINCE, Py_NewRef(Py_None)) < 0 || set_seconds(run, RUN_WEIGHT, 0.0) < 0 ||
         set(run, RUN_STEP, PyLong_FromLong(0)) < 0))
        return -1;
    vardiff = get(get(assignment, ASSIGNMENT_TERMS), TERMS_VARDIFF);
    int counted = get(assignment, ASSIGNMENT_REOFFERED) == Py_None ? count_share(vardiff, share->difficulty, now) : 0;
    if (counted == 0) {
        PyObject *at = PyFloat_FromDouble(now), *done = NULL;
        if (at) done = PyObject_CallMethodObjArgs(assignment, str_share, share->job_id, share->difficulty, at, NULL);
        Py_XDECREF(at);
        Py_XDECREF(done);
        counted = done == NULL ? -1 : 1;
    }
    if (counted < 0) return -1;
    PyObject *counters = get(session, SESSION_COUNTERS);
    if (count_by_rtt(lane->connection, counters, COUNTERS_ACCEPTED_BY_RTT) < 0) return -1;
    return count_up(counters, COUNTERS_ACCEPTED, 1);
}

#endif
