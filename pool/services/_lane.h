/* A lane: one connection's socket, read line by line, and written to as far as nothing waits before it. */
#ifndef PARAPOOL_LANE_H
#define PARAPOOL_LANE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "_desk_types.h"
#include "_share_line.h"

#define READ_BYTES 12288 /* as stratum/transport.py */

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
                  count_up(get(session, SESSION_COUNTERS), COUNTERS_MESSAGES, lines) < 0))
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

#endif
