/* The attributes of Python's objects that _share_desk.c reads and changes, by name and by the places of __slots__. */
#ifndef PARAPOOL_DESK_SLOTS_H
#define PARAPOOL_DESK_SLOTS_H

#include <Python.h>
#include <structmember.h>

#define NAMES(X) \
    X(_chain_sets) X(_closing) X(_failed) X(_failure) X(_gathered) X(_gathered_bytes) X(_generation) X(_hand_over) \
    X(_jobs) X(_loop) X(_queued_bytes) X(_realms) X(_routes) X(_segment) X(_segment_bytes) X(_segment_size) \
    X(_sequence) X(_targets) X(_tempDataLen) X(_timed_at) X(_timed_sequence) X(accepted) X(accepted_by_rtt) X(add) \
    X(ban_shares) X(call_soon) X(catch_up) X(connected) X(counted_chains) X(counted_generation) X(counted_until) X(dataBuffer) \
    X(digest) X(disconnecting) X(fast_s) X(flood_s) X(flush) X(invalid_drop_s) X(invalid_fresh_job_s) \
    X(invalid_reconnect_s) X(invalid_run_shares) X(job_id) X(kernel) X(layouts) X(line) X(maximum_time) X(messages) \
    X(minimum_time) X(notable) X(penalty) X(pending_limit) X(realm) X(reason) X(rejected) X(route) X(rtt_class) \
    X(seen) X(sequence) X(share) X(stale_by_rtt) X(take) X(tip) X(version) X(version_mask) X(wire) X(words) \
    X(worker)

#define DECLARE(name) static PyObject *str_##name;
NAMES(DECLARE)
#undef DECLARE

/* The places of what the sessions keep in __slots__; found once, when the module is set up. */
enum {
    SESSION_AUTHORIZING, SESSION_RATE, SESSION_DIGITS, SESSION_CLOSED, SESSION_EXTRANONCE1, SESSION_SUBSCRIBED,
    SESSION_VERSION_MASK, SESSION_USERS, SESSION_ASSIGNMENT, SESSION_DEADLINES, SESSION_INVALID_RUN, SESSION_LINES,
    SESSION_OUT, SESSION_STANDING, SESSION_COUNTERS, SESSION_FORMER_EXTRANONCE1, LINES_DATA, LINES_START,
    RATE_FAST_PER_S, RATE_FAST_S, RATE_FLOOD_PER_S, RATE_FLOOD_S,
    RATE_LIMITS, RATE_SINCE, RATE_COUNT, RATE_DUE, DEADLINES_LAST_LINE, DEADLINES_LAST_SHARE, DEADLINES_SPOKE, RUN_SINCE, RUN_WEIGHT, RUN_STEP, RUN_LIMITS,
    STANDING_ADDRESS, ADDRESS_SHARES, ADDRESS_LIMITS, ADDRESS_EXEMPT, ADDRESS_INVALID_WEIGHT, ASSIGNMENT_TERMS, ASSIGNMENT_WANTED, ASSIGNMENT_REOFFERED, TERMS_SENT,
    TERMS_LAST_SEQUENCE, TERMS_LAST, TERMS_VARDIFF, VARDIFF_START, VARDIFF_COUNT, VARDIFF_WORK, VARDIFF_CHECK,
    VARDIFF_SEARCHING, VARDIFF_SEEN, VARDIFF_ASSIGNED, VARDIFF_UNTIL,
    OUT_CHUNKS, PLACES
};
static const struct { const char *module, *type, *name; } places[PLACES] = {
    {"stratum.session", "Session", "_authorizing"}, {"stratum.session", "Session", "_rate"},
    {"stratum.session", "Session", "_submit_digits"}, {"stratum.session", "Session", "closed"},
    {"stratum.session", "Session", "extranonce1"}, {"stratum.session", "Session", "subscribed"},
    {"stratum.session", "Session", "version_mask"}, {"stratum.session", "Session", "users"},
    {"stratum.session", "Session", "assignment"}, {"stratum.session", "Session", "deadlines"},
    {"stratum.session", "Session", "_invalid_run"}, {"stratum.session", "Session", "_lines"},
    {"stratum.session", "Session", "out"}, {"stratum.session", "Session", "standing"},
    {"stratum.session", "Session", "counters"}, {"stratum.session", "Session", "_former_extranonce1"},
    {"stratum.framing", "LineBuffer", "_data"}, {"stratum.framing", "LineBuffer", "_start"},
    {"stratum.message_rate", "MessageRate", "_fast_per_s"}, {"stratum.message_rate", "MessageRate", "_fast_s"},
    {"stratum.message_rate", "MessageRate", "_flood_per_s"}, {"stratum.message_rate", "MessageRate", "_flood_s"},
    {"stratum.message_rate", "MessageRate", "_limits"}, {"stratum.message_rate", "MessageRate", "_since"},
    {"stratum.message_rate", "MessageRate", "count"},
    {"stratum.message_rate", "MessageRate", "due"}, {"stratum.deadlines", "Deadlines", "last_line"},
    {"stratum.deadlines", "Deadlines", "last_valid_share"}, {"stratum.deadlines", "Deadlines", "spoke"},
    {"stratum.invalid_run", "InvalidRun", "_since"},
    {"stratum.invalid_run", "InvalidRun", "_weight"}, {"stratum.invalid_run", "InvalidRun", "_step"},
    {"stratum.invalid_run", "InvalidRun", "_limits"}, {"stratum.standing", "Standing", "address"},
    {"stratum.addresses", "AddressRecord", "shares"}, {"stratum.addresses", "AddressRecord", "_limits"},
    {"stratum.addresses", "AddressRecord", "exempt"}, {"stratum.addresses", "AddressRecord", "invalid_weight"}, {"stratum.assignment", "Assignment", "terms"},
    {"stratum.assignment", "Assignment", "wanted"}, {"stratum.assignment", "Assignment", "_reoffered_job_id"},
    {"stratum.terms", "Terms", "sent"}, {"stratum.terms", "Terms", "_last_sequence"}, {"stratum.terms", "Terms", "_last"},
    {"stratum.terms", "Terms", "vardiff"}, {"stratum.vardiff", "Vardiff", "_start"},
    {"stratum.vardiff", "Vardiff", "_count"}, {"stratum.vardiff", "Vardiff", "_work"},
    {"stratum.vardiff", "Vardiff", "_check_count"}, {"stratum.vardiff", "Vardiff", "searching"},
    {"stratum.vardiff", "Vardiff", "_seen"}, {"stratum.vardiff", "Vardiff", "assigned"},
    {"stratum.vardiff", "Vardiff", "_search_until"}, {"stratum.outbox", "Outbox", "_chunks"},
};
static Py_ssize_t offsets[PLACES];
static PyTypeObject *owners[PLACES];

/* Borrowed; NULL, without an exception, where it was never set. */
static PyObject *get(PyObject *object, int place) { return *(PyObject **)((char *)object + offsets[place]); }

/* Takes over `value`; -1 when that is NULL. */
static int set(PyObject *object, int place, PyObject *value) {
    PyObject **slot = (PyObject **)((char *)object + offsets[place]), *before = *slot;
    if (value == NULL) return -1;
    *slot = value;
    Py_XDECREF(before);
    return 0;
}

static int set_seconds(PyObject *object, int place, double seconds) {
    return set(object, place, PyFloat_FromDouble(seconds));
}

static int count_up(PyObject *object, int place, long by) {
    return set(object, place, PyLong_FromLong(PyLong_AsLong(get(object, place)) + by));
}

static double seconds_of(PyObject *object, int place) { return PyFloat_AsDouble(get(object, place)); }

/* object.name += by; -1 with an exception. */
static int attribute_up(PyObject *object, PyObject *name, long long by) {
    PyObject *value = PyObject_GetAttr(object, name);
    if (value == NULL) return -1;
    PyObject *more = PyLong_FromLongLong(PyLong_AsLongLong(value) + by);
    Py_DECREF(value);
    if (more == NULL) return -1;
    int done = PyErr_Occurred() ? -1 : PyObject_SetAttr(object, name, more);
    Py_DECREF(more);
    return done;
}

static int number_of(PyObject *object, PyObject *name, long long *number) {
    PyObject *value = PyObject_GetAttr(object, name);
    if (value == NULL) return -1;
    *number = PyLong_AsLongLong(value);
    Py_DECREF(value);
    return *number == -1 && PyErr_Occurred() ? -1 : 0;
}

static int attribute_s(PyObject *object, PyObject *name, double *seconds) {
    PyObject *value = PyObject_GetAttr(object, name);
    if (value == NULL) return -1;
    *seconds = PyFloat_AsDouble(value);
    Py_DECREF(value);
    return PyErr_Occurred() ? -1 : 0;
}

static double monotonic_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

#endif
