/* SPDX-License-Identifier: MIT
 *
 * exec.c: listeners and epolls that are kept over exec: the new program waits before it accepts.
 */
#include "testing.h"

/* It waits before it accepts: then it is told what the kernel says, and the accept must know of it. */
static int started_with_a_listener(int l)
{
    struct watch w = watching(POLL, l);
    struct client silent = dial(l);
    IS(1, wait_for(&w, LONG));
    FAILS_WITH(ECONNABORTED, accept(l, NULL, NULL));
    IS(0, wait_for(&w, 0));
    introduce(&silent);
    IS(1, wait_for(&w, LONG));
    accepts(l, &silent);
    is_exact(&w);
    w = watching(EPOLL, l);
    is_exact(&w);
    return 0;
}

/* The same with an epoll that it was given too. */
static int started_with_an_epoll(int l, int epoll)
{
    struct watch w = {EPOLL, l, epoll};
    struct client silent = dial(l);
    IS(1, wait_for(&w, LONG));
    FAILS_WITH(ECONNABORTED, accept(l, NULL, NULL));
    IS(0, wait_for(&w, MOMENT));
    introduce(&silent);
    IS(1, wait_for(&w, LONG));
    accepts(l, &silent);
    is_exact(&w);
    return 0;
}

static void epoll_kept_over_exec_with_its_listener_is_watched(void)
{
    int l = listener(0), epoll = epoll_create1(0);
    char numbers[2][16];
    control(epoll, EPOLL_CTL_ADD, l, EPOLLIN, TOKEN);
    snprintf(numbers[0], sizeof numbers[0], "%d", l);
    snprintf(numbers[1], sizeof numbers[1], "%d", epoll);
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "exec", "--epoll", numbers[0], numbers[1], (char *)NULL);
        _exit(100);
    }
    ended_well(child);
}

static void listener_kept_over_exec_is_governed(void)
{
    int l = listener(0);
    char number[16];
    warm(l);
    struct client silent = parked(l);
    snprintf(number, sizeof number, "%d", l);
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "exec", "--listener", number, (char *)NULL);
        _exit(100);
    }
    ended_well(child);
    introduce(&silent);
    accepts(l, &silent);
    is_exact(&(struct watch){POLL, l, -1});
}

static const struct test cases[] = {
    CASE(epoll_kept_over_exec_with_its_listener_is_watched),
    CASE(listener_kept_over_exec_is_governed),
};

int main(int argc, char **argv)
{
    begin(argc, argv);
    if (argc == 3 && strcmp(argv[1], "--listener") == 0)
        return started_with_a_listener(atoi(argv[2]));
    if (argc == 4 && strcmp(argv[1], "--epoll") == 0)
        return started_with_an_epoll(atoi(argv[2]), atoi(argv[3]));
    return run_case(cases, sizeof cases / sizeof *cases);
}
