/* SPDX-License-Identifier: MIT
 *
 * accept_ends_early.c: a blocking accept that ends early, by a signal, a timeout, shutdown or cancellation: each
 * with nobody there, and with one peer that keeps silent. And one that does not, in several threads.
 */
#include "testing.h"
#include <sched.h>

static void interrupted(bool silent)
{
    int l = listener(0);
    struct client waiting;
    struct helper later;
    if (silent)
        waiting = dial(l);
    handle_usr1(count_signal, 0);
    start(&later, signal_while_asleep, l, NULL);
    FAILS_WITH(EINTR, accept(l, NULL, NULL));
    done(&later);
    if (silent) {
        introduce(&waiting);
        accepts(l, &waiting);
    }
    struct client c = introduced(l);
    accepts(l, &c);
}

static void signal_interrupts_accept(void)
{
    interrupted(false);
}

static void signal_interrupts_accept_while_a_peer_is_silent(void)
{
    interrupted(true);
}

static void *interrupt_then_connect(void *helper)
{
    struct helper *h = helper;
    until_asleep(h->stat);
    for (int round = 0; round < 3; round++) {
        IS(0, pthread_kill(h->sleeper, SIGUSR1));
        sched_yield();
        until_asleep(h->stat);
    }
    *h->client = introduced(h->listener);
    return NULL;
}

static void restarted(bool silent)
{
    int l = listener(0);
    struct client c;
    struct helper later;
    if (silent)
        dial(l);
    handle_usr1(count_signal, SA_RESTART);
    start(&later, interrupt_then_connect, l, &c);
    int fd = accept(l, NULL, NULL);
    MUST(fd >= 0);
    done(&later);
    MUST(works(fd, &c));
}

static void accept_restarts_after_a_handler_with_sa_restart(void)
{
    restarted(false);
}

static void accept_restarts_after_a_handler_with_sa_restart_while_a_peer_is_silent(void)
{
    restarted(true);
}

static void set_timeout(int l, long ms)
{
    struct timeval t = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    MUST(setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) == 0);
}

static void bounded(bool silent)
{
    int l = listener(0);
    struct client waiting;
    if (silent)
        waiting = dial(l);
    set_timeout(l, 150);
    for (int round = 0; round < 2; round++) {
        int64_t before = microseconds();
        FAILS_WITH(EAGAIN, accept(l, NULL, NULL));
        long took = (long)(microseconds() - before) / 1000;
        if (took < 140)
            fail(__LINE__, "SO_RCVTIMEO of 150 ms took %ld ms", took);
    }
    if (silent) {
        introduce(&waiting);
        accepts(l, &waiting);
    }
    struct client c = introduced(l);
    accepts(l, &c);
}

static void receive_timeout_bounds_accept(void)
{
    bounded(false);
}

static void receive_timeout_bounds_accept_while_a_peer_is_silent(void)
{
    bounded(true);
}

/* signal(7): with SO_RCVTIMEO set, accept is never restarted. */
static void bounded_and_interrupted(bool silent)
{
    int l = listener(0);
    struct helper later;
    if (silent)
        dial(l);
    set_timeout(l, 5000);
    handle_usr1(count_signal, SA_RESTART);
    start(&later, signal_while_asleep, l, NULL);
    FAILS_WITH(EINTR, accept(l, NULL, NULL));
    done(&later);
}

static void accept_with_a_timeout_never_restarts(void)
{
    bounded_and_interrupted(false);
}

static void accept_with_a_timeout_never_restarts_while_a_peer_is_silent(void)
{
    bounded_and_interrupted(true);
}

static void *shut_while_asleep(void *helper)
{
    struct helper *h = helper;
    until_asleep(h->stat);
    IS(0, shutdown(h->listener, SHUT_RDWR));
    return NULL;
}

static void shut_down(bool silent)
{
    int l = listener(0);
    struct helper later;
    if (silent)
        dial(l);
    start(&later, shut_while_asleep, l, NULL);
    FAILS_WITH(EINVAL, accept(l, NULL, NULL));
    done(&later);
    FAILS_WITH(EINVAL, accept(l, NULL, NULL));
}

static void shutdown_of_the_listener_ends_accept(void)
{
    shut_down(false);
}

static void shutdown_of_the_listener_ends_accept_while_a_peer_is_silent(void)
{
    shut_down(true);
}

/* --- cases: cancellation --- */

static void cancel_one(int l)
{
    struct accepter a;
    void *result;
    block_one_in_accept(&a, l);
    MUST(pthread_cancel(a.thread) == 0 && pthread_join(a.thread, &result) == 0);
    MUST(result == PTHREAD_CANCELED);
    MUST(close(a.stat) == 0);
}

/* Whatever is set up once for peers that stay silent, is now. */
static void have_one_silent(int l)
{
    struct client c = dial(l);
    while (high_numbers(NULL).count == 0)
        cancel_one(l);
    introduce(&c);
    accepts(l, &c);
}

static void cancelled(bool silent)
{
    int l = listener(0);
    if (silent)
        have_one_silent(l);
    int before = open_fds();
    struct client waiting;
    if (silent) {
        waiting = dial(l);
        cancel_one(l);
    }
    int during = open_fds();
    MUST(during == before + (silent ? 2 : 0));
    for (int i = 0; i < 20; i++)
        cancel_one(l);
    MUST(open_fds() == during);
    if (silent) {
        introduce(&waiting);
        accepts(l, &waiting);
    }
    struct client c = introduced(l);
    accepts(l, &c);
    MUST(open_fds() == before);
}

static void cancelled_accept_leaks_no_descriptor(void)
{
    cancelled(false);
}

static void cancelled_accept_leaks_no_descriptor_while_a_peer_is_silent(void)
{
    cancelled(true);
}

static void cancellation_stays_off_where_the_caller_turned_it_off(void)
{
    int l = listener(0), state;
    struct client c = introduced(l);
    MUST(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL) == 0);
    accepts(l, &c);
    MUST(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state) == 0 && state == PTHREAD_CANCEL_DISABLE);
    struct latecomer late;
    come_late(&late, l);
    MUST(accept(l, NULL, NULL) >= 0);
    done(&late.helper);
    MUST(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state) == 0 && state == PTHREAD_CANCEL_ENABLE);
}

/* --- cases: several threads in accept --- */

static void one_silent_peer_and_four_threads_serve_four_clients(void)
{
    int l = listener(0);
    struct accepter a[4];
    struct client clients[4];
    dial(l);
    for (int i = 0; i < 4; i++)
        start_accept(&a[i], l);
    for (int i = 0; i < 4; i++)
        clients[i] = introduced(l);
    unsigned seen = 0;
    for (int i = 0; i < 4; i++) {
        MUST(pthread_join(a[i].thread, NULL) == 0 && a[i].fd >= 0);
        for (unsigned k = 0; k < 4; k++)
            seen |= peer_is(a[i].fd, &clients[k].in) ? 1u << k : 0;
    }
    MUST(seen == 15);
}

static const struct test cases[] = {
    CASE(signal_interrupts_accept),
    CASE_OF_HEADERS(signal_interrupts_accept_while_a_peer_is_silent),
    CASE(accept_restarts_after_a_handler_with_sa_restart),
    CASE_OF_HEADERS(accept_restarts_after_a_handler_with_sa_restart_while_a_peer_is_silent),
    CASE(receive_timeout_bounds_accept),
    CASE_OF_HEADERS(receive_timeout_bounds_accept_while_a_peer_is_silent),
    CASE(accept_with_a_timeout_never_restarts),
    CASE_OF_HEADERS(accept_with_a_timeout_never_restarts_while_a_peer_is_silent),
    CASE(shutdown_of_the_listener_ends_accept),
    CASE_OF_HEADERS(shutdown_of_the_listener_ends_accept_while_a_peer_is_silent),
    CASE(cancelled_accept_leaks_no_descriptor),
    CASE_OF_HEADERS(cancelled_accept_leaks_no_descriptor_while_a_peer_is_silent),
    CASE(cancellation_stays_off_where_the_caller_turned_it_off),
    CASE_OF_HEADERS(one_silent_peer_and_four_threads_serve_four_clients),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
