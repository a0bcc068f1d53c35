/* SPDX-License-Identifier: MIT
 *
 * testing.h: what the programs in cases and identity.c share: the checks, listeners and clients, and the way a
 * case is run.
 */
#ifndef TESTING_H
#define TESTING_H

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define HANGS_AFTER 300              /* seconds, on a machine that does much else beside */
#define LONG 50000                   /* milliseconds for what must come; never a measure of how fast it is */
#define MOMENT 40                    /* milliseconds for what must not come */
#define TOKEN UINT64_C(0x70726f7879) /* a registration's data, that nobody would guess */

static const char *name = "?", *step = "";

__attribute__((format(printf, 2, 3), noreturn)) static inline void fail(int line, const char *format, ...)
{
    int error = errno;
    va_list args;
    printf("not ok %s: line %d: ", name, line);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf(" (%s; errno %d, %s)\n", step, error, strerror(error));
    fflush(stdout);
    _exit(1);
}

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            fail(__LINE__, "%s", #condition);                                                                          \
    } while (0)
#define IS(expected, call)                                                                                             \
    do {                                                                                                               \
        long got_ = (long)(call);                                                                                      \
        if (got_ != (long)(expected))                                                                                  \
            fail(__LINE__, "%s is %ld, not %s", #call, got_, #expected);                                               \
    } while (0)
#define FAILS_WITH(error, call)                                                                                        \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        long got_ = (long)(call);                                                                                      \
        if (got_ != -1 || errno != (error))                                                                            \
            fail(__LINE__, "%s gave %ld, not %s", #call, got_, #error);                                                \
    } while (0)

/* Not by printf: this may have interrupted malloc, or fork, which holds malloc's locks. */
static inline void on_alarm(int number)
{
    char text[512];
    (void)number;
    int length = snprintf(text, sizeof text, "not ok %s: hung for %d s (%s)\n", name, HANGS_AFTER, step);
    if (write(STDOUT_FILENO, text, (size_t)length) != length)
        _exit(2);
    _exit(1);
}

static inline int64_t microseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

/* --- listeners, clients --- */

static inline int listener(int flags)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | flags, 0);
    MUST(fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) == 0 &&
         bind(fd, (struct sockaddr *)&any, sizeof any) == 0 && listen(fd, 1024) == 0);
    return fd;
}

struct client {
    int fd;
    in_port_t number; /* its header says it is 203.0.113.7 and this port */
};

static inline struct client dial(int to)
{
    static _Atomic uint16_t last = 1000;
    struct sockaddr_in address, from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1)};
    socklen_t length = sizeof address;
    struct client c = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .number = ++last};
    MUST(c.fd >= 0 && getsockname(to, (struct sockaddr *)&address, &length) == 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    MUST(bind(c.fd, (struct sockaddr *)&from, sizeof from) == 0);
    MUST(connect(c.fd, (struct sockaddr *)&address, sizeof address) == 0);
    return c;
}

static inline void speak(const struct client *c)
{
    char line[80];
    int length = snprintf(line, sizeof line, "PROXY TCP4 203.0.113.7 192.0.2.10 %u 3306\r\n", c->number);
    MUST(write(c->fd, line, (size_t)length) == length);
}

/* Returns when the server's kernel has every byte. */
static inline void introduce(const struct client *c)
{
    struct pollfd p = {.fd = c->fd};
    int unacknowledged = 1;
    speak(c);
    while (unacknowledged) {
        MUST(ioctl(c->fd, SIOCOUTQ, &unacknowledged) == 0);
        IS(0, syscall(SYS_poll, &p, 1, 0)); /* the server's end was not closed */
    }
}

static inline struct client introduced(int to)
{
    struct client c = dial(to);
    introduce(&c);
    return c;
}

static inline int number_of(int fd)
{
    struct sockaddr_in a;
    socklen_t length = sizeof a;
    return getpeername(fd, (struct sockaddr *)&a, &length) == 0 && a.sin_addr.s_addr == htonl(0xcb007107)
               ? ntohs(a.sin_port)
               : -1;
}

static inline bool works(int fd, const struct client *c)
{
    char byte = 0;
    return number_of(fd) == c->number && write(c->fd, "x", 1) == 1 && read(fd, &byte, 1) == 1 && byte == 'x';
}

/* accept gives this client now, and it works. */
static inline void accepts(int l, const struct client *c)
{
    int fd = accept(l, NULL, NULL);
    MUST(fd >= 0);
    MUST(works(fd, c));
    MUST(close(fd) == 0 && close(c->fd) == 0);
}

/* The process has accepted once: from now on its waits are exact. */
static inline void warm(int l)
{
    struct client c = introduced(l);
    accepts(l, &c);
}

static inline bool in_kernel_queue(int l)
{
    struct pollfd p = {.fd = l, .events = POLLIN};
    return syscall(SYS_poll, &p, 1, 0) == 1;
}

static inline void arrived(int l)
{
    struct pollfd p = {.fd = l, .events = POLLIN};
    IS(1, syscall(SYS_poll, &p, 1, LONG));
}

/* A silent peer that the library has just taken from the kernel: for a moment it is merely late. The listener is warm.
 */
static inline struct client late(int l)
{
    struct pollfd p = {.fd = l, .events = POLLIN};
    struct client c = dial(l);
    arrived(l);
    while (in_kernel_queue(l))
        IS(0, poll(&p, 1, 0));
    return c;
}

/* Numbers of the library's own are above this one: it promises to leave those below to the server. */
#define BAND 512

/* The number of the server's end of this connection; -1: it has none now. */
static inline int servers_end(const struct client *c)
{
    struct sockaddr_in own, peer;
    socklen_t length = sizeof own;
    struct rlimit numbers;
    MUST(getsockname(c->fd, (struct sockaddr *)&own, &length) == 0 && getrlimit(RLIMIT_NOFILE, &numbers) == 0);
    for (int fd = 0; fd < (int)numbers.rlim_cur; fd++) {
        length = sizeof peer;
        if (fd != c->fd && syscall(SYS_getpeername, fd, &peer, &length) == 0 && peer.sin_family == AF_INET &&
            peer.sin_port == own.sin_port && peer.sin_addr.s_addr == own.sin_addr.s_addr)
            return fd;
    }
    return -1;
}

static inline bool is_parked(const struct client *c)
{
    struct rlimit numbers;
    MUST(getrlimit(RLIMIT_NOFILE, &numbers) == 0);
    return servers_end(c) >= (numbers.rlim_cur / 2 < BAND ? (int)numbers.rlim_cur / 2 : BAND);
}

/* Waits for the listener until the peer is no longer merely late. */
static inline void until_parked(int l, const struct client *c)
{
    struct pollfd p = {.fd = l, .events = POLLIN};
    while (!is_parked(c))
        IS(0, poll(&p, 1, 1));
}

/* A silent peer out of the server's way. */
static inline struct client parked(int l)
{
    struct client c = late(l);
    until_parked(l, &c);
    return c;
}

/* Closed by the server: nothing was said, and nothing will be. */
static inline void is_closed(const struct client *c)
{
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    char byte;
    IS(1, syscall(SYS_poll, &p, 1, LONG));
    MUST(read(c->fd, &byte, 1) <= 0);
    MUST(close(c->fd) == 0);
}

static inline void control(int epoll, int operation, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event e = {.events = events, .data.u64 = data};
    IS(0, epoll_ctl(epoll, operation, fd, &e));
}

/* --- another thread, by its open /proc/self/task/TID/stat --- */

static inline bool asleep(int stat)
{
    char text[512];
    ssize_t n = pread(stat, text, sizeof text - 1, 0);
    if (n < 0 && errno == ESRCH) /* it has ended */
        return false;
    MUST(n > 0);
    text[n] = 0;
    return strstr(text, ") S ") != NULL;
}

static inline void until_asleep(int stat)
{
    while (!asleep(stat))
        usleep(200);
}

/* --- cases --- */

struct hazard {
    const char *name;
    void (*run)(void);
};
#define CASE(name)                                                                                                     \
    {                                                                                                                  \
#name, name                                                                                                    \
    }

/* First thing in main. */
static inline void begin(int argc, char **argv)
{
    name = argc == 2 ? argv[1] : "?";
    struct sigaction hung = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &hung, NULL);
    alarm(HANGS_AFTER);
}

/* main's status: 64 if there is no such case. */
static inline int run_case(const struct hazard *cases, size_t count, int argc, char **argv)
{
    bool list = argc == 2 && strcmp(argv[1], "--list") == 0, found = list;
    for (size_t i = 0; i < count; i++) {
        if (list)
            puts(cases[i].name);
        else if (strcmp(name, cases[i].name) == 0)
            found = (cases[i].run(), printf("ok %s\n", name), true);
    }
    return found ? 0 : 64;
}

#endif
