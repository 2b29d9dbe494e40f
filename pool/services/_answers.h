/* Answers that leave as soon as their shares are durable, from the disk's thread: nothing here needs Python's lock.
 *
 * Two threads write to a miner's socket then, and an outlet keeps them apart. Whoever sends holds its lock. What did not
 * fit is kept in `left`, in order, whoever sent it; until the loop's thread has taken that over, and all that it queued itself is
 * gone, the outlet is blocked, and the disk's thread only adds to `left`. The transport closes the outlet before it closes the socket.
 */
#ifndef PARAPOOL_ANSWERS_H
#define PARAPOOL_ANSWERS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../../stratum/_submit_scan.h"

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

#define ANSWER_BYTES 64
#define ANSWERS_TOGETHER 64

typedef struct {
    atomic_int references;
    pthread_mutex_t lock;
    int descriptor; /* -1: closed */
    int blocked;
    char *left;
    size_t left_size;
} Outlet;

static Outlet *outlet_open(int descriptor) {
    Outlet *outlet = calloc(1, sizeof *outlet);
    if (outlet == NULL) return NULL;
    atomic_init(&outlet->references, 1);
    pthread_mutex_init(&outlet->lock, NULL);
    outlet->descriptor = descriptor;
    return outlet;
}

static Outlet *outlet_keep(Outlet *outlet) {
    atomic_fetch_add(&outlet->references, 1);
    return outlet;
}

static void outlet_drop(Outlet *outlet) {
    if (atomic_fetch_sub(&outlet->references, 1) != 1) return;
    pthread_mutex_destroy(&outlet->lock);
    free(outlet->left);
    free(outlet);
}

/* Nothing is sent any more: the descriptor may become another connection's. */
static void outlet_close(Outlet *outlet) {
    pthread_mutex_lock(&outlet->lock);
    outlet->descriptor = -1;
    free(outlet->left);
    outlet->left = NULL;
    outlet->left_size = 0;
    pthread_mutex_unlock(&outlet->lock);
}

/* Under the lock. Without memory the line is broken off: the connection ends. */
static void outlet_leave(Outlet *outlet, const char *text, size_t size) {
    char *more = realloc(outlet->left, outlet->left_size + size + 1);
    if (more == NULL) {
        shutdown(outlet->descriptor, SHUT_RDWR);
        return;
    }
    memcpy(more + outlet->left_size, text, size);
    outlet->left = more;
    outlet->left_size += size;
}

/* Sends whole lines, or leaves what does not go; whether something is left. */
static int outlet_say(Outlet *outlet, const char *text, size_t size) {
    pthread_mutex_lock(&outlet->lock);
    if (outlet->descriptor >= 0 && !outlet->blocked) {
        ssize_t sent = send(outlet->descriptor, text, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent == (ssize_t)size) {
            pthread_mutex_unlock(&outlet->lock);
            return 0;
        }
        outlet->blocked = 1; /* no room, or a lost connection: the transport knows how to wait and how to end it */
        if (sent > 0) {
            text += sent;
            size -= (size_t)sent;
        }
    }
    if (outlet->descriptor >= 0) outlet_leave(outlet, text, size);
    int left = outlet->left_size != 0;
    pthread_mutex_unlock(&outlet->lock);
    return left;
}

/* For the transport's thread while it has nothing queued itself: sends what was left, and this. 1 when all of it is gone
 * and the outlet is free; 0 when the rest is left, and the transport has to take it over. */
static int outlet_send(Outlet *outlet, const char *text, size_t size) {
    pthread_mutex_lock(&outlet->lock);
    int gone = outlet->descriptor < 0;
    if (!gone && outlet->left_size) {
        outlet_leave(outlet, text, size);
        ssize_t sent = send(outlet->descriptor, outlet->left, outlet->left_size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            outlet->left_size -= (size_t)sent;
            memmove(outlet->left, outlet->left + sent, outlet->left_size);
        }
        gone = !outlet->left_size;
        outlet->blocked = !gone;
    } else if (!gone) {
        ssize_t sent = size ? send(outlet->descriptor, text, size, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
        gone = sent == (ssize_t)size;
        outlet->blocked = !gone;
        if (sent < 0) sent = 0;
        if (!gone) outlet_leave(outlet, text + sent, size - (size_t)sent);
    }
    pthread_mutex_unlock(&outlet->lock);
    return gone;
}

/* An answer that waits for the disk. */
typedef struct {
    unsigned long long sequence;
    Outlet *outlet;
    char id[ID_DIGITS + 2];
} Answer;

/* Added to by the loop's thread in the order of their sequences, answered by the disk's. */
typedef struct {
    atomic_int references;
    pthread_mutex_t lock;
    Answer *answers;
    size_t first, count, room;
} AnswerQueue;

static AnswerQueue *queue_open(void) {
    AnswerQueue *queue = calloc(1, sizeof *queue);
    if (queue == NULL) return NULL;
    atomic_init(&queue->references, 1);
    pthread_mutex_init(&queue->lock, NULL);
    return queue;
}

/* Under the lock. */
static Answer queue_next(AnswerQueue *queue) {
    Answer next = queue->answers[queue->first];
    queue->first = (queue->first + 1) % queue->room;
    queue->count--;
    return next;
}

/* -1 without memory. Keeps the outlet. */
static int queue_add(AnswerQueue *queue, unsigned long long sequence, Outlet *outlet, const char *id) {
    pthread_mutex_lock(&queue->lock);
    if (queue->count == queue->room) {
        size_t room = queue->room ? 2 * queue->room : 64;
        Answer *larger = malloc(room * sizeof *larger);
        if (larger == NULL) {
            pthread_mutex_unlock(&queue->lock);
            return -1;
        }
        for (size_t i = 0; i < queue->count; i++) larger[i] = queue->answers[(queue->first + i) % queue->room];
        free(queue->answers);
        queue->answers = larger;
        queue->room = room;
        queue->first = 0;
    }
    Answer *answer = &queue->answers[(queue->first + queue->count++) % queue->room];
    answer->sequence = sequence;
    answer->outlet = outlet_keep(outlet);
    strcpy(answer->id, id);
    pthread_mutex_unlock(&queue->lock);
    return 0;
}

/* Nothing that waits is answered any more. */
static void queue_clear(AnswerQueue *queue) {
    pthread_mutex_lock(&queue->lock);
    while (queue->count) outlet_drop(queue_next(queue).outlet);
    pthread_mutex_unlock(&queue->lock);
}

static void queue_drop(AnswerQueue *queue) {
    if (atomic_fetch_sub(&queue->references, 1) != 1) return;
    queue_clear(queue);
    pthread_mutex_destroy(&queue->lock);
    free(queue->answers);
    free(queue);
}

static size_t put_true(char *text, const char *id) {
    return (size_t)snprintf(text, ANSWER_BYTES, "{\"id\":%s,\"result\":true,\"error\":null}\n", id);
}

/* DiskAnswers.durable: what of one read lies together goes out together. */
static int queue_durable(void *with, unsigned long long sequence) {
    AnswerQueue *queue = with;
    Answer answers[ANSWERS_TOGETHER];
    char text[ANSWERS_TOGETHER * ANSWER_BYTES];
    int left = 0;
    for (;;) {
        size_t count = 0, used = 0;
        pthread_mutex_lock(&queue->lock);
        while (count < ANSWERS_TOGETHER && queue->count && queue->answers[queue->first].sequence <= sequence)
            answers[count++] = queue_next(queue);
        pthread_mutex_unlock(&queue->lock);
        if (!count) return left;
        for (size_t i = 0; i < count; i++) {
            used += put_true(text + used, answers[i].id);
            if (i + 1 == count || answers[i + 1].outlet != answers[i].outlet) {
                left |= outlet_say(answers[i].outlet, text, used);
                used = 0;
            }
        }
        for (size_t i = 0; i < count; i++) outlet_drop(answers[i].outlet);
    }
}

#endif
