/* null_server: answers every line of Stratum with true and looks at nothing: what kernel, epoll and loopback cost.
 *
 *     null_server PORT        prints READY once it listens
 *
 * One thread, one epoll, one send per read. subscribe and authorize are answered so that a miner gets going. SIGUSR1
 * finds a block: a clean job to everybody, one send each, of the length that a pool's job has.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define INPUT 4096
#define OUTPUT 32768
#define CLIENTS 65536

struct client { int fd; size_t held; char input[INPUT]; };

static char job[2048];
static const char *notify; /* where in `job` it begins; the difficulty is before it */
static struct client *clients[CLIENTS]; /* by descriptor */
static volatile sig_atomic_t found;

static void find_block(int number) {
    (void)number;
    found = 1;
}

static void make_job(void) {
    char branch[1024] = "", node[80];
    for (int i = 1; i <= 12; i++) {
        snprintf(node, sizeof node, "%s\"%064x\"", i > 1 ? "," : "", i);
        strcat(branch, node);
    }
    snprintf(job, sizeof job,
             "{\"id\":null,\"method\":\"mining.set_difficulty\",\"params\":[1e-9]}\n"
             "{\"id\":null,\"method\":\"mining.notify\",\"params\":[\"1\",\"%064x\",\"%0300d\",\"00000000\",[%s],\"20000000\","
             "\"17021369\",\"69200000\",true]}\n", 1, 0, branch);
    notify = strchr(job, '\n') + 1;
}

static void broadcast(void) {
    size_t size = strlen(notify);
    for (int fd = 0; fd < CLIENTS; fd++)
        if (clients[fd] && send(fd, notify, size, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)size) perror("send");
}

static size_t answer(char *out, const char *line) {
    const char *id = strstr(line, "\"id\":");
    long number = id ? strtol(id + 5, NULL, 10) : 0;
    if (strstr(line, "mining.submit")) return (size_t)sprintf(out, "{\"id\":%ld,\"result\":true,\"error\":null}\n", number);
    if (strstr(line, "mining.configure"))
        return (size_t)sprintf(out, "{\"id\":%ld,\"result\":{\"version-rolling\":true,\"version-rolling.mask\":\"1fffe000\"},"
                                    "\"error\":null}\n", number);
    if (strstr(line, "mining.subscribe"))
        return (size_t)sprintf(out, "{\"id\":%ld,\"result\":[[[\"mining.notify\",\"1\"]],\"00000001\",4],\"error\":null}\n", number);
    return (size_t)sprintf(out, "{\"id\":%ld,\"result\":true,\"error\":null}\n%s", number, strstr(line, "authorize") ? job : "");
}

/* Reads once and answers in one send; 0 when the client has gone. */
static int serve(struct client *client) {
    static char out[OUTPUT];
    size_t used = 0;
    ssize_t n = recv(client->fd, client->input + client->held, INPUT - 1 - client->held, 0);
    if (n < 0 && errno == EAGAIN) return 1;
    if (n <= 0) return 0;
    client->held += (size_t)n;
    client->input[client->held] = 0;
    char *start = client->input, *end;
    while ((end = strchr(start, '\n')) && used < OUTPUT - 4096) {
        *end = 0;
        used += answer(out + used, start);
        start = end + 1;
    }
    client->held -= (size_t)(start - client->input);
    memmove(client->input, start, client->held);
    return !used || send(client->fd, out, used, MSG_NOSIGNAL) == (ssize_t)used;
}

int main(int count, char **arguments) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct rlimit files;
    struct epoll_event event = {.events = EPOLLIN}, ready[256];
    int one = 1, listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), epoll = epoll_create1(0);
    if (count != 2) return 2;
    address.sin_port = htons((unsigned short)atoi(arguments[1]));
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max < CLIENTS ? files.rlim_max : CLIENTS;
    setrlimit(RLIMIT_NOFILE, &files);
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listening, (struct sockaddr *)&address, sizeof address) || listen(listening, 4096)) {
        perror("listen");
        return 2;
    }
    epoll_ctl(epoll, EPOLL_CTL_ADD, listening, &event);
    make_job();
    signal(SIGUSR1, find_block);
    puts("READY");
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(epoll, ready, 256, -1);
        if (found) {
            found = 0;
            broadcast();
        }
        for (int i = 0; i < n; i++) {
            struct client *client = ready[i].data.ptr;
            if (client) {
                if (!serve(client)) {
                    clients[client->fd] = NULL;
                    close(client->fd);
                    free(client);
                }
                continue;
            }
            for (int fd; (fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                client = calloc(1, sizeof *client);
                client->fd = fd;
                clients[fd] = client; /* below CLIENTS: RLIMIT_NOFILE is */
                event.data.ptr = client;
                epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
            }
        }
    }
}
