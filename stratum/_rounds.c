/* Rounds of all connections in C: who comes first, a job to many, whose time has come.
 *
 * rounds.py says what these give and has the same in Python; connection.py is the reference for what happens to one
 * connection. Only the plain case is dealt with here, and by the attributes that Python's objects have: a connection in
 * which anything is out of the ordinary is left to Python, and so is one of which anything cannot be read.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef MSG_NOSIGNAL
#define SEND_FLAGS (MSG_DONTWAIT | MSG_NOSIGNAL)
#else
#define SEND_FLAGS MSG_DONTWAIT /* Python ignores SIGPIPE */
#endif

#define NAMES(X) \
    X(_closing_since) X(_leaving_since) X(_reader) X(_stalled_since) X(_steady_caps) X(_tempDataLen) X(assignment) X(caps) \
    X(closed) X(connected) X(dataBuffer) X(deadlines) X(difficulty) X(disconnecting) X(due) X(fileno) X(notify) \
    X(notify_clean) X(send) X(sent) X(sequence) X(session) X(subscribed) X(terms) X(transport) X(users)

#define DECLARE(name) static PyObject *str_##name;
NAMES(DECLARE)
#undef DECLARE

/* -- attributes --------------------------------------------------------------------------------------------------- */

/* A new reference; NULL without an exception where there is none, or no object. */
static PyObject *get(PyObject *object, PyObject *name) {
    PyObject *value = object == NULL ? NULL : PyObject_GetAttr(object, name);
    if (value == NULL) PyErr_Clear();
    return value;
}

static int is_none(PyObject *object, PyObject *name) {
    PyObject *value = get(object, name);
    Py_XDECREF(value);
    return value == Py_None;
}

/* Whether it is there and as true as `wanted`. */
static int is(PyObject *object, PyObject *name, int wanted) {
    PyObject *value = get(object, name);
    int found = value == NULL ? -1 : PyObject_IsTrue(value);
    Py_XDECREF(value);
    if (found < 0) PyErr_Clear();
    return found == wanted;
}

/* Whether it is a number, and which. */
static int number_of(PyObject *object, PyObject *name, double *number) {
    PyObject *value = get(object, name);
    if (value == NULL) return 0;
    *number = PyFloat_AsDouble(value);
    Py_DECREF(value);
    if (*number != -1.0 || !PyErr_Occurred()) return 1;
    PyErr_Clear();
    return 0;
}

static int whole_of(PyObject *object, PyObject *name, long long *number) {
    PyObject *value = get(object, name);
    if (value == NULL) return 0;
    *number = PyLong_AsLongLong(value);
    Py_DECREF(value);
    if (*number != -1 || !PyErr_Occurred()) return 1;
    PyErr_Clear();
    return 0;
}

/* Whether a transport takes a line at once: it is open, its bytes are the miner's own, and none of them wait. */
static int is_free(PyObject *transport, PyObject *direct) {
    if (transport == NULL || (PyObject *)Py_TYPE(transport) != direct) return 0;
    return is(transport, str_dataBuffer, 0) && is(transport, str__tempDataLen, 0) && is(transport, str_connected, 1) &&
           is(transport, str_disconnecting, 0);
}

/* -- a job to many ------------------------------------------------------------------------------------------------ */

typedef struct {
    PyObject *direct, *caps, *even_caps, *sequence, *lines[2]; /* even_caps: what was last found equal to caps */
    long long number, clean_from;
} Offer;

/* Whether nothing has to be said to a miner before this job, as Assignment.go_on() has it; `clean` is what it gets. */
static int goes_on(PyObject *assignment, Offer *offer, int *clean) {
    PyObject *caps = get(assignment, str__steady_caps);
    long long sequence;
    if (caps == NULL) return 0;
    int even = caps == offer->even_caps ? 1 : PyObject_RichCompareBool(caps, offer->caps, Py_EQ);
    if (even < 0) PyErr_Clear();
    if (even == 1) Py_XSETREF(offer->even_caps, caps);
    else Py_DECREF(caps);
    if (even != 1) return 0;
    if (!whole_of(assignment, str_sequence, &sequence) || offer->number <= sequence) return 0;
    *clean = sequence < offer->clean_from;
    return 1;
}

static int descriptor_of(PyObject *transport) {
    PyObject *fileno = get(transport, str_fileno);
    PyObject *number = fileno == NULL ? NULL : PyObject_CallNoArgs(fileno);
    long descriptor = number == NULL ? -1 : PyLong_AsLong(number);
    Py_XDECREF(fileno);
    Py_XDECREF(number);
    PyErr_Clear();
    return (int)descriptor;
}

/* What is sent to one connection, or nothing. */
typedef struct {
    PyObject *assignment; /* NULL for who is left to Python */
    PyObject *by;         /* what sends to a socket that another thread writes to as well, or NULL */
    int descriptor, clean;
    ssize_t sent;
} Sending;

#define KEPT (-2) /* for `sent`: who sends has it, and keeps what could not be sent */

static void plan(PyObject *connection, Offer *offer, Sending *sending) {
    PyObject *session = get(connection, str_session), *assignment = NULL, *transport = NULL, *reader = NULL;
    sending->assignment = sending->by = NULL;
    sending->descriptor = -1;
    if (!is_none(session, str_closed)) goto end;
    assignment = get(session, str_assignment);
    if (assignment == NULL || !goes_on(assignment, offer, &sending->clean)) goto end;
    transport = get(connection, str_transport);
    if (!is_free(transport, offer->direct)) goto end;
    reader = get(transport, str__reader);
    if (reader != NULL && reader != Py_None) sending->by = get(reader, str_send);
    else sending->descriptor = descriptor_of(transport);
    if (sending->by != NULL || sending->descriptor >= 0) sending->assignment = Py_NewRef(assignment);
end:
    Py_XDECREF(reader);
    Py_XDECREF(session);
    Py_XDECREF(assignment);
    Py_XDECREF(transport);
}

/* -1 with an exception. What could not be sent is put into `left`. */
static int note(PyObject *connection, const Offer *offer, const Sending *sending, PyObject *left) {
    PyObject *rest = Py_None;
    if (sending->assignment != NULL && (sending->sent > 0 || sending->sent == KEPT)) { /* else no room, or a lost connection: Python knows what then */
        PyObject *line = offer->lines[sending->clean];
        Py_ssize_t size = PyBytes_GET_SIZE(line);
        if (PyObject_SetAttr(sending->assignment, str_sequence, offer->sequence) < 0) return -1;
        if (sending->sent >= size) return 0;
        rest = sending->sent == KEPT ? PyBytes_FromStringAndSize(NULL, 0)
                                     : PyBytes_FromStringAndSize(PyBytes_AS_STRING(line) + sending->sent, size - sending->sent);
        if (rest == NULL) return -1;
    } else
        Py_INCREF(rest);
    PyObject *pair = PyTuple_Pack(2, connection, rest);
    int done = pair == NULL ? -1 : PyList_Append(left, pair);
    Py_DECREF(rest);
    Py_XDECREF(pair);
    return done;
}

/* All sends together, without a look at an object in between: the kernel's memory stays in the cache, and a peer on the
 * same machine is still awake from the one before, so that it need not be woken for each. */
static PyObject *send_to(PyObject *connections, Offer *offer) {
    Py_ssize_t count = PyList_GET_SIZE(connections);
    Sending *sendings = PyMem_New(Sending, count ? count : 1);
    PyObject *left = sendings == NULL ? PyErr_NoMemory() : PyList_New(0);
    if (left == NULL) goto end;
    for (Py_ssize_t i = 0; i < count; i++) plan(PyList_GET_ITEM(connections, i), offer, &sendings[i]);
    for (Py_ssize_t i = 0; i < count; i++) {
        if (sendings[i].assignment == NULL) continue;
        PyObject *line = offer->lines[sendings[i].clean];
        if (sendings[i].by != NULL) {
            PyObject *gone = left == NULL ? NULL : PyObject_CallOneArg(sendings[i].by, line);
            if (gone == NULL) Py_CLEAR(left); /* with an exception: nobody else has the job from here */
            sendings[i].sent = gone == Py_True ? PyBytes_GET_SIZE(line) : KEPT;
            Py_XDECREF(gone);
            continue;
        }
        sendings[i].sent =
            send(sendings[i].descriptor, PyBytes_AS_STRING(line), (size_t)PyBytes_GET_SIZE(line), SEND_FLAGS);
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        if (left != NULL && note(PyList_GET_ITEM(connections, i), offer, &sendings[i], left) < 0) Py_CLEAR(left);
        Py_XDECREF(sendings[i].assignment);
        Py_XDECREF(sendings[i].by);
    }
end:
    PyMem_Free(sendings);
    return left;
}

/* send_job(direct, connections, job, clean_from) */
static PyObject *send_job(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    (void)module;
    Offer offer = {0};
    PyObject *connections = NULL, *left = NULL;
    if (count != 4 || !PyList_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "expected a type, a list of connections, a job and a number");
        return NULL;
    }
    offer.direct = args[0];
    offer.clean_from = PyLong_AsLongLong(args[3]);
    if (offer.clean_from == -1 && PyErr_Occurred()) return NULL;
    offer.sequence = PyObject_GetAttr(args[2], str_sequence);
    offer.caps = PyObject_GetAttr(args[2], str_caps);
    offer.lines[0] = PyObject_GetAttr(args[2], str_notify);
    offer.lines[1] = PyObject_GetAttr(args[2], str_notify_clean);
    if (offer.sequence == NULL || offer.caps == NULL || offer.lines[0] == NULL || offer.lines[1] == NULL) goto end;
    if (!PyBytes_Check(offer.lines[0]) || !PyBytes_Check(offer.lines[1])) {
        PyErr_SetString(PyExc_TypeError, "a job's lines are bytes");
        goto end;
    }
    offer.number = PyLong_AsLongLong(offer.sequence);
    if (offer.number == -1 && PyErr_Occurred()) goto end;
    connections = PyList_GetSlice(args[1], 0, PyList_GET_SIZE(args[1])); /* ours: nobody changes it meanwhile */
    if (connections != NULL) left = send_to(connections, &offer);
end:
    Py_XDECREF(connections);
    Py_XDECREF(offer.sequence);
    Py_XDECREF(offer.caps);
    Py_XDECREF(offer.even_caps);
    Py_XDECREF(offer.lines[0]);
    Py_XDECREF(offer.lines[1]);
    return left;
}

/* -- who comes first ---------------------------------------------------------------------------------------------- */

typedef struct {
    PyObject *connection;
    double difficulty;
    Py_ssize_t place;
} Ranked;

static int by_rank(const void *a, const void *b) {
    const Ranked *x = a, *y = b;
    if (x->difficulty != y->difficulty) return x->difficulty < y->difficulty ? -1 : 1;
    return x->place < y->place ? -1 : 1;
}

/* 1 with the difficulty of a miner that may have jobs, 0 for another one, -1 with an exception. */
static int rank(PyObject *connection, double *difficulty) {
    PyObject *session = PyObject_GetAttr(connection, str_session), *assignment = NULL, *terms = NULL, *told = NULL;
    int found = session == NULL ? -1 : 0;
    if (session == NULL || !is(session, str_subscribed, 1) || !is(session, str_users, 1)) goto end;
    found = -1;
    if ((assignment = PyObject_GetAttr(session, str_assignment)) == NULL) goto end;
    if ((terms = PyObject_GetAttr(assignment, str_terms)) == NULL) goto end;
    told = PyObject_GetAttr(terms, str_sent);
    if (told == Py_None) Py_SETREF(told, PyObject_GetAttr(assignment, str_difficulty));
    if (told == NULL) goto end;
    *difficulty = PyFloat_AsDouble(told);
    if (*difficulty != -1.0 || !PyErr_Occurred()) found = 1;
end:
    Py_XDECREF(session);
    Py_XDECREF(assignment);
    Py_XDECREF(terms);
    Py_XDECREF(told);
    return found;
}

/* by_difficulty(connections) */
static PyObject *by_difficulty(PyObject *module, PyObject *connections) {
    (void)module;
    PyObject *all = PySequence_List(connections), *made = NULL;
    if (all == NULL) return NULL;
    Py_ssize_t size = PyList_GET_SIZE(all), count = 0;
    Ranked *ranked = PyMem_New(Ranked, size ? size : 1);
    if (ranked == NULL) {
        PyErr_NoMemory();
        goto end;
    }
    for (Py_ssize_t i = 0; i < size; i++) {
        int found = rank(PyList_GET_ITEM(all, i), &ranked[count].difficulty);
        if (found < 0) goto end;
        if (!found) continue;
        ranked[count].connection = PyList_GET_ITEM(all, i); /* `all` holds it */
        ranked[count].place = count;
        count++;
    }
    qsort(ranked, (size_t)count, sizeof *ranked, by_rank);
    made = PyList_New(count);
    for (Py_ssize_t i = 0; made != NULL && i < count; i++) PyList_SET_ITEM(made, i, Py_NewRef(ranked[i].connection));
end:
    PyMem_Free(ranked);
    Py_DECREF(all);
    return made;
}

/* -- whose time has come ------------------------------------------------------------------------------------------ */

/* Whether Connection.sweep() would do nothing. */
static int is_at_rest(PyObject *connection, PyObject *direct, double now) {
    int rests = 0;
    double due;
    PyObject *session = NULL, *part = NULL, *transport = NULL;
    if (!is_none(connection, str__leaving_since) || !is_none(connection, str__stalled_since) ||
        !is_none(connection, str__closing_since))
        return 0;
    session = get(connection, str_session);
    if (!is_none(session, str_closed)) goto end;
    part = get(session, str_deadlines);
    if (!number_of(part, str_due, &due) || now >= due) goto end;
    Py_SETREF(part, get(session, str_assignment));
    if (!number_of(part, str_due, &due) || now >= due) goto end;
    transport = get(connection, str_transport);
    rests = is_free(transport, direct);
end:
    Py_XDECREF(session);
    Py_XDECREF(part);
    Py_XDECREF(transport);
    return rests;
}

/* due(direct, connections, now) */
static PyObject *due(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    (void)module;
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "expected a type, connections and a time");
        return NULL;
    }
    double now = PyFloat_AsDouble(args[2]);
    if (now == -1.0 && PyErr_Occurred()) return NULL;
    PyObject *all = PySequence_List(args[1]), *found = all == NULL ? NULL : PyList_New(0);
    for (Py_ssize_t i = 0; found != NULL && i < PyList_GET_SIZE(all); i++) {
        PyObject *connection = PyList_GET_ITEM(all, i);
        if (!is_at_rest(connection, args[0], now) && PyList_Append(found, connection) < 0) Py_CLEAR(found);
    }
    Py_XDECREF(all);
    return found;
}

static PyMethodDef methods[] = {
    {"by_difficulty", by_difficulty, METH_O, NULL},
    {"due", (PyCFunction)(void (*)(void))due, METH_FASTCALL, NULL},
    {"send_job", (PyCFunction)(void (*)(void))send_job, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_rounds", .m_size = -1, .m_methods = methods,
};

PyMODINIT_FUNC PyInit__rounds(void) {
#define INTERN(name) \
    if ((str_##name = PyUnicode_InternFromString(#name)) == NULL) return NULL;
    NAMES(INTERN)
#undef INTERN
    return PyModule_Create(&module);
}
