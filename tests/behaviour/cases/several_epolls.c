/* SPDX-License-Identifier: MIT
 *
 * several_epolls.c: several epolls, threads and ways to wait at one listener, and several listeners in one epoll.
 */
#include "testing.h"
#include <sys/eventfd.h>

static void exclusive_listener_is_told_of_waiting_peers(void)
{
    int l = listener(SOCK_NONBLOCK), epoll = epoll_create1(0);
    warm(l);
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN | EPOLLEXCLUSIVE, TOKEN);
    for (int round = 0; round < 3; round++) {
        struct client silent = dial(l);
        arrived(l);
        IS(0, told(epoll, MOMENT));
        struct client c = introduced(l);
        IS(1, told(epoll, LONG));
        accepts(l, &c);
        introduce(&silent);
        IS(1, told(epoll, LONG));
        accepts(l, &silent);
    }
}

enum { CLIENTS = 24 };

struct worker {
    pthread_t thread;
    int listener, stop;
    bool polls;
    uint32_t events;
    atomic_int *served;
};

static void serve_all(const struct worker *w)
{
    int fd;
    while ((fd = accept(w->listener, NULL, NULL)) >= 0) {
        w->served[number_of(fd)]++;
        MUST(close(fd) == 0);
    }
    MUST(errno == EAGAIN);
}

static void *serve_by_epoll(void *worker)
{
    struct worker *w = worker;
    struct epoll_event e;
    int epoll = epoll_create1(0);
    control(epoll, EPOLL_CTL_ADD, w->listener, w->events, TOKEN);
    control(epoll, EPOLL_CTL_ADD, w->stop, EPOLLIN, 0);
    while (epoll_wait(epoll, &e, 1, -1) == 1 && e.data.u64 == TOKEN) {
        serve_all(w);
        if (w->events & EPOLLONESHOT)
            control(epoll, EPOLL_CTL_MOD, w->listener, w->events, TOKEN);
    }
    return NULL;
}

static void *serve_by_poll(void *worker)
{
    struct worker *w = worker;
    struct pollfd p[2] = {{.fd = w->listener, .events = POLLIN}, {.fd = w->stop, .events = POLLIN}};
    while (poll(p, 2, -1) >= 1 && !p[1].revents)
        serve_all(w);
    return NULL;
}

static void is_served(const struct client *c)
{
    char byte;
    struct pollfd p = {.fd = c->fd, .events = POLLIN};
    IS(1, poll(&p, 1, LONG));
    IS(0, read(c->fd, &byte, 1));
    MUST(close(c->fd) == 0);
}

static void threads_serve_everybody(const uint32_t events[THREADS], unsigned polls)
{
    static atomic_int served[65536];
    int l = listener(SOCK_NONBLOCK), stop = eventfd(0, 0);
    struct worker workers[THREADS];
    struct client silent[CLIENTS];
    warm(l);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.listener = l, .stop = stop, .events = events[i], .served = served};
        IS(0, pthread_create(&workers[i].thread, NULL, polls >> i & 1 ? serve_by_poll : serve_by_epoll, &workers[i]));
    }
    for (int i = 0; i < CLIENTS; i++) {
        silent[i] = dial(l);
        struct client c = introduced(l);
        is_served(&c);
        IS(1, served[c.number]);
    }
    for (int i = 0; i < CLIENTS; i += 2)
        introduce(&silent[i]);
    for (int i = 0; i < CLIENTS; i += 2)
        is_served(&silent[i]);
    for (int i = 1; i < CLIENTS; i += 2) {
        introduce(&silent[i]);
        is_served(&silent[i]);
        IS(1, served[silent[i].number]);
    }
    IS(0, eventfd_write(stop, 1));
    for (int i = 0; i < THREADS; i++)
        IS(0, pthread_join(workers[i].thread, NULL));
}

static void several_epolls_on_one_listener_serve_everybody(void)
{
    threads_serve_everybody((uint32_t[]){EPOLLIN, EPOLLIN, EPOLLIN}, 0);
}

static void several_exclusive_epolls_on_one_listener_serve_everybody(void)
{
    uint32_t exclusive = EPOLLIN | EPOLLEXCLUSIVE;
    threads_serve_everybody((uint32_t[]){exclusive, exclusive, exclusive}, 0);
}

static void several_edge_triggered_epolls_on_one_listener_serve_everybody(void)
{
    threads_serve_everybody((uint32_t[]){EPOLLIN | EPOLLET, EPOLLIN | EPOLLET, EPOLLIN | EPOLLET}, 0);
}

static void several_one_shot_epolls_on_one_listener_serve_everybody(void)
{
    threads_serve_everybody((uint32_t[]){EPOLLIN | EPOLLONESHOT, EPOLLIN | EPOLLONESHOT, EPOLLIN | EPOLLONESHOT}, 0);
}

static void listener_in_poll_and_in_epolls_at_once_serves_everybody(void)
{
    threads_serve_everybody((uint32_t[]){EPOLLIN, 0, EPOLLIN | EPOLLET}, 2);
}

static void all_ways_agree_about_one_listener(void)
{
    int l = listener(SOCK_NONBLOCK);
    struct watch ways[WAYS];
    for (enum way way = POLL; way < WAYS; way++)
        ways[way] = watching(way, l);
    warm(l);
    struct client silent = dial(l), c;
    arrived(l);
    for (int round = 0; round < 3; round++) {
        for (enum way way = POLL; way < WAYS; way++)
            IS(0, wait_for(&ways[way], 0));
        c = round == 1 ? silent : dial(l);
        introduce(&c);
        for (enum way way = POLL; way < WAYS; way++)
            IS(1, wait_for(&ways[way], LONG));
        accepts(l, &c);
    }
    for (enum way way = POLL; way < WAYS; way++)
        IS(0, wait_for(&ways[way], 0));
}

static void several_listeners_in_one_epoll_are_told_each_for_itself(void)
{
    enum { LISTENERS = 4 };
    int l[LISTENERS], epoll = epoll_create1(0);
    struct client silent[LISTENERS], live[LISTENERS];
    struct epoll_event e[LISTENERS];
    for (unsigned i = 0; i < LISTENERS; i++) {
        l[i] = listener(SOCK_NONBLOCK);
        warm(l[i]);
        control(epoll, EPOLL_CTL_ADD, l[i], EPOLLIN, i);
        silent[i] = dial(l[i]);
        arrived(l[i]);
    }
    IS(0, epoll_wait(epoll, e, LISTENERS, MOMENT));
    for (unsigned i = 0; i < LISTENERS; i++) {
        introduce(&silent[i]);
        IS(1, epoll_wait(epoll, e, LISTENERS, LONG));
        IS(i, e[0].data.u64);
        accepts(l[i], &silent[i]);
    }
    for (unsigned i = 0; i < LISTENERS; i++)
        live[i] = introduced(l[i]);
    for (unsigned left = (1 << LISTENERS) - 1; left;) {
        int n = epoll_wait(epoll, e, LISTENERS, LONG);
        MUST(n >= 1);
        for (int i = 0; i < n; i++) {
            MUST(left & 1u << e[i].data.u64);
            left &= ~(1u << e[i].data.u64);
            accepts(l[e[i].data.u64], &live[e[i].data.u64]);
        }
    }
    IS(0, epoll_wait(epoll, e, LISTENERS, 0));
}

static const struct test cases[] = {
    CASE(exclusive_listener_is_told_of_waiting_peers),
    CASE(several_epolls_on_one_listener_serve_everybody),
    CASE(several_exclusive_epolls_on_one_listener_serve_everybody),
    CASE(several_edge_triggered_epolls_on_one_listener_serve_everybody),
    CASE(several_one_shot_epolls_on_one_listener_serve_everybody),
    CASE(listener_in_poll_and_in_epolls_at_once_serves_everybody),
    CASE(all_ways_agree_about_one_listener),
    CASE(several_listeners_in_one_epoll_are_told_each_for_itself),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
