/* SPDX-License-Identifier: MIT
 *
 * listener_copies.c: copies of a listener: governed as the original is, and closed as it is by dup2 onto its
 * number.
 */
#include "testing.h"

/* With the original open, and without. */
static void copy_of_a_listener_is_governed(void)
{
    for (enum copying how = DUP; how < COPYINGS; how++) {
        int l = listener(0), copy = copy_of(l, how);
        MUST(copy >= 0);
        struct client c = introduced(l);
        accepts(copy, &c);
        is_exact(&(struct watch){POLL, copy, -1});
        is_exact(&(struct watch){SELECT, copy, -1});
        struct watch w = watching(EPOLL, copy);
        is_exact(&w);
        step = copying_names[how];
        struct client silent = parked(l);
        MUST(close(l) == 0); /* what waits belongs to both */
        introduce(&silent);
        IS(1, wait_for(&w, LONG));
        accepts(copy, &silent);
        is_exact(&w);
        silent = parked(copy);
        MUST(close(copy) == 0);
        is_closed(&silent);
        MUST(close(w.epoll) == 0);
    }
}

/* The first thing a server does with it is to wait. Then to accept, and that must not hang. */
static void copy_of_a_listener_never_hangs_the_first_accept(void)
{
    for (enum way way = POLL; way <= EPOLL; way++) {
        for (enum copying how = DUP; how < COPYINGS; how++) {
            int l = listener(0), copy = copy_of(l, how);
            MUST(copy >= 0);
            warm(l);
            struct watch w = {way, copy, way == EPOLL ? epoll_create1(EPOLL_CLOEXEC) : -1};
            if (way == EPOLL)
                control(w.epoll, EPOLL_CTL_ADD, copy, EPOLLIN, TOKEN);
            struct client silent = dial(l);
            arrived(l);
            if (wait_for(&w, 0) == 1)
                FAILS_WITH(ECONNABORTED, accept(copy, NULL, NULL));
            is_exact(&w);
            introduce(&silent);
            IS(1, wait_for(&w, LONG));
            accepts(copy, &silent);
            MUST(close(l) == 0 && close(copy) == 0 && (way != EPOLL || close(w.epoll) == 0));
        }
    }
}

/* epoll knows the open file, not the number: it goes on telling while a copy is there. */
static void registration_of_a_closed_number_lives_while_a_copy_does(void)
{
    int l = listener(SOCK_NONBLOCK), copy = dup(l);
    warm(l);
    warm(copy);
    struct watch w = watching(EPOLL, l);
    MUST(close(l) == 0);
    for (int round = 0; round < 3; round++) {
        struct client c = introduced(copy);
        IS(1, told(w.epoll, LONG));
        accepts(copy, &c);
    }
}

static void dup2_onto_a_listener_closes_it(void)
{
    for (int kind = 0; kind < 4; kind++) {
        int l = listener(SOCK_NONBLOCK), other = listener(SOCK_NONBLOCK),
            null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        step = (const char *const[]){"dup2, a file", "dup3, a file", "dup2, a listener", "dup3, a listener"}[kind];
        warm(l);
        warm(other);
        struct watch w = watching(EPOLL, l);
        struct client silent = parked(l), held = introduced(l), others = parked(other);
        IS(1, wait_for(&w, LONG));
        int from = kind < 2 ? null : other;
        IS(l, kind & 1 ? dup3(from, l, O_CLOEXEC) : dup2(from, l));
        is_closed(&silent);
        is_closed(&held);
        IS(0, told(w.epoll, MOMENT));
        if (kind < 2) {
            FAILS_WITH(ENOTSOCK, accept(l, NULL, NULL));
        } else {
            introduce(&others);
            accepts(l, &others);
            is_exact(&(struct watch){POLL, l, -1});
            MUST(close(other) == 0);
            is_exact(&(struct watch){POLL, l, -1});
        }
        MUST(close(l) == 0);
    }
}

static void dup2_onto_number_0_closes_it_too(void)
{
    int l = listener(SOCK_NONBLOCK), null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    IS(0, dup2(l, STDIN_FILENO));
    MUST(close(l) == 0);
    warm(STDIN_FILENO);
    struct client silent = parked(STDIN_FILENO);
    IS(0, dup2(null, STDIN_FILENO));
    is_closed(&silent);
}

/* None of these closes anything. */
static int without_closing(int kind, int l)
{
    return kind == 0   ? dup2(-1, l)
           : kind == 1 ? dup3(-1, l, O_CLOEXEC)
           : kind == 2 ? dup3(l, l, 0)
           : kind == 3 ? close_range((unsigned)l, (unsigned)l, CLOSE_RANGE_CLOEXEC)
                       : dup2(l, l);
}

static void listener_that_was_not_closed_keeps_its_waiting_peers(void)
{
    static const int answers[] = {-1, -1, -1, 0};
    for (int kind = 0; kind < 5; kind++) {
        int l = listener(0);
        warm(l);
        struct watch w = watching(EPOLL, l);
        struct client silent = parked(l);
        step = (const char *const[]){"a failed dup2", "a failed dup3", "dup3 onto itself", "CLOSE_RANGE_CLOEXEC",
                                     "dup2 onto itself"}[kind];
        IS(kind < 4 ? answers[kind] : l, without_closing(kind, l));
        introduce(&silent);
        IS(1, wait_for(&w, LONG));
        accepts(l, &silent);
        MUST(close(w.epoll) == 0 && close(l) == 0);
    }
}

static void range_of_one_closes_the_listener(void)
{
    int l = listener(0);
    warm(l);
    struct client silent = parked(l);
    IS(0, close_range((unsigned)l, (unsigned)l, 0));
    is_closed(&silent);
}

static const struct test cases[] = {
    CASE(copy_of_a_listener_is_governed),
    CASE(copy_of_a_listener_never_hangs_the_first_accept),
    CASE(registration_of_a_closed_number_lives_while_a_copy_does),
    CASE(dup2_onto_a_listener_closes_it),
    CASE(dup2_onto_number_0_closes_it_too),
    CASE(listener_that_was_not_closed_keeps_its_waiting_peers),
    CASE(range_of_one_closes_the_listener),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
