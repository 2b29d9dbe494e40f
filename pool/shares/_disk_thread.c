/* The share log's writer as a thread that never needs Python's lock: write, sync, tell, wait.
 *
 * disk_thread.py has its twin in Python and says what everything means; that is used where this cannot be built
 * and for files that are not the system's own. The loop hands over bytes with put(); what has come since the last commit
 * is written and synced together (_segment_file.h); then the shares are answered, where somebody does that here
 * (_disk_thread.h), and a count on the eventfd `tell` wakes the loop, if that waits for it, which asks progress(). A thread
 * of Python's takes the interpreter's lock three times for each commit, each time from the loop or with a wait.
 *
 * An error of write or sync is never retried: after it nothing more is written, whatever is put.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "_disk_thread.h"
#include "_log_pieces.h"

typedef struct {
    PyObject_HEAD
    pthread_t thread;
    int running, locks; /* whether there is a thread to join, and locks to destroy */
    /* Written before the thread begins, or by it alone. */
    char directory[SEGMENT_PATH_LIMIT];
    SegmentFile file;
    int tell;
    unsigned long long segment;
    long long interval_ns;
    char *joined;
    /* Under the lock. */
    pthread_mutex_t lock;
    pthread_cond_t put;
    Piece *first, **last;
    int closing, failed;
    unsigned long long durable_segment, durable_offset, durable_sequence;
    unsigned long long shares_waiting, bytes_waiting, bytes_written;
    double sync_s, synced_at_s;
    PyObject *capsule; /* keeps `answers`; NULL: nobody answers here */
    const DiskAnswers *answers;
} DiskThread;

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The next segment's file. The one before has its records and nothing else first: only the newest may end in zeros. */
static int rotate(DiskThread *self, unsigned long long segment) {
    int error = segment_finish(&self->file);
    if (!error) error = segment_create(&self->file, self->directory, segment);
    if (!error) self->segment = segment;
    return error;
}

/* Takes what one commit may carry: a later segment never holds shares while an earlier one could still be torn. */
static Piece *take(DiskThread *self) {
    Piece *first = self->first, *end = first;
    if (first == NULL) return NULL;
    while (end->next && end->next->segment == first->segment) end = end->next;
    self->first = end->next;
    if (self->first == NULL) self->last = &self->first;
    end->next = NULL;
    return first;
}

static void pause_for(DiskThread *self, double began_s) {
    struct timespec until;
    long long left_ns = self->interval_ns - (long long)((now_s() - began_s) * 1e9);
    if (left_ns <= 0) return;
    clock_gettime(CLOCK_REALTIME, &until);
    left_ns += until.tv_nsec;
    until.tv_sec += (time_t)(left_ns / 1000000000);
    until.tv_nsec = (long)(left_ns % 1000000000);
    while (!self->closing && pthread_cond_timedwait(&self->put, &self->lock, &until) != ETIMEDOUT) continue;
}

/* Full only when the loop has been told and did not listen yet. */
static void tell_loop(const DiskThread *self) {
    static const uint64_t one = 1;
    if (write(self->tell, &one, sizeof one) < 0) { /* nobody listens any more: the shares are on disk all the same */ }
}

static void *run(void *argument) {
    DiskThread *self = argument;
    pthread_mutex_lock(&self->lock);
    for (;;) {
        while (self->first == NULL && !self->closing) pthread_cond_wait(&self->put, &self->lock);
        Piece *pieces = take(self);
        if (pieces == NULL) break;
        const DiskAnswers *answers = self->answers;
        pthread_mutex_unlock(&self->lock);
        double began_s = now_s();
        Written written = {0};
        int error = pieces->segment == self->segment ? 0 : rotate(self, pieces->segment);
        if (!error) error = write_pieces(&self->file, pieces, self->joined, &written);
        free_pieces(pieces);
        double ended_s = now_s();
        int tell = error ? 1 : written.tell;
        if (!error && answers) tell |= answers->durable(answers->with, written.sequence);
        pthread_mutex_lock(&self->lock);
        if (error) {
            self->failed = error;
        } else {
            if (self->durable_segment != self->segment) self->durable_offset = 0;
            self->durable_segment = self->segment;
            self->durable_offset += written.size;
            self->durable_sequence = written.sequence;
            self->shares_waiting -= written.shares;
            self->bytes_waiting -= written.size;
            self->bytes_written += written.size;
            self->sync_s = ended_s - began_s;
            self->synced_at_s = ended_s;
        }
        pthread_mutex_unlock(&self->lock);
        if (tell) tell_loop(self);
        int ahead_error = error ? 0 : segment_write_ahead(&self->file); /* when all of the commit have their answers */
        pthread_mutex_lock(&self->lock);
        if (ahead_error) {
            self->failed = error = ahead_error;
            tell_loop(self);
        }
        if (error) break;
        pause_for(self, began_s);
    }
    int failed = self->failed;
    pthread_mutex_unlock(&self->lock);
    if (failed && self->file.file >= 0) {
        close(self->file.file);
        self->file.file = -1;
    } else if (!failed && segment_finish(&self->file)) { /* all is durable: the next start cuts the zeros that are left */ }
    return NULL;
}

static int thread_init(PyObject *object, PyObject *args, PyObject *keywords) {
    static char *names[] = {"directory", "file", "segment", "offset", "sequence", "interval_s", "tell", NULL};
    DiskThread *self = (DiskThread *)object;
    const char *directory;
    double interval_s;
    sigset_t all, before;
    int file, failed;
    if (self->locks) {
        PyErr_SetString(PyExc_RuntimeError, "the thread was begun before");
        return -1;
    }
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "yiKKKdi", names, &directory, &file, &self->durable_segment,
                                     &self->durable_offset, &self->durable_sequence, &interval_s, &self->tell))
        return -1;
    if (strlen(directory) >= sizeof self->directory) {
        PyErr_SetString(PyExc_ValueError, "the path is too long");
        return -1;
    }
    strcpy(self->directory, directory);
    if ((errno = segment_take(&self->file, file, (off_t)self->durable_offset)) != 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    self->segment = self->durable_segment;
    self->interval_ns = (long long)(interval_s * 1e9);
    self->last = &self->first;
    self->joined = malloc(TOGETHER);
    if (self->joined == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->put, NULL);
    self->locks = 1;
    sigfillset(&all); /* signals are the main thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&self->thread, NULL, run, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        errno = failed;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    self->running = 1;
#ifdef __linux__
    pthread_setname_np(self->thread, "share-log");
#endif
    return 0;
}

/* Nothing is put any more; returns when everything that was is durable, or failed. */
static void end(DiskThread *self) {
    if (!self->running) return;
    self->running = 0;
    pthread_t thread = self->thread;
    Py_BEGIN_ALLOW_THREADS
    pthread_mutex_lock(&self->lock);
    self->closing = 1;
    pthread_cond_signal(&self->put);
    pthread_mutex_unlock(&self->lock);
    pthread_join(thread, NULL);
    Py_END_ALLOW_THREADS
}

static void thread_dealloc(PyObject *object) {
    DiskThread *self = (DiskThread *)object;
    end(self);
    free_pieces(self->first);
    free(self->joined);
    Py_XDECREF(self->capsule);
    if (self->locks) {
        pthread_mutex_destroy(&self->lock);
        pthread_cond_destroy(&self->put);
    }
    Py_TYPE(object)->tp_free(object);
}

typedef struct {
    unsigned long long segment, offset, sequence, shares, bytes, written;
    double sync_s, synced_at_s;
    int failed;
} Progress;

/* Under the lock. */
static Progress progress_of(const DiskThread *self) {
    return (Progress){
        self->durable_segment, self->durable_offset, self->durable_sequence, self->shares_waiting, self->bytes_waiting,
        self->bytes_written, self->sync_s, self->synced_at_s, self->failed,
    };
}

/* (segment, offset, sequence) up to which everything is durable, the seconds that the last commit took, the error that
 * ended the thread (0 for none), the shares and bytes that wait, the bytes written, and when the last commit ended
 * (monotonic seconds). */
static PyObject *tell_progress(const Progress *now) {
    return Py_BuildValue("KKKdiKKKd", now->segment, now->offset, now->sequence, now->sync_s, now->failed, now->shares,
                         now->bytes, now->written, now->synced_at_s);
}

/* put([(segment, data, sequence, shares), ...], tell): the log's next bytes, whose last share has that number. Segments
 * never fall. All of them, or none with an exception. What progress() says. */
static PyObject *thread_put(PyObject *object, PyObject *const *args, Py_ssize_t arguments) {
    DiskThread *self = (DiskThread *)object;
    PyObject *list = arguments ? args[0] : Py_None;
    int tell = arguments == 2 ? PyObject_IsTrue(args[1]) : -1;
    Piece *first = NULL, **last = &first;
    unsigned long long shares = 0, size = 0;
    if (!PyList_CheckExact(list) || tell < 0) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "expected a list, and whether to tell");
        return NULL;
    }
    for (Py_ssize_t at = 0; at < PyList_GET_SIZE(list);) {
        if ((*last = make_piece(list, &at)) == NULL) {
            free_pieces(first);
            return NULL;
        }
        shares += (*last)->shares;
        size += (*last)->size;
        (*last)->tell = tell;
        last = &(*last)->next;
    }
    pthread_mutex_lock(&self->lock); /* held by the thread for moments only, never while it writes */
    if (first) {
        *self->last = first;
        self->last = last;
    }
    self->shares_waiting += shares;
    self->bytes_waiting += size;
    Progress now = progress_of(self);
    pthread_mutex_unlock(&self->lock);
    if (first) pthread_cond_signal(&self->put);
    return tell_progress(&now);
}

/* progress(): what tell_progress() says. Takes what `tell` has to read. */
static PyObject *thread_progress(PyObject *object, PyObject *none) {
    (void)none;
    DiskThread *self = (DiskThread *)object;
    uint64_t told;
    if (read(self->tell, &told, sizeof told) < 0) { /* nothing to read: asked without having been told */ }
    pthread_mutex_lock(&self->lock);
    Progress now = progress_of(self);
    pthread_mutex_unlock(&self->lock);
    return tell_progress(&now);
}

/* answer_with(capsule): who hears first of what is durable, once and for all. */
static PyObject *thread_answer_with(PyObject *object, PyObject *capsule) {
    DiskThread *self = (DiskThread *)object;
    const DiskAnswers *answers = PyCapsule_GetPointer(capsule, DISK_ANSWERS);
    if (answers == NULL) return NULL;
    if (self->capsule != NULL) {
        PyErr_SetString(PyExc_RuntimeError, "somebody answers already");
        return NULL;
    }
    self->capsule = Py_NewRef(capsule);
    pthread_mutex_lock(&self->lock);
    self->answers = answers;
    pthread_mutex_unlock(&self->lock);
    Py_RETURN_NONE;
}

static PyObject *thread_close(PyObject *object, PyObject *none) {
    (void)none;
    end((DiskThread *)object);
    Py_RETURN_NONE;
}

static PyMethodDef thread_methods[] = {
    {"put", (PyCFunction)(void (*)(void))thread_put, METH_FASTCALL, NULL},
    {"answer_with", thread_answer_with, METH_O, NULL},
    {"progress", thread_progress, METH_NOARGS, NULL},
    {"close", thread_close, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject thread_type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "pool.shares._disk_thread.DiskThread",
    .tp_basicsize = sizeof(DiskThread),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = PyType_GenericNew,
    .tp_init = thread_init,
    .tp_dealloc = thread_dealloc,
    .tp_methods = thread_methods,
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_disk_thread", .m_size = -1,
};

PyMODINIT_FUNC PyInit__disk_thread(void) {
    PyObject *made = PyModule_Create(&module);
    if (made == NULL) return NULL;
    if (PyType_Ready(&thread_type) < 0 || PyModule_AddObjectRef(made, "DiskThread", (PyObject *)&thread_type) < 0) {
        Py_DECREF(made);
        return NULL;
    }
    return made;
}
