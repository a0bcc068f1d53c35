/* SPDX-License-Identifier: MIT
 *
 * fd_reuse.c: numbers that are closed, seen or not (a raw system call, libc's own fclose), and used again: for a
 * client, another listener, an epoll, anything.
 */
#include "testing.h"
#include <netinet/tcp.h>
#include <sys/eventfd.h>

static void closed_listener_takes_its_waiting_and_held_peers_along(void)
{
    for (enum way way = POLL; way <= EPOLL; way++) {
        int l = listener(0), before;
        warm(l);
        struct watch w = watching(way, l);
        before = open_fds();
        struct client silent = parked(l), other = parked(l), held = introduced(l);
        IS(1, wait_for(&w, LONG));
        MUST(close(l) == 0);
        is_closed(&silent);
        is_closed(&other);
        is_closed(&held);
        IS(before - 1, open_fds());
        if (way == EPOLL)
            IS(0, wait_for(&w, MOMENT));
    }
}

static void number_of_a_closed_listener_is_anybodys(void)
{
    int l = listener(0), epoll = epoll_create1(EPOLL_CLOEXEC), pair[2];
    warm(l);
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, 1);
    parked(l);
    MUST(close(l) == 0);
    step = "used by a client";
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    if (pair[0] != l) {
        IS(l, dup2(pair[0], l));
        MUST(close(pair[0]) == 0);
    }
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    for (int round = 0; round < 3; round++) {
        char byte;
        IS(0, told(epoll, 0));
        IS(0, polled(l, 0));
        MUST(write(pair[1], "x", 1) == 1);
        IS(1, told(epoll, LONG));
        IS(1, polled(l, LONG));
        IS(1, selected(l, LONG));
        MUST(read(l, &byte, 1) == 1);
    }
    MUST(close(l) == 0);
    step = "used by another listener";
    IS(l, listener(0));
    struct watch w = {EPOLL, l, epoll};
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    warm(l);
    is_exact(&w);
    is_exact(&(struct watch){POLL, l, -1});
}

/* By a raw system call, or by libc itself (fclose). */
static void number_of_a_listener_whose_close_was_not_seen_is_the_next_ones(void)
{
    int l = listener(0), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct watch w = {EPOLL, l, epoll};
    warm(l);
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    parked(l);
    MUST(syscall(SYS_close, l) == 0);
    IS(l, listener(0));
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    warm(l);
    is_exact(&(struct watch){SELECT, l, -1});
    is_exact(&w);
}

/* More of them than there is room for at once: as Node.js, whose libuv closes by raw system calls. */
static void listeners_whose_close_was_not_seen_make_room_for_others(void)
{
    int l = listener(0);
    for (int i = 0; i < 4200; i++) {
        int gone = listener(0);
        struct client c = dial(l);
        speak(&c);
        MUST(syscall(SYS_close, gone) == 0);
        IS(gone, accept(l, NULL, NULL));
        MUST(syscall(SYS_close, gone) == 0 && close(c.fd) == 0);
    }
}

static void peers_of_a_listener_whose_close_was_not_seen_go_when_its_number_is_a_clients(void)
{
    int gone = listener(0), l = listener(0);
    warm(gone);
    struct client silent = parked(gone), c = introduced(l);
    MUST(syscall(SYS_close, gone) == 0);
    IS(gone, accept(l, NULL, NULL));
    is_closed(&silent);
    MUST(works(gone, &c));
}

static void socket_with_the_number_of_a_listener_whose_close_was_not_seen_says_what_it_says(void)
{
    int l = listener(0), ends[2];
    warm(l);
    struct client held = introduced(l);
    IS(1, polled(l, LONG));
    MUST(syscall(SYS_close, l) == 0);
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    IS(l, ends[0]);
    struct watch w = watching(EPOLL, ends[0]);
    IS(0, wait_for(&w, MOMENT));
    IS(1, write(ends[1], "x", 1));
    IS(1, wait_for(&w, LONG));
    MUST(close(held.fd) == 0);
}

static void number_of_a_closed_epoll_is_anybodys(void)
{
    for (int raw = 0; raw < 2; raw++) {
        int l = listener(0), epoll = epoll_create1(EPOLL_CLOEXEC);
        step = raw ? "closed by a raw system call" : "closed";
        warm(l);
        control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, 1);
        struct client silent = parked(l);
        MUST((raw ? syscall(SYS_close, epoll) : close(epoll)) == 0);
        IS(epoll, eventfd(0, EFD_CLOEXEC));
        IS(0, polled(epoll, 0));
        IS(0, eventfd_write(epoll, 1));
        IS(1, polled(epoll, LONG));
        IS(1, selected(epoll, LONG));
        MUST(close(epoll) == 0);
        IS(epoll, epoll_create1(EPOLL_CLOEXEC));
        introduce(&silent); /* nothing of ours stands in the new one */
        IS(0, told(epoll, MOMENT));
        struct client c = introduced(l);
        IS(0, told(epoll, MOMENT));
        control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
        IS(1, told(epoll, LONG));
        int one = accept(l, NULL, NULL);
        IS(1, told(epoll, LONG));
        int other = accept(l, NULL, NULL);
        MUST((works(one, &c) && works(other, &silent)) || (works(one, &silent) && works(other, &c)));
        is_exact(&(struct watch){EPOLL, l, epoll});
        MUST(close(l) == 0 && close(epoll) == 0);
    }
}

/* A client's number, closed unseen, is another number of the listener, as it comes over a Unix socket. */
static int unseen_copy(int l)
{
    struct client c = introduced(l);
    int number = accept(l, NULL, NULL);
    MUST(number >= 0 && close(c.fd) == 0 && syscall(SYS_close, number) == 0);
    IS(number, (int)syscall(SYS_dup3, l, number, O_CLOEXEC));
    return number;
}

/* Two threads in accept, one by either number. To the one by the copy, who was there first, comes a silent peer. */
static struct client silent_beside_a_leader(struct accepter *copy, struct accepter *leader, int l)
{
    block_one_in_accept(copy, unseen_copy(l));
    block_one_in_accept(leader, l);
    struct client silent = taken_in_accept(l);
    until_asleep(copy->stat);
    until_asleep(leader->stat);
    return silent;
}

static void gets(struct accepter *a, const struct client *c)
{
    join_one(a);
    MUST(works(a->fd, c));
    MUST(close(a->fd) == 0 && close(c->fd) == 0);
}

static void end_copy(const struct accepter *copy, int l)
{
    MUST(close(copy->listener) == 0);
    is_exact(&(struct watch){POLL, l, -1});
    MUST(close(l) == 0);
}

static void peer_of_an_unseen_copy_is_served_while_another_thread_is_in_accept(void)
{
    struct accepter copy, leader;
    int l = listener(0);
    warm(l);
    struct client late = silent_beside_a_leader(&copy, &leader, l), next;
    introduce(&late);
    gets(&copy, &late);
    next = introduced(l);
    gets(&leader, &next);
    end_copy(&copy, l);
}

static void thread_by_an_unseen_copy_leads_when_the_other_has_left(void)
{
    struct accepter copy, leader;
    int l = listener(0);
    warm(l);
    struct client silent = silent_beside_a_leader(&copy, &leader, l), first, second;
    /* Who is accepted before his header is there is either thread's. */
    MUST(setsockopt(l, IPPROTO_TCP, TCP_DEFER_ACCEPT, &(int){1}, sizeof(int)) == 0);
    first = introduced(l);
    gets(&leader, &first);
    second = introduced(l);
    gets(&copy, &second);
    introduce(&silent);
    accepts(l, &silent);
    end_copy(&copy, l);
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
        IS(1, polled(l, 0));
        IS(0, told(new, 0));
        IS(0, epoll_wait(new, &e, 1, MOMENT));
        IS(0, polled(new, 0));
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
    IS(1, polled(dropped, 0));
    IS(1, polled(kept, 0));
    for (int round = 0; round < 2; round++) {
        IS(1, epoll_wait(new, e, 4, LONG));
        MUST(e[0].data.u64 == TOKEN && e[0].events == EPOLLIN);
    }
    accepts(kept, &to_kept);
    IS(0, epoll_wait(new, e, 4, MOMENT));
    accepts(dropped, &to_dropped);
}

/* --- cases: a client's number that is a copy of the listener now --- */

/* Its header counts if it is trusted; else it has none. */
static struct client introduced_over_ipv4(int to, bool trusted)
{
    struct client c = dial_from(INADDR_LOOPBACK + trusted, to, "203.0.113.7", false);
    name_client(&c, c.ip, htons(4711)); /* always the same */
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
            int l = listener_of(DUAL_STACK, 0), copy = copy_under_a_clients_number(l, by_libc);
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
    int l = listener_of(DUAL_STACK, 0), copy = copy_under_a_clients_number(l, false);
    introduced_over_ipv4(l, true);
    FAILS_WITH(EFAULT, accept(copy, (struct sockaddr *)&peer, NULL));
    MUST(close(copy) == 0);
    copy = copy_under_a_clients_number(l, false);
    introduced_over_ipv4(l, true);
    FAILS_WITH(EINVAL, accept(copy, (struct sockaddr *)&peer, &negative));
}

static const struct test cases[] = {
    CASE(peer_of_an_unseen_copy_is_served_while_another_thread_is_in_accept),
    CASE(thread_by_an_unseen_copy_leads_when_the_other_has_left),
    CASE(closed_listener_takes_its_waiting_and_held_peers_along),
    CASE(number_of_a_closed_listener_is_anybodys),
    CASE(number_of_a_listener_whose_close_was_not_seen_is_the_next_ones),
    CASE(listeners_whose_close_was_not_seen_make_room_for_others),
    CASE(peers_of_a_listener_whose_close_was_not_seen_go_when_its_number_is_a_clients),
    CASE(socket_with_the_number_of_a_listener_whose_close_was_not_seen_says_what_it_says),
    CASE(number_of_a_closed_epoll_is_anybodys),
    CASE(new_epoll_tells_nothing_of_an_old_one_with_its_number),
    CASE(new_epoll_tells_of_its_listener_and_not_of_an_old_ones),
    CASE(accept_on_a_number_that_was_a_clients_fills_the_buffer_as_ever),
    CASE(accept_on_a_number_that_was_a_clients_refuses_bad_arguments),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
