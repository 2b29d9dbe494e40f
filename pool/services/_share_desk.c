/* The ordinary share from its socket to the share log's queue, and its answer back, without a frame of Python.
 *
 * Ordinary is what miners send all day: a plain mining.submit line of a known worker for a job of the present tip, in time,
 * that meets its target, solves nothing and was not seen before; or one that is wrong in a common way, whose refusal has no
 * further consequence (_refusals.h). Everything else is left to Python before anything of it
 * was counted: from the first line that is not ordinary on, the rest of the read goes the way that all reads go
 * without this file (stratum/connection.py, pool/services/share_intake.py). Python is the reference; the objects that are
 * read and changed here are its own, by the places of their __slots__, so that both may take turns share by share.
 * pool/services/share_lanes.py says who gets a lane, and tests hold the two together.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <structmember.h>
#include <sys/socket.h>
#include <time.h>

#include "../../chains/primitives/_share_kernel.h"
#include "../../stratum/_submit_scan.h"
#include "../shares/_disk_thread.h"
#include "_answers.h"
#include "_desk_slots.h"
#include "_log_frame.h"
#include "_refusals.h"

#define READ_BYTES 12288 /* as stratum/transport.py */
#define LINE_BYTES 1024  /* what is longer may be too long for a session */
#define OUTPUT_BYTES 16384

static const ShareKernelCalls *kernel_calls;

/* -- desk and lanes ------------------------------------------------------------------------------------------------ */

struct desk;

typedef struct {
    PyObject_HEAD
    struct desk *desk;
    PyObject *connection, *transport, *session; /* NULL after close() */
    int descriptor;
    Outlet *outlet;
} Lane;

/* A share that waits for the disk. */
typedef struct {
    unsigned long long sequence;
    Lane *lane;
    PyObject *job_id, *difficulty, *weight;
    char id[ID_DIGITS + 2];
} Waiting;

/* What of a job is asked for with each share; of the job that the last share was for. */
typedef struct {
    PyObject *job, *layout_kernel, *seen;
    long long sequence, minimum_time, maximum_time;
    uint32_t version, version_mask;
    uint8_t notable[SHARE_DIGEST];
    long digits;
} Known;

typedef struct desk {
    PyObject_HEAD
    PyObject *intake, *table, *log, *tally, *schemes;
    Known known;
    Waiting *waiting;
    size_t first, count, room;
    AnswerQueue *queue;
    int direct; /* whether the queue is answered by the disk's thread */
} Desk;

static void forget(Known *known) {
    Py_CLEAR(known->job);
    Py_CLEAR(known->layout_kernel);
    Py_CLEAR(known->seen);
}

static int word_of(PyObject *object, PyObject *name, uint32_t *word) {
    long long number;
    if (number_of(object, name, &number) < 0) return -1;
    *word = (uint32_t)number;
    return number < 0 || number > 0xFFFFFFFFLL ? -1 : 0;
}

/* 0 when `job` is known now; -1 when it is none of a kind that this file knows, perhaps with an exception. */
static int know(Desk *desk, PyObject *job, long digits) {
    Known *known = &desk->known;
    if (known->job == job && known->digits == digits) return 0;
    PyObject *layouts = NULL, *size = NULL, *notable = NULL, *tip = NULL, *layout;
    int done = -1;
    forget(known);
    if (number_of(job, str_sequence, &known->sequence) < 0 || number_of(job, str_minimum_time, &known->minimum_time) < 0 ||
        number_of(job, str_maximum_time, &known->maximum_time) < 0 || word_of(job, str_version, &known->version) < 0 ||
        word_of(job, str_version_mask, &known->version_mask) < 0)
        goto end;
    layouts = PyObject_GetAttr(job, str_layouts);
    size = PyLong_FromLong(digits / 2);
    notable = PyObject_GetAttr(job, str_notable);
    tip = PyObject_GetAttr(job, str_tip);
    if (layouts == NULL || size == NULL || notable == NULL || tip == NULL) goto end;
    if (!PyDict_CheckExact(layouts) || !PyBytes_CheckExact(notable) || PyBytes_GET_SIZE(notable) != SHARE_DIGEST) goto end;
    layout = PyDict_GetItemWithError(layouts, size);
    if (layout == NULL) goto end;
    known->layout_kernel = PyObject_GetAttr(layout, str_kernel);
    known->seen = PyObject_GetAttr(tip, str_seen);
    if (known->layout_kernel == NULL || known->seen == NULL ||
        !Py_IS_TYPE(known->layout_kernel, kernel_calls->kernel) || !Py_IS_TYPE(known->seen, kernel_calls->seen))
        goto end;
    memcpy(known->notable, PyBytes_AS_STRING(notable), SHARE_DIGEST);
    known->digits = digits;
    known->job = Py_NewRef(job);
    done = 0;
end:
    if (done < 0) forget(known);
    Py_XDECREF(layouts);
    Py_XDECREF(size);
    Py_XDECREF(notable);
    Py_XDECREF(tip);
    return done;
}

static int wait_for_disk(Desk *desk, const Waiting *share) {
    if (desk->count == desk->room) {
        size_t room = desk->room ? 2 * desk->room : 64;
        Waiting *larger = PyMem_Malloc(room * sizeof *larger);
        if (larger == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        for (size_t i = 0; i < desk->count; i++) larger[i] = desk->waiting[(desk->first + i) % desk->room];
        PyMem_Free(desk->waiting);
        desk->waiting = larger;
        desk->room = room;
        desk->first = 0;
    }
    desk->waiting[(desk->first + desk->count++) % desk->room] = *share;
    return 0;
}

static void drop(Waiting *share) {
    Py_DECREF((PyObject *)share->lane);
    Py_DECREF(share->job_id);
    Py_DECREF(share->difficulty);
    Py_DECREF(share->weight);
}

/* Whether the log takes a share of this route and these chains as the next in its segment, defined there before. Its
 * sequence, and the number of the set of chains. */
static int log_takes(PyObject *log, PyObject *digest, PyObject *chains, long long *sequence, long long *chain_set) {
    PyObject *failure = PyObject_GetAttr(log, str__failure), *closing = NULL, *routes = NULL, *sets = NULL, *number;
    long long size, limit;
    int takes = -1;
    if (failure == NULL) return -1;
    closing = PyObject_GetAttr(log, str__closing);
    routes = PyObject_GetAttr(log, str__routes);
    sets = PyObject_GetAttr(log, str__chain_sets);
    if (closing == NULL || routes == NULL || sets == NULL || number_of(log, str__segment_size, &size) < 0 ||
        number_of(log, str__segment_bytes, &limit) < 0 || number_of(log, str__sequence, sequence) < 0)
        goto end;
    takes = 0;
    if (failure != Py_None || closing != Py_False || size >= limit || !PyAnySet_Check(routes) || !PyDict_CheckExact(sets))
        goto end;
    takes = PySet_Contains(routes, digest);
    if (takes != 1) goto end;
    number = PyDict_GetItemWithError(sets, chains);
    takes = number == NULL ? (PyErr_Occurred() ? -1 : 0) : 1;
    if (takes == 1) *chain_set = PyLong_AsLongLong(number);
    ++*sequence;
end:
    Py_DECREF(failure);
    Py_XDECREF(closing);
    Py_XDECREF(routes);
    Py_XDECREF(sets);
    return takes;
}

/* log.append()'s end: the frame is queued. Steals the frame. */
static int queue_frame(PyObject *log, PyObject *frame, long long sequence) {
    PyObject *gathered = NULL, *segment = NULL, *number = PyLong_FromLongLong(sequence), *entry = NULL;
    Py_ssize_t size = PyBytes_GET_SIZE(frame);
    int done = -1;
    gathered = PyObject_GetAttr(log, str__gathered);
    segment = PyObject_GetAttr(log, str__segment);
    if (gathered == NULL || segment == NULL || number == NULL || !PyList_CheckExact(gathered)) goto end;
    if (PyObject_SetAttr(log, str__sequence, number) < 0 || attribute_up(log, str__segment_size, size) < 0 ||
        attribute_up(log, str__gathered_bytes, size) < 0)
        goto end;
    if (!PyList_GET_SIZE(gathered)) {
        PyObject *loop = PyObject_GetAttr(log, str__loop), *hand_over = PyObject_GetAttr(log, str__hand_over), *soon = NULL;
        if (loop && hand_over) soon = PyObject_CallMethodOneArg(loop, str_call_soon, hand_over);
        Py_XDECREF(loop);
        Py_XDECREF(hand_over);
        if (soon == NULL) goto end;
        Py_DECREF(soon);
    }
    entry = Py_BuildValue("OOOi", segment, frame, number, 1);
    done = entry == NULL ? -1 : PyList_Append(gathered, entry);
end:
    Py_DECREF(frame);
    Py_XDECREF(gathered);
    Py_XDECREF(segment);
    Py_XDECREF(number);
    Py_XDECREF(entry);
    return done;
}

/* What the share counts for. New reference, or NULL with an exception. */
static PyObject *chains_of(Desk *desk, PyObject *connection, PyObject *job, double now) {
    PyObject *chains = NULL, *realms, *realm, *words;
    long long made, present;
    double until_s;
    if (attribute_s(job, str_counted_until, &until_s) < 0 || number_of(job, str_counted_generation, &made) < 0 || number_of(desk->table, str__generation, &present) < 0) return NULL;
    if (made == present && now < until_s) {
        chains = PyObject_GetAttr(job, str_counted_chains);
    } else {
        PyObject *at = PyFloat_FromDouble(now);
        chains = at == NULL ? NULL : PyObject_CallMethodObjArgs(desk->table, str_counted_chains, job, at, NULL);
        Py_XDECREF(at);
    }
    if (chains == NULL || (realms = PyObject_GetAttr(desk->schemes, str__realms)) == NULL) {
        Py_XDECREF(chains);
        return NULL;
    }
    Py_ssize_t count = PyDict_Check(realms) ? PyDict_GET_SIZE(realms) : 1;
    Py_DECREF(realms);
    if (!count) return chains;
    realm = PyObject_GetAttr(connection, str_realm);
    words = realm == NULL ? NULL : PyObject_CallMethodObjArgs(desk->schemes, str_words, realm, job, chains, NULL);
    Py_XDECREF(realm);
    Py_DECREF(chains);
    return words;
}

/* tally.add() of a share that came near no chain's target. */
static int add_to_tally(PyObject *tally, PyObject *job, PyObject *weight, PyObject *nothing) {
    PyObject *jobs = PyObject_GetAttr(tally, str__jobs), *sums;
    int done = -1;
    if (jobs == NULL) return -1;
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
    Py_DECREF(jobs);
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
    PyObject *tip = PyObject_GetAttr(job, str_tip), *present = NULL, *seen = NULL, *targets = NULL, *text;
    int verdict = -1;
    if (tip == NULL || (present = PyObject_GetAttr(desk->table, str_tip)) == NULL) goto end;
    if (tip != present) {
        verdict = REFUSE_STALE;
        goto end;
    }
    if (time < known->minimum_time || time > known->maximum_time) {
        verdict = REFUSE_TIME;
        goto end;
    }
    if ((version ^ known->version) & ~(mask & known->version_mask)) {
        verdict = REFUSE_VERSION_BITS;
        goto end;
    }
    if ((seen = PyObject_GetAttr(tip, str_seen)) == NULL) goto end;
    if (seen != known->seen) { /* the table gives a tip another one when it is full */
        forget(known);
        goto end;
    }
    /* What must it be worth? Of an older job under other terms Python knows. */
    PyObject *terms = get(get(lane->session, SESSION_ASSIGNMENT), ASSIGNMENT_TERMS);
    PyObject *sent = get(terms, TERMS_SENT), *last = get(terms, TERMS_LAST);
    if (!PyFloat_CheckExact(sent) || !PyFloat_CheckExact(last) ||
        known->sequence < PyLong_AsLongLong(get(terms, TERMS_LAST_SEQUENCE)))
        goto end;
    *difficulty = PyFloat_AS_DOUBLE(last) < PyFloat_AS_DOUBLE(sent) ? last : sent;
    if ((targets = PyObject_GetAttr(desk->intake, str__targets)) == NULL) goto end;
    *entry = Py_XNewRef(PyDict_GetItemWithError(targets, *difficulty));
    if (*entry == NULL || !PyTuple_CheckExact(*entry) || PyTuple_GET_SIZE(*entry) != 3) goto end;
    verdict = REFUSALS;
    if (!kernel_calls->meets(hash, (const uint8_t *)PyBytes_AS_STRING(PyTuple_GET_ITEM(*entry, 2)))) {
        text = PyBytes_FromStringAndSize((const char *)hash, SHARE_DIGEST);
        int before = text == NULL ? -1 : PySequence_Contains(seen, text);
        Py_XDECREF(text);
        verdict = before < 0 ? -1 : before ? REFUSE_DUPLICATE : REFUSE_LOW_DIFFICULTY;
    }
end:
    Py_XDECREF(tip);
    Py_XDECREF(present);
    Py_XDECREF(seen);
    Py_XDECREF(targets);
    return verdict;
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
    long long sequence = 0, chain_set = 0, waits, gathered, limit;
    PyObject *worker = NULL, *job_id = NULL, *user, *job, *jobs = NULL, *route = NULL;
    PyObject *name = NULL, *digest = NULL, *chains = NULL, *difficulty = NULL, *entry = NULL, *frame;
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
    jobs = PyObject_GetAttr(desk->table, str__jobs);
    if (job_id == NULL || jobs == NULL) goto end;
    if (!PyDict_CheckExact(jobs)) goto python;
    job = PyDict_GetItemWithError(jobs, job_id);
    if (job == NULL) {
        if (PyErr_Occurred()) goto end;
        if (user != NULL) refusal = REFUSE_UNKNOWN_JOB;
        taken = refuse(desk->intake, connection, session, &plain.id, refusal, now, answers);
        goto end;
    }
    if (know(desk, job, digits) < 0) goto python;

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
    route = PyObject_GetAttr(user, str_route);
    name = PyObject_GetAttr(user, str_worker);
    digest = route == NULL ? NULL : PyObject_GetAttr(route, str_digest);
    if (name == NULL || digest == NULL) goto end;
    Py_ssize_t name_size;
    const char *letters = PyUnicode_AsUTF8AndSize(name, &name_size);
    if (letters == NULL) goto end;
    if (name_size > TEXT_LIMIT || !PyBytes_CheckExact(digest) || PyBytes_GET_SIZE(digest) > 64) goto python;
    if ((chains = chains_of(desk, connection, job, now)) == NULL) goto end;
    taken = log_takes(desk->log, digest, chains, &sequence, &chain_set);
    if (taken != 1) goto end;
    taken = -1;
    if (number_of(desk->log, str__queued_bytes, &waits) < 0 || number_of(desk->log, str__gathered_bytes, &gathered) < 0 ||
        number_of(desk->log, str_pending_limit, &limit) < 0)
        goto end;
    if (waits + gathered > limit) goto python;

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
    Py_XDECREF(jobs);
    Py_XDECREF(route);
    Py_XDECREF(name);
    Py_XDECREF(digest);
    Py_XDECREF(chains);
    Py_XDECREF(entry);
    return taken;
}

/* MessageRate.look() where nothing follows from it: 1. 0 when something does, and nothing was changed. */
static int look(PyObject *rate, double now) {
    PyObject *limits = get(rate, RATE_LIMITS);
    double since = seconds_of(rate, RATE_SINCE), elapsed = now - since > 1.0 ? now - since : 1.0;
    double lasted = elapsed < 2.0 ? elapsed : 2.0, most_flood, most_fast;
    double per_s = (double)PyLong_AsLong(get(rate, RATE_COUNT)) / elapsed;
    double flood = seconds_of(rate, RATE_FLOOD_S) + (per_s > seconds_of(rate, RATE_FLOOD_PER_S) ? lasted : -elapsed);
    double fast = seconds_of(rate, RATE_FAST_S) + (per_s > seconds_of(rate, RATE_FAST_PER_S) ? lasted : -elapsed);
    if (attribute_s(limits, str_flood_s, &most_flood) < 0 || attribute_s(limits, str_fast_s, &most_fast) < 0) return -1;
    flood = flood > 0.0 ? flood : 0.0;
    fast = fast > 0.0 ? fast : 0.0;
    if (flood >= most_flood || fast >= most_fast) return 0;
    return set_seconds(rate, RATE_SINCE, now) < 0 || set(rate, RATE_COUNT, PyLong_FromLong(0)) < 0 ||
           set_seconds(rate, RATE_DUE, now + 1.0) < 0 || set_seconds(rate, RATE_FLOOD_S, flood) < 0 ||
           set_seconds(rate, RATE_FAST_S, fast) < 0 ? -1 : 1;
}

/* Whether a read may begin with lines that this file looks at: Session.receive_data() would have nothing else to do. */
static int is_plain_state(PyObject *session, double now) {
    PyObject *lines = get(session, SESSION_LINES), *rate = get(session, SESSION_RATE);
    PyObject *held = get(lines, LINES_DATA);
    if (get(session, SESSION_CLOSED) != Py_None || get(session, SESSION_SUBSCRIBED) != Py_True ||
        get(session, SESSION_AUTHORIZING) != Py_None || get(get(session, SESSION_DEADLINES), DEADLINES_SPOKE) != Py_True ||
        get(get(session, SESSION_ASSIGNMENT), ASSIGNMENT_WANTED) != Py_False ||
        PyList_GET_SIZE(get(get(session, SESSION_OUT), OUT_CHUNKS)) || !PyBytes_CheckExact(held) ||
        PyLong_AsSsize_t(get(lines, LINES_START)) != PyBytes_GET_SIZE(held))
        return 0;
    if (now < seconds_of(rate, RATE_DUE)) return 1;
    return look(rate, now);
}

static int say(Lane *lane, const char *text, size_t size);

/* Takes what it can from the start of what was read; how many bytes that was, -1 with an exception. */
static Py_ssize_t take_lines(Lane *lane, const char *data, Py_ssize_t size) {
    static Answers answers;
    PyObject *session = lane->session;
    double now = monotonic_s();
    const char *at = data, *end;
    long lines = 0;
    int taken = is_plain_state(session, now);
    if (taken <= 0) return taken;
    answers.used = 0;
    while ((end = memchr(at, '\n', (size_t)(data + size - at)))) {
        const char *last = end;
        if (last > at && last[-1] == '\r') last--;
        taken = take_line(lane, at, last - at, now, &answers);
        if (taken != 1) break;
        lines++;
        at = end + 1;
    }
    if (lines && (count_up(get(session, SESSION_RATE), RATE_COUNT, lines) < 0 ||
                  set_seconds(get(session, SESSION_DEADLINES), DEADLINES_LAST_LINE, now) < 0 ||
                  attribute_up(get(session, SESSION_COUNTERS), str_messages, lines) < 0))
        return -1;
    if (taken < 0 || (answers.used && say(lane, answers.text, answers.used) < 0)) return -1;
    return at - data;
}

/* An error of ours costs one connection. */
static int fail(Lane *lane) {
    PyObject *type, *value, *traceback, *done = NULL;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback) PyException_SetTraceback(value, traceback);
    if (lane->connection) done = PyObject_CallMethodObjArgs(lane->desk->intake, str__failed, lane->connection, value, NULL);
    else done = Py_NewRef(Py_None);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

/* lane(): there is something to read. */
static PyObject *lane_call(PyObject *object, PyObject *args, PyObject *keywords) {
    (void)args;
    (void)keywords;
    static char buffer[READ_BYTES];
    Lane *lane = (Lane *)object;
    if (lane->session == NULL) Py_RETURN_NONE;
    ssize_t size = recv(lane->descriptor, buffer, sizeof buffer, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) Py_RETURN_NONE;
    PyObject *rest, *done, *transport = Py_NewRef(lane->transport);
    Py_INCREF(lane);
    if (size < 0) {
        rest = Py_NewRef(Py_None);
    } else {
        Py_ssize_t taken = size ? take_lines(lane, buffer, size) : 0;
        if (taken < 0 && fail(lane) < 0) goto failed;
        if (taken < 0 || (size && taken == size)) goto done;
        rest = PyBytes_FromStringAndSize(buffer + taken, size - taken);
    }
    if (rest == NULL) goto failed;
    done = PyObject_CallMethodOneArg(transport, str_take, rest);
    Py_DECREF(rest);
    if (done == NULL) goto failed;
    Py_DECREF(done);
done:
    Py_DECREF(transport);
    Py_DECREF(lane);
    Py_RETURN_NONE;
failed:
    Py_DECREF(transport);
    Py_DECREF(lane);
    return NULL;
}

/* send(data): for a transport that has nothing queued. Whether all is gone; the rest is left(). */
static PyObject *lane_send(PyObject *object, PyObject *data) {
    char *text;
    Py_ssize_t size;
    if (PyBytes_AsStringAndSize(data, &text, &size) < 0) return NULL;
    return PyBool_FromLong(outlet_send(((Lane *)object)->outlet, text, (size_t)size));
}

/* left(): what could not be sent, from here or from the disk's thread, to be queued. */
static PyObject *lane_left(PyObject *object, PyObject *none) {
    (void)none;
    Outlet *outlet = ((Lane *)object)->outlet;
    pthread_mutex_lock(&outlet->lock);
    PyObject *left = PyBytes_FromStringAndSize(outlet->left, (Py_ssize_t)outlet->left_size);
    if (left != NULL) {
        free(outlet->left);
        outlet->left = NULL;
        outlet->left_size = 0;
    }
    pthread_mutex_unlock(&outlet->lock);
    return left;
}

/* hang_up(): before the socket is closed. */
static PyObject *lane_hang_up(PyObject *object, PyObject *none) {
    (void)none;
    outlet_close(((Lane *)object)->outlet);
    Py_RETURN_NONE;
}

static PyObject *lane_close(PyObject *object, PyObject *none) {
    (void)none;
    Lane *lane = (Lane *)object;
    outlet_close(lane->outlet);
    lane->descriptor = -1;
    Py_CLEAR(lane->transport);
    Py_CLEAR(lane->session);
    Py_CLEAR(lane->connection);
    Py_RETURN_NONE;
}

static void lane_dealloc(PyObject *object) {
    Lane *lane = (Lane *)object;
    outlet_close(lane->outlet);
    outlet_drop(lane->outlet);
    Py_XDECREF(lane->transport);
    Py_XDECREF(lane->session);
    Py_XDECREF(lane->connection);
    Py_XDECREF((PyObject *)lane->desk);
    Py_TYPE(object)->tp_free(object);
}

static PyMethodDef lane_methods[] = {
    {"close", lane_close, METH_NOARGS, NULL},
    {"hang_up", lane_hang_up, METH_NOARGS, NULL},
    {"left", lane_left, METH_NOARGS, NULL},
    {"send", lane_send, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject lane_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "pool.services._share_desk.Lane",
    .tp_basicsize = sizeof(Lane),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_call = lane_call,
    .tp_dealloc = lane_dealloc,
    .tp_methods = lane_methods,
};

/* -- answers ------------------------------------------------------------------------------------------------------- */

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
    if (count_by_rtt(lane->connection, counters, str_accepted_by_rtt) < 0) return -1;
    return attribute_up(counters, str_accepted, 1);
}

/* Whether the socket may be written to from here: nothing waits before it. */
static int is_writable(PyObject *transport) {
    PyObject *connected = PyObject_GetAttr(transport, str_connected), *ending = PyObject_GetAttr(transport, str_disconnecting);
    PyObject *buffer = PyObject_GetAttr(transport, str_dataBuffer);
    long long more = -1;
    int may = connected && ending && buffer && number_of(transport, str__tempDataLen, &more) == 0 ? 1 : -1;
    if (may == 1 && (PyObject_IsTrue(connected) != 1 || PyObject_IsTrue(ending) != 0 || PyObject_Size(buffer) != 0 || more)) may = 0;
    Py_XDECREF(connected);
    Py_XDECREF(ending);
    Py_XDECREF(buffer);
    return may;
}

/* What an outlet could not send goes to its transport. */
static int catch_up(Lane *lane) {
    pthread_mutex_lock(&lane->outlet->lock);
    int left = lane->outlet->left_size != 0;
    pthread_mutex_unlock(&lane->outlet->lock);
    if (!left || lane->connection == NULL) return 0;
    PyObject *done = PyObject_CallMethodNoArgs(lane->connection, str_catch_up);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

static int flush_connection(Lane *lane) {
    PyObject *done = PyObject_CallMethodNoArgs(lane->connection, str_flush);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

/* Whether the session has something to say or to do. */
static int has_more(PyObject *session) {
    return get(session, SESSION_CLOSED) != Py_None || PyList_GET_SIZE(get(get(session, SESSION_OUT), OUT_CHUNKS)) ||
           get(get(session, SESSION_ASSIGNMENT), ASSIGNMENT_WANTED) != Py_False;
}

/* Connection.flush() of these answers. */
static int say(Lane *lane, const char *text, size_t size) {
    PyObject *session = lane->session, *rest, *done;
    int direct = !has_more(session);
    if (direct && (direct = is_writable(lane->transport)) < 0) return -1;
    if (direct) return outlet_say(lane->outlet, text, size) ? catch_up(lane) : 0;
    rest = PyBytes_FromStringAndSize(text, (Py_ssize_t)size); /* the outbox knows order, the transport how to wait or end */
    done = rest == NULL ? NULL : PyObject_CallMethodOneArg(get(session, SESSION_OUT), str_line, rest);
    Py_XDECREF(rest);
    if (done == NULL) return -1;
    Py_DECREF(done);
    return flush_connection(lane);
}

/* answer(sequence): what is durable up to there is credited, and answered where the disk's thread has not done that.
 * (shares, their weight) */
static PyObject *desk_answer(PyObject *object, PyObject *value) {
    static char output[OUTPUT_BYTES];
    Desk *desk = (Desk *)object;
    unsigned long long sequence = PyLong_AsUnsignedLongLong(value);
    if (sequence == (unsigned long long)-1 && PyErr_Occurred()) return NULL;
    long long answered = 0;
    PyObject *work = PyLong_FromLong(0);
    double now = desk->count ? monotonic_s() : 0.0;
    while (work && desk->count && desk->waiting[desk->first].sequence <= sequence) {
        /* The shares of one read lie together. */
        Lane *lane = (Lane *)Py_NewRef((PyObject *)desk->waiting[desk->first].lane);
        size_t used = 0;
        int failed = 0;
        while (work && desk->count && desk->waiting[desk->first].lane == lane &&
               desk->waiting[desk->first].sequence <= sequence && used + ANSWER_BYTES < sizeof output) {
            Waiting share = desk->waiting[desk->first];
            desk->first = (desk->first + 1) % desk->room;
            desk->count--;
            answered++;
            Py_SETREF(work, PyNumber_Add(work, share.weight));
            if (work && !failed && lane->session && get(lane->session, SESSION_CLOSED) == Py_None) {
                failed = credit(lane, &share, now) < 0;
                if (!desk->direct) used += put_true(output + used, share.id);
            }
            drop(&share);
        }
        if (work && !failed && used && lane->session) failed = say(lane, output, used) < 0;
        if (work && !failed && desk->direct && lane->session)
            failed = catch_up(lane) < 0 || (lane->session && has_more(lane->session) && flush_connection(lane) < 0);
        if (failed && fail(lane) < 0) Py_CLEAR(work);
        Py_DECREF((PyObject *)lane);
    }
    return work == NULL ? NULL : Py_BuildValue("LN", answered, work);
}

/* refuse(): everything that waits, as (connection or None, id), is given up. */
static PyObject *desk_refuse(PyObject *object, PyObject *none) {
    (void)none;
    Desk *desk = (Desk *)object;
    PyObject *given = PyList_New(0);
    queue_clear(desk->queue);
    while (given && desk->count) {
        Waiting share = desk->waiting[desk->first];
        desk->first = (desk->first + 1) % desk->room;
        desk->count--;
        PyObject *pair = Py_BuildValue("Oy", share.lane->connection ? share.lane->connection : Py_None, share.id);
        if (pair == NULL || PyList_Append(given, pair) < 0) Py_CLEAR(given);
        Py_XDECREF(pair);
        drop(&share);
    }
    return given;
}

/* lane(connection, transport, session, descriptor) */
static PyObject *desk_lane(PyObject *object, PyObject *args) {
    PyObject *connection, *transport, *session;
    int descriptor;
    if (!PyArg_ParseTuple(args, "OOOi", &connection, &transport, &session, &descriptor)) return NULL;
    PyObject *lines = NULL, *rate = NULL;
    if (Py_TYPE(session) != owners[SESSION_LINES]) {
        PyErr_SetString(PyExc_TypeError, "expected a session");
        return NULL;
    }
    lines = get(session, SESSION_LINES);
    rate = get(session, SESSION_RATE);
    if (Py_TYPE(lines) != owners[LINES_DATA] || Py_TYPE(rate) != owners[RATE_COUNT]) {
        PyErr_SetString(PyExc_TypeError, "the session is of another make");
        return NULL;
    }
    Outlet *outlet = outlet_open(descriptor);
    if (outlet == NULL) return PyErr_NoMemory();
    Lane *lane = PyObject_New(Lane, &lane_type);
    if (lane == NULL) {
        outlet_drop(outlet);
        return NULL;
    }
    lane->outlet = outlet;
    lane->desk = (Desk *)Py_NewRef(object);
    lane->connection = Py_NewRef(connection);
    lane->transport = Py_NewRef(transport);
    lane->session = Py_NewRef(session);
    lane->descriptor = descriptor;
    return (PyObject *)lane;
}

static void close_answers(PyObject *capsule) {
    DiskAnswers *answers = PyCapsule_GetPointer(capsule, DISK_ANSWERS);
    queue_drop(answers->with);
    free(answers);
}

/* answers(): what a disk's thread takes to answer this desk's shares. From now on nobody else answers them. */
static PyObject *desk_answers(PyObject *object, PyObject *none) {
    (void)none;
    Desk *desk = (Desk *)object;
    DiskAnswers *answers = malloc(sizeof *answers);
    if (answers == NULL) return PyErr_NoMemory();
    *answers = (DiskAnswers){desk->queue, queue_durable};
    PyObject *capsule = PyCapsule_New(answers, DISK_ANSWERS, close_answers);
    if (capsule == NULL) {
        free(answers);
        return NULL;
    }
    atomic_fetch_add(&desk->queue->references, 1);
    desk->direct = 1;
    return capsule;
}

static int desk_init(PyObject *object, PyObject *args, PyObject *keywords) {
    static char *names[] = {"intake", "table", "log", "tally", "schemes", NULL};
    Desk *desk = (Desk *)object;
    PyObject *given[5];
    if (desk->intake) {
        PyErr_SetString(PyExc_RuntimeError, "the desk was made before");
        return -1;
    }
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OOOOO", names, given, given + 1, given + 2, given + 3, given + 4))
        return -1;
    if ((desk->queue = queue_open()) == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    desk->intake = Py_NewRef(given[0]);
    desk->table = Py_NewRef(given[1]);
    desk->log = Py_NewRef(given[2]);
    desk->tally = Py_NewRef(given[3]);
    desk->schemes = Py_NewRef(given[4]);
    return 0;
}

static void desk_dealloc(PyObject *object) {
    Desk *desk = (Desk *)object;
    forget(&desk->known);
    for (; desk->count; desk->count--, desk->first = (desk->first + 1) % desk->room) drop(&desk->waiting[desk->first]);
    PyMem_Free(desk->waiting);
    if (desk->queue) queue_drop(desk->queue);
    Py_XDECREF(desk->intake);
    Py_XDECREF(desk->table);
    Py_XDECREF(desk->log);
    Py_XDECREF(desk->tally);
    Py_XDECREF(desk->schemes);
    Py_TYPE(object)->tp_free(object);
}

static Py_ssize_t desk_length(PyObject *object) { return (Py_ssize_t)((Desk *)object)->count; }

static PyMethodDef desk_methods[] = {
    {"lane", desk_lane, METH_VARARGS, NULL},
    {"answer", desk_answer, METH_O, NULL},
    {"answers", desk_answers, METH_NOARGS, NULL},
    {"refuse", desk_refuse, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PySequenceMethods desk_sequence = {.sq_length = desk_length};

static PyTypeObject desk_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "pool.services._share_desk.ShareDesk",
    .tp_basicsize = sizeof(Desk),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_init = desk_init,
    .tp_dealloc = desk_dealloc,
    .tp_methods = desk_methods,
    .tp_as_sequence = &desk_sequence,
};

/* -- the module ---------------------------------------------------------------------------------------------------- */

/* Where a slot lies; -1 with an exception when the class has none of that name. */
static int find_place(int place) {
    PyObject *module = PyImport_ImportModule(places[place].module), *type = NULL, *member = NULL;
    int found = -1;
    if (module) type = PyObject_GetAttrString(module, places[place].type);
    if (type) member = PyObject_GetAttrString(type, places[place].name);
    if (member && PyType_Check(type) && Py_IS_TYPE(member, &PyMemberDescr_Type) &&
        ((PyMemberDescrObject *)member)->d_member->type == T_OBJECT_EX) {
        offsets[place] = ((PyMemberDescrObject *)member)->d_member->offset;
        owners[place] = (PyTypeObject *)Py_NewRef(type);
        found = 0;
    } else if (!PyErr_Occurred()) {
        PyErr_Format(PyExc_ImportError, "%s.%s is no slot", places[place].type, places[place].name);
    }
    Py_XDECREF(module);
    Py_XDECREF(type);
    Py_XDECREF(member);
    return found;
}

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_share_desk", .m_size = -1,
};

PyMODINIT_FUNC PyInit__share_desk(void) {
    PyObject *made = PyModule_Create(&module), *target = NULL;
    if (made == NULL) return NULL;
    fill_crc_table();
    PyObject *kernel = PyImport_ImportModule("chains.primitives._share_kernel"), *capsule = NULL;
    if (kernel != NULL && (capsule = PyObject_GetAttrString(kernel, "calls")) != NULL)
        kernel_calls = PyCapsule_GetPointer(capsule, SHARE_KERNEL_CALLS); /* the module keeps it alive */
    Py_XDECREF(kernel);
    Py_XDECREF(capsule);
    if (kernel_calls == NULL) {
        if (PyErr_ExceptionMatches(PyExc_AttributeError)) PyErr_SetString(PyExc_ImportError, "the share kernel is older");
        goto failed;
    }
#define INTERN(name) if ((str_##name = PyUnicode_InternFromString(#name)) == NULL) goto failed;
    NAMES(INTERN)
#undef INTERN
    for (int place = 0; place < PLACES; place++)
        if (find_place(place) < 0) goto failed;
    if ((target = PyImport_ImportModule("chains.primitives.target")) == NULL) goto failed;
    farthest = PyObject_GetAttrString(target, "MAX_TARGET");
    Py_DECREF(target);
    if ((target = PyImport_ImportModule("stratum.vardiff")) == NULL) goto failed;
    first_shares = PyObject_GetAttrString(target, "FIRST_SHARES");
    Py_DECREF(target);
    if (find_refusals() < 0) goto failed;
    if (farthest == NULL || first_shares == NULL || PyType_Ready(&lane_type) < 0 || PyType_Ready(&desk_type) < 0 ||
        PyModule_AddObjectRef(made, "ShareDesk", (PyObject *)&desk_type) < 0)
        goto failed;
    return made;
failed:
    Py_DECREF(made);
    return NULL;
}
