/* hear_jobs: how long a new block takes to reach miners who are connected already.
 *
 *     hear_jobs FILE PID WINDOW_MS
 *
 * FILE holds, little-endian, u32 connections and so many u32 descriptors (inherited). Sends SIGUSR1 to PID, which finds
 * a block, and notes when each connection has its first clean job. Listens for WINDOW_MS in all, longer only if somebody
 * has not heard by then, so that the caller may meter what the block cost. Prints one line of JSON, times in ms from the signal on; exit 1 when somebody heard nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define INPUT 16384
#define SILENCE_S 20.0

struct peer { int fd; double heard_s; size_t held; char input[INPUT]; };

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Whether the line is a job whose last parameter is true. */
static int is_clean_job(const char *line, size_t size) {
    static const char clean[] = "true]";
    if (!memmem(line, size, "mining.notify", 13)) return 0;
    while (size && strchr("} \r", line[size - 1])) size--;
    return size >= sizeof clean - 1 && !memcmp(line + size - (sizeof clean - 1), clean, sizeof clean - 1);
}

/* True when this was the connection's first clean job. */
static int receive(struct peer *peer) {
    int heard = 0;
    ssize_t n = recv(peer->fd, peer->input + peer->held, INPUT - peer->held, 0);
    if (n < 0 && errno == EAGAIN) return 0;
    if (n <= 0) { fprintf(stderr, "the server closed a connection\n"); exit(1); }
    double at_s = now_s();
    peer->held += (size_t)n;
    char *start = peer->input, *end;
    while ((end = memchr(start, '\n', peer->held - (size_t)(start - peer->input)))) {
        if (!peer->heard_s && is_clean_job(start, (size_t)(end - start))) {
            peer->heard_s = at_s;
            heard = 1;
        }
        start = end + 1;
    }
    peer->held -= (size_t)(start - peer->input);
    memmove(peer->input, start, peer->held);
    if (peer->held == INPUT) { fprintf(stderr, "a line without an end\n"); exit(1); }
    return heard;
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

int main(int count, char **arguments) {
    if (count != 4) { fprintf(stderr, "usage: hear_jobs FILE PID WINDOW_MS\n"); return 2; }
    uint32_t peers = 0, heard = 0, fd;
    FILE *file = fopen(arguments[1], "rb");
    if (!file || fread(&peers, 4, 1, file) != 1) { perror(arguments[1]); return 2; }
    struct peer *all = calloc(peers, sizeof *all);
    double *times = calloc(peers, sizeof *times);
    int epoll = epoll_create1(0);
    for (uint32_t i = 0; i < peers; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
        if (fread(&fd, 4, 1, file) != 1) { perror(arguments[1]); return 2; }
        all[i].fd = (int)fd;
        fcntl(all[i].fd, F_SETFL, fcntl(all[i].fd, F_GETFL) | O_NONBLOCK);
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].fd, &event)) { perror("epoll_ctl"); return 2; }
    }
    struct epoll_event ready[512];
    for (int n; (n = epoll_wait(epoll, ready, 512, 0)) > 0;) /* what came before the block */
        for (int i = 0; i < n; i++) receive(ready[i].data.ptr);
    for (uint32_t i = 0; i < peers; i++) all[i].heard_s = 0;

    double began_s = now_s(), window_s = atof(arguments[3]) / 1e3, until_s = began_s + SILENCE_S;
    if (kill((pid_t)atoi(arguments[2]), SIGUSR1)) { perror("kill"); return 2; }
    while (now_s() < until_s) {
        int n = epoll_wait(epoll, ready, 512, 10);
        for (int i = 0; i < n; i++) {
            if (!receive(ready[i].data.ptr)) continue;
            if (++heard == peers) until_s = began_s + window_s;
        }
    }
    for (uint32_t i = 0; i < peers; i++) times[i] = (all[i].heard_s - began_s) * 1e3;
    qsort(times, peers, sizeof *times, by_size);
    printf("{\"heard\":%u,\"first_ms\":%.3f,\"median_ms\":%.3f,\"p99_ms\":%.3f,\"last_ms\":%.3f,\"seconds\":%.3f}\n", heard,
           times[0], times[peers / 2], times[peers * 99ull / 100], times[peers - 1], now_s() - began_s);
    return heard != peers;
}
