/* SPDX-License-Identifier: MIT
 *
 * idle_epoll.c: the private epoll when nobody waits, or calls: it goes after ten timeouts, and costs nothing until
 * then.
 */
#include "testing.h"

/* With PPSHIM_TIMEOUT=100ms. */
static void epoll_goes_after_ten_idle_timeouts(enum way way)
{
    int l = listener(SOCK_NONBLOCK);
    struct watch w = watching(way, l);
    warm(l);
    int before = open_fds();
    struct client c = dial(l);
    while (in_kernel_queue(l) || !is_parked(&c)) /* taken by no other way of waiting */
        IS(0, wait_for(&w, 1));
    introduce(&c);
    IS(1, wait_for(&w, LONG));
    accepts(l, &c);
    MUST(high_numbers("eventpoll").count >= 1);
    IS(0, wait_for(&w, 1300));
    IS(0, high_numbers("eventpoll").count);
    IS(before, open_fds());
    is_exact(&w);
}

static void private_epoll_goes_after_ten_idle_timeouts_of_poll(void)
{
    epoll_goes_after_ten_idle_timeouts(POLL);
}

static void private_epoll_goes_after_ten_idle_timeouts_of_select(void)
{
    epoll_goes_after_ten_idle_timeouts(SELECT);
}

static void private_epoll_goes_after_ten_idle_timeouts_of_epoll_wait(void)
{
    epoll_goes_after_ten_idle_timeouts(EPOLL);
}

static void *sleep_until_told(void *end_of_pipe)
{
    char byte;
    syscall(SYS_read, *(int *)end_of_pipe, &byte, 1);
    return NULL;
}

/* With PPSHIM_TIMEOUT=100ms: the waits of a server with threads have a private epoll from the first on. */
static void server_that_nobody_called_yet_sleeps(void)
{
    pthread_t other;
    int end[2];
    MUST(pipe(end) == 0);
    IS(0, pthread_create(&other, NULL, sleep_until_told, &end[0]));
    for (enum way way = POLL; way <= EPOLL; way++) {
        struct timespec before, after;
        int l = listener(SOCK_NONBLOCK);
        struct watch w = watching(way, l);
        IS(0, polled(l, 0));
        MUST(high_numbers("eventpoll").count == 1);
        IS(0, wait_for(&w, 1010));
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
        IS(0, wait_for(&w, 10 * MOMENT));
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
        long us = (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000;
        if (us > MOMENT * 1000)
            fail(__LINE__, "a wait of %d ms for nobody took %ld us of the processor", 10 * MOMENT, us);
        struct client c = introduced(l);
        IS(1, wait_for(&w, LONG));
        accepts(l, &c);
        MUST(close(l) == 0);
    }
    MUST(close(end[1]) == 0);
    IS(0, pthread_join(other, NULL));
}

/* With PPSHIM_TIMEOUT=100ms: it is the waiting ones' as long as there are any. */
static void private_epoll_stays_while_peers_come(void)
{
    int l = listener(SOCK_NONBLOCK);
    struct watch w = watching(EPOLL, l);
    warm(l);
    int64_t end = microseconds() + 1500000;
    int most = 0;
    while (microseconds() < end) {
        struct client c = parked(l);
        introduce(&c);
        IS(1, wait_for(&w, LONG));
        accepts(l, &c);
        int count = high_numbers("eventpoll").count;
        MUST(count >= 1 && (most == 0 || count == most));
        most = count;
        IS(0, wait_for(&w, MOMENT));
    }
}

static const struct test cases[] = {
    CASE(private_epoll_goes_after_ten_idle_timeouts_of_poll),
    CASE(private_epoll_goes_after_ten_idle_timeouts_of_select),
    CASE(private_epoll_goes_after_ten_idle_timeouts_of_epoll_wait),
    CASE(server_that_nobody_called_yet_sleeps),
    CASE(private_epoll_stays_while_peers_come),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
