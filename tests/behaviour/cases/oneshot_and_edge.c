/* SPDX-License-Identifier: MIT
 *
 * oneshot_and_edge.c: listeners that are registered with EPOLLONESHOT or EPOLLET: what spends a shot, what is an
 * edge.
 */
#include "testing.h"

static int one_shot(int l, uint32_t more)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN | EPOLLONESHOT | more, TOKEN);
    return epoll;
}

static void rearm(int epoll, int l, uint32_t more)
{
    control(epoll, EPOLL_CTL_MOD, l, EPOLLIN | EPOLLONESHOT | more, TOKEN);
}

static void silent_peer_spends_no_one_shot(void)
{
    for (int edge = 0; edge < 2; edge++) {
        uint32_t more = edge ? EPOLLET : 0;
        int l = listener(SOCK_NONBLOCK), epoll = one_shot(l, more);
        step = more ? "edge-triggered" : "level-triggered";
        warm(l);
        rearm(epoll, l, more);
        for (int round = 0; round < 3; round++) {
            struct client silent = dial(l);
            arrived(l);
            IS(0, told(epoll, 0));
            IS(0, told(epoll, MOMENT));
            struct client c = introduced(l);
            IS(1, told(epoll, LONG));
            accepts(l, &c);
            rearm(epoll, l, more);
            introduce(&silent);
            IS(1, told(epoll, LONG));
            accepts(l, &silent);
            rearm(epoll, l, more);
        }
    }
}

static void spent_one_shot_is_not_told_until_armed_again(void)
{
    for (int edge = 0; edge < 2; edge++) {
        uint32_t more = edge ? EPOLLET : 0;
        int l = listener(SOCK_NONBLOCK), epoll = one_shot(l, more);
        step = more ? "edge-triggered" : "level-triggered";
        warm(l);
        rearm(epoll, l, more);
        struct client silent = parked(l), first = introduced(l);
        IS(1, told(epoll, LONG));
        struct client second = introduced(l);
        introduce(&silent);
        IS(0, told(epoll, MOMENT));
        accepts(l, &first);
        IS(0, told(epoll, MOMENT));
        rearm(epoll, l, more);
        IS(1, told(epoll, LONG));
        IS(0, told(epoll, MOMENT));
        int fd, count = 0;
        while ((fd = accept(l, NULL, NULL)) >= 0)
            count += number_of(fd) == second.number || number_of(fd) == silent.number;
        IS(2, count);
    }
}

/* What was told through the private epoll disarms the listener, and the other way round. */
static void listener_and_waiting_peers_are_one_one_shot(void)
{
    int l = listener(SOCK_NONBLOCK), epoll = one_shot(l, 0);
    warm(l);
    rearm(epoll, l, 0);
    struct client silent = parked(l), other = parked(l);
    introduce(&silent);
    IS(1, told(epoll, LONG));
    struct client live = introduced(l);
    step = "told of the waiting peer, a client comes";
    IS(0, told(epoll, MOMENT));
    accepts(l, &silent);
    IS(0, told(epoll, MOMENT));
    accepts(l, &live);
    rearm(epoll, l, 0);
    live = introduced(l);
    introduce(&other);
    step = "both fire before one wait";
    IS(1, told(epoll, LONG));
    IS(0, told(epoll, MOMENT));
    int first = accept(l, NULL, NULL), second = accept(l, NULL, NULL);
    MUST(first >= 0 && second >= 0);
    MUST(number_of(first) != number_of(second));
    FAILS_WITH(EAGAIN, accept(l, NULL, NULL));
}

static void edge_is_told_once_and_each_new_client_is_an_edge(void)
{
    int l = listener(SOCK_NONBLOCK), epoll = epoll_create1(0);
    warm(l);
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN | EPOLLET, TOKEN);
    IS(0, told(epoll, 0));
    for (int round = 0; round < 3; round++) {
        struct client silent = dial(l);
        arrived(l);
        IS(0, told(epoll, MOMENT));
        introduce(&silent);
        IS(1, told(epoll, LONG));
        IS(0, told(epoll, MOMENT)); /* the server has not accepted: no new edge */
        accepts(l, &silent);
        struct client c = introduced(l);
        IS(1, told(epoll, LONG));
        accepts(l, &c);
        FAILS_WITH(EAGAIN, accept(l, NULL, NULL));
        IS(0, told(epoll, 0));
    }
}

/* One look finds the header of a late connection, and that another listener's has been late for too long. */
static void edge_is_told_beside_another_listeners_silent_peer(void)
{
    for (int order = 0; order < 2; order++) {
        int l[2] = {listener(SOCK_NONBLOCK), listener(SOCK_NONBLOCK)}, epoll = epoll_create1(EPOLL_CLOEXEC);
        step = order ? "the live one's listener was added first" : "the silent one's listener was added first";
        for (int i = 0; i < 2; i++) {
            warm(l[i]);
            control(epoll, EPOLL_CTL_ADD, l[i], EPOLLIN | EPOLLET, TOKEN + (uint64_t)i);
        }
        struct client silent = late(l[order]);
        int64_t since = microseconds();
        while (microseconds() < since + 1000 * MOMENT)
            poll(NULL, 0, 1);
        struct client c = late(l[!order]);
        introduce(&c);
        struct epoll_event e;
        IS(1, epoll_wait(epoll, &e, 1, LONG));
        IS(TOKEN + (uint64_t)!order, e.data.u64);
        accepts(l[!order], &c);
        MUST(close(silent.fd) == 0);
    }
}

static const struct test cases[] = {
    CASE(silent_peer_spends_no_one_shot),
    CASE(spent_one_shot_is_not_told_until_armed_again),
    CASE(listener_and_waiting_peers_are_one_one_shot),
    CASE(edge_is_told_once_and_each_new_client_is_an_edge),
    CASE(edge_is_told_beside_another_listeners_silent_peer),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
