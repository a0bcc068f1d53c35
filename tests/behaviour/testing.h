/* SPDX-License-Identifier: MIT
 *
 * testing.h: what the programs in cases/ and libc/, and identity.c, share: the checks, listeners and clients, ways to
 * wait, threads that act or accept while others sleep, and the way a case is run.
 *
 * `PROGRAM NAME` runs one case in a process of its own and prints "ok NAME" or "not ok NAME: why"; `--list` prints the
 * names; `--bare` before either is for the bare kernel: no headers. The clients are 127.0.0.2 (bare: 127.0.0.1), which
 * the environment must trust, with PPSHIM_TIMEOUT long enough that nobody runs out of it.
 */
#ifndef TESTING_H
#define TESTING_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
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
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define HANGS_AFTER 300              /* seconds, on a machine that does much else beside */
#define LONG 50000                   /* milliseconds for what must come; never a measure of how fast it is */
#define MOMENT 40                    /* milliseconds for what must not come */
#define TOKEN UINT64_C(0x70726f7879) /* a registration's data, that nobody would guess */

static const char *name = "?", *step = "";
static bool bare; /* without headers: `PROGRAM --bare NAME` */

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

enum kind { INET, DUAL_STACK, V6ONLY };

static inline int listener_of(enum kind kind, int flags)
{
    struct sockaddr_in6 any = {.sin6_family = kind == INET ? AF_INET : AF_INET6};
    socklen_t length = kind == INET ? sizeof(struct sockaddr_in) : sizeof any;
    int v6only = kind == V6ONLY, fd = socket(any.sin6_family, SOCK_STREAM | flags, 0);
    MUST(fd >= 0);
    MUST(kind == INET || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only) == 0);
    MUST(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) == 0 &&
         bind(fd, (struct sockaddr *)&any, length) == 0 && listen(fd, 1024) == 0);
    return fd;
}

static inline int listener(int flags)
{
    return listener_of(INET, flags);
}

static inline in_port_t port_of(int fd)
{
    struct sockaddr_in6 address;
    socklen_t length = sizeof address;
    MUST(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
    return address.sin6_port;
}

struct client {
    int fd;
    in_port_t number;        /* its header says it is `ip` and this port */
    const char *ip;          /* in text */
    struct sockaddr_in in;   /* who it is, as an AF_INET listener must tell it */
    struct sockaddr_in6 in6; /* as a dual-stack listener must */
};

static inline bool is_ipv6(const char *ip)
{
    return strchr(ip, ':') != NULL;
}

static inline void name_client(struct client *c, const char *ip, in_port_t port)
{
    char mapped[64];
    c->ip = ip;
    c->number = ntohs(port);
    c->in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
    c->in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port};
    snprintf(mapped, sizeof mapped, "%s%s", is_ipv6(ip) ? "" : "::ffff:", ip);
    MUST(is_ipv6(ip) || inet_pton(AF_INET, ip, &c->in.sin_addr) == 1);
    MUST(inet_pton(AF_INET6, mapped, &c->in6.sin6_addr) == 1);
}

/* From 127.0.0.x, or ::1: with a header its name will be `ip` and a port of its own. */
static inline struct client dial_from(in_addr_t source, int to, const char *ip, bool over_ipv6)
{
    static _Atomic uint16_t last = 1000;
    struct client c = {.fd = socket(over_ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(source)};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = port_of(to)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = in.sin_port, .sin6_addr = in6addr_loopback};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    MUST(c.fd >= 0);
    MUST(over_ipv6 || bind(c.fd, (struct sockaddr *)&from, sizeof from) == 0);
    MUST((over_ipv6 ? connect(c.fd, (struct sockaddr *)&in6, sizeof in6)
                    : connect(c.fd, (struct sockaddr *)&in, sizeof in)) == 0);
    if (bare)
        name_client(&c, "127.0.0.1", port_of(c.fd));
    else
        name_client(&c, ip, htons(++last));
    return c;
}

static inline struct client dial(int to)
{
    return dial_from(bare ? INADDR_LOOPBACK : INADDR_LOOPBACK + 1, to, "203.0.113.7", false);
}

static inline void speak(const struct client *c)
{
    char line[128];
    int length =
        snprintf(line, sizeof line,
                 is_ipv6(c->ip) ? "PROXY TCP6 %s 2001:db8::10 %u 3306\r\n" : "PROXY TCP4 %s 192.0.2.10 %u 3306\r\n",
                 c->ip, c->number);
    MUST(bare || write(c->fd, line, (size_t)length) == length);
}

/* The kernel's own, of which the library hears nothing; newer processors have ppoll alone. */
static inline int raw_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
#ifdef SYS_poll
    return (int)syscall(SYS_poll, fds, n, timeout_ms);
#else
    struct timespec t = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
    return (int)syscall(SYS_ppoll, fds, n, timeout_ms < 0 ? NULL : &t, NULL, 0L);
#endif
}

/* Returns when the server's kernel has every byte. */
static inline void introduce(const struct client *c)
{
    struct pollfd p = {.fd = c->fd};
    int unacknowledged = 1;
    speak(c);
    while (unacknowledged) {
        MUST(ioctl(c->fd, SIOCOUTQ, &unacknowledged) == 0);
        IS(0, raw_poll(&p, 1, 0)); /* the server's end was not closed */
    }
}

static inline struct client introduced(int to)
{
    struct client c = dial(to);
    introduce(&c);
    return c;
}

/* Leaves no port in TIME_WAIT, and the other end sees a reset. */
static inline void close_at_once(int fd)
{
    static const struct linger at_once = {.l_onoff = 1};
    IS(0, setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
    MUST(close(fd) == 0);
}

/* Both ends close. */
static inline void hang_up(const struct client *c, int server_end)
{
    MUST(close(c->fd) == 0 && close(server_end) == 0);
}

static inline int number_of(int fd)
{
    struct sockaddr_in a;
    socklen_t length = sizeof a;
    return getpeername(fd, (struct sockaddr *)&a, &length) == 0 && a.sin_addr.s_addr == htonl(0xcb007107)
               ? ntohs(a.sin_port)
               : -1;
}

static inline bool peer_is(int fd, const struct sockaddr_in *who)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    return getpeername(fd, (struct sockaddr *)&address, &length) == 0 && length == sizeof *who &&
           memcmp(&address, who, sizeof *who) == 0;
}

/* What `address` says must be `c`. */
#define TELLS(c, address, length)                                                                                      \
    do {                                                                                                               \
        if ((length) != sizeof(c)->in || memcmp((address), &(c)->in, sizeof(c)->in) != 0)                              \
            fail(__LINE__, "not the client's address, length %u", (unsigned)(length));                                 \
    } while (0)
#define TELLS6(c, address, length)                                                                                     \
    do {                                                                                                               \
        if ((length) != sizeof(c)->in6 || memcmp((address), &(c)->in6, sizeof(c)->in6) != 0)                           \
            fail(__LINE__, "not the client's IPv6 address, length %u", (unsigned)(length));                            \
    } while (0)

static inline bool works(int fd, const struct client *c)
{
    char byte = 0;
    return peer_is(fd, &c->in) && write(c->fd, "x", 1) == 1 && read(fd, &byte, 1) == 1 && byte == 'x';
}

/* accept gives this client now, and it works. */
static inline void accepts(int l, const struct client *c)
{
    int fd = accept(l, NULL, NULL);
    MUST(fd >= 0);
    MUST(works(fd, c));
    hang_up(c, fd);
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
    return raw_poll(&p, 1, 0) == 1;
}

static inline void arrived(int l)
{
    struct pollfd p = {.fd = l, .events = POLLIN};
    IS(1, raw_poll(&p, 1, LONG));
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
    IS(1, raw_poll(&p, 1, LONG));
    MUST(read(c->fd, &byte, 1) <= 0);
    MUST(close(c->fd) == 0);
}

static inline void control(int epoll, int operation, int fd, uint32_t events, uint64_t data)
{
    struct epoll_event e = {.events = events, .data.u64 = data};
    IS(0, epoll_ctl(epoll, operation, fd, &e));
}

/* --- descriptors --- */

/* Calls `each` with the descriptors of this process, and what /proc says they are. */
static inline void descriptors(void (*each)(int fd, const char *what, void *argument), void *argument)
{
    int list = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct {
        uint64_t inode, offset;
        unsigned short length;
        char type, text[240];
    } entry;
    char room[4096], what[64];
    MUST(list >= 0);
    for (long n; (n = syscall(SYS_getdents64, list, room, sizeof room)) > 0;) {
        for (long at = 0; at < n; at += entry.length) {
            memset(&entry, 0, sizeof entry);
            memcpy(&entry, room + at, 19);
            const char *text = room + at + 19;
            ssize_t length = readlinkat(list, text, what, sizeof what - 1);
            if (text[0] == '.' || length < 0 || atoi(text) == list)
                continue;
            what[length] = 0;
            each(atoi(text), what, argument);
        }
    }
    MUST(syscall(SYS_close, list) == 0);
}

static inline void count_one(int fd, const char *what, void *count)
{
    (void)fd, (void)what;
    ++*(int *)count;
}

static inline int open_fds(void)
{
    int count = 0;
    descriptors(count_one, &count);
    return count;
}

struct numbers {
    int fd[64], count;
    const char *kind;
};

static inline void add_high(int fd, const char *what, void *numbers)
{
    struct numbers *n = numbers;
    if (fd >= BAND && (!n->kind || strstr(what, n->kind)) && n->count < 64)
        n->fd[n->count++] = fd;
}

static inline struct numbers high_numbers(const char *kind)
{
    struct numbers n = {.kind = kind};
    descriptors(add_high, &n);
    return n;
}

/* --- copies of a descriptor --- */

union box {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
};

static inline void send_fd(int way, int fd)
{
    union box box = {.header = {.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct iovec part = {(char[]){'x'}, 1};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &box, .msg_controllen = sizeof box};
    memcpy(CMSG_DATA(&box.header), &fd, sizeof fd);
    MUST(sendmsg(way, &m, 0) == 1);
}

static inline int receive_fd(int way)
{
    union box box;
    char byte;
    int fd;
    struct iovec part = {&byte, 1};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &box, .msg_controllen = sizeof box};
    if (recvmsg(way, &m, 0) != 1 || m.msg_controllen < CMSG_LEN(sizeof fd))
        return -1;
    memcpy(&fd, CMSG_DATA(&box.header), sizeof fd);
    return fd;
}

enum copying { DUP, DUP2, DUP3, F_DUP, F_DUP_CLOEXEC, MESSAGE, COPYINGS };
static const char *const copying_names[] = {"dup", "dup2", "dup3", "F_DUPFD", "F_DUPFD_CLOEXEC", "SCM_RIGHTS"};

static inline int by_message(int fd)
{
    int pair[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    send_fd(pair[0], fd);
    int received = receive_fd(pair[1]);
    MUST(close(pair[0]) == 0 && close(pair[1]) == 0);
    return received;
}

static inline int copy_of(int fd, enum copying how)
{
    step = copying_names[how];
    return how == DUP             ? dup(fd)
           : how == DUP2          ? dup2(fd, 200)
           : how == DUP3          ? dup3(fd, 201, O_CLOEXEC)
           : how == F_DUP         ? fcntl(fd, F_DUPFD, 100)
           : how == F_DUP_CLOEXEC ? fcntl(fd, F_DUPFD_CLOEXEC, 100)
                                  : by_message(fd);
}

/* --- ways to wait --- */

/* The first three are what the others are variants of. */
enum way { POLL, SELECT, EPOLL, PPOLL, PSELECT, EPOLL_PWAIT, EPOLL_PWAIT2, WAYS, ACCEPT = WAYS };
static const char *const way_names[] = {"poll",    "select",      "epoll_wait",   "ppoll",
                                        "pselect", "epoll_pwait", "epoll_pwait2", "accept"};

/* poll, select, epoll_wait, accept */
static inline enum way next_way_to_take(enum way way)
{
    return way == EPOLL ? ACCEPT : way + 1;
}

static inline bool takes_a_mask(enum way way)
{
    return way >= PPOLL && way < WAYS;
}

static inline bool is_epoll(enum way way)
{
    return way == EPOLL || way == EPOLL_PWAIT || way == EPOLL_PWAIT2;
}

static inline bool is_select(enum way way)
{
    return way == SELECT || way == PSELECT;
}

struct watch {
    enum way way;
    int listener, epoll;
};

static inline struct watch watching(enum way way, int l)
{
    struct watch w = {way, l, is_epoll(way) ? epoll_create1(EPOLL_CLOEXEC) : -1};
    step = way_names[way];
    if (w.epoll >= 0)
        control(w.epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    return w;
}

static inline int by_poll(const struct watch *w, int ms, const sigset_t *mask)
{
    struct pollfd p[2] = {{.fd = -1, .events = POLLIN}, {.fd = w->listener, .events = POLLIN}};
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    int n = w->way == POLL ? poll(p, 2, ms) : ppoll(p, 2, ms < 0 ? NULL : &t, mask);
    MUST(n < 0 || p[1].revents == (n ? POLLIN : 0));
    return n;
}

static inline int by_select(const struct watch *w, int ms, const sigset_t *mask)
{
    fd_set readable, writable, exceptional;
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    struct timeval tv = {t.tv_sec, t.tv_nsec / 1000};
    FD_ZERO(&readable);
    FD_ZERO(&writable);
    FD_ZERO(&exceptional);
    FD_SET(w->listener, &readable);
    int n = w->way == SELECT ? select(w->listener + 1, &readable, &writable, NULL, ms < 0 ? NULL : &tv)
                             : pselect(w->listener + 1, &readable, NULL, &exceptional, ms < 0 ? NULL : &t, mask);
    MUST(n < 0 || !FD_ISSET(w->listener, &readable) == !n);
    return n;
}

static inline int by_epoll(const struct watch *w, int ms, const sigset_t *mask)
{
    struct epoll_event e[4] = {{0}};
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    int n = w->way == EPOLL         ? epoll_wait(w->epoll, e, 4, ms)
            : w->way == EPOLL_PWAIT ? epoll_pwait(w->epoll, e, 4, ms, mask)
                                    : epoll_pwait2(w->epoll, e, 4, ms < 0 ? NULL : &t, mask);
    MUST(n <= 0 || (n == 1 && e[0].events == EPOLLIN && e[0].data.u64 == TOKEN));
    return n;
}

/* 1: the listener is said to be readable; 0: the time is over; -1: errno says why. */
static inline int wait_masked(const struct watch *w, int ms, const sigset_t *mask)
{
    return is_epoll(w->way) ? by_epoll(w, ms, mask) : is_select(w->way) ? by_select(w, ms, mask) : by_poll(w, ms, mask);
}

static inline int wait_for(const struct watch *w, int ms)
{
    return wait_masked(w, ms, NULL);
}

static inline void nobody_comes(const struct watch *w)
{
    struct timespec before, after;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &before);
    IS(0, wait_for(w, MOMENT));
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &after);
    long spent = (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000;
    if (spent > MOMENT * 1000 / 4)
        fail(__LINE__, "a wait of %d ms for nobody took %ld us of the processor", MOMENT, spent);
}

static inline int selected(int fd, int ms)
{
    struct timeval t = {ms / 1000, ms % 1000 * 1000};
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    return select(fd + 1, &set, NULL, NULL, &t);
}

static inline int polled(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n = poll(&p, 1, ms);
    MUST(n <= 0 || (p.revents & POLLIN));
    return n;
}

static inline int told(int epoll, int ms)
{
    struct epoll_event e[8];
    int n = epoll_wait(epoll, e, 8, ms);
    for (int i = 0; i < n; i++)
        MUST(e[i].events == EPOLLIN && e[i].data.u64 == TOKEN);
    return n;
}

/* Silent, live, late: all as it should be, on a warm listener. */
static inline void is_exact(const struct watch *w)
{
    struct client silent = dial(w->listener);
    arrived(w->listener);
    IS(0, wait_for(w, 0));
    struct client c = introduced(w->listener);
    IS(1, wait_for(w, LONG));
    accepts(w->listener, &c);
    IS(0, wait_for(w, 0));
    introduce(&silent);
    IS(1, wait_for(w, LONG));
    accepts(w->listener, &silent);
    IS(0, wait_for(w, 0));
}

/* --- threads --- */

/* 'S' if it is asleep; 0: it has ended. */
static inline char state_of(int stat)
{
    char text[512];
    ssize_t n = pread(stat, text, sizeof text - 1, 0);
    MUST(n > 0 || errno == ESRCH);
    if (n <= 0)
        return 0;
    text[n] = 0;
    const char *command = strrchr(text, ')');
    MUST(command && command[1] == ' ');
    return command[2];
}

static inline bool asleep(int stat)
{
    char state = state_of(stat);
    MUST(state);
    return state == 'S';
}

static inline void until_asleep(int stat)
{
    while (!asleep(stat))
        usleep(200);
}

static inline int stat_of(pid_t tid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    MUST(fd >= 0);
    return fd;
}

static inline void block_usr1(bool block)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    IS(0, pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL));
}

/* Counts what it handles. */
static atomic_int handled;

static inline void count_signal(int number)
{
    (void)number;
    handled++;
}

static inline void handle_usr1(void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags},
                     hung = {.sa_handler = on_alarm, .sa_flags = flags};
    IS(0, sigaction(SIGUSR1, &action, NULL));
    IS(0, sigaction(SIGALRM, &hung, NULL)); /* let it not be the odd one out */
    handled = 0;
}

/* Something done by another thread when this one sleeps. */
struct helper {
    pthread_t thread, sleeper;
    int stat, listener;
    struct client *client;
    atomic_bool stop;
};

static inline void start(struct helper *h, void *(*act)(void *), int l, struct client *c)
{
    sigset_t usr1, before;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    h->stat = stat_of(gettid());
    h->sleeper = pthread_self();
    h->listener = l;
    h->client = c;
    h->stop = false;
    IS(0, pthread_sigmask(SIG_BLOCK, &usr1, &before)); /* the helper never handles it */
    IS(0, pthread_create(&h->thread, NULL, act, h));
    IS(0, pthread_sigmask(SIG_SETMASK, &before, NULL));
}

static inline void done(struct helper *h)
{
    h->stop = true;
    MUST(pthread_join(h->thread, NULL) == 0 && syscall(SYS_close, h->stat) == 0);
}

static inline void *introduce_while_asleep(void *helper)
{
    struct helper *h = helper;
    until_asleep(h->stat);
    speak(h->client);
    return NULL;
}

static inline void *signal_while_asleep(void *helper)
{
    struct helper *h = helper;
    until_asleep(h->stat);
    IS(0, pthread_kill(h->sleeper, SIGUSR1));
    return NULL;
}

static inline void *keep_dialling(void *helper)
{
    struct helper *h = helper;
    enum { MOST = 100 };
    struct client silent[MOST];
    int count = 0;
    while (!h->stop) {
        if (asleep(h->stat)) {
            MUST(count < MOST || close(silent[--count].fd) == 0);
            silent[count++] = dial(h->listener);
        }
        usleep(200);
    }
    while (count > 0)
        MUST(close(silent[--count].fd) == 0);
    return NULL;
}

/* A client of whom accept hears only once it sleeps: late with its header, or where there are none with connecting. */
struct latecomer {
    struct helper helper;
    struct client client;
};

static inline void *come_while_asleep(void *helper)
{
    struct helper *h = helper;
    until_asleep(h->stat);
    if (bare)
        *h->client = dial(h->listener);
    speak(h->client);
    return NULL;
}

static inline void come_late(struct latecomer *l, int to)
{
    if (!bare)
        l->client = dial(to);
    start(&l->helper, come_while_asleep, to, &l->client);
}

/* --- threads in accept --- */

enum { THREADS = 3 };

struct accepter {
    pthread_t thread;
    _Atomic pid_t tid;
    int listener, fd, error, stat;
    bool joined;
    long took; /* ms */
};

static inline void *accept_one(void *accepter)
{
    struct accepter *a = accepter;
    int64_t before = microseconds();
    a->tid = gettid();
    a->fd = accept(a->listener, NULL, NULL);
    a->error = errno;
    a->took = (long)(microseconds() - before) / 1000;
    return NULL;
}

static inline void start_accept(struct accepter *a, int l)
{
    *a = (struct accepter){.listener = l};
    IS(0, pthread_create(&a->thread, NULL, accept_one, a));
}

static inline void block_one_in_accept(struct accepter *a, int l)
{
    start_accept(a, l);
    while (!a->tid)
        usleep(200);
    a->stat = stat_of(a->tid);
    until_asleep(a->stat);
}

/* One after the other: the order in which they came is the order in the array. */
static inline void block_in_accept(struct accepter a[THREADS], int l)
{
    for (int i = 0; i < THREADS; i++)
        block_one_in_accept(&a[i], l);
}

static inline void all_asleep(const struct accepter a[THREADS])
{
    for (int i = 0; i < THREADS; i++)
        if (!a[i].joined)
            until_asleep(a[i].stat);
}

static inline void join_one(struct accepter *a)
{
    IS(0, pthread_join(a->thread, NULL));
    MUST(syscall(SYS_close, a->stat) == 0);
    a->joined = true;
}

/* A silent peer that a thread in accept has taken from the kernel; it tells nobody. */
static inline struct client taken_in_accept(int l)
{
    struct client c = dial(l);
    while (in_kernel_queue(l))
        usleep(200);
    return c;
}

/* Peers that wait when the threads come, or come when the threads wait. */
static inline struct client one_silent(struct accepter a[THREADS], int l, bool before)
{
    struct client silent;
    step = before ? "the peer was there first" : "the threads were there first";
    warm(l);
    if (before)
        silent = parked(l);
    block_in_accept(a, l);
    if (!before)
        silent = taken_in_accept(l);
    all_asleep(a);
    return silent;
}

static inline void all_end_with(struct accepter a[THREADS], int error)
{
    for (int i = 0; i < THREADS; i++) {
        join_one(&a[i]);
        if (a[i].fd != -1 || a[i].error != error)
            fail(__LINE__, "thread %d: accept is %d, errno %d and not %d", i, a[i].fd, a[i].error, error);
    }
}

static inline bool has_ended(const struct accepter *a)
{
    return syscall(SYS_tgkill, getpid(), a->tid, 0) != 0;
}

/* How many of them have. */
static inline int threads_ended(struct accepter a[THREADS])
{
    int ended = 0;
    for (int i = 0; i < THREADS; i++) {
        if (!a[i].joined && has_ended(&a[i]))
            join_one(&a[i]);
        ended += a[i].joined;
    }
    return ended;
}

/* The thread whose accept gave this client. */
static inline int thread_given(struct accepter a[THREADS], const struct client *c)
{
    for (;; usleep(200)) {
        for (int i = 0; i < THREADS; i++) {
            if (a[i].joined || !has_ended(&a[i]))
                continue;
            join_one(&a[i]);
            if (a[i].fd < 0)
                fail(__LINE__, "thread %d: accept failed with %d", i, a[i].error);
            MUST(works(a[i].fd, c));
            hang_up(c, a[i].fd);
            return i;
        }
    }
}

/* --- other processes --- */

static inline void ended_well(pid_t child)
{
    int status = 0;
    IS(child, waitpid(child, &status, 0));
    if (status != 0)
        fail(__LINE__, "child's status is %#x", (unsigned)status);
}

/* --- cases --- */

struct test {
    const char *name;
    void (*run)(void);
    bool needs_headers; /* the kernel alone has no such clients */
};
#define CASE(name)                                                                                                     \
    {                                                                                                                  \
#name, name, false                                                                                             \
    }
#define CASE_OF_HEADERS(name)                                                                                          \
    {                                                                                                                  \
#name, name, true                                                                                              \
    }

/* First thing in main. */
static inline void begin(int argc, char **argv)
{
    bare = argc > 1 && strcmp(argv[1], "--bare") == 0;
    name = argc == 2 + bare ? argv[1 + bare] : "?";
    struct sigaction hung = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &hung, NULL);
    alarm(HANGS_AFTER);
}

/* main's status: 64 if there is no such case. */
static inline int run_case(const struct test *cases, size_t count)
{
    bool list = strcmp(name, "--list") == 0, found = list;
    for (size_t i = 0; i < count; i++) {
        if (bare && cases[i].needs_headers)
            continue;
        if (list)
            puts(cases[i].name);
        else if (strcmp(name, cases[i].name) == 0)
            found = (cases[i].run(), printf("ok %s\n", name), true);
    }
    return found ? 0 : 64;
}

#endif
