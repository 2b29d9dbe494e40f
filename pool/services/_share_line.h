/* One line of a read: an ordinary share, or a common way to be wrong. */
#ifndef PARAPOOL_SHARE_LINE_H
#define PARAPOOL_SHARE_LINE_H

#include <Python.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "_desk_types.h"
#include "_log_frame.h"
#include "_log_queue.h"
#include "_refusals.h"

#define LINE_BYTES 1024 /* what is longer may be too long for a session */

/* What the share counts for. New reference, or NULL with an exception. */
static PyObject *chains_of(Desk *desk, PyObject *connection, PyObject *job, double now) {
    PyObject *chains, *realms = get(desk->schemes, SCHEMES_REALMS), *realm, *words;
    if (number_at(job, JOB_COUNTED_GENERATION) == number_at(desk->table, TABLE_GENERATION) &&
        now < seconds_of(job, JOB_COUNTED_UNTIL)) {
        chains = Py_NewRef(get(job, JOB_COUNTED_CHAINS));
    } else {
        PyObject *at = PyFloat_FromDouble(now);
        chains = at == NULL ? NULL : PyObject_CallMethodObjArgs(desk->table, str_counted_chains, job, at, NULL);
        Py_XDECREF(at);
    }
    if (chains == NULL || (PyDict_Check(realms) && !PyDict_GET_SIZE(realms))) return chains;
    realm = PyObject_GetAttr(connection, str_realm);
    words = realm == NULL ? NULL : PyObject_CallMethodObjArgs(desk->schemes, str_words, realm, job, chains, NULL);
    Py_XDECREF(realm);
    Py_DECREF(chains);
    return words;
}

/* tally.add() of a share that came near no chain's target. */
static int add_to_tally(PyObject *tally, PyObject *job, PyObject *weight, PyObject *nothing) {
    PyObject *jobs = get(tally, TALLY_JOBS), *sums;
    int done = -1;
    sums = PyDict_CheckExact(jobs) ? PyDict_GetItemWithError(jobs, job) : NULL;
    if (sums != NULL && PyList_CheckExact(sums) && PyList_GET_SIZE(sums) == 2) {
        PyObject *work = PyNumber_Add(PyList_GET_ITEM(sums, 0), weight);
        PyObject *shares = PyLong_FromLongLong(PyLong_AsLongLong(PyList_GET_ITEM(sums, 1)) + 1);
        done = work && shares && !PyErr_Occurred() ? 0 : -1;
        if (!done) {
            PyList_SetItem(sums, 0, work);
            PyList_SetItem(sums, 1, shares);
        } else {
            Py_XDECREF(work);
            Py_XDECREF(shares);
        }
    } else if (!PyErr_Occurred()) {
        PyObject *added = PyObject_CallMethodObjArgs(tally, str_add, job, weight, nothing, NULL);
        done = added == NULL ? -1 : 0;
        Py_XDECREF(added);
    }
    return done;
}

static PyObject *farthest; /* MAX_TARGET: the value of what came near nothing */

/* Why a submission with this hash is no share: one of the refusals, or REFUSALS for one that is. -1: Python has to look,
 * perhaps with an exception. The order is that of pool/shares/validation.py; where it is a share, `*entry` (a
 * new reference) is what the intake knows of the difficulty that it is credited with. */
static int judge(Lane *lane, PyObject *job, uint32_t time, uint32_t version, uint32_t mask,
                 const uint8_t hash[SHARE_DIGEST], PyObject **difficulty, PyObject **entry) {
    Desk *desk = lane->desk;
    Known *known = &desk->known;
    PyObject *tip = get(job, JOB_TIP), *targets, *text;
    if (tip != get(desk->table, TABLE_TIP)) return REFUSE_STALE;
    if (time < known->minimum_time || time > known->maximum_time) return REFUSE_TIME;
    if ((version ^ known->version) & ~(mask & known->version_mask)) return REFUSE_VERSION_BITS;
    if (get(tip, TIP_SEEN) != known->seen) { /* the table gives a tip another one when it is full */
        forget(known);
        return -1;
    }
    /* What must it be worth? Of an older job under other terms Python knows. */
    PyObject *terms = get(get(lane->session, SESSION_ASSIGNMENT), ASSIGNMENT_TERMS);
    PyObject *sent = get(terms, TERMS_SENT), *last = get(terms, TERMS_LAST);
    if (!PyFloat_CheckExact(sent) || !PyFloat_CheckExact(last) ||
        known->sequence < number_at(terms, TERMS_LAST_SEQUENCE))
        return -1;
    *difficulty = PyFloat_AS_DOUBLE(last) < PyFloat_AS_DOUBLE(sent) ? last : sent;
    if ((targets = PyObject_GetAttr(desk->intake, str__targets)) == NULL) return -1;
    *entry = Py_XNewRef(PyDict_GetItemWithError(targets, *difficulty));
    Py_DECREF(targets);
    if (*entry == NULL || !PyTuple_CheckExact(*entry) || PyTuple_GET_SIZE(*entry) != 3) return -1;
    if (kernel_calls->meets(hash, (const uint8_t *)PyBytes_AS_STRING(PyTuple_GET_ITEM(*entry, 2)))) return REFUSALS;
    text = PyBytes_FromStringAndSize((const char *)hash, SHARE_DIGEST);
    int before = text == NULL ? -1 : PySequence_Contains(known->seen, text);
    Py_XDECREF(text);
    return before < 0 ? -1 : before ? REFUSE_DUPLICATE : REFUSE_LOW_DIFFICULTY;
}

/* Whether one line was an ordinary share or one of the common refusals, and is counted: 1. 0: Python has to judge it, and
 * nothing has happened. -1: an exception. */
static int take_line(Lane *lane, const char *line, Py_ssize_t size, double now, Answers *answers) {
    Desk *desk = lane->desk;
    PyObject *session = lane->session, *connection = lane->connection;
    PlainSubmit plain;
    long digits = PyLong_AsLong(get(session, SESSION_DIGITS));
    int form = size > LINE_BYTES ? NO_SUBMIT : read_submit(line, size, digits, &plain), refusal = REFUSALS;
    if (form == NO_SUBMIT) return 0;

    int taken = -1;
    long long sequence = 0, chain_set = 0;
    PyObject *worker = NULL, *job_id = NULL, *user, *job, *jobs = get(desk->table, TABLE_JOBS), *route;
    PyObject *name, *digest, *chains = NULL, *difficulty = NULL, *entry = NULL, *frame;
    Known *known = &desk->known;

    /* Who, and of what job? */
    worker = PyUnicode_DecodeASCII(plain.worker.start, plain.worker.size, NULL);
    if (worker == NULL) goto end;
    user = PyDict_GetItemWithError(get(session, SESSION_USERS), worker);
    if (user == NULL) {
        if (PyErr_Occurred()) goto end;
        refusal = REFUSE_UNAUTHORIZED;
    }
    if (form != PLAIN) {
        if (user != NULL) refusal = form == WRONG_LENGTH  ? REFUSE_LENGTH + (int)digits / 2
                                  : form == WRONG_WORDS   ? REFUSE_WORDS
                                  : form == WRONG_HEX     ? REFUSE_HEX
                                                          : REFUSE_VERSION_TEXT;
        taken = refuse(NULL, connection, session, &plain.id, refusal, now, answers);
        goto end;
    }
    job_id = job_id_of(&plain.job_id);
    if (job_id == NULL) goto end;
    if (!PyDict_CheckExact(jobs)) goto python;
    job = PyDict_GetItemWithError(jobs, job_id);
    if (job == NULL) {
        if (PyErr_Occurred()) goto end;
        if (user != NULL) refusal = REFUSE_UNKNOWN_JOB;
        taken = refuse(desk->intake, connection, session, &plain.id, refusal, now, answers);
        goto end;
    }
    if (know(known, job, digits) < 0) goto python;

    /* The hash, which may be a block's whatever else is wrong. */
    PyObject *extranonce1 = get(session, SESSION_EXTRANONCE1);
    uint32_t mask = (uint32_t)PyLong_AsUnsignedLong(get(session, SESSION_VERSION_MASK));
    uint32_t version = plain.has_version_bits ? (known->version & ~mask) | (uint32_t)plain.version_bits : known->version;
    if (!PyBytes_CheckExact(extranonce1)) goto python;
    ShareWords words = {
        (const uint8_t *)PyBytes_AS_STRING(extranonce1), plain.extranonce2, (size_t)PyBytes_GET_SIZE(extranonce1),
        (size_t)plain.extranonce2_size, version, (uint32_t)plain.time, (uint32_t)plain.nonce,
    };
    uint8_t hash[SHARE_DIGEST];
    if (kernel_calls->hash(known->layout_kernel, &words, hash) < 0) goto end;
    if (kernel_calls->meets(hash, known->notable)) goto python;
    if (user != NULL) {
        refusal = judge(lane, job, words.time, version, mask, hash, &difficulty, &entry);
        if (refusal < 0) goto python;
    }
    if (refusal != REFUSALS) goto refused;

    /* How the log has to have it. */
    PyObject *weight = PyTuple_GET_ITEM(entry, 1);
    unsigned long long work = PyLong_AsUnsignedLongLong(weight);
    if (work == (unsigned long long)-1 && PyErr_Occurred()) {
        PyErr_Clear(); /* more than msgpack's numbers hold */
        goto python;
    }
    if (!has_place(user, USER_ROUTE) || !has_place(route = get(user, USER_ROUTE), ROUTE_DIGEST)) goto python;
    name = get(user, USER_WORKER);
    digest = get(route, ROUTE_DIGEST);
    Py_ssize_t name_size;
    const char *letters = PyUnicode_AsUTF8AndSize(name, &name_size);
    if (letters == NULL) goto end;
    if (name_size > TEXT_LIMIT || !PyBytes_CheckExact(digest) || PyBytes_GET_SIZE(digest) > 64) goto python;
    if ((chains = chains_of(desk, connection, job, now)) == NULL) goto end;
    taken = log_takes(desk->log, digest, chains, &sequence, &chain_set);
    if (taken != 1) goto end;
    taken = -1;

    /* From here on it is ours. It solves nothing, and came near nothing: its hash is beyond the notable target. */
    int added = kernel_calls->add(known->seen, hash);
    if (added == 0) {
        refusal = REFUSE_DUPLICATE;
        goto refused;
    }
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    uint64_t time_ms = (uint64_t)wall.tv_sec * 1000 + (uint64_t)wall.tv_nsec / 1000000;
    if (added < 0 || (frame = make_frame((uint64_t)sequence, time_ms, digest, letters, (size_t)name_size, work,
                                         (uint64_t)chain_set, hash)) == NULL)
        goto end;
    /* The log first: what waits for an answer is in it, whatever fails here. */
    Waiting share = {(unsigned long long)sequence, lane, job_id, difficulty, weight, ""};
    memcpy(share.id, plain.id.start, (size_t)plain.id.size);
    if (queue_frame(desk->log, frame, sequence) < 0 || wait_for_disk(desk, &share) < 0) goto end;
    Py_INCREF(lane);
    Py_INCREF(job_id);
    Py_INCREF(difficulty);
    Py_INCREF(weight);
    if (desk->direct && queue_add(desk->queue, share.sequence, lane->outlet, share.id) < 0) {
        PyErr_NoMemory();
        goto end;
    }
    if (add_to_tally(desk->tally, job, weight, farthest) < 0) goto end;
    long long timed;
    if (number_of(desk->intake, str__timed_sequence, &timed) < 0) goto end;
    if (!timed) {
        PyObject *number = PyLong_FromLongLong(sequence), *at = PyFloat_FromDouble(now);
        int done = number && at ? 0 : -1;
        if (!done) done = PyObject_SetAttr(desk->intake, str__timed_sequence, number);
        if (!done) done = PyObject_SetAttr(desk->intake, str__timed_at, at);
        Py_XDECREF(number);
        Py_XDECREF(at);
        if (done < 0) goto end;
    }
    taken = 1;
    goto end;
refused: /* unless it is good under the extranonce1 that the connection had before, which Python looks at */
    taken = get(session, SESSION_FORMER_EXTRANONCE1) != Py_None
                ? 0 : refuse(desk->intake, connection, session, &plain.id, refusal, now, answers);
    goto end;
python:
    if (!PyErr_Occurred()) taken = 0;
end:
    Py_XDECREF(worker);
    Py_XDECREF(job_id);
    Py_XDECREF(chains);
    Py_XDECREF(entry);
    return taken;
}

#endif
