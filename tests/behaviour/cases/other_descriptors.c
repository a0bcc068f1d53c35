/* SPDX-License-Identifier: MIT
 *
 * other_descriptors.c: what else a wait is asked: other descriptors, none, too many, wrong arguments, a listener
 * that is shut down.
 */
#include "testing.h"

static void sorts_of_descriptor(struct pollfd p[8])
{
    int in[2], out[2], pair[2], closed = dup(0);
    MUST(pipe(in) == 0 && pipe(out) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    MUST(close(in[1]) == 0 && close(out[0]) == 0 && close(closed) == 0);
    p[0] = (struct pollfd){.fd = in[0], .events = POLLIN};             /* POLLHUP */
    p[1] = (struct pollfd){.fd = out[1], .events = POLLOUT};           /* POLLERR */
    p[2] = (struct pollfd){.fd = pair[0], .events = POLLIN | POLLOUT}; /* POLLOUT */
    p[3] = (struct pollfd){.fd = closed, .events = POLLIN};            /* POLLNVAL */
    p[4] = (struct pollfd){.fd = -1, .events = POLLIN, .revents = 77}; /* 0 */
    p[5] = (struct pollfd){.fd = pair[1], .events = 0, .revents = 77}; /* 0 */
    p[6] = (struct pollfd){.fd = ~in[0], .events = POLLOUT};           /* 0 */
}

static void other_descriptors_say_what_they_say_beside_the_listener(void)
{
    int l = listener(SOCK_NONBLOCK);
    struct pollfd p[8], expected[8];
    sorts_of_descriptor(p);
    warm(l);
    for (int round = 0; round < 3; round++) {
        struct client c = round == 2 ? introduced(l) : dial(l);
        arrived(l);
        p[7] = (struct pollfd){.fd = l, .events = POLLIN | POLLOUT};
        memcpy(expected, p, sizeof p);
        long n = raw_poll(expected, 7, 0);
        IS(n + (round == 2), poll(p, 8, -1));
        for (int i = 0; i < 7; i++)
            IS(expected[i].revents, p[i].revents);
        IS(round == 2 ? POLLIN : 0, p[7].revents);
        if (round == 2)
            accepts(l, &c);
    }
}

static void listener_that_is_shut_down_says_what_the_kernel_says(void)
{
    for (int round = 0; round < 2; round++) {
        int l = listener(SOCK_NONBLOCK), epoll = epoll_create1(0);
        struct epoll_event e, kernels;
        struct pollfd p = {.fd = l, .events = POLLIN}, expected = p;
        warm(l);
        control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
        parked(l);
        MUST(shutdown(l, SHUT_RDWR) == 0);
        IS(1, raw_poll(&expected, 1, LONG));
        IS(1, poll(&p, 1, LONG));
        IS(expected.revents, p.revents);
        IS(1, syscall(SYS_epoll_pwait, epoll, &kernels, 1, LONG, NULL, 0));
        IS(1, epoll_wait(epoll, &e, 1, LONG));
        IS(kernels.events, e.events & ~(uint32_t)EPOLLIN); /* accept fails at once: ready in our sense too */
        FAILS_WITH(EINVAL, accept(l, NULL, NULL));
    }
}

static void waits_without_descriptors_are_waits(void)
{
    struct timeval tv = {.tv_usec = MOMENT * 1000};
    struct timespec t = {.tv_nsec = MOMENT * 1000000};
    struct pollfd p = {.fd = -1, .events = POLLIN};
    int l = listener(0);
    warm(l);
    parked(l);
    int64_t before = microseconds();
    IS(0, poll(NULL, 0, MOMENT));
    IS(0, poll(&p, 0, MOMENT));
    IS(0, poll(&p, 1, MOMENT));
    IS(0, p.revents);
    IS(0, ppoll(NULL, 0, &t, NULL));
    IS(0, select(0, NULL, NULL, NULL, &tv));
    IS(0, tv.tv_usec);
    IS(0, pselect(0, NULL, NULL, NULL, &t, NULL));
    MUST(microseconds() - before >= 6 * MOMENT * 1000);
    IS(0, poll(NULL, 0, 0));
    struct timeval at_once = {0};
    IS(0, select(l + 1, NULL, NULL, NULL, &at_once));
}

static void bad_arguments_beside_a_listener_fail_as_ever(void)
{
    int l = listener(SOCK_NONBLOCK), epoll = epoll_create1(0);
    struct pollfd p = {.fd = l, .events = POLLIN};
    struct timespec bad = {.tv_nsec = 1000000000}, negative = {.tv_sec = -1};
    struct timeval negative_tv = {.tv_sec = -1};
    volatile int too_few = -1;
    struct epoll_event e = {.events = EPOLLIN};
    fd_set set;
    warm(l);
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    parked(l);
    FD_ZERO(&set);
    FD_SET(l, &set);
    FAILS_WITH(EINVAL, ppoll(&p, 1, &bad, NULL));
    FAILS_WITH(EINVAL, ppoll(&p, 1, &negative, NULL));
    FAILS_WITH(EINVAL, pselect(l + 1, &set, NULL, NULL, &bad, NULL));
    FAILS_WITH(EINVAL, select(l + 1, &set, NULL, NULL, &negative_tv));
    FAILS_WITH(EINVAL, epoll_wait(epoll, &e, 0, 0));
    FAILS_WITH(EINVAL, epoll_wait(epoll, &e, too_few, 0));
    FAILS_WITH(EINVAL, epoll_pwait2(epoll, &e, 1, &bad, NULL));
    FAILS_WITH(EEXIST, epoll_ctl(epoll, EPOLL_CTL_ADD, l, &e));
    FAILS_WITH(EINVAL, epoll_wait(l, &e, 1, 0));
    int closed = dup(0);
    FD_SET(closed, &set);
    MUST(close(closed) == 0);
    FAILS_WITH(EBADF, select(closed + 1, &set, NULL, NULL, NULL));
}

/* poll refuses more entries than RLIMIT_NOFILE: the library's own must not count. */
static void as_many_entries_as_descriptors_allowed_can_be_polled(void)
{
    enum { MOST = 64 };
    int l = listener(SOCK_NONBLOCK);
    struct rlimit limit = {MOST, MOST};
    struct pollfd p[MOST + 1];
    warm(l);
    IS(0, setrlimit(RLIMIT_NOFILE, &limit));
    parked(l);
    for (int i = 0; i <= MOST; i++)
        p[i] = (struct pollfd){.fd = i == 7 ? l : -1, .events = POLLIN, .revents = 77};
    IS(0, poll(p, MOST, MOMENT));
    for (int i = 0; i < MOST; i++)
        IS(0, p[i].revents);
    struct client c = introduced(l);
    IS(1, poll(p, MOST, LONG));
    IS(77, p[MOST].revents); /* none of the caller's */
    IS(POLLIN, p[7].revents);
    accepts(l, &c);
}

static const struct test cases[] = {
    CASE(other_descriptors_say_what_they_say_beside_the_listener),
    CASE(listener_that_is_shut_down_says_what_the_kernel_says),
    CASE(waits_without_descriptors_are_waits),
    CASE(bad_arguments_beside_a_listener_fail_as_ever),
    CASE(as_many_entries_as_descriptors_allowed_can_be_polled),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    return run_case(cases, sizeof cases / sizeof *cases);
}
