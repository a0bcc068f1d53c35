/* SPDX-License-Identifier: MIT
 *
 * connections.c: what the shim costs a server, as ratios within one run.
 *
 *     connections LIBRARY
 *
 * Two copies of one small server run side by side, one bare and one under LIBRARY. A client opens short connections to
 * them in turn, round by round, so that whatever else the machine does falls on both alike. Through the shim each
 * begins with a PROXY header; to the bare server it sends as many bytes, which that server reads and throws away.
 * Prints the median over the rounds of shim / bare.
 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 15
#define CONNECTIONS 2000 /* a round */

static const char header[] = "PROXY TCP4 203.0.113.7 198.51.100.1 4711 3306\r\n";

/* --- the server: one byte after the header is answered by one byte --- */

static void serve_one(int fd, size_t opening)
{
    char buf[sizeof header + 1];
    size_t have = 0;
    while (have < opening + 1) {
        ssize_t n = read(fd, buf + have, opening + 1 - have);
        if (n <= 0)
            break;
        have += (size_t)n;
    }
    if (have == opening + 1 && write(fd, "!", 1) != 1)
        warn("write");
    close(fd);
}

static void accept_until_empty(int listener, size_t opening)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    int fd;
    while ((fd = accept4(listener, (struct sockaddr *)&ss, &len, SOCK_CLOEXEC)) >= 0) {
        serve_one(fd, opening);
        len = sizeof ss;
    }
}

static void serve(int listener, const char *style, size_t opening)
{
    struct epoll_event e = {.events = EPOLLIN};
    int epfd = epoll_create1(0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (strcmp(style, "accept") == 0)
        accept_until_empty(listener, opening);
    epoll_ctl(epfd, EPOLL_CTL_ADD, listener, &e);
    while (epoll_wait(epfd, &e, 1, -1) >= 0)
        accept_until_empty(listener, opening);
    err(1, "server");
}

/* --- the client --- */

static void one_connection(const struct sockaddr_in *to)
{
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1)};
    static const struct linger at_once = {1, 0};
    static const int on = 1;
    char message[sizeof header], answer;
    memcpy(message, header, sizeof header - 1);
    message[sizeof header - 1] = '?';
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) != 0 || connect(fd, (struct sockaddr *)to, sizeof *to) != 0 ||
        write(fd, message, sizeof message) != sizeof message || read(fd, &answer, 1) != 1)
        err(1, "client");
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once); /* no port is left in TIME_WAIT */
    close(fd);
}

static double seconds_for(const struct sockaddr_in *to)
{
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    for (int i = 0; i < CONNECTIONS; i++)
        one_connection(to);
    clock_gettime(CLOCK_MONOTONIC, &b);
    return (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return v[n / 2];
}

/* --- both --- */

/* A server in a process of its own; it says its port on the pipe. */
static struct sockaddr_in start(const char *self, const char *style, const char *library)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int ready[2];
    if (pipe(ready) != 0)
        err(1, "pipe");
    if (fork() == 0) {
        char number[12];
        snprintf(number, sizeof number, "%d", ready[1]);
        if (library) {
            setenv("LD_PRELOAD", library, 1);
            setenv("PPSHIM_TRUST", "127.0.0.2", 1);
            setenv("PPSHIM_LOG", "stderr:error", 1);
        }
        execl(self, self, "--serve", style, library ? "0" : "header", number, NULL);
        err(1, "%s", self);
    }
    if (read(ready[0], &where.sin_port, sizeof where.sin_port) != sizeof where.sin_port)
        errx(1, "the server did not start");
    close(ready[0]);
    close(ready[1]);
    return where;
}

static int be_server(char **argv)
{
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof where;
    int type = SOCK_STREAM | SOCK_CLOEXEC | (strcmp(argv[2], "epoll") == 0 ? SOCK_NONBLOCK : 0);
    int listener = socket(AF_INET, type, 0), ready = atoi(argv[4]);
    if (bind(listener, (struct sockaddr *)&where, len) != 0 || listen(listener, 512) != 0 ||
        getsockname(listener, (struct sockaddr *)&where, &len) != 0 ||
        write(ready, &where.sin_port, sizeof where.sin_port) != sizeof where.sin_port)
        err(1, "server");
    close(ready);
    serve(listener, argv[2], strcmp(argv[3], "header") == 0 ? sizeof header - 1 : 0);
    return 1;
}

static void compare(const char *self, const char *style, const char *library)
{
    double ratio[ROUNDS];
    struct sockaddr_in bare = start(self, style, NULL), shim = start(self, style, library);
    seconds_for(&bare);
    seconds_for(&shim);
    for (int i = 0; i < ROUNDS; i++) {
        double without = seconds_for(&bare), with = seconds_for(&shim);
        ratio[i] = without / with;
    }
    double m = median(ratio, ROUNDS);
    printf("%-8s connections a second, shim / bare: %.3f (%d rounds, %.3f to %.3f)\n", style, m, ROUNDS, ratio[0],
           ratio[ROUNDS - 1]);
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "--serve") == 0)
        return be_server(argv);
    if (argc != 2)
        errx(2, "usage: connections LIBRARY");
    signal(SIGCHLD, SIG_IGN);
    compare("/proc/self/exe", "accept", argv[1]);
    compare("/proc/self/exe", "epoll", argv[1]);
    return 0;
}
