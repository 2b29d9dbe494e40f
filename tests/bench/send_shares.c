/* send_shares: sends prepared lines over connections that are open already, and checks every answer.
 *
 *     send_shares FILE RATE WINDOW CHECK
 *
 * FILE holds, little-endian: u32 connections; per connection u32 descriptor (inherited), u32 lines; per line u16 expected
 * code (0 for true), u16 length, the line. The id of a connection's n-th line is n. RATE > 0 sends so many lines a second,
 * round robin; 0 keeps WINDOW lines unanswered on every connection. CHECK 0 counts answers and compares none (the null
 * server knows no wrong share). Prints one line of JSON; exit 1 when an answer is wrong or missing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>

#define INPUT 65536
#define SILENCE_S 20.0

struct line { const char *text; uint16_t size, code; double sent_s; };
struct peer { int fd; uint32_t lines, next, answered; struct line *line; char input[INPUT]; size_t held; };

static struct peer *peers;
static uint32_t peer_count;
static uint64_t total, sent, right, wrong;
static double *latencies;
static int check;

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fail(const char *what) {
    perror(what);
    exit(2);
}

static void send_lines(struct peer *peer, uint32_t count) {
    static char output[INPUT];
    size_t used = 0;
    double at_s = now_s();
    for (; count && peer->next < peer->lines; count--) {
        struct line *line = &peer->line[peer->next];
        if (used + line->size > sizeof output) break;
        memcpy(output + used, line->text, line->size);
        used += line->size;
        line->sent_s = at_s;
        peer->next++;
        sent++;
    }
    for (size_t done = 0; done < used;) {
        ssize_t n = send(peer->fd, output + done, used - done, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN) { usleep(100); continue; }
        if (n < 0) fail("send");
        done += (size_t)n;
    }
}

/* The member's value, or NULL. */
static const char *member(const char *text, const char *name) {
    const char *found = strstr(text, name);
    return found ? found + strlen(name) : NULL;
}

static void take_answer(struct peer *peer, const char *text, double at_s) {
    const char *id = member(text, "\"id\":"), *result = member(text, "\"result\":"), *error = member(text, "\"error\":[");
    if (!id || !result || *id < '0' || *id > '9') return; /* a notification */
    unsigned long number = strtoul(id, NULL, 10);
    if (number >= peer->lines) return;
    unsigned code = error ? (unsigned)strtoul(error, NULL, 10) : !strncmp(result, "true", 4) ? 0 : 999;
    latencies[right + wrong] = at_s - peer->line[number].sent_s;
    if (!check || code == peer->line[number].code) right++;
    else if (wrong++ < 5) fprintf(stderr, "expected %u: %s\n  to %.*s", peer->line[number].code, text, peer->line[number].size, peer->line[number].text);
    peer->answered++;
}

static void receive(struct peer *peer) {
    ssize_t n = recv(peer->fd, peer->input + peer->held, INPUT - 1 - peer->held, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) { fprintf(stderr, "the server closed a connection\n"); exit(1); }
    double at_s = now_s();
    peer->held += (size_t)n;
    peer->input[peer->held] = 0;
    char *start = peer->input, *end;
    while ((end = memchr(start, '\n', peer->held - (size_t)(start - peer->input)))) {
        *end = 0;
        take_answer(peer, start, at_s);
        start = end + 1;
    }
    peer->held -= (size_t)(start - peer->input);
    memmove(peer->input, start, peer->held);
    if (peer->held == INPUT - 1) { fprintf(stderr, "a line without an end\n"); exit(1); }
}

static void load(const char *path) {
    struct stat about;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &about)) fail(path);
    char *data = malloc((size_t)about.st_size), *at = data, *end = data + about.st_size;
    for (char *to = data; to < end;) {
        ssize_t n = read(fd, to, (size_t)(end - to));
        if (n <= 0) fail("read");
        to += n;
    }
    memcpy(&peer_count, at, 4);
    at += 4;
    peers = calloc(peer_count, sizeof *peers);
    for (uint32_t i = 0; i < peer_count; i++) {
        memcpy(&peers[i].fd, at, 4);
        memcpy(&peers[i].lines, at + 4, 4);
        at += 8;
        peers[i].line = calloc(peers[i].lines + 1, sizeof(struct line));
        for (uint32_t k = 0; k < peers[i].lines; k++) {
            struct line *line = &peers[i].line[k];
            memcpy(&line->code, at, 2);
            memcpy(&line->size, at + 2, 2);
            line->text = at + 4;
            at += 4 + line->size;
        }
        total += peers[i].lines;
    }
    latencies = calloc(total + 1, sizeof *latencies);
}

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

int main(int count, char **arguments) {
    if (count != 5) { fprintf(stderr, "usage: send_shares FILE RATE WINDOW CHECK\n"); return 2; }
    double rate = atof(arguments[2]);
    uint32_t window = (uint32_t)atoi(arguments[3]), turn = 0;
    check = atoi(arguments[4]);
    load(arguments[1]);
    int epoll = epoll_create1(0);
    for (uint32_t i = 0; i < peer_count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &peers[i]};
        fcntl(peers[i].fd, F_SETFL, fcntl(peers[i].fd, F_GETFL) | O_NONBLOCK);
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, peers[i].fd, &event)) fail("epoll_ctl");
    }
    double began_s = now_s(), heard_s = began_s;
    while (right + wrong < total) {
        if (rate > 0) {
            uint64_t due = (uint64_t)((now_s() - began_s) * rate);
            for (; sent < due && sent < total; turn = (turn + 1) % peer_count) send_lines(&peers[turn], 1);
        } else if (sent == 0) {
            for (uint32_t i = 0; i < peer_count; i++) send_lines(&peers[i], window);
        }
        struct epoll_event ready[512];
        int n = epoll_wait(epoll, ready, 512, rate > 0 && sent < total ? 1 : 100);
        for (int i = 0; i < n; i++) {
            struct peer *peer = ready[i].data.ptr;
            receive(peer);
            if (rate == 0 && peer->next - peer->answered < window)
                send_lines(peer, window - (peer->next - peer->answered));
        }
        if (n > 0) heard_s = now_s();
        else if (now_s() - heard_s > SILENCE_S) break;
    }
    double took_s = now_s() - began_s;
    uint64_t answers = right + wrong;
    qsort(latencies, answers, sizeof *latencies, by_size);
    printf("{\"sent\":%llu,\"right\":%llu,\"wrong\":%llu,\"seconds\":%.6f,\"p50_ms\":%.3f,\"p99_ms\":%.3f}\n",
           (unsigned long long)sent, (unsigned long long)right, (unsigned long long)wrong, took_s,
           answers ? latencies[answers / 2] * 1e3 : -1, answers ? latencies[answers * 99 / 100] * 1e3 : -1);
    return wrong || right != total;
}
