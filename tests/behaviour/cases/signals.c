/* SPDX-License-Identifier: MIT
 *
 * signals.c: signals that come while a wait or an accept has silent peers: each is handled, and ends what it must.
 */
#include "testing.h"

static void pending_signal_ends_the_wait_although_silent_peers_come(void)
{
    for (enum way way = POLL; way < WAYS; way++) {
        if (!takes_a_mask(way))
            continue;
        for (int silent = 0; silent < 3; silent++) {
            int l = listener(0);
            struct watch w = watching(way, l);
            sigset_t none, now;
            sigemptyset(&none);
            warm(l);
            for (int i = 0; i < silent; i++)
                dial(l);
            if (silent)
                arrived(l);
            handle_usr1(count_signal, SA_RESTART);
            block_usr1(true);
            IS(0, raise(SIGUSR1));
            IS(0, handled);
            FAILS_WITH(EINTR, wait_masked(&w, LONG, &none));
            IS(1, handled);
            MUST(pthread_sigmask(SIG_SETMASK, NULL, &now) == 0 && sigismember(&now, SIGUSR1) == 1);
            IS(0, sigismember(&now, SIGUSR2));
            block_usr1(false);
        }
    }
}

static int wait_for_two(enum way way, const struct watch *w, int other, const sigset_t *mask)
{
    struct epoll_event e[2];
    struct timespec t = {LONG / 1000, 0};
    struct pollfd p[2] = {{.fd = w->listener, .events = POLLIN}, {.fd = other, .events = POLLIN}};
    return way == PPOLL ? ppoll(p, 2, &t, mask) : epoll_pwait(w->epoll, e, 2, LONG, mask);
}

/* Of a listener that several processes share the wait looks before it accepts: that is where the signal comes in. The
   other listener, whoever of the two is looked at first, has nothing. */
static void signal_that_comes_in_at_one_listener_is_not_forgotten_at_the_next(void)
{
    static const enum way ways[] = {PPOLL, EPOLL_PWAIT};
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    ended_well(child);
    for (int i = 0; i < 2; i++) {
        int l = listener(0), other = listener(0);
        struct watch w = watching(ways[i], l);
        sigset_t none;
        sigemptyset(&none);
        warm(l);
        warm(other);
        if (ways[i] == EPOLL_PWAIT)
            control(w.epoll, EPOLL_CTL_ADD, other, EPOLLIN, TOKEN + 1);
        parked(l);
        handle_usr1(count_signal, SA_RESTART);
        block_usr1(true);
        for (int round = 1; round <= 4; round++) { /* each is first in turn */
            dial(l);
            arrived(l);
            IS(0, raise(SIGUSR1));
            FAILS_WITH(EINTR, wait_for_two(ways[i], &w, other, &none));
            IS(round, handled);
            while (in_kernel_queue(l))
                IS(0, polled(l, 0));
        }
        block_usr1(false);
        MUST(close(l) == 0 && close(other) == 0);
    }
}

static void *signal_while_asleep_then_dial(void *helper)
{
    struct helper *h = helper;
    until_asleep(h->stat);
    IS(0, pthread_kill(h->sleeper, SIGUSR1));
    return keep_dialling(helper);
}

static void masked_signal_waits_for_the_end_of_the_wait(void)
{
    for (enum way way = POLL; way < WAYS; way++) {
        if (!takes_a_mask(way))
            continue;
        int l = listener(0);
        struct watch w = watching(way, l);
        struct helper h;
        sigset_t mask;
        sigemptyset(&mask);
        sigaddset(&mask, SIGUSR1);
        warm(l);
        dial(l);
        handle_usr1(count_signal, SA_RESTART);
        start(&h, signal_while_asleep_then_dial, l, NULL);
        int64_t before = microseconds();
        IS(0, wait_masked(&w, 2 * MOMENT, &mask));
        MUST(microseconds() - before >= 2 * MOMENT * 1000);
        done(&h);
        IS(1, handled);
    }
}

static void signal_ends_every_wait_while_peers_are_silent(void)
{
    for (enum way way = POLL; way < WAYS; way++) {
        int l = listener(0);
        struct watch w = watching(way, l);
        struct helper h;
        warm(l);
        struct client silent = parked(l);
        handle_usr1(count_signal, SA_RESTART);
        start(&h, signal_while_asleep_then_dial, l, NULL);
        FAILS_WITH(EINTR, wait_for(&w, LONG));
        done(&h);
        IS(1, handled);
        introduce(&silent);
        IS(1, wait_for(&w, LONG));
        accepts(l, &silent);
    }
}

/* A signal comes just when the wait was woken by a peer that turns out to be silent. */
static void *peer_and_signal(void *helper)
{
    struct helper *h = helper;
    struct client c[3];
    until_asleep(h->stat);
    for (int i = 0; i < 3; i++)
        c[i] = dial(h->listener);
    IS(0, pthread_kill(h->sleeper, SIGUSR1));
    for (int i = 0; i < 3; i++)
        MUST(close(c[i].fd) == 0);
    return NULL;
}

/* One is silent already: without a mask, the first that comes to an idle server may hide a signal, as the moment
   between a server's look at its flag and its wait does without the shim. */
static void signal_that_comes_with_a_silent_peer_ends_the_wait(bool masked)
{
    enum { ROUNDS = 60 };
    for (enum way way = POLL; way < WAYS; way++) {
        if (masked && !takes_a_mask(way))
            continue;
        int l = listener(SOCK_NONBLOCK);
        struct watch w = watching(way, l);
        sigset_t none;
        sigemptyset(&none);
        warm(l);
        if (!masked)
            parked(l);
        handle_usr1(count_signal, SA_RESTART);
        block_usr1(masked);
        for (int round = 0; round < ROUNDS; round++) {
            struct helper h;
            handled = 0;
            start(&h, peer_and_signal, l, NULL);
            int n = wait_masked(&w, 2000, masked ? &none : NULL);
            if (n != -1 || errno != EINTR)
                fail(__LINE__, "round %d: the wait gave %d although a signal was handled %d times", round, n, handled);
            done(&h);
            IS(1, handled);
        }
        block_usr1(false);
    }
}

static void signal_let_in_by_the_mask_is_not_lost_when_a_silent_peer_comes_with_it(void)
{
    signal_that_comes_with_a_silent_peer_ends_the_wait(true);
}

static void signal_is_not_lost_when_a_silent_peer_comes_with_it(void)
{
    signal_that_comes_with_a_silent_peer_ends_the_wait(false);
}

static void signal_that_comes_with_a_silent_peer_ends_a_blocking_accept(void)
{
    int l = listener(0);
    dial(l); /* one is silent already: see above */
    warm(l);
    handle_usr1(count_signal, 0);
    for (int round = 0; round < 100; round++) {
        struct helper h;
        handled = 0;
        start(&h, peer_and_signal, l, NULL);
        FAILS_WITH(EINTR, accept(l, NULL, NULL));
        done(&h);
        IS(1, handled);
    }
}

/* The accept held them back while it watched the peer; it sleeps in the kernel's own accept when that one has left. */
static void *leave_then_signal(void *helper)
{
    struct helper *h = helper;
    while (!is_parked(h->client))
        usleep(200);
    MUST(close(h->client->fd) == 0);
    while (high_numbers("socket").count)
        usleep(200);
    until_asleep(h->stat);
    IS(0, pthread_kill(h->sleeper, SIGUSR1));
    return NULL;
}

static void signal_ends_an_accept_whose_silent_peer_has_left(void)
{
    struct helper h;
    int l = listener(0);
    struct client silent = dial(l);
    handle_usr1(count_signal, 0);
    start(&h, leave_then_signal, l, &silent);
    FAILS_WITH(EINTR, accept(l, NULL, NULL));
    done(&h);
    IS(1, handled);
}

static const struct test cases[] = {
    CASE(pending_signal_ends_the_wait_although_silent_peers_come),
    CASE(signal_that_comes_in_at_one_listener_is_not_forgotten_at_the_next),
    CASE(masked_signal_waits_for_the_end_of_the_wait),
    CASE(signal_ends_every_wait_while_peers_are_silent),
    CASE(signal_let_in_by_the_mask_is_not_lost_when_a_silent_peer_comes_with_it),
    CASE(signal_is_not_lost_when_a_silent_peer_comes_with_it),
    CASE(signal_that_comes_with_a_silent_peer_ends_a_blocking_accept),
    CASE(signal_ends_an_accept_whose_silent_peer_has_left),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
