/* SPDX-License-Identifier: MIT
 *
 * peer_timeouts.c: the time of peers who wait at a listener which the server no longer waits for: it closed it
 * where nobody sees it (a raw system call, as libuv's), or waits for another. Run with a PPSHIM_TIMEOUT that a case
 * can wait for.
 */
#include "testing.h"
#include <sys/eventfd.h>

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
    for (enum way way = POLL; way <= EPOLL; way++) {
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
    for (enum way way = POLL; way <= EPOLL; way++) {
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

static const struct test cases[] = {
    CASE(peers_of_a_listener_whose_close_was_not_seen_time_out),
    CASE(peers_of_a_listener_whose_close_was_not_seen_time_out_though_its_number_is_anothers),
    CASE(peers_of_a_listener_whose_close_was_not_seen_time_out_though_its_number_is_no_listeners),
    CASE(peers_time_out_while_the_server_waits_for_another_listener),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
