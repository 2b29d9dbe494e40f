/* How other C of this program hears from _disk_thread.c what is durable: a capsule of that name, given to DiskThread.answer_with(). */
#ifndef PARAPOOL_DISK_THREAD_H
#define PARAPOOL_DISK_THREAD_H

#define DISK_ANSWERS "pool.shares._disk_thread.answers"

typedef struct {
    void *with;
    /* Called by the disk's thread, without Python's lock, before anybody else hears of it: everything up to `sequence` is
     * durable. Whether the loop has to be told at once. */
    int (*durable)(void *with, unsigned long long sequence);
} DiskAnswers;

#endif
