/* SPDX-License-Identifier: MIT
 *
 * nested_epolls.c: an epoll inside another, or polled: ready when a client is, and not for silent peers.
 */
#include "testing.h"

static bool inner_is_polled_ready(int inner)
{
    int ready = polled(inner, 0);
    IS(ready, selected(inner, 0));
    return ready;
}

static void nested(int outer, int inner, int l)
{
    struct watch w = {.way = EPOLL, .epoll = outer, .listener = l};
    struct helper h;
    warm(l);
    for (int round = 0; round < 2; round++) {
        struct client silent = dial(l);
        arrived(l);
        IS(0, wait_for(&w, 0));
        nobody_comes(&w);
        MUST(!inner_is_polled_ready(inner));
        start(&h, keep_dialling, l, NULL);
        int64_t before = microseconds();
        IS(0, wait_for(&w, MOMENT));
        MUST(microseconds() - before >= MOMENT * 1000);
        done(&h);
        start(&h, introduce_while_asleep, l, &silent);
        IS(1, wait_for(&w, LONG));
        done(&h);
        MUST(inner_is_polled_ready(inner));
        IS(1, told(inner, LONG));
        accepts(l, &silent);
        struct client c = introduced(l);
        IS(1, wait_for(&w, LONG));
        IS(1, told(inner, LONG));
        accepts(l, &c);
        IS(0, wait_for(&w, 0));
        MUST(!inner_is_polled_ready(inner));
    }
}

static void epoll_inside_an_epoll_is_ready_when_a_client_is(void)
{
    int l = listener(SOCK_NONBLOCK), inner = epoll_create1(0), outer = epoll_create1(0);
    control(inner, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    control(outer, EPOLL_CTL_ADD, inner, EPOLLIN, TOKEN);
    nested(outer, inner, l);
}

/* The outer one knows the inner one before that has a listener. */
static void listener_put_into_an_epoll_that_is_inside_another_is_told_exactly(void)
{
    int l = listener(SOCK_NONBLOCK), inner = epoll_create1(0), outer = epoll_create1(0);
    control(outer, EPOLL_CTL_ADD, inner, EPOLLIN, TOKEN);
    control(inner, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    nested(outer, inner, l);
}

static void epoll_two_deep_is_ready_when_a_client_is(void)
{
    int l = listener(SOCK_NONBLOCK), inner = epoll_create1(0), middle = epoll_create1(0), outer = epoll_create1(0);
    control(inner, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    control(middle, EPOLL_CTL_ADD, inner, EPOLLIN, TOKEN);
    control(outer, EPOLL_CTL_ADD, middle, EPOLLIN, TOKEN);
    nested(outer, inner, l);
}

static void polled_epoll(enum way way)
{
    int l = listener(SOCK_NONBLOCK), inner = epoll_create1(0);
    struct watch w = {.way = way, .listener = inner};
    struct helper h;
    step = way_names[way];
    control(inner, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    warm(l);
    nobody_comes(&w);
    struct client silent = dial(l);
    arrived(l);
    IS(0, wait_for(&w, 0));
    nobody_comes(&w);
    start(&h, keep_dialling, l, NULL);
    int64_t before = microseconds();
    IS(0, wait_for(&w, MOMENT));
    MUST(microseconds() - before >= MOMENT * 1000);
    done(&h);
    start(&h, introduce_while_asleep, l, &silent);
    IS(1, wait_for(&w, LONG));
    done(&h);
    IS(1, told(inner, LONG));
    accepts(l, &silent);
    IS(0, wait_for(&w, 0));
}

static void polled_epoll_is_ready_when_a_client_is(void)
{
    for (enum way way = POLL; way < WAYS; way++)
        if (!is_epoll(way))
            polled_epoll(way);
}

static const struct test cases[] = {
    CASE(epoll_inside_an_epoll_is_ready_when_a_client_is),
    CASE(listener_put_into_an_epoll_that_is_inside_another_is_told_exactly),
    CASE(epoll_two_deep_is_ready_when_a_client_is),
    CASE(polled_epoll_is_ready_when_a_client_is),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
