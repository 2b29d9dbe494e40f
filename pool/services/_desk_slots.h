/* The attributes of Python's objects that the desk and its lanes read and change, by name and by the places of __slots__. */
#ifndef PARAPOOL_DESK_SLOTS_H
#define PARAPOOL_DESK_SLOTS_H

#include <Python.h>
#include <structmember.h>

#define NAMES(X) \
    X(_failed) X(_hand_over) X(_targets) X(_tempDataLen) X(_timed_at) X(_timed_sequence) X(add) X(ban_shares) \
    X(call_soon) X(catch_up) X(connected) X(counted_chains) X(dataBuffer) X(disconnecting) X(fast_s) X(flood_s) \
    X(flush) X(invalid_drop_s) X(invalid_fresh_job_s) X(invalid_reconnect_s) X(invalid_run_shares) X(job_id) X(kernel) \
    X(layouts) X(line) X(maximum_time) X(minimum_time) X(notable) X(penalty) X(realm) X(reason) X(rejected) \
    X(rtt_class) X(seen) X(sequence) X(share) X(take) X(tip) X(version) X(version_mask) X(wire) X(words)

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
    OUT_CHUNKS, COUNTERS_ACCEPTED, COUNTERS_ACCEPTED_BY_RTT, COUNTERS_STALE_BY_RTT, COUNTERS_MESSAGES,
    TABLE_TIP, TABLE_JOBS, TABLE_GENERATION, JOB_TIP, JOB_COUNTED_CHAINS, JOB_COUNTED_GENERATION, JOB_COUNTED_UNTIL,
    TIP_SEEN, USER_ROUTE, USER_WORKER, ROUTE_DIGEST, SCHEMES_REALMS, TALLY_JOBS,
    LOG_FAILURE, LOG_CLOSING, LOG_LOOP, LOG_ROUTES, LOG_CHAIN_SETS, LOG_SEQUENCE, LOG_SEGMENT, LOG_SEGMENT_SIZE,
    LOG_SEGMENT_BYTES, LOG_GATHERED, LOG_GATHERED_BYTES, LOG_QUEUED_BYTES, LOG_PENDING_LIMIT, PLACES
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
    {"stratum.counters", "Counters", "accepted"}, {"stratum.counters", "Counters", "accepted_by_rtt"},
    {"stratum.counters", "Counters", "stale_by_rtt"}, {"stratum.counters", "Counters", "messages"},
    {"pool.jobs.job_table", "JobTable", "tip"}, {"pool.jobs.job_table", "JobTable", "_jobs"},
    {"pool.jobs.job_table", "JobTable", "_generation"}, {"pool.jobs.job", "Job", "tip"},
    {"pool.jobs.job", "Job", "counted_chains"}, {"pool.jobs.job", "Job", "counted_generation"},
    {"pool.jobs.job", "Job", "counted_until"}, {"pool.jobs.tip", "Tip", "seen"},
    {"pool.shares.route", "RoutedLogin", "route"}, {"pool.shares.route", "RoutedLogin", "worker"},
    {"pool.shares.record", "Route", "digest"}, {"pool.services.scheme_board", "SchemeBoard", "_realms"},
    {"pool.services.work_tally", "WorkTally", "_jobs"}, {"pool.shares.share_log", "ShareLog", "_failure"},
    {"pool.shares.share_log", "ShareLog", "_closing"}, {"pool.shares.share_log", "ShareLog", "_loop"},
    {"pool.shares.share_log", "ShareLog", "_routes"}, {"pool.shares.share_log", "ShareLog", "_chain_sets"},
    {"pool.shares.share_log", "ShareLog", "_sequence"}, {"pool.shares.share_log", "ShareLog", "_segment"},
    {"pool.shares.share_log", "ShareLog", "_segment_size"}, {"pool.shares.share_log", "ShareLog", "_segment_bytes"},
    {"pool.shares.share_log", "ShareLog", "_gathered"}, {"pool.shares.share_log", "ShareLog", "_gathered_bytes"},
    {"pool.shares.share_log", "ShareLog", "_queued_bytes"}, {"pool.shares.share_log", "ShareLog", "pending_limit"},
};
static Py_ssize_t offsets[PLACES];
static PyObject *one_share; /* 1 */
static PyTypeObject *owners[PLACES];

/* Whether an object is what has its slot at `place`. */
static int has_place(PyObject *object, int place) { return Py_IS_TYPE(object, owners[place]); }

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

/* -1 with an exception for what is no number. */
static long long number_at(PyObject *object, int place) { return PyLong_AsLongLong(get(object, place)); }

static double seconds_of(PyObject *object, int place) { return PyFloat_AsDouble(get(object, place)); }

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
