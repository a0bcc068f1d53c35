/* SPDX-License-Identifier: MIT
 *
 * close_under_a_look.c: numbers that mean something else by now. A number is closed where nobody sees it (a raw system
 * call, libc's own fclose) and used again; or a listener is closed, and its number and whatever the library knew of it
 * are another listener's, while a thread is at work with one of its connections.
 *
 * `close_under_a_look NAME` runs one case in a process of its own and prints "ok NAME" or "not ok NAME: why"; `--list`
 * prints the names. The clients are 127.0.0.2, which the environment must trust, with PPSHIM_TIMEOUT long enough that
 * nobody runs out of it.
 */
#include "hold.h"
#include "testing.h"
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/select.h>

/* --- cases: a client's number that is a copy of the listener now --- */

static int dual_stack_listener(void)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    MUST(fd >= 0 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){0}, sizeof(int)) == 0 &&
         bind(fd, (struct sockaddr *)&any, sizeof any) == 0 && listen(fd, 1024) == 0);
    return fd;
}

/* As dial, of a listener that is AF_INET6. */
static struct client introduced_over_ipv4(int to, bool trusted)
{
    struct sockaddr_in6 own;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
                       from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + trusted)};
    socklen_t length = sizeof own;
    struct client c = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .number = 4711};
    MUST(c.fd >= 0 && getsockname(to, (struct sockaddr *)&own, &length) == 0);
    address.sin_port = own.sin6_port;
    MUST(bind(c.fd, (struct sockaddr *)&from, sizeof from) == 0);
    MUST(connect(c.fd, (struct sockaddr *)&address, sizeof address) == 0);
    if (trusted)
        introduce(&c);
    return c;
}

/* A copy of the listener under a number that was last known as a client's. */
static int copy_under_a_clients_number(int l, bool by_libc)
{
    struct client c = introduced_over_ipv4(l, true);
    int number = accept(l, NULL, NULL);
    MUST(number >= 0);
    if (by_libc)
        MUST(fclose(fdopen(number, "r")) == 0);
    else
        MUST(syscall(SYS_close, number) == 0);
    IS(number, dup(l));
    MUST(close(c.fd) == 0);
    return number;
}

struct answer {
    unsigned char bytes[256];
    socklen_t length;
};

/* What accept writes into a buffer of this size, and beyond. */
static struct answer accepted_into(int l, socklen_t room, bool trusted)
{
    struct answer a = {.length = room};
    struct client c = introduced_over_ipv4(l, trusted);
    memset(a.bytes, 0xAA, sizeof a.bytes);
    int fd = accept(l, (struct sockaddr *)a.bytes, &a.length);
    MUST(fd >= 0 && close(fd) == 0 && close(c.fd) == 0);
    for (socklen_t i = room; i < sizeof a.bytes; i++)
        if (a.bytes[i] != 0xAA)
            fail(__LINE__, "accept wrote byte %u of a buffer of %u", i, room);
    return a;
}

static void accept_on_a_number_that_was_a_clients_fills_the_buffer_as_ever(void)
{
    static const socklen_t rooms[] = {0, 2, sizeof(struct sockaddr_in), 27, sizeof(struct sockaddr_in6), 128};
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) {
        for (int round = 0; round < 4; round++) {
            bool trusted = round & 1, by_libc = round & 2;
            int l = dual_stack_listener(), copy = copy_under_a_clients_number(l, by_libc);
            step = by_libc ? "closed by fclose" : "closed by a raw system call";
            struct answer late = accepted_into(copy, rooms[i], trusted), usual = accepted_into(l, rooms[i], trusted);
            IS(usual.length, late.length);
            IS(sizeof(struct sockaddr_in6), late.length);
            if (trusted)
                MUST(memcmp(late.bytes, usual.bytes, sizeof late.bytes) == 0);
            MUST(close(l) == 0 && close(copy) == 0);
        }
    }
}

/* As the kernel, which looks at them when it has taken a connection. */
static void accept_on_a_number_that_was_a_clients_refuses_bad_arguments(void)
{
    struct sockaddr_in6 peer;
    socklen_t negative = (socklen_t)-1;
    int l = dual_stack_listener(), copy = copy_under_a_clients_number(l, false);
    introduced_over_ipv4(l, true);
    FAILS_WITH(EFAULT, accept(copy, (struct sockaddr *)&peer, NULL));
    MUST(close(copy) == 0);
    copy = copy_under_a_clients_number(l, false);
    introduced_over_ipv4(l, true);
    FAILS_WITH(EINVAL, accept(copy, (struct sockaddr *)&peer, &negative));
}

/* --- cases: a listener that is closed while a connection of its is looked at --- */

enum way { POLL, SELECT, EPOLL, ACCEPT, WAYS };
static const char *const way_names[] = {"poll", "select", "epoll_wait", "accept"};

static int polled(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0);
}

static int selected(int fd)
{
    struct timeval t = {0};
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    return select(fd + 1, &set, NULL, NULL, &t);
}

static int told(int epoll)
{
    struct epoll_event e;
    return epoll_wait(epoll, &e, 1, 0);
}

/* One thread looks, another closes. */
struct looker {
    pthread_t thread;
    enum way way;
    int listener, epoll, result;
    _Atomic int held;
};

static void *look(void *looker)
{
    struct looker *k = looker;
    k->held = hold_at_recv();
    k->result = k->way == ACCEPT   ? accept(k->listener, NULL, NULL)
                : k->way == EPOLL  ? told(k->epoll)
                : k->way == SELECT ? selected(k->listener)
                                   : polled(k->listener);
    return NULL;
}

struct closer {
    pthread_t thread;
    int listener, next; /* -1: none is opened */
    bool opens;
    _Atomic pid_t tid;
    atomic_bool done;
};

static void *close_and_open(void *closer)
{
    struct closer *k = closer;
    k->tid = gettid();
    MUST(close(k->listener) == 0);
    k->next = k->opens ? listener(SOCK_NONBLOCK) : -1;
    if (k->opens) { /* it is in use at once, and nobody came to it */
        FAILS_WITH(EAGAIN, accept(k->next, NULL, NULL));
        IS(0, polled(k->next));
    }
    k->done = true;
    return NULL;
}

static bool sleeps(pid_t tid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
    int stat = open(path, O_RDONLY | O_CLOEXEC);
    bool answer = stat >= 0 && asleep(stat);
    MUST(stat < 0 || syscall(SYS_close, stat) == 0);
    return answer;
}

/* The listener is closed while `way` looks at its client: done before the look goes on, if it need not wait for that.
   Returns the listener that was opened in its place. */
static int closed_under_a_look(int l, enum way way, bool opens, int *result)
{
    struct looker looks = {.way = way, .listener = l, .held = -1, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    struct closer closes = {.listener = l, .opens = opens};
    step = way_names[way];
    if (way == EPOLL)
        control(looks.epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    IS(0, pthread_create(&looks.thread, NULL, look, &looks));
    while (looks.held < 0)
        usleep(200);
    until_held(looks.held);
    IS(0, pthread_create(&closes.thread, NULL, close_and_open, &closes));
    while (!closes.done && !(closes.tid && sleeps(closes.tid)))
        usleep(200);
    let_go(looks.held);
    MUST(pthread_join(looks.thread, NULL) == 0 && pthread_join(closes.thread, NULL) == 0);
    MUST(close(looks.epoll) == 0);
    *result = looks.result;
    return closes.next;
}

/* What accept was in may be given to it; of a wait that was told of it nothing is left to accept. */
static void is_given_or_closed(enum way way, int result, const struct client *c)
{
    if (way != ACCEPT || result < 0) {
        is_closed(c);
        return;
    }
    MUST(works(result, c));
    MUST(close(result) == 0 && close(c->fd) == 0);
}

static void has_nobody_but_its_own(int l)
{
    IS(0, polled(l));
    FAILS_WITH(EAGAIN, accept(l, NULL, NULL));
    struct client silent = parked(l), c = introduced(l);
    IS(1, polled(l));
    accepts(l, &c);
    introduce(&silent);
    IS(1, polled(l));
    accepts(l, &silent);
    MUST(close(l) == 0);
}

static void connection_of_a_closed_listener_is_not_given_to_the_next(void)
{
    for (enum way way = POLL; way < WAYS; way++) {
        int l = listener(SOCK_NONBLOCK), result;
        warm(l);
        struct client c = introduced(l);
        int next = closed_under_a_look(l, way, true, &result);
        has_nobody_but_its_own(next);
        is_given_or_closed(way, result, &c);
    }
}

static void connection_of_a_closed_listener_is_held_for_nobody(void)
{
    for (enum way way = POLL; way < WAYS; way++) {
        int l = listener(SOCK_NONBLOCK), result;
        warm(l);
        struct client c = introduced(l);
        IS(-1, closed_under_a_look(l, way, false, &result));
        is_given_or_closed(way, result, &c);
    }
}

/* The first that is silent, or one more. */
static void silent_peer_of_a_closed_listener_waits_for_nothing(void)
{
    for (enum way way = POLL; way < WAYS; way++) {
        for (int round = 0; round < 4; round++) {
            bool first = round & 1, opens = round & 2;
            int l = listener(SOCK_NONBLOCK), result;
            struct client silent;
            warm(l);
            if (!first)
                silent = parked(l);
            struct client c = dial(l);
            arrived(l);
            int next = closed_under_a_look(l, way, opens, &result);
            is_closed(&c);
            if (!first)
                is_closed(&silent);
            if (opens)
                has_nobody_but_its_own(next);
        }
    }
}

static void late_peer_of_a_closed_listener_is_not_given_to_the_next(void)
{
    for (enum way way = POLL; way < WAYS; way++) {
        int l = listener(SOCK_NONBLOCK), result;
        warm(l);
        struct client late = parked(l);
        introduce(&late);
        int next = closed_under_a_look(l, way, true, &result);
        has_nobody_but_its_own(next);
        is_given_or_closed(way, result, &late);
    }
}

/* --- cases: an epoll that was closed unseen --- */

static int epoll_with_a_number(int number)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    IS(number, epoll);
    return epoll;
}

/* A connection is held, which some other wait was told of. */
static void new_epoll_tells_nothing_of_an_old_one_with_its_number(void)
{
    for (uint32_t flags = 0; flags <= EPOLLONESHOT; flags += EPOLLONESHOT) {
        int l = listener(SOCK_NONBLOCK), old = epoll_create1(EPOLL_CLOEXEC), ends[2];
        struct epoll_event e;
        step = flags ? "one-shot" : "level-triggered";
        control(old, EPOLL_CTL_ADD, l, EPOLLIN | flags, TOKEN);
        warm(l);
        MUST(pipe(ends) == 0 && syscall(SYS_close, old) == 0);
        int new = epoll_with_a_number(old);
        struct client c = introduced(l);
        IS(1, polled(l));
        IS(0, told(new));
        IS(0, epoll_wait(new, &e, 1, MOMENT));
        IS(0, polled(new));
        control(new, EPOLL_CTL_ADD, ends[0], EPOLLIN, 7);
        MUST(write(ends[1], "x", 1) == 1);
        IS(1, epoll_wait(new, &e, 1, LONG));
        MUST(e.data.u64 == 7 && e.events == EPOLLIN);
        IS(1, epoll_wait(new, &e, 1, LONG));
        MUST(e.data.u64 == 7 && e.events == EPOLLIN);
        accepts(l, &c);
        MUST(close(new) == 0 && close(l) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
    }
}

/* Of two listeners the new one holds one, and tells of that as it was told to. */
static void new_epoll_tells_of_its_listener_and_not_of_an_old_ones(void)
{
    int kept = listener(SOCK_NONBLOCK), dropped = listener(SOCK_NONBLOCK), old = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e[4];
    control(old, EPOLL_CTL_ADD, kept, EPOLLIN, 1);
    control(old, EPOLL_CTL_ADD, dropped, EPOLLIN, 2);
    warm(kept);
    warm(dropped);
    MUST(syscall(SYS_close, old) == 0);
    int new = epoll_with_a_number(old);
    control(new, EPOLL_CTL_ADD, kept, EPOLLIN, TOKEN);
    struct client to_kept = introduced(kept), to_dropped = introduced(dropped);
    IS(1, polled(dropped));
    IS(1, polled(kept));
    for (int round = 0; round < 2; round++) {
        IS(1, epoll_wait(new, e, 4, LONG));
        MUST(e[0].data.u64 == TOKEN && e[0].events == EPOLLIN);
    }
    accepts(kept, &to_kept);
    IS(0, epoll_wait(new, e, 4, MOMENT));
    accepts(dropped, &to_dropped);
}

/* --- */

static const struct hazard cases[] = {
    CASE(accept_on_a_number_that_was_a_clients_fills_the_buffer_as_ever),
    CASE(accept_on_a_number_that_was_a_clients_refuses_bad_arguments),
    CASE(connection_of_a_closed_listener_is_not_given_to_the_next),
    CASE(connection_of_a_closed_listener_is_held_for_nobody),
    CASE(silent_peer_of_a_closed_listener_waits_for_nothing),
    CASE(late_peer_of_a_closed_listener_is_not_given_to_the_next),
    CASE(new_epoll_tells_nothing_of_an_old_one_with_its_number),
    CASE(new_epoll_tells_of_its_listener_and_not_of_an_old_ones),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases, argc, argv);
}
