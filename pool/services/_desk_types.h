/* The desk, its lanes, and the shares that wait on it for the disk. */
#ifndef PARAPOOL_DESK_TYPES_H
#define PARAPOOL_DESK_TYPES_H

#include <Python.h>

#include "_answers.h"
#include "_known_job.h"

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

typedef struct desk {
    PyObject_HEAD
    PyObject *intake, *table, *log, *tally, *schemes;
    Known known;
    Waiting *waiting;
    size_t first, count, room;
    AnswerQueue *queue;
    int direct; /* whether the queue is answered by the disk's thread */
} Desk;

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

#endif
