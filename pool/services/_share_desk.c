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
#include <stdint.h>
#include <structmember.h>

#include "../shares/_disk_thread.h"
#include "_desk_types.h"
#include "_lane.h"
#include "_share_credit.h"

#define OUTPUT_BYTES 16384

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
    if (!has_place(session, SESSION_LINES)) {
        PyErr_SetString(PyExc_TypeError, "expected a session");
        return NULL;
    }
    if (!has_place(get(session, SESSION_LINES), LINES_DATA) || !has_place(get(session, SESSION_RATE), RATE_COUNT) ||
        !has_place(get(session, SESSION_COUNTERS), COUNTERS_ACCEPTED)) {
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
    if (!has_place(given[1], TABLE_JOBS) || !has_place(given[2], LOG_SEQUENCE) || !has_place(given[3], TALLY_JOBS) ||
        !has_place(given[4], SCHEMES_REALMS)) {
        PyErr_SetString(PyExc_TypeError, "expected an intake with its table, log, tally and schemes");
        return -1;
    }
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
    if ((one_share = PyLong_FromLong(1)) == NULL) goto failed;
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
