/* SPDX-License-Identifier: MIT
 *
 * wait_timeouts.c: the time a wait may take, while silent peers come, and the moment they are watched where they are.
 */
#include "testing.h"

/* They come for as long as the wait lasts: were its time counted anew for each, it would not end. */
static void timeouts_are_kept_while_silent_peers_come(void)
{
    enum { MS = 50, ROUNDS = 4 };
    for (enum way way = POLL; way < WAYS; way++) {
        int l = listener(SOCK_NONBLOCK);
        struct watch w = watching(way, l);
        warm(l);
        for (int round = 0; round < ROUNDS; round++) {
            struct helper h;
            dial(l);
            start(&h, keep_dialling, l, NULL);
            int64_t before = microseconds();
            IS(0, wait_for(&w, MS));
            int64_t late = microseconds() - before - MS * 1000;
            done(&h);
            if (late < 0)
                fail(__LINE__, "%d ms ended %ld us early", MS, (long)-late);
        }
    }
}

static void timeout_of_nothing_asks_and_does_not_wait(void)
{
    for (enum way way = POLL; way < WAYS; way++) {
        int l = listener(0);
        struct watch w = watching(way, l);
        warm(l);
        IS(0, wait_for(&w, 0));
        struct client silent = dial(l);
        arrived(l);
        IS(0, wait_for(&w, 0));
        introduce(&silent);
        IS(1, wait_for(&w, 0));
        IS(1, wait_for(&w, 0));
        accepts(l, &silent);
        IS(0, wait_for(&w, 0));
    }
}

static void wait_without_a_timeout_lasts_until_somebody_is_ready(void)
{
    for (enum way way = POLL; way < WAYS; way++) {
        int l = listener(0);
        struct watch w = watching(way, l);
        struct helper h;
        warm(l);
        struct client silent = parked(l);
        start(&h, introduce_while_asleep, l, &silent);
        IS(1, wait_for(&w, -1));
        done(&h);
        accepts(l, &silent);
    }
}

/* It is watched where it is: to move it costs more than most headers are late. The wait that took it from the kernel
   was the last so far. */
static void peer_that_is_silent_for_a_moment_stays_where_it_is(void)
{
    for (enum way way = POLL; way < WAYS; way++) {
        int l = listener(SOCK_NONBLOCK);
        struct watch w = watching(way, l);
        warm(l);
        struct client c = dial(l);
        arrived(l);
        IS(0, wait_for(&w, 0));
        MUST(!in_kernel_queue(l) && !is_parked(&c));
        introduce(&c);
        IS(1, wait_for(&w, LONG));
        accepts(l, &c);
    }
}

static const struct test cases[] = {
    CASE(wait_without_a_timeout_lasts_until_somebody_is_ready),
    CASE(peer_that_is_silent_for_a_moment_stays_where_it_is),
    CASE(timeouts_are_kept_while_silent_peers_come),
    CASE(timeout_of_nothing_asks_and_does_not_wait),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
