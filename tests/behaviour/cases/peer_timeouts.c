/* SPDX-License-Identifier: MIT
 *
 * peer_timeouts.c: time that runs out: the server's own in select, and that of peers who wait at a listener which
 * the server no longer waits for, because it closed it where nobody sees it (a raw system call, as libuv's).
 *
 * `peer_timeouts NAME` runs one case in a process of its own and prints "ok NAME" or "not ok NAME: why"; `--list`
 * prints the names. The clients are 127.0.0.2, which the environment must trust, with a PPSHIM_TIMEOUT that a case can
 * wait for.
 */
#include "testing.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>

/* --- cases: the server's own time --- */

enum { MANY = 2048 }; /* descriptors asked about: more than an fd_set holds */

static int selected_among_many(int fd, struct timeval *t)
{
    static unsigned long set[MANY / (8 * sizeof(long))];
    memset(set, 0, sizeof set);
    set[(size_t)fd / (8 * sizeof(long))] |= 1UL << ((size_t)fd % (8 * sizeof(long)));
    return select(MANY, (fd_set *)set, NULL, NULL, t);
}

static void leave_rubbish_on_the_stack(void)
{
    volatile char rubbish[4096];
    memset((void *)rubbish, 0x5A, sizeof rubbish);
}

static void let_no_descriptor_be_opened(void)
{
    struct rlimit numbers;
    int lowest = open("/dev/null", O_RDONLY);
    MUST(lowest >= 0 && syscall(SYS_close, lowest) == 0 && getrlimit(RLIMIT_NOFILE, &numbers) == 0);
    numbers.rlim_cur = (rlim_t)lowest;
    IS(0, setrlimit(RLIMIT_NOFILE, &numbers));
    FAILS_WITH(EMFILE, open("/dev/null", O_RDONLY));
}

static void select_writes_back_the_time_that_is_left_also_without_a_descriptor_to_spare(void)
{
    int quiet = listener(0), called = listener(0);
    struct client c = introduced(called);
    let_no_descriptor_be_opened();
    struct timeval t = {.tv_usec = MOMENT * 1000};
    leave_rubbish_on_the_stack();
    errno = ENOTTY;
    IS(0, selected_among_many(quiet, &t));
    IS(ENOTTY, errno);
    MUST(t.tv_sec == 0 && t.tv_usec == 0);
    t = (struct timeval){.tv_sec = 1000};
    leave_rubbish_on_the_stack();
    IS(1, selected_among_many(called, &t));
    IS(ENOTTY, errno);
    MUST((t.tv_sec < 1000 || t.tv_usec == 0) && t.tv_sec <= 1000 && t.tv_sec > 0);
    MUST(t.tv_usec >= 0 && t.tv_usec < 1000000);
    MUST(close(c.fd) == 0);
}

/* --- cases: peers of a listener that is gone --- */

enum way { POLL, SELECT, EPOLL, WAYS };
static const char *const way_names[] = {"poll", "select", "epoll_wait"};

/* A server of two listeners: one that it closes, and one for which it waits on and on. */
struct server {
    pthread_t thread;
    enum way way;
    int gone, kept, epoll;
};

static int wait_for_the_kept_one(const struct server *s)
{
    struct pollfd p = {.fd = s->kept, .events = POLLIN};
    struct epoll_event e[2];
    fd_set set;
    int n;
    switch (s->way) {
    case POLL:
        return poll(&p, 1, -1);
    case SELECT:
        FD_ZERO(&set);
        FD_SET(s->kept, &set);
        return select(s->kept + 1, &set, NULL, NULL, NULL);
    default:
        n = epoll_wait(s->epoll, e, 2, -1);
        MUST(n == 1 && e[0].data.fd == s->kept && e[0].events == EPOLLIN);
        return n;
    }
}

static void *wait_on_and_on(void *server)
{
    IS(1, wait_for_the_kept_one(server));
    return NULL;
}

static void watch(const struct server *s, int l)
{
    control(s->epoll, EPOLL_CTL_ADD, l, EPOLLIN, (uint64_t)l);
}

static struct server two_listeners(enum way way)
{
    struct server s = {.way = way, .gone = listener(0), .kept = listener(0), .epoll = epoll_create1(EPOLL_CLOEXEC)};
    step = way_names[way];
    if (way == EPOLL) {
        watch(&s, s.gone);
        watch(&s, s.kept);
    }
    warm(s.gone);
    warm(s.kept);
    return s;
}

enum { PEERS = 3 };

/* The wait was told of nobody until now, and is told of who comes. */
static void served(struct server *s)
{
    struct client c = introduced(s->kept);
    IS(0, pthread_join(s->thread, NULL));
    accepts(s->kept, &c);
    MUST(close(s->kept) == 0 && close(s->epoll) == 0);
}

/* `use_again` makes something else of the number. */
static void peers_go_when_their_time_is_over(void (*use_again)(struct server *s))
{
    for (enum way way = POLL; way < WAYS; way++) {
        struct server s = two_listeners(way);
        struct client peers[PEERS];
        for (int i = 0; i < PEERS; i++)
            peers[i] = parked(s.gone);
        MUST(syscall(SYS_close, s.gone) == 0);
        use_again(&s);
        IS(0, pthread_create(&s.thread, NULL, wait_on_and_on, &s));
        for (int i = 0; i < PEERS; i++)
            is_closed(&peers[i]);
        served(&s);
    }
}

static void leave_unused(struct server *s)
{
    (void)s;
}

static void use_for_a_listener(struct server *s)
{
    IS(s->gone, listener(0));
    if (s->way == EPOLL)
        watch(s, s->gone);
}

static void use_for_an_event(struct server *s)
{
    IS(s->gone, eventfd(1, EFD_CLOEXEC)); /* readable, should anybody ask */
}

static void peers_of_a_listener_whose_close_was_not_seen_time_out(void)
{
    peers_go_when_their_time_is_over(leave_unused);
}

static void peers_of_a_listener_whose_close_was_not_seen_time_out_though_its_number_is_anothers(void)
{
    peers_go_when_their_time_is_over(use_for_a_listener);
}

static void peers_of_a_listener_whose_close_was_not_seen_time_out_though_its_number_is_no_listeners(void)
{
    peers_go_when_their_time_is_over(use_for_an_event);
}

/* A server that for a while waits for its other listener only. */
static void peers_time_out_while_the_server_waits_for_another_listener(void)
{
    for (enum way way = POLL; way < WAYS; way++) {
        struct server s = two_listeners(way);
        struct client peers[PEERS];
        for (int i = 0; i < PEERS; i++)
            peers[i] = parked(s.gone);
        if (way == EPOLL)
            control(s.epoll, EPOLL_CTL_DEL, s.gone, 0, 0);
        IS(0, pthread_create(&s.thread, NULL, wait_on_and_on, &s));
        for (int i = 0; i < PEERS; i++)
            is_closed(&peers[i]);
        served(&s);
        warm(s.gone);
        MUST(close(s.gone) == 0);
    }
}

/* --- */

static const struct hazard cases[] = {
    CASE(select_writes_back_the_time_that_is_left_also_without_a_descriptor_to_spare),
    CASE(peers_of_a_listener_whose_close_was_not_seen_time_out),
    CASE(peers_of_a_listener_whose_close_was_not_seen_time_out_though_its_number_is_anothers),
    CASE(peers_of_a_listener_whose_close_was_not_seen_time_out_though_its_number_is_no_listeners),
    CASE(peers_time_out_while_the_server_waits_for_another_listener),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases, argc, argv);
}
