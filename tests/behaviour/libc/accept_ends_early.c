/* SPDX-License-Identifier: MIT
 *
 * accept_ends_early.c: what accept, accept4 and getpeername promise a caller, checked from inside one process.
 *
 * `accept_ends_early NAME` runs one case: the client is 127.0.0.2 and opens with a PROXY header, so the shim is at
 * work. `accept_ends_early --bare NAME` runs the same case without headers: on the bare kernel, or under a preload that
 * is off or does not trust 127.0.0.1. What is expected is the same code in both, so it is the kernel's answer and not a
 * belief.
 * `--list` and `--bare --list` print the names. Prints "ok NAME" or "not ok NAME: why".
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FILLER 0xaa
#define HANGS_AFTER 300 /* seconds, on a machine that does much else beside */

static const char *name = "?";
static bool bare;

__attribute__((format(printf, 2, 3), noreturn)) static void fail(int line, const char *format, ...)
{
    int error = errno;
    va_list args;
    printf("not ok %s: line %d: ", name, line);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf(" (errno %d, %s)\n", error, strerror(error));
    fflush(stdout);
    _exit(1);
}

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            fail(__LINE__, "%s", #condition);                                                                          \
    } while (0)
#define FAILS_WITH(error, call)                                                                                        \
    do {                                                                                                               \
        errno = 0;                                                                                                     \
        long got_ = (call);                                                                                            \
        if (got_ != -1 || errno != (error))                                                                            \
            fail(__LINE__, "%s gave %ld, not %s", #call, got_, #error);                                                \
    } while (0)

static void on_alarm(int number)
{
    char text[256];
    (void)number;
    int length = snprintf(text, sizeof text, "not ok %s: hung for %d s\n", name, HANGS_AFTER);
    if (write(STDOUT_FILENO, text, (size_t)length) != length) /* not by printf: this may have interrupted malloc */
        _exit(2);
    _exit(1);
}

/* --- listeners, clients --- */

enum kind { INET, DUAL_STACK, V6ONLY };

static int listener_with(enum kind kind, int flags)
{
    struct sockaddr_in6 any = {.sin6_family = kind == INET ? AF_INET : AF_INET6};
    socklen_t length = kind == INET ? sizeof(struct sockaddr_in) : sizeof any;
    int v6only = kind == V6ONLY, fd = socket(any.sin6_family, SOCK_STREAM | flags, 0);
    MUST(fd >= 0);
    MUST(kind == INET || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only) == 0);
    MUST(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) == 0 &&
         bind(fd, (struct sockaddr *)&any, length) == 0 && listen(fd, 64) == 0);
    return fd;
}

static int listener(void)
{
    return listener_with(INET, 0);
}

static in_port_t port_of(int fd)
{
    struct sockaddr_in6 address;
    socklen_t length = sizeof address;
    MUST(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
    return address.sin6_port;
}

struct client {
    int fd;
    struct sockaddr_in in;     /* who it is, as an AF_INET listener must tell it */
    struct sockaddr_in6 in6;   /* as a dual-stack listener must */
    const char *header_client; /* who the header says */
    bool six;
};

static void name_client(struct client *c, const char *ip, in_port_t port)
{
    char mapped[64];
    c->in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
    c->in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port};
    snprintf(mapped, sizeof mapped, "%s%s", c->six ? "" : "::ffff:", ip);
    MUST(c->six || inet_pton(AF_INET, ip, &c->in.sin_addr) == 1);
    MUST(inet_pton(AF_INET6, mapped, &c->in6.sin6_addr) == 1);
}

/* Connects; with headers its name is `header_client`, an address and port in text, once `introduce` told it. */
static struct client dial_as(int to, const char *header_client, bool over_ipv6)
{
    static in_port_t claimed = 40000;
    struct client c = {.header_client = header_client, .six = strchr(header_client, ':') != NULL};
    struct sockaddr_in from = {.sin_family = AF_INET}, in = {.sin_family = AF_INET, .sin_port = port_of(to)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = in.sin_port, .sin6_addr = in6addr_loopback};
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    from.sin_addr.s_addr = htonl(bare ? INADDR_LOOPBACK : INADDR_LOOPBACK + 1);
    c.fd = socket(over_ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    MUST(c.fd >= 0);
    MUST(over_ipv6 || bind(c.fd, (struct sockaddr *)&from, sizeof from) == 0);
    MUST(connect(c.fd, over_ipv6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in,
                 over_ipv6 ? sizeof in6 : sizeof in) == 0);
    if (bare)
        name_client(&c, "127.0.0.1", port_of(c.fd));
    else
        name_client(&c, header_client, htons(++claimed));
    return c;
}

static struct client dial(int to)
{
    return dial_as(to, "203.0.113.7", false);
}

static void introduce(struct client *c)
{
    char line[128];
    int length = snprintf(line, sizeof line, "PROXY TCP%c %s %s %u 3306\r\n", c->six ? '6' : '4', c->header_client,
                          c->six ? "2001:db8::10" : "192.0.2.10", ntohs(c->in.sin_port));
    if (!bare)
        MUST(write(c->fd, line, (size_t)length) == length);
}

static struct client introduced(int to)
{
    struct client c = dial(to);
    introduce(&c);
    return c;
}

static void bye(struct client *c, int server_end)
{
    MUST(close(c->fd) == 0 && close(server_end) == 0);
}

/* What `fd` is called must be `c`. */
#define IS(c, address, length)                                                                                         \
    do {                                                                                                               \
        if ((length) != sizeof(c)->in || memcmp((address), &(c)->in, sizeof(c)->in) != 0)                              \
            fail(__LINE__, "not the client's address, length %u", (unsigned)(length));                                 \
    } while (0)
#define IS6(c, address, length)                                                                                        \
    do {                                                                                                               \
        if ((length) != sizeof(c)->in6 || memcmp((address), &(c)->in6, sizeof(c)->in6) != 0)                           \
            fail(__LINE__, "not the client's IPv6 address, length %u", (unsigned)(length));                            \
    } while (0)

static bool peer_is(int fd, const struct client *c)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    return getpeername(fd, (struct sockaddr *)&address, &length) == 0 && length == sizeof c->in &&
           memcmp(&address, &c->in, sizeof c->in) == 0;
}

static bool serves(int fd, const struct client *c)
{
    char byte = 0;
    return peer_is(fd, c) && write(c->fd, "x", 1) == 1 && read(fd, &byte, 1) == 1 && byte == 'x';
}

/* Accepts, checks that it is `c` and that it works, says good bye. */
static void serve_one(int l, struct client *c)
{
    int fd = accept(l, NULL, NULL);
    MUST(fd >= 0);
    MUST(serves(fd, c));
    bye(c, fd);
}

static int open_fds(void)
{
    int count = 0;
    DIR *d = opendir("/proc/self/fd");
    MUST(d != NULL);
    while (readdir(d))
        count++;
    closedir(d);
    return count;
}

static long milliseconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* --- something done once a thread sleeps in the kernel --- */

struct later {
    pthread_t watcher;
    int stat; /* of the thread: open before the watcher starts, so that it takes no descriptor while it runs */
    void (*act)(void *);
    void *argument;
};

static int stat_of(pid_t tid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    MUST(fd >= 0);
    return fd;
}

static void until_asleep(int stat)
{
    char text[512];
    for (;;) {
        ssize_t n = pread(stat, text, sizeof text - 1, 0);
        MUST(n > 0);
        text[n] = 0;
        if (strstr(text, ") S ") != NULL)
            return;
        usleep(500);
    }
}

static void *watch(void *argument)
{
    struct later *l = argument;
    until_asleep(l->stat);
    l->act(l->argument);
    return NULL;
}

static void when_asleep(struct later *l, void (*act)(void *), void *argument)
{
    *l = (struct later){.stat = stat_of(gettid()), .act = act, .argument = argument};
    MUST(pthread_create(&l->watcher, NULL, watch, l) == 0);
}

static void done(struct later *l)
{
    MUST(pthread_join(l->watcher, NULL) == 0 && close(l->stat) == 0);
}

/* A client of whom accept hears only once it sleeps: late with its header, or where there are none with connecting. */
struct late {
    struct later later;
    int listener;
    struct client client;
};

static void connect_late(void *late)
{
    struct late *l = late;
    if (bare)
        l->client = dial(l->listener);
    introduce(&l->client);
}

static void come_late(struct late *l, int to)
{
    l->listener = to;
    if (!bare)
        l->client = dial(to);
    when_asleep(&l->later, connect_late, l);
}

/* --- cases: address arguments --- */

static void accept_without_an_address(void)
{
    int l = listener();
    struct client c = introduced(l);
    serve_one(l, &c);
}

static void null_address_leaves_the_length_alone(void)
{
    int l = listener();
    struct client c = introduced(l);
    socklen_t length = 77;
    int fd = accept(l, NULL, &length);
    MUST(fd >= 0 && length == 77);
    MUST(serves(fd, &c));
}

static void whole_address_and_its_length(void)
{
    int l = listener();
    struct client c = introduced(l);
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int fd = accept(l, (struct sockaddr *)&address, &length);
    MUST(fd >= 0);
    IS(&c, &address, length);
}

static void copies_what_fits(int family_length, bool by_getpeername, int l)
{
    for (int room = 0; room <= family_length + 4; room++) {
        struct client c = introduced(l);
        unsigned char address[64], expected[64];
        socklen_t length = (socklen_t)room;
        memset(address, FILLER, sizeof address);
        memset(expected, FILLER, sizeof expected);
        int fd = accept(l, by_getpeername ? NULL : (struct sockaddr *)address, by_getpeername ? NULL : &length);
        MUST(fd >= 0);
        if (by_getpeername)
            MUST(getpeername(fd, (struct sockaddr *)address, &length) == 0);
        const void *whole = family_length == sizeof c.in ? (void *)&c.in : (void *)&c.in6;
        memcpy(expected, whole, (size_t)(room < family_length ? room : family_length));
        if ((int)length != family_length || memcmp(address, expected, sizeof address) != 0)
            fail(__LINE__, "room for %d bytes: length %u or bytes wrong", room, length);
        bye(&c, fd);
    }
}

static void short_address_gets_what_fits_and_the_full_length(void)
{
    copies_what_fits(sizeof(struct sockaddr_in), false, listener());
}

static void short_ipv6_address_gets_what_fits_and_the_full_length(void)
{
    copies_what_fits(sizeof(struct sockaddr_in6), false, listener_with(DUAL_STACK, 0));
}

static void getpeername_copies_what_fits_and_tells_the_full_length(void)
{
    copies_what_fits(sizeof(struct sockaddr_in), true, listener());
}

static void getpeername_copies_what_fits_of_an_ipv6_address(void)
{
    copies_what_fits(sizeof(struct sockaddr_in6), true, listener_with(DUAL_STACK, 0));
}

/* The kernel has taken a connection by then and drops it: so the client after it is asked about. */
static void bad_address_arguments(int error, bool null_length)
{
    int l = listener();
    struct client first = introduced(l), second = introduced(l);
    struct sockaddr_storage address;
    socklen_t length = (socklen_t)-1;
    FAILS_WITH(error, accept(l, (struct sockaddr *)&address, null_length ? NULL : &length));
    int fd = accept(l, NULL, NULL);
    MUST(fd >= 0);
    MUST(serves(fd, &second) || serves(fd, &first));
    length = (socklen_t)-1;
    FAILS_WITH(error, getpeername(fd, (struct sockaddr *)&address, null_length ? NULL : &length));
}

static void negative_length_is_einval(void)
{
    bad_address_arguments(EINVAL, false);
}

static void address_without_a_length_is_efault(void)
{
    bad_address_arguments(EFAULT, true);
}

/* --- cases: descriptors --- */

static void bad_descriptor_is_ebadf(void)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    FAILS_WITH(EBADF, accept(-1, NULL, NULL));
    FAILS_WITH(EBADF, accept4(1000, NULL, NULL, SOCK_CLOEXEC));
    FAILS_WITH(EBADF, accept(1 << 30, NULL, NULL));
    FAILS_WITH(EBADF, getpeername(-1, (struct sockaddr *)&address, &length));
    FAILS_WITH(EBADF, getpeername(1000, (struct sockaddr *)&address, &length));
    int l = listener();
    MUST(close(l) == 0);
    FAILS_WITH(EBADF, accept(l, NULL, NULL));
}

static void socket_that_does_not_listen_is_einval(void)
{
    int l = listener(), fresh = socket(AF_INET, SOCK_STREAM, 0);
    struct client c = introduced(l);
    int fd = accept(l, NULL, NULL);
    MUST(fd >= 0 && fresh >= 0);
    FAILS_WITH(EINVAL, accept(fresh, NULL, NULL));
    FAILS_WITH(EINVAL, accept(fd, NULL, NULL));
    FAILS_WITH(EINVAL, accept(c.fd, NULL, NULL));
}

static void file_is_enotsock(void)
{
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int file = open("/dev/null", O_RDWR);
    MUST(file >= 0);
    FAILS_WITH(ENOTSOCK, accept(file, NULL, NULL));
    FAILS_WITH(ENOTSOCK, getpeername(file, (struct sockaddr *)&address, &length));
}

static void udp_socket_is_eopnotsupp(void)
{
    int udp = socket(AF_INET, SOCK_DGRAM, 0);
    MUST(udp >= 0);
    FAILS_WITH(EOPNOTSUPP, accept(udp, NULL, NULL));
}

static void number_of_a_closed_listener_is_reused(void)
{
    int l = listener();
    struct client c = introduced(l);
    serve_one(l, &c);
    MUST(close(l) == 0);
    MUST(open("/dev/null", O_RDWR) == l);
    FAILS_WITH(ENOTSOCK, accept(l, NULL, NULL));
    MUST(close(l) == 0);
    MUST(listener() == l);
    c = introduced(l);
    serve_one(l, &c);
}

static void zero_is_a_valid_result(void)
{
    int l = listener();
    struct client c = introduced(l);
    MUST(close(0) == 0);
    MUST(accept(l, NULL, NULL) == 0);
    MUST(serves(0, &c));
}

static void zero_is_a_valid_listener(void)
{
    MUST(close(0) == 0);
    MUST(listener() == 0);
    struct client c = introduced(0);
    serve_one(0, &c);
}

static void result_is_the_lowest_free_number(void)
{
    int l = listener();
    struct client c = introduced(l);
    int low = dup(l), above = dup(l);
    MUST(low >= 0 && above > low && close(low) == 0);
    MUST(accept(l, NULL, NULL) == low);
    MUST(serves(low, &c));
}

static void late_result_is_the_lowest_free_number(void)
{
    int l = listener(), low = dup(l);
    struct late late;
    MUST(low >= 0);
    come_late(&late, l);
    MUST(close(low) == 0);
    MUST(accept(l, NULL, NULL) == low);
    done(&late.later);
    MUST(serves(low, &late.client));
}

static void dup_of_a_listener_accepts_the_same(void)
{
    int l = listener(), copy = dup(l), high = dup2(l, 300);
    struct client c = introduced(l);
    serve_one(copy, &c);
    c = introduced(l);
    serve_one(high, &c);
    MUST(close(l) == 0);
    c = introduced(copy);
    serve_one(copy, &c);
}

static void listener_received_over_a_socket_accepts_the_same(void)
{
    int l = listener(), pair[2];
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_len = CMSG_LEN(sizeof l), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    char byte = 'x';
    struct iovec part = {&byte, 1};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    memcpy(CMSG_DATA(&control.header), &l, sizeof l);
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    MUST(sendmsg(pair[0], &m, 0) == 1 && recvmsg(pair[1], &m, 0) == 1);
    int received;
    memcpy(&received, CMSG_DATA(&control.header), sizeof received);
    struct client c = introduced(l);
    serve_one(received, &c);
}

static void emfile_leaves_the_client_for_later(void)
{
    int l = listener();
    struct client c = introduced(l);
    struct rlimit full, tight;
    MUST(getrlimit(RLIMIT_NOFILE, &full) == 0);
    int next = dup(l);
    MUST(next >= 0 && close(next) == 0);
    tight = (struct rlimit){.rlim_cur = (rlim_t)next, .rlim_max = full.rlim_max};
    MUST(setrlimit(RLIMIT_NOFILE, &tight) == 0);
    FAILS_WITH(EMFILE, accept(l, NULL, NULL));
    MUST(setrlimit(RLIMIT_NOFILE, &full) == 0);
    serve_one(l, &c);
}

/* --- cases: flags --- */

static bool has_flags(int fd, int flags)
{
    return ((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0) == ((flags & SOCK_NONBLOCK) != 0) &&
           ((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0) == ((flags & SOCK_CLOEXEC) != 0);
}

static const int flag_sets[] = {0, SOCK_NONBLOCK, SOCK_CLOEXEC, SOCK_NONBLOCK | SOCK_CLOEXEC};
enum { FLAG_SETS = 4 };

static void flags_are_as_asked(void)
{
    for (int i = 0; i < FLAG_SETS; i++) {
        int l = listener_with(INET, flag_sets[i]), fd;
        struct client c;
        for (int asked = 0; asked < FLAG_SETS; asked++) {
            c = introduced(l);
            fd = accept4(l, NULL, NULL, flag_sets[asked]);
            MUST(fd >= 0);
            MUST(has_flags(fd, flag_sets[asked]));
            bye(&c, fd);
        }
        c = introduced(l);
        fd = accept(l, NULL, NULL);
        MUST(fd >= 0);
        MUST(has_flags(fd, 0));
        MUST(has_flags(l, flag_sets[i]));
        bye(&c, fd);
    }
}

static void flags_are_as_asked_when_the_header_is_late(void)
{
    int l = listener();
    for (int asked = 0; asked < FLAG_SETS; asked++) {
        struct late late;
        come_late(&late, l);
        int fd = accept4(l, NULL, NULL, flag_sets[asked]);
        MUST(fd >= 0);
        done(&late.later);
        MUST(has_flags(fd, flag_sets[asked]));
        MUST(peer_is(fd, &late.client));
        bye(&late.client, fd);
    }
    MUST(has_flags(l, 0));
}

static void parked_and_handed_over(int l, int parking, int asked)
{
    struct client waiting = dial(l), live = introduced(l);
    int fd = accept4(l, NULL, NULL, parking);
    MUST(fd >= 0);
    MUST(peer_is(fd, &live));
    bye(&live, fd);
    introduce(&waiting);
    fd = accept4(l, NULL, NULL, asked);
    MUST(fd >= 0);
    MUST(has_flags(fd, asked));
    MUST(peer_is(fd, &waiting));
    bye(&waiting, fd);
}

static void flags_are_those_of_the_call_that_hands_over(void)
{
    int l = listener();
    for (int parking = 0; parking < FLAG_SETS; parking++)
        for (int asked = 0; asked < FLAG_SETS; asked++)
            parked_and_handed_over(l, flag_sets[parking], flag_sets[asked]);
}

static void unknown_flags_are_einval_and_cost_no_client(void)
{
    int l = listener();
    struct client c = introduced(l);
    FAILS_WITH(EINVAL, accept4(l, NULL, NULL, 0x4));
    serve_one(l, &c);
}

static void nothing_to_accept_is_eagain(void)
{
    int l = listener_with(INET, SOCK_NONBLOCK);
    FAILS_WITH(EAGAIN, accept(l, NULL, NULL));
    FAILS_WITH(EAGAIN, accept4(l, NULL, NULL, SOCK_CLOEXEC));
    struct client c = introduced(l);
    serve_one(l, &c);
    FAILS_WITH(EAGAIN, accept(l, NULL, NULL));
}

static void low_water_mark_is_one_after_a_late_header(void)
{
    int l = listener(), mark = 0;
    socklen_t length = sizeof mark;
    struct late late;
    come_late(&late, l);
    int fd = accept(l, NULL, NULL);
    MUST(fd >= 0);
    done(&late.later);
    MUST(getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &mark, &length) == 0 && mark == 1);
    MUST(serves(fd, &late.client));
}

/* --- cases: a blocking accept that ends early; each with nobody there, and with one peer that keeps silent --- */

static void on_signal(int number)
{
    (void)number;
}

static void handle_usr1(int flags)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = flags};
    MUST(sigaction(SIGUSR1, &action, NULL) == 0);
    signal(SIGALRM, SIG_DFL); /* its handler restarts: let it not be the odd one out */
}

static pthread_t main_thread;

static void interrupt(void *unused)
{
    (void)unused;
    pthread_kill(main_thread, SIGUSR1);
}

static void interrupted(bool silent)
{
    int l = listener();
    struct client waiting;
    struct later later;
    if (silent)
        waiting = dial(l);
    handle_usr1(0);
    when_asleep(&later, interrupt, NULL);
    FAILS_WITH(EINTR, accept(l, NULL, NULL));
    done(&later);
    if (silent) {
        introduce(&waiting);
        serve_one(l, &waiting);
    }
    struct client c = introduced(l);
    serve_one(l, &c);
}

static void signal_interrupts_accept(void)
{
    interrupted(false);
}

static void signal_interrupts_accept_while_a_peer_is_silent(void)
{
    interrupted(true);
}

struct interrupt_then_connect {
    int listener, stat;
    struct client client;
};

static void interrupt_then_connect(void *argument)
{
    struct interrupt_then_connect *i = argument;
    for (int round = 0; round < 3; round++) {
        interrupt(NULL);
        sched_yield();
        until_asleep(i->stat);
    }
    i->client = introduced(i->listener);
}

static void restarted(bool silent)
{
    int l = listener();
    struct interrupt_then_connect i = {.listener = l, .stat = stat_of(gettid())};
    struct later later;
    if (silent)
        dial(l);
    handle_usr1(SA_RESTART);
    when_asleep(&later, interrupt_then_connect, &i);
    int fd = accept(l, NULL, NULL);
    MUST(fd >= 0);
    done(&later);
    MUST(serves(fd, &i.client));
}

static void accept_restarts_after_a_handler_with_sa_restart(void)
{
    restarted(false);
}

static void accept_restarts_after_a_handler_with_sa_restart_while_a_peer_is_silent(void)
{
    restarted(true);
}

static void set_timeout(int l, long ms)
{
    struct timeval t = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    MUST(setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) == 0);
}

static void bounded(bool silent)
{
    int l = listener();
    struct client waiting;
    if (silent)
        waiting = dial(l);
    set_timeout(l, 150);
    for (int round = 0; round < 2; round++) {
        long start = milliseconds();
        FAILS_WITH(EAGAIN, accept(l, NULL, NULL));
        long took = milliseconds() - start;
        if (took < 140)
            fail(__LINE__, "SO_RCVTIMEO of 150 ms took %ld ms", took);
    }
    if (silent) {
        introduce(&waiting);
        serve_one(l, &waiting);
    }
    struct client c = introduced(l);
    serve_one(l, &c);
}

static void receive_timeout_bounds_accept(void)
{
    bounded(false);
}

static void receive_timeout_bounds_accept_while_a_peer_is_silent(void)
{
    bounded(true);
}

/* signal(7): with SO_RCVTIMEO set, accept is never restarted. */
static void bounded_and_interrupted(bool silent)
{
    int l = listener();
    struct later later;
    if (silent)
        dial(l);
    set_timeout(l, 5000);
    handle_usr1(SA_RESTART);
    when_asleep(&later, interrupt, NULL);
    FAILS_WITH(EINTR, accept(l, NULL, NULL));
    done(&later);
}

static void accept_with_a_timeout_never_restarts(void)
{
    bounded_and_interrupted(false);
}

static void accept_with_a_timeout_never_restarts_while_a_peer_is_silent(void)
{
    bounded_and_interrupted(true);
}

static void shut(void *l)
{
    shutdown(*(int *)l, SHUT_RDWR);
}

static void shut_down(bool silent)
{
    int l = listener();
    struct later later;
    if (silent)
        dial(l);
    when_asleep(&later, shut, &l);
    FAILS_WITH(EINVAL, accept(l, NULL, NULL));
    done(&later);
    FAILS_WITH(EINVAL, accept(l, NULL, NULL));
}

static void shutdown_of_the_listener_ends_accept(void)
{
    shut_down(false);
}

static void shutdown_of_the_listener_ends_accept_while_a_peer_is_silent(void)
{
    shut_down(true);
}

/* --- cases: cancellation --- */

struct accepter {
    int listener, fd;
    _Atomic pid_t tid;
};

static void *accept_in_thread(void *argument)
{
    struct accepter *a = argument;
    a->tid = gettid();
    a->fd = accept(a->listener, NULL, NULL);
    return a;
}

static void cancel_one(int l)
{
    struct accepter a = {.listener = l};
    pthread_t thread;
    void *result;
    MUST(pthread_create(&thread, NULL, accept_in_thread, &a) == 0);
    while (a.tid == 0)
        sched_yield();
    int stat = stat_of(a.tid);
    until_asleep(stat);
    MUST(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0);
    MUST(result == PTHREAD_CANCELED);
    MUST(close(stat) == 0);
}

static bool is_high(int fd)
{
    struct rlimit numbers;
    MUST(getrlimit(RLIMIT_NOFILE, &numbers) == 0);
    return fd >= (int)numbers.rlim_cur / 2;
}

static bool any_is_high(void)
{
    bool found = false;
    DIR *list = opendir("/proc/self/fd");
    MUST(list);
    for (struct dirent *entry; (entry = readdir(list));)
        found |= is_high(atoi(entry->d_name));
    closedir(list);
    return found;
}

/* Whatever is set up once for peers that stay silent, is now. */
static void have_one_silent(int l)
{
    struct client c = dial(l);
    while (!any_is_high())
        cancel_one(l);
    introduce(&c);
    serve_one(l, &c);
}

static void cancelled(bool silent)
{
    int l = listener();
    if (silent)
        have_one_silent(l);
    int before = open_fds();
    struct client waiting;
    if (silent) {
        waiting = dial(l);
        cancel_one(l);
    }
    int during = open_fds();
    MUST(during == before + (silent ? 2 : 0));
    for (int i = 0; i < 20; i++)
        cancel_one(l);
    MUST(open_fds() == during);
    if (silent) {
        introduce(&waiting);
        serve_one(l, &waiting);
    }
    struct client c = introduced(l);
    serve_one(l, &c);
    MUST(open_fds() == before);
}

static void cancelled_accept_leaks_no_descriptor(void)
{
    cancelled(false);
}

static void cancelled_accept_leaks_no_descriptor_while_a_peer_is_silent(void)
{
    cancelled(true);
}

static void cancellation_stays_off_where_the_caller_turned_it_off(void)
{
    int l = listener(), state;
    struct client c = introduced(l);
    MUST(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL) == 0);
    serve_one(l, &c);
    MUST(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state) == 0 && state == PTHREAD_CANCEL_DISABLE);
    struct late late;
    come_late(&late, l);
    MUST(accept(l, NULL, NULL) >= 0);
    done(&late.later);
    MUST(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state) == 0 && state == PTHREAD_CANCEL_ENABLE);
}

/* --- cases: several threads in accept --- */

static void one_silent_peer_and_four_threads_serve_four_clients(void)
{
    int l = listener();
    struct accepter a[4];
    pthread_t threads[4];
    struct client clients[4];
    dial(l);
    for (int i = 0; i < 4; i++) {
        a[i] = (struct accepter){.listener = l};
        MUST(pthread_create(&threads[i], NULL, accept_in_thread, &a[i]) == 0);
    }
    for (int i = 0; i < 4; i++)
        clients[i] = introduced(l);
    unsigned seen = 0;
    for (int i = 0; i < 4; i++) {
        MUST(pthread_join(threads[i], NULL) == 0 && a[i].fd >= 0);
        for (unsigned k = 0; k < 4; k++)
            seen |= peer_is(a[i].fd, &clients[k]) ? 1u << k : 0;
    }
    MUST(seen == 15);
}

/* --- cases: errno --- */

static void success_leaves_errno_alone(void)
{
    int l = listener();
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    struct client c = introduced(l);
    errno = EXDEV;
    int fd = accept(l, (struct sockaddr *)&address, &length);
    MUST(fd >= 0 && errno == EXDEV);
    MUST(getpeername(fd, (struct sockaddr *)&address, &length) == 0 && errno == EXDEV);
    bye(&c, fd);
    struct late late;
    come_late(&late, l);
    errno = EXDEV;
    fd = accept4(l, NULL, NULL, SOCK_NONBLOCK);
    int after = errno;
    done(&late.later);
    MUST(fd >= 0 && after == EXDEV);
    errno = EXDEV;
    MUST(getpeername(l, (struct sockaddr *)&address, &length) == -1 && errno == ENOTCONN);
    errno = EXDEV;
    MUST(close(fd) == 0 && errno == EXDEV);
    MUST(close(l) == 0 && errno == EXDEV);
    MUST((l = listener()) >= 0 && listen(l, 5) == 0 && errno == EXDEV);
}

/* --- cases: getpeername --- */

static void reset_connection_has_no_peer(void)
{
    int l = listener();
    struct client c = introduced(l);
    struct linger at_once = {.l_onoff = 1};
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int fd = accept(l, NULL, NULL);
    MUST(fd >= 0);
    MUST(peer_is(fd, &c));
    MUST(setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0 && close(c.fd) == 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    MUST(poll(&p, 1, -1) == 1);
    FAILS_WITH(ENOTCONN, getpeername(fd, (struct sockaddr *)&address, &length));
}

static void half_closed_connection_keeps_its_peer(void)
{
    int l = listener();
    struct client c = introduced(l);
    int fd = accept(l, NULL, NULL);
    char byte;
    MUST(fd >= 0 && shutdown(c.fd, SHUT_WR) == 0 && read(fd, &byte, 1) == 0);
    MUST(peer_is(fd, &c));
}

static void peer_is_told_to_copies_and_children(void)
{
    int l = listener(), status;
    struct client c = introduced(l);
    int fd = accept(l, NULL, NULL), copy = dup(fd);
    MUST(fd >= 0 && copy >= 0 && close(fd) == 0);
    MUST(peer_is(copy, &c));
    pid_t child = fork();
    if (child == 0)
        _exit(peer_is(copy, &c) ? 0 : 1);
    MUST(waitpid(child, &status, 0) == child && status == 0);
}

/* An address of 16 bytes in hexadecimal, to a program started anew with the connection. */
static void peer_is_told_after_exec(void)
{
    int l = listener(), status;
    struct client c = introduced(l);
    int fd = accept(l, NULL, NULL);
    MUST(fd >= 0);
    pid_t child = fork();
    if (child == 0) {
        char number[16], hex[2 * sizeof c.in + 1];
        snprintf(number, sizeof number, "%d", fd);
        for (size_t i = 0; i < sizeof c.in; i++)
            snprintf(hex + 2 * i, 3, "%02x", ((unsigned char *)&c.in)[i]);
        execl("/proc/self/exe", "accept_ends_early", "--peer-of", number, hex, (char *)NULL);
        _exit(2);
    }
    MUST(waitpid(child, &status, 0) == child && status == 0);
}

static int is_peer_of(int fd, const char *hex)
{
    struct client c;
    for (size_t i = 0; i < sizeof c.in; i++) {
        unsigned byte = 0;
        sscanf(hex + 2 * i, "%2x", &byte);
        ((unsigned char *)&c.in)[i] = (unsigned char)byte;
    }
    return peer_is(fd, &c) ? 0 : 1;
}

static void socket_connected_elsewhere_is_not_misnamed(void)
{
    int l = listener(), elsewhere = listener();
    struct client c = introduced(l);
    struct sockaddr_in nobody = {.sin_family = AF_UNSPEC}, to = {.sin_family = AF_INET, .sin_port = port_of(elsewhere)};
    struct sockaddr_in answer;
    socklen_t length = sizeof answer;
    int fd = accept(l, NULL, NULL);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    MUST(fd >= 0);
    MUST(peer_is(fd, &c));
    MUST(connect(fd, (struct sockaddr *)&nobody, sizeof nobody) == 0);
    FAILS_WITH(ENOTCONN, getpeername(fd, (struct sockaddr *)&answer, &length));
    MUST(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    MUST(getpeername(fd, (struct sockaddr *)&answer, &length) == 0);
    MUST(length == sizeof to && memcmp(&answer, &to, sizeof to) == 0);
}

static void own_connection_has_its_real_peer(void)
{
    int l = listener();
    struct client c = introduced(l);
    struct sockaddr_in answer;
    socklen_t length = sizeof answer;
    MUST(getpeername(c.fd, (struct sockaddr *)&answer, &length) == 0);
    MUST(answer.sin_port == port_of(l) && answer.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
}

static void local_address_is_the_sockets_own(void)
{
    int l = listener();
    struct client c = introduced(l);
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int fd = accept(l, NULL, NULL);
    MUST(fd >= 0);
    MUST(getsockname(fd, (struct sockaddr *)&address, &length) == 0 && length == sizeof address);
    MUST(address.sin_port == port_of(l) && address.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    bye(&c, fd);
}

static void unix_sockets_are_left_alone(void)
{
    int pair[2], l = socket(AF_UNIX, SOCK_STREAM, 0), dialled = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX}, answer;
    socklen_t length = sizeof address;
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    MUST(getpeername(pair[0], (struct sockaddr *)&answer, &length) == 0);
    MUST(length == sizeof(sa_family_t) && answer.sun_family == AF_UNIX);
    MUST(bind(l, (struct sockaddr *)&address, sizeof(sa_family_t)) == 0 && listen(l, 5) == 0); /* autobind */
    length = sizeof address;
    MUST(getsockname(l, (struct sockaddr *)&address, &length) == 0);
    MUST(connect(dialled, (struct sockaddr *)&address, length) == 0);
    MUST(write(dialled, "PROXY UNKNOWN\r\n", 15) == 15);
    length = sizeof answer;
    int fd = accept(l, (struct sockaddr *)&answer, &length);
    char data[16];
    MUST(fd >= 0 && length == sizeof(sa_family_t));
    MUST(read(fd, data, sizeof data) == 15);
}

static void udp_sockets_are_left_alone(void)
{
    int udp = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)}, answer;
    socklen_t length = sizeof answer;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    FAILS_WITH(ENOTCONN, getpeername(udp, (struct sockaddr *)&answer, &length));
    MUST(connect(udp, (struct sockaddr *)&to, sizeof to) == 0);
    MUST(getpeername(udp, (struct sockaddr *)&answer, &length) == 0);
    MUST(length == sizeof to && memcmp(&answer, &to, sizeof to) == 0);
}

/* --- cases: address families --- */

static void dual_stack_listener_tells_ipv4_as_mapped(void)
{
    int l = listener_with(DUAL_STACK, 0);
    struct client c = introduced(l);
    struct sockaddr_storage address;
    socklen_t length = sizeof address;
    int fd = accept(l, (struct sockaddr *)&address, &length);
    MUST(fd >= 0);
    IS6(&c, &address, length);
    length = sizeof address;
    MUST(getpeername(fd, (struct sockaddr *)&address, &length) == 0);
    IS6(&c, &address, length);
}

/* From here on with headers only: the kernel alone has no such clients. */

static int accept_client(int l, struct client *c, struct sockaddr_storage *address, socklen_t *length)
{
    introduce(c);
    *length = sizeof *address;
    int fd = accept(l, (struct sockaddr *)address, length);
    MUST(fd >= 0);
    return fd;
}

static void v6only_listener_tells_ipv4_as_ipv4(void)
{
    int l = listener_with(V6ONLY, 0);
    struct client c = dial_as(l, "203.0.113.7", true);
    struct sockaddr_storage address;
    socklen_t length;
    int fd = accept_client(l, &c, &address, &length);
    IS(&c, &address, length);
    MUST(peer_is(fd, &c));
}

static void ipv6_client_on_an_ipv6_listener(enum kind kind)
{
    int l = listener_with(kind, 0);
    struct client c = dial_as(l, "2001:db8::7", true);
    struct sockaddr_storage address;
    socklen_t length;
    int fd = accept_client(l, &c, &address, &length);
    IS6(&c, &address, length);
    length = sizeof address;
    MUST(getpeername(fd, (struct sockaddr *)&address, &length) == 0);
    IS6(&c, &address, length);
}

static void v6only_listener_tells_ipv6_as_ipv6(void)
{
    ipv6_client_on_an_ipv6_listener(V6ONLY);
}

static void dual_stack_listener_tells_ipv6_as_ipv6(void)
{
    ipv6_client_on_an_ipv6_listener(DUAL_STACK);
}

static void ipv6_client_on_an_inet_listener_with_room(void)
{
    int l = listener();
    struct client c = dial_as(l, "2001:db8::7", false);
    struct sockaddr_storage address;
    socklen_t length;
    accept_client(l, &c, &address, &length);
    IS6(&c, &address, length);
}

static void ipv6_client_on_an_inet_listener_without_room_is_closed(void)
{
    for (socklen_t room = 0; room < sizeof(struct sockaddr_in6); room += 4) {
        int l = listener();
        struct client six = dial_as(l, "2001:db8::7", false);
        introduce(&six);
        struct client c = introduced(l);
        struct sockaddr_storage address;
        socklen_t length = room;
        int fd = accept(l, (struct sockaddr *)&address, &length);
        char byte;
        MUST(fd >= 0);
        MUST(length == sizeof c.in);
        MUST(peer_is(fd, &c));
        MUST(read(six.fd, &byte, 1) <= 0);
        bye(&c, fd);
        MUST(close(six.fd) == 0 && close(l) == 0);
    }
}

static void getpeername_of_an_ipv6_client_on_an_inet_listener(void)
{
    int l = listener();
    struct client c = dial_as(l, "2001:db8::7", false);
    struct sockaddr_storage address;
    introduce(&c);
    int fd = accept(l, NULL, NULL);
    MUST(fd >= 0);
    socklen_t length = sizeof address;
    MUST(getpeername(fd, (struct sockaddr *)&address, &length) == 0);
    IS6(&c, &address, length);
    for (length = 0; length < sizeof c.in6; length++) {
        socklen_t room = length;
        FAILS_WITH(ENOBUFS, getpeername(fd, (struct sockaddr *)&address, &room));
    }
    length = sizeof c.in6;
    MUST(getpeername(fd, (struct sockaddr *)&address, &length) == 0);
    IS6(&c, &address, length);
}

static void mapped_ipv6_client_is_an_ipv4_client(void)
{
    int l = listener();
    struct client c = dial(l);
    /* in hexadecimal: a dotted field is not allowed in TCP6 */
    MUST(dprintf(c.fd, "PROXY TCP6 ::ffff:cb00:7107 2001:db8::10 %u 3306\r\n", ntohs(c.in.sin_port)) > 0);
    serve_one(l, &c);
}

/* --- the list --- */

enum when { ALWAYS, HEADERS };
static const struct {
    const char *name;
    void (*run)(void);
    enum when when;
} cases[] = {
/* clang-format off */
#define CASE(when, name) {#name, name, when}
    /* clang-format on */
    CASE(ALWAYS, accept_without_an_address),
    CASE(ALWAYS, null_address_leaves_the_length_alone),
    CASE(ALWAYS, whole_address_and_its_length),
    CASE(ALWAYS, short_address_gets_what_fits_and_the_full_length),
    CASE(ALWAYS, short_ipv6_address_gets_what_fits_and_the_full_length),
    CASE(ALWAYS, getpeername_copies_what_fits_and_tells_the_full_length),
    CASE(ALWAYS, getpeername_copies_what_fits_of_an_ipv6_address),
    CASE(ALWAYS, negative_length_is_einval),
    CASE(ALWAYS, address_without_a_length_is_efault),
    CASE(ALWAYS, bad_descriptor_is_ebadf),
    CASE(ALWAYS, socket_that_does_not_listen_is_einval),
    CASE(ALWAYS, file_is_enotsock),
    CASE(ALWAYS, udp_socket_is_eopnotsupp),
    CASE(ALWAYS, number_of_a_closed_listener_is_reused),
    CASE(ALWAYS, zero_is_a_valid_result),
    CASE(ALWAYS, zero_is_a_valid_listener),
    CASE(ALWAYS, result_is_the_lowest_free_number),
    CASE(HEADERS, late_result_is_the_lowest_free_number),
    CASE(ALWAYS, dup_of_a_listener_accepts_the_same),
    CASE(ALWAYS, listener_received_over_a_socket_accepts_the_same),
    CASE(ALWAYS, emfile_leaves_the_client_for_later),
    CASE(ALWAYS, flags_are_as_asked),
    CASE(ALWAYS, flags_are_as_asked_when_the_header_is_late),
    CASE(HEADERS, flags_are_those_of_the_call_that_hands_over),
    CASE(ALWAYS, unknown_flags_are_einval_and_cost_no_client),
    CASE(ALWAYS, nothing_to_accept_is_eagain),
    CASE(ALWAYS, low_water_mark_is_one_after_a_late_header),
    CASE(ALWAYS, signal_interrupts_accept),
    CASE(HEADERS, signal_interrupts_accept_while_a_peer_is_silent),
    CASE(ALWAYS, accept_restarts_after_a_handler_with_sa_restart),
    CASE(HEADERS, accept_restarts_after_a_handler_with_sa_restart_while_a_peer_is_silent),
    CASE(ALWAYS, receive_timeout_bounds_accept),
    CASE(HEADERS, receive_timeout_bounds_accept_while_a_peer_is_silent),
    CASE(ALWAYS, accept_with_a_timeout_never_restarts),
    CASE(HEADERS, accept_with_a_timeout_never_restarts_while_a_peer_is_silent),
    CASE(ALWAYS, shutdown_of_the_listener_ends_accept),
    CASE(HEADERS, shutdown_of_the_listener_ends_accept_while_a_peer_is_silent),
    CASE(ALWAYS, cancelled_accept_leaks_no_descriptor),
    CASE(HEADERS, cancelled_accept_leaks_no_descriptor_while_a_peer_is_silent),
    CASE(ALWAYS, cancellation_stays_off_where_the_caller_turned_it_off),
    CASE(HEADERS, one_silent_peer_and_four_threads_serve_four_clients),
    CASE(ALWAYS, success_leaves_errno_alone),
    CASE(ALWAYS, reset_connection_has_no_peer),
    CASE(ALWAYS, half_closed_connection_keeps_its_peer),
    CASE(ALWAYS, peer_is_told_to_copies_and_children),
    CASE(ALWAYS, peer_is_told_after_exec),
    CASE(ALWAYS, socket_connected_elsewhere_is_not_misnamed),
    CASE(ALWAYS, own_connection_has_its_real_peer),
    CASE(ALWAYS, local_address_is_the_sockets_own),
    CASE(ALWAYS, unix_sockets_are_left_alone),
    CASE(ALWAYS, udp_sockets_are_left_alone),
    CASE(ALWAYS, dual_stack_listener_tells_ipv4_as_mapped),
    CASE(HEADERS, v6only_listener_tells_ipv4_as_ipv4),
    CASE(HEADERS, v6only_listener_tells_ipv6_as_ipv6),
    CASE(HEADERS, dual_stack_listener_tells_ipv6_as_ipv6),
    CASE(HEADERS, ipv6_client_on_an_inet_listener_with_room),
    CASE(HEADERS, ipv6_client_on_an_inet_listener_without_room_is_closed),
    CASE(HEADERS, getpeername_of_an_ipv6_client_on_an_inet_listener),
    CASE(HEADERS, mapped_ipv6_client_is_an_ipv4_client),
#undef CASE
};

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--peer-of") == 0)
        return is_peer_of(atoi(argv[2]), argv[3]);
    int at = 1;
    if (at < argc && strcmp(argv[at], "--bare") == 0)
        bare = at++;
    if (at != argc - 1) {
        fprintf(stderr, "usage: accept_ends_early [--bare] --list | NAME\n");
        return 64;
    }
    name = argv[at];
    main_thread = pthread_self();
    struct sigaction hung = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &hung, NULL);
    alarm(HANGS_AFTER);
    bool found = false;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (bare && cases[i].when == HEADERS)
            continue;
        if (strcmp(name, "--list") == 0)
            puts(cases[i].name);
        else if (strcmp(name, cases[i].name) == 0)
            found = (cases[i].run(), printf("ok %s\n", name), true);
    }
    return found || strcmp(name, "--list") == 0 ? 0 : 64;
}
