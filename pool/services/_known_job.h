/* What is asked of a job with each share, kept for the job that the last share was for. */
#ifndef PARAPOOL_KNOWN_JOB_H
#define PARAPOOL_KNOWN_JOB_H

#include <Python.h>
#include <stdint.h>
#include <string.h>

#include "../../chains/primitives/_share_kernel.h"
#include "_desk_slots.h"

static const ShareKernelCalls *kernel_calls;

typedef struct {
    PyObject *job, *layout_kernel, *seen;
    long long sequence, minimum_time, maximum_time;
    uint32_t version, version_mask;
    uint8_t notable[SHARE_DIGEST];
    long digits;
} Known;

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
static int know(Known *known, PyObject *job, long digits) {
    if (known->job == job && known->digits == digits) return 0;
    PyObject *layouts = NULL, *size = NULL, *notable = NULL, *tip, *layout;
    int done = -1;
    forget(known);
    if (!has_place(job, JOB_TIP)) goto end;
    if (number_of(job, str_sequence, &known->sequence) < 0 || number_of(job, str_minimum_time, &known->minimum_time) < 0 ||
        number_of(job, str_maximum_time, &known->maximum_time) < 0 || word_of(job, str_version, &known->version) < 0 ||
        word_of(job, str_version_mask, &known->version_mask) < 0)
        goto end;
    layouts = PyObject_GetAttr(job, str_layouts);
    size = PyLong_FromLong(digits / 2);
    notable = PyObject_GetAttr(job, str_notable);
    tip = get(job, JOB_TIP);
    if (layouts == NULL || size == NULL || notable == NULL || !has_place(tip, TIP_SEEN)) goto end;
    if (!PyDict_CheckExact(layouts) || !PyBytes_CheckExact(notable) || PyBytes_GET_SIZE(notable) != SHARE_DIGEST) goto end;
    layout = PyDict_GetItemWithError(layouts, size);
    if (layout == NULL) goto end;
    known->layout_kernel = PyObject_GetAttr(layout, str_kernel);
    known->seen = Py_NewRef(get(tip, TIP_SEEN));
    if (known->layout_kernel == NULL || !Py_IS_TYPE(known->layout_kernel, kernel_calls->kernel) || !Py_IS_TYPE(known->seen, kernel_calls->seen))
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
    return done;
}

#endif
