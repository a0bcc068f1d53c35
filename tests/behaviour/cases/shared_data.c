/* SPDX-License-Identifier: MIT
 *
 * shared_data.c: an epoll in which a listener and another descriptor have the same data. A server that does so
 * tries everything at each event, and must lose none.
 */
#include "testing.h"

/* A server that gives everything the same data tries everything at each event. */
static void shared_data(bool listener_first, bool by_mod)
{
    int l = listener(SOCK_NONBLOCK), epoll = epoll_create1(0), pair[2];
    char byte;
    step = by_mod ? "data made the same later" : listener_first ? "listener first" : "listener last";
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    warm(l);
    if (by_mod) {
        control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, 1);
        control(epoll, EPOLL_CTL_ADD, pair[0], EPOLLIN, 2);
        control(epoll, EPOLL_CTL_MOD, listener_first ? l : pair[0], EPOLLIN, listener_first ? 2 : 1);
    } else {
        control(epoll, EPOLL_CTL_ADD, listener_first ? l : pair[0], EPOLLIN, TOKEN);
        control(epoll, EPOLL_CTL_ADD, listener_first ? pair[0] : l, EPOLLIN, TOKEN);
    }
    struct epoll_event e[4];
    for (int round = 0; round < 3; round++) {
        struct client c;
        MUST(write(pair[1], "a", 1) == 1);
        MUST(epoll_wait(epoll, e, 4, LONG) >= 1);
        MUST(read(pair[0], &byte, 1) == 1);
        c = introduced(l);
        MUST(epoll_wait(epoll, e, 4, LONG) >= 1);
        accepts(l, &c);
        c = introduced(l);
        MUST(write(pair[1], "b", 1) == 1);
        MUST(epoll_wait(epoll, e, 4, LONG) >= 1);
        accepts(l, &c);
        MUST(epoll_wait(epoll, e, 4, LONG) >= 1);
        MUST(read(pair[0], &byte, 1) == 1);
    }
}

static void listener_with_the_data_of_another_descriptor_loses_no_event(void)
{
    for (int i = 0; i < 4; i++)
        shared_data(i & 1, i & 2);
}

/* The same with silent peers: whatever is told, a server that tries everything serves everybody. */
static void data_shared_while_peers_wait(bool parked_before)
{
    int l = listener(SOCK_NONBLOCK), epoll = epoll_create1(0), pair[2];
    struct watch w = {.way = EPOLL, .epoll = epoll, .listener = l};
    struct epoll_event e[4];
    struct client silent;
    char byte;
    step = parked_before ? "parked before" : "parked after";
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    warm(l);
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    if (parked_before)
        silent = parked(l);
    control(epoll, EPOLL_CTL_ADD, pair[0], EPOLLIN, TOKEN);
    if (!parked_before)
        silent = parked(l);
    nobody_comes(&w);
    MUST(write(pair[1], "a", 1) == 1);
    MUST(epoll_wait(epoll, e, 4, LONG) >= 1);
    MUST(read(pair[0], &byte, 1) == 1);
    introduce(&silent);
    MUST(epoll_wait(epoll, e, 4, LONG) >= 1);
    accepts(l, &silent);
}

static void peer_that_waits_at_a_listener_with_the_data_of_another_is_told(void)
{
    data_shared_while_peers_wait(true);
    data_shared_while_peers_wait(false);
}

/* --- the listener goes out and in again --- */

struct shared {
    int epoll, listener, other, far; /* `other` is readable when something was written to `far` */
    uint32_t events;                 /* of the other one */
};

static struct shared shared(uint32_t events)
{
    int ends[2];
    struct shared s = {.epoll = epoll_create1(EPOLL_CLOEXEC), .listener = listener(SOCK_NONBLOCK), .events = events};
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    s.other = ends[0];
    s.far = ends[1];
    warm(s.listener);
    return s;
}

static void end(struct shared *s)
{
    MUST(close(s->epoll) == 0 && close(s->listener) == 0 && close(s->other) == 0 && close(s->far) == 0);
}

static void listener_in(const struct shared *s, uint64_t data)
{
    control(s->epoll, EPOLL_CTL_ADD, s->listener, EPOLLIN, data);
}

static void listener_out(const struct shared *s)
{
    control(s->epoll, EPOLL_CTL_DEL, s->listener, 0, 0);
}

static void other_in(const struct shared *s, uint64_t data)
{
    control(s->epoll, EPOLL_CTL_ADD, s->other, s->events, data);
}

static void is_told(const struct shared *s)
{
    struct epoll_event e[4];
    int n = epoll_wait(s->epoll, e, 4, LONG);
    MUST(n >= 1);
    for (int i = 0; i < n; i++)
        MUST(e[i].data.u64 == TOKEN);
}

static void write_one(const struct shared *s)
{
    MUST(write(s->far, "x", 1) == 1);
}

static void read_one(const struct shared *s)
{
    char byte;
    MUST(read(s->other, &byte, 1) == 1);
}

/* Each alone, and with clients of every sort. */
static void lose_no_event(const struct shared *s)
{
    for (int round = 0; round < 2; round++) {
        write_one(s);
        is_told(s);
        read_one(s);
        struct client silent = dial(s->listener);
        arrived(s->listener);
        write_one(s);
        is_told(s);
        read_one(s);
        struct client c = introduced(s->listener);
        is_told(s);
        accepts(s->listener, &c);
        introduce(&silent);
        is_told(s);
        accepts(s->listener, &silent);
    }
}

static void each_way(void (*arrange)(const struct shared *s))
{
    for (int edge = 0; edge < 2; edge++) {
        struct shared s = shared(EPOLLIN | (edge ? EPOLLET : 0));
        step = edge ? "the other is edge-triggered" : "the other is level-triggered";
        arrange(&s);
        lose_no_event(&s);
        listener_out(&s);
        listener_in(&s, TOKEN);
        lose_no_event(&s);
        end(&s);
    }
}

static void other_was_there_first(const struct shared *s)
{
    other_in(s, TOKEN);
    listener_in(s, TOKEN);
    listener_out(s);
    listener_in(s, TOKEN);
}

static void other_comes_while_the_listener_is_out(const struct shared *s)
{
    listener_in(s, TOKEN);
    listener_out(s);
    other_in(s, TOKEN);
    listener_in(s, TOKEN);
}

static void other_is_changed_while_the_listener_is_out(const struct shared *s)
{
    other_in(s, 1);
    listener_in(s, TOKEN);
    listener_out(s);
    control(s->epoll, EPOLL_CTL_MOD, s->other, s->events, TOKEN);
    listener_in(s, TOKEN);
}

static void other_comes_when_the_listener_was_told_of(const struct shared *s)
{
    listener_in(s, TOKEN);
    struct client silent = parked(s->listener);
    struct client c = introduced(s->listener);
    is_told(s);
    accepts(s->listener, &c);
    listener_out(s);
    listener_in(s, TOKEN);
    other_in(s, TOKEN);
    MUST(close(silent.fd) == 0);
}

static void listener_comes_with_another_data_than_before(const struct shared *s)
{
    other_in(s, TOKEN);
    listener_in(s, 1);
    struct client silent = parked(s->listener);
    listener_out(s);
    listener_in(s, TOKEN);
    MUST(close(silent.fd) == 0);
}

static void listener_is_changed_to_the_data_of_the_other(const struct shared *s)
{
    other_in(s, TOKEN);
    listener_in(s, 1);
    struct client silent = parked(s->listener);
    control(s->epoll, EPOLL_CTL_MOD, s->listener, EPOLLIN, TOKEN);
    MUST(close(silent.fd) == 0);
}

static void data_of_a_descriptor_that_was_there_first_loses_no_event(void)
{
    each_way(other_was_there_first);
}

static void data_of_a_descriptor_that_came_while_the_listener_was_out_loses_no_event(void)
{
    each_way(other_comes_while_the_listener_is_out);
}

static void data_given_to_a_descriptor_while_the_listener_was_out_loses_no_event(void)
{
    each_way(other_is_changed_while_the_listener_is_out);
}

static void data_of_a_descriptor_that_came_after_the_listener_was_told_of_loses_no_event(void)
{
    each_way(other_comes_when_the_listener_was_told_of);
}

static void data_that_the_listener_takes_when_it_comes_in_again_loses_no_event(void)
{
    each_way(listener_comes_with_another_data_than_before);
}

static void data_that_the_listener_is_changed_to_loses_no_event(void)
{
    each_way(listener_is_changed_to_the_data_of_the_other);
}

/* Once the other descriptor is gone the listener is told of exactly, as soon as it is put in again. */
static void data_that_is_no_longer_shared_is_the_listeners(void)
{
    struct shared s = shared(EPOLLIN);
    struct epoll_event e[4];
    other_was_there_first(&s);
    lose_no_event(&s);
    listener_out(&s);
    control(s.epoll, EPOLL_CTL_DEL, s.other, 0, 0);
    listener_in(&s, TOKEN);
    for (int round = 0; round < 3; round++) {
        struct client silent = dial(s.listener);
        arrived(s.listener);
        IS(0, epoll_wait(s.epoll, e, 4, MOMENT));
        introduce(&silent);
        IS(1, epoll_wait(s.epoll, e, 4, LONG));
        accepts(s.listener, &silent);
    }
    end(&s);
}

static const struct test cases[] = {
    CASE(listener_with_the_data_of_another_descriptor_loses_no_event),
    CASE(peer_that_waits_at_a_listener_with_the_data_of_another_is_told),
    CASE(data_of_a_descriptor_that_was_there_first_loses_no_event),
    CASE(data_of_a_descriptor_that_came_while_the_listener_was_out_loses_no_event),
    CASE(data_given_to_a_descriptor_while_the_listener_was_out_loses_no_event),
    CASE(data_of_a_descriptor_that_came_after_the_listener_was_told_of_loses_no_event),
    CASE(data_that_the_listener_takes_when_it_comes_in_again_loses_no_event),
    CASE(data_that_the_listener_is_changed_to_loses_no_event),
    CASE(data_that_is_no_longer_shared_is_the_listeners),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
